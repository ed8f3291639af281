"""Probes: protocol, training, search of settings, statistics of scores, export. They take arrays, never audio."""
