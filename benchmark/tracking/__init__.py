"""Trackers of experiments, off unless asked for: one contract, an adapter for each library, no waiting for any."""
