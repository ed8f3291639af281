"""Precomputed embeddings in place of an encoder."""
