"""Each metric turns captions and references, or their embeddings, into a score of each picture and of them all."""
