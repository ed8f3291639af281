"""Embeddings: what keys them, where they lie, how audio becomes them."""
