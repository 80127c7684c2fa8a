"""The verbs that make a new version of a dataset of an older one, and what differs between two."""
