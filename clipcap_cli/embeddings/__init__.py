"""The embedding store, and the pipeline that fills it: read, decode, preprocess, encode, write."""
