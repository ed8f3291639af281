"""The training of an encoder: recipes, losses, the loop, checkpoints."""
