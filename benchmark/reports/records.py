"""``bench results verify``: which results are not as they were written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmark.errors import UserError
from benchmark.jobs.result_checks import (
    State,
    journal_state,
    probe_state,
    record_files,
    record_state,
    sign_probe,
    sign_record,
)
from benchmark.system.terminal import display
from results.record import RecordError
from results.store import STUDIES


def verify(paths: Sequence[Path], results: Path, *, sign: bool) -> bool:
    """Print what differs from what was written; with ``sign``, sign it anew. Say whether all is well, or signed.

    Args:
        paths: Records, journals and folders of probes; none for all records and journals of ``results``.
        results: Folder of the records.
        sign: Give whatever differs, or has no digests, digests of what it is now.

    Raises:
        UserError: Nothing to check, or a path that is neither a record nor a probe.
    """
    wanted = list(paths) or [*record_files(results), *sorted(results.glob(f"{STUDIES}/*.journal"))]
    if not wanted:
        raise UserError(f"there are no records in {results}: give --results, or name a record or a probe")
    bad = unchecked = signed = 0
    for path in wanted:
        state = _state(path)
        for line in state.differs:
            display(f"{path}: {line}")
        if state.unchecked and not sign:
            display(f"{path}: unchecked, {state.unchecked}")
        unchecked += bool(state.unchecked)
        if sign and (state.differs or state.unchecked) and _sign(path):
            display(f"{path}: signed as it is now")
            signed += 1
        else:
            bad += bool(state.differs)
    display(f"{len(wanted)} looked at: {bad} differ, {unchecked} without digests, {signed} signed")
    return bad == 0


def _state(path: Path) -> State:
    if path.suffix == ".journal":
        return journal_state(path)
    try:
        return probe_state(path) if path.is_dir() else record_state(path)
    except RecordError as error:
        return State(path, (str(error).removeprefix(f"{path} "),))


def _sign(path: Path) -> bool:
    if path.suffix == ".journal":
        display(f"{path}: not signed: delete it, and the search begins anew")
        return False
    try:
        if path.is_dir():
            sign_probe(path)
        else:
            sign_record(path)
    except (RecordError, UserError) as error:
        display(f"{path}: not signed: {error}")
        return False
    return True
