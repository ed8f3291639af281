"""Pre-training: a store of log-mels, objectives, networks, a trainer, recipes and export."""
