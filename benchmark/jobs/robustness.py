"""The robustness view: how far a probe's scores on test move when the audio of test, and nothing else, is deformed.

The probes are those of the normal run, trained on clean audio; nothing is selected by what they score here. Each item
is scored clean and deformed by the same probes, so the interval is that of the change itself, over items and seeds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.audio.deformations import Deformation
from benchmark.audio.index import AudioIndex
from benchmark.embeddings.store import EmbeddingStore
from benchmark.embeddings.tracks import Damage, Track, missing_tracks
from benchmark.errors import UserError
from benchmark.jobs.existing import Standing
from benchmark.jobs.job import Pair
from benchmark.jobs.options import Options
from benchmark.jobs.scoring import LeftOut, leave_out, score_split
from benchmark.system.long_lists import SHOWN
from benchmark.system.terminal import display
from probes.data import SplitArrays
from probes.statistics.intervals import change
from results.record import Drop, Record, Robustness, Score
from tasks.metrics.scores import bounds

if TYPE_CHECKING:
    from benchmark.jobs.splits import Material
    from probes.training.probe import TrainedProbe


def deformed_pair(pair: Pair, deformation: Deformation, home: Path) -> Pair:
    """Return the pair with the store of the deformed audio's embeddings, a space of their own."""
    space = replace(pair.space, deformation=deformation)
    return replace(pair, source=EmbeddingStore(home, space), standing=Standing())


def tracks_to_deform(pairs: Sequence[Pair], damaged: Collection[Path]) -> list[Track]:
    """Return the sound test tracks of pairs that share a space: nothing else is ever deformed."""
    return [
        track
        for pair in pairs
        for track, split in zip(pair.asked.tracks, pair.asked.items.splits, strict=True)
        if split == "test" and track.path not in damaged
    ]


def refuse_unusable(pair: Pair, deformation: Deformation, damaged: Sequence[Damage]) -> None:
    """Refuse a deformation that leaves too little of some track: clean and deformed are scored on the same tracks.

    Raises:
        UserError: There are such tracks; they are named.
    """
    if not damaged:
        return
    lines = [f"  {damage.track_id} ({damage.path}): {damage.problem}" for damage in damaged[:SHOWN]]
    if len(damaged) > SHOWN:
        lines.append(f"  … and {len(damaged) - SHOWN} more")
    raise UserError(
        f"{len(damaged)} test track(s) cannot be embedded with {pair.encoder.name} under --deform {deformation.text}:\n"
        + "\n".join(lines)
        + "\nNo probe was trained; every embedding that was made is kept. Make it smaller, or leave it out."
    )


def deformed_material(material: Material, deformation: Deformation, home: Path) -> Material:
    """Return the material with the embeddings of deformed audio; only those of test are there."""
    # A split that is held in a file must not overwrite another.
    scratch = material.scratch / f"{deformation.kind}{deformation.amount:g}"
    scratch.mkdir(exist_ok=True)
    return replace(material, pair=deformed_pair(material.pair, deformation, home), scratch=scratch)


def robustness(
    material: Material,
    test: SplitArrays,
    probes: Sequence[TrainedProbe],
    clean: Mapping[str, Score],
    left_out: LeftOut,
    seed: int,
) -> Robustness:
    """Score the probes on deformed test audio, beside their clean scores.

    Args:
        material: See :func:`deformed_material`.
        test: Its embeddings of test.
        probes: The selected probes.
        clean: Their scores on clean test audio.
        left_out: These without each block; see :func:`~benchmark.jobs.scoring.leave_out`.
        seed: Seed of the blocks.

    Raises:
        UserError: A probe's outputs are not finite.
    """
    pair, labels, groups = material.pair, material.items.labels, material.groups("test")
    card, deformation = pair.asked.task.card, pair.space.deformation
    assert deformation is not None
    outputs = [probe.predict(test.embeddings) for probe in probes]
    beside = None
    if all(np.isfinite(output).all() for output in outputs):  # else score_split refuses them
        beside = leave_out(card, test.targets, outputs, labels, groups, seed=seed)
    split = f"test ({deformation.text})"
    scores = score_split(card, test.targets, outputs, labels, groups, seed=seed, split=split, left_out=beside)
    assert beside is not None
    drops = {}
    for metric, score in scores.items():
        moved = change(beside.scores[metric], left_out.scores[metric], beside.blocks, bounds(metric))
        drops[metric] = Drop(
            value=score.value, low=score.low, high=score.high, drop=score.value - clean[metric].value,
            drop_low=None if moved is None else moved.low, drop_high=None if moved is None else moved.high,
            question=score.question,
        )  # fmt: skip
    places = pair.store.places()
    clipped = sum(places[material.keys[i]].clipped for i in material.items.rows("test"))
    return Robustness(
        spec=deformation.text, version=deformation.version, space=pair.space.key, clipped=clipped, metrics=drops
    )


def print_plan(pairs: Sequence[Pair], options: Options) -> None:
    """Print how many test tracks a run would embed again, by space and deformation; nothing without deformations."""
    index, by_space = AudioIndex(options.home), dict[str, list[Pair]]()
    for pair in pairs:
        if pair.kept is None and pair.given is None:
            by_space.setdefault(pair.space.key, []).append(pair)
    for sharing in by_space.values():
        tracks = tracks_to_deform(sharing, ())
        for deformation in options.deform:
            store = deformed_pair(sharing[0], deformation, options.home).store
            todo = missing_tracks(tracks, store, index)
            display(f"{sharing[0].encoder.name}: {len(todo)} test track(s) to embed again under {deformation.text}")


def print_robustness(records: Sequence[Record]) -> None:
    """Print how scores moved under deformations, if any record says; a drop is below zero where they fell."""
    from tabulate import tabulate

    rows = [
        [
            record.name,
            record.task.id + (f" ({record.curve.fraction:g} of train)" if record.curve else ""),
            each.spec,
            metric,
            f"{record.scores.test[metric].value:.3f}",
            f"{drop.value:.3f}",
            _signed(drop.drop),
            "-"
            if drop.drop_low is None or drop.drop_high is None
            else f"{_signed(drop.drop_low)} to {_signed(drop.drop_high)}",
        ]
        for record in records
        for each in record.robustness
        for metric, drop in each.metrics.items()
    ]
    if not rows:
        return
    headers = ["encoder", "task", "deformation", "metric", "clean", "deformed", "drop", "95 % interval"]
    display("\n" + tabulate(rows, headers, tablefmt="simple", disable_numparse=True))
    for record in records:
        for each in record.robustness:
            if each.clipped:
                display(
                    f"{record.name} on {record.task.id}: {each.clipped} of {record.data.counts['test']} test "
                    f"track(s) were clipped under {each.spec}"
                )


def _signed(value: float) -> str:
    return f"{round(value, 3) + 0.0:+.3f}"  # no "-0.000"
