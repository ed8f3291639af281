"""Encoders that were designed, not learned."""
