"""Training of probes, many in one batch."""
