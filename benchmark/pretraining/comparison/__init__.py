"""``bench pretrain compare``: strategies that are trained under an equal budget, probed alike, and compared."""
