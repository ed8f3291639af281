"""Embeddings that were computed elsewhere, in place of an encoder."""
