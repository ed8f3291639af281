"""Errors that a user can mend: they carry a message and the next command, and end the CLI with exit code 2."""


class UserError(Exception):
    """Something that the caller can mend. The message says what happened, to which file or track, and what to do."""
