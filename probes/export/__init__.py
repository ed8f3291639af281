"""A trained probe as files, and as a function."""
