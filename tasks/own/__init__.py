"""Data of one's own: from a folder of audio or a table to a card, a manifest and a split. Pure functions."""
