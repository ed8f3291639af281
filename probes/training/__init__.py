"""The training of probes, many at once."""
