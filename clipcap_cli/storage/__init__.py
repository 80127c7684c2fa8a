"""CLIPCAP_HOME: where everything lies, and how it gets there whole."""
