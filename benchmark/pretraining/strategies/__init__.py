"""The ways of pre-training, one module each."""
