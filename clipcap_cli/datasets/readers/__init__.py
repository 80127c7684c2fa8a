"""The layouts that are read, one file each; `registry` puts them in order."""
