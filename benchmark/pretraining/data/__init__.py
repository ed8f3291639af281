"""The data of a pre-training: sources, log-mels in shards, and batches of them."""
