"""What is wrong with a dataset, as far as it can be told without learning from it: pictures, captions, how they go together, and splits."""
