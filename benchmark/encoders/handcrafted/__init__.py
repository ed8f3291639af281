"""Hand-crafted encoders, which learn nothing."""
