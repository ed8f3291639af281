"""The check of an encoder: whether it keeps its contract, and how fast it is."""
