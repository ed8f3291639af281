"""Embeddings: their key, their store, and their extraction from audio."""
