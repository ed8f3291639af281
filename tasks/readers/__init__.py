"""Readers of annotation files and of what lies beside them."""
