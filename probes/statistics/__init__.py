"""How sure a score or a difference is, and what no encoder is needed for."""
