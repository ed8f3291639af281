"""The search of a probe's settings."""
