"""How it is answered: the probe's protocol, the MLP, its training, search, statistics. Arrays in, scores out."""
