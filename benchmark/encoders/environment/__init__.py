"""Encoders of another interpreter: ``env:PYTHON::SPEC``."""
