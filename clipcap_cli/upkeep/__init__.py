"""Looking after the store: what lies there, whether it is whole, and what nothing refers to any more. Imports no torch."""
