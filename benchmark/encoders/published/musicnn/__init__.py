"""MusiCNN (Pons and Serra 2019) without TensorFlow: its checkpoint read, its network in PyTorch, and the encoder."""
