"""`clipcap serve`: captions over HTTP, and the page that people without a terminal use."""
