"""``bench results verify``: which results are not as they were written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
from benchmark.system.finding import Finding
from results.record import RecordError
from results.store import STUDIES


def verify(paths: Sequence[Path], results: Path, *, sign: bool) -> Iterator[Finding]:
    """Yield what differs from what was written, an error where it is not signed; with ``sign``, sign it again.

    Args:
        paths: Records, journals and folders of probes; none for all records and journals of ``results``.
        results: Folder of the records.
        sign: Give whatever differs, or has no digests, digests of what it is now.

    Raises:
        UserError: Nothing to check, or a path that is neither a record nor a probe.
    """
    wanted = list(paths) or [*record_files(results), *sorted(results.glob(f"{STUDIES}/*.journal"))]
    if not wanted:
        raise UserError(f"there are no records in {results}", "give --results, or name a record or a probe")
    bad = unchecked = signed = 0
    for path in wanted:
        state = _state(path)
        for line in state.differs:
            yield Finding(f"{path}: {line}")
        if state.unchecked and not sign:
            yield Finding(f"{path}: unchecked, {state.unchecked}")
        unchecked += bool(state.unchecked)
        refusal = _sign(path) if sign and (state.differs or state.unchecked) else ""
        if sign and (state.differs or state.unchecked):
            yield Finding(f"{path}: {f'not signed: {refusal}' if refusal else 'signed as it is now'}")
        if sign and (state.differs or state.unchecked) and not refusal:
            signed += 1
        else:
            bad += bool(state.differs)
    counts = f"{len(wanted)} looked at: {bad} differ, {unchecked} without digests, {signed} signed"
    yield Finding(counts, is_error=bad > 0)


def _state(path: Path) -> State:
    if path.suffix == ".journal":
        return journal_state(path)
    try:
        return probe_state(path) if path.is_dir() else record_state(path)
    except RecordError as error:
        return State(path, (str(error).removeprefix(f"{path} "),))


def _sign(path: Path) -> str:
    """Sign a file or folder as it is; return why not, where that cannot be."""
    if path.suffix == ".journal":
        return "delete it, and the search starts again"
    try:
        if path.is_dir():
            sign_probe(path)
        else:
            sign_record(path)
    except (RecordError, UserError) as error:
        return str(error)
    return ""
