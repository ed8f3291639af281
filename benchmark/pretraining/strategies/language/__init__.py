"""Captions: their vocabulary, what of them is hidden, and the network that reads them beside music."""
