"""Musicset-ULarge (MULE): a two-path normaliser-free network over log-mel slices (McCallum et al. 2022)."""
