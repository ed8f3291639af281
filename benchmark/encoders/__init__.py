"""Encoders: the contract, the resolver, and one module per built-in family."""
