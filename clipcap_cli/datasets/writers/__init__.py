"""One file for each layout that goes out; each is read again by the reader of the same layout."""
