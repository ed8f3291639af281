"""The error of this package: what is wrong with a card, a manifest or a name, and what to do next."""


class TaskError(ValueError):
    """A task, card, manifest or name that cannot be used as it is. The message is written for the user."""
