"""The networks that are pre-trained."""
