"""Tables of captions as people have them: delimited, JSON, Parquet."""
