"""What lies in the place of a run's record: the same run, which is kept, or another, which it displaces or must not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.audio.deformations import texts
from benchmark.errors import UserError
from benchmark.jobs.keys import place_of, run_key, trials_of
from benchmark.jobs.options import Options
from results import store as records
from results.record import Record, RecordError

if TYPE_CHECKING:
    from benchmark.audio.index import AudioIndex
    from benchmark.jobs.job import Pair


@dataclass(frozen=True)
class Standing:
    """What is there before a run.

    Attributes:
        kept: The record of the very run, which makes it unnecessary.
        displaced: The record of another run, which goes to the history.
        refusal: Why that one must stay; empty where it may go.
    """

    kept: Record | None = None
    displaced: Record | None = None
    refusal: str = ""

    def in_words(self, path: Path) -> str:
        """Return what a run does to the file of its record at ``path``."""
        if self.kept is not None:
            return "record kept"
        if self.refusal:
            return "refused: see below"
        if self.displaced is None:
            return "new record"
        kept = records.history_path(path, self.displaced.run_key)
        return f"displaces a record, which goes to {kept.parent.name}/{kept.name}"


def standing_of(pair: Pair, index: AudioIndex, options: Options) -> Standing:
    """Return what lies in the place of a pair's record.

    Raises:
        RecordError: It cannot be read, and ``--overwrite always`` was not given.
    """
    path = place_of(pair, options)
    if not path.is_file():
        return Standing()
    if options.overwrite == "always":
        return Standing(displaced=_displaced_anyway(path, pair, index, options))
    record = records.read(path)
    if _is_same(record, pair, index, options):
        allowed = len(record.data.damaged) <= options.allow_damaged
        if allowed and options.export is None and records.predictions_path(options.results, record).is_file():
            return Standing(kept=record)
        if allowed:  # its predictions are lost, or a probe is to be exported, which is in no record
            return Standing()
    if options.overwrite == "never":
        return Standing(
            displaced=record,
            refusal=f"{path} holds the record of a different run, and --overwrite never keeps it: choose another "
            "--results folder, or --overwrite missing (the old record moves to history/)",
        )
    smaller = _smaller(record, pair, options)
    if smaller:
        return Standing(
            displaced=record,
            refusal=f"{path} holds the record of a larger budget ({'; '.join(smaller)}), which this run would "
            "displace: choose another --results folder, ask for as much, or let it go to history/ with --overwrite "
            "always",
        )
    return Standing(displaced=record)


def refuse_standing(pairs: Sequence[Pair]) -> None:
    """Refuse a run that would displace what must stay, before anything is computed.

    Raises:
        UserError: Each such record with its reason.
    """
    refusals = [pair.standing.refusal for pair in pairs if pair.standing.refusal]
    if refusals:
        raise UserError("\n".join(refusals))


def _displaced_anyway(path: Path, pair: Pair, index: AudioIndex, options: Options) -> Record | None:
    try:
        record = records.read(path)
    except RecordError:
        return None
    return None if _is_same(record, pair, index, options) else record


def _is_same(record: Record, pair: Pair, index: AudioIndex, options: Options) -> bool:
    """Say whether a run would repeat a record; one with more deformations has the same numbers beside them."""
    keys = pair.keys(index)
    deformed = sorted(f"{each.spec}; version {each.version}" for each in record.robustness)
    if None in keys or not set(texts(options.deform)) <= set(deformed):
        return False
    return record.run_key == run_key(pair, [key for key in keys if key], options, deformed)


def _smaller(record: Record, pair: Pair, options: Options) -> list[str]:
    """Say in what a run is smaller than the record in its place; nothing where it is not."""
    if (
        record.protocol != pair.asked.protocol.name
    ):  # of schema 2, whose protocols share a name: this one is the paper's
        return []
    before = {
        "trials": (len(record.search.trials), trials_of(pair, options)),
        "seeds": (
            len(record.seeds.probes) + len(record.seeds.diverged),
            options.seeds or pair.asked.protocol.seeds,
        ),
    }
    found = [f"{then} {what}, here {now}" for what, (then, now) in before.items() if now < then]
    missing = len(pair.asked.missing)
    if missing > len(record.data.missing) and pair.asked.task.card.version == record.task.version:
        found.append(f"{len(record.data.missing)} missing tracks, here {missing}")
    return found
