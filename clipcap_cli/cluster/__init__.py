"""Bulk work on a cluster: embedding, adding and captioning shard by shard on Ray Data."""
