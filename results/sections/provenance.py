"""Section of a record on how it was asked for."""

from __future__ import annotations

from results.sections import Section


class ProvenanceSection(Section):
    """How the run was asked for, and of which code; no path of a machine is in it.

    ``command`` makes the record again: it holds the options that are not the default ones, but not where the home, the
    records and copies of data lie, nor the device, the number of processes or the budget of the machine; it is
    ``None`` where the encoder was an object in Python. ``encoder`` and ``task`` are what named them; a path is relative
    to the data home where it lies in it, else its base name. ``version`` is the package's, and ``commit`` that of its
    checkout where it was one.
    """

    command: str | None
    encoder: str
    task: str
    version: str
    commit: str | None
