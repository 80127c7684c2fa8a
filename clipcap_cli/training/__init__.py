"""From a recipe, a dataset and its embeddings to a captioner: one run."""
