"""What is asked: task cards, the registry, annotation readers, collections of audio, and metrics."""
