"""The front desk: it parses what was typed, calls one function and prints. No knowledge of its own."""
