"""The plan of a run on the terminal: tracks to embed, the time and room that takes, probes to train."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.filesize import decimal

from benchmark.audio.index import AudioIndex
from benchmark.encoders.base import Encoder
from benchmark.encoders.precomputed.encoder import Precomputed
from benchmark.errors import UserError
from benchmark.jobs.embed import Embedded
from benchmark.jobs.estimate import SpaceEstimate, estimates, format_time
from benchmark.jobs.job import Job
from benchmark.jobs.options import Options
from benchmark.reports.robustness import print_deformations
from benchmark.system.tables import table
from benchmark.system.terminal import display


def print_plan(jobs: Sequence[Job], options: Options) -> None:
    """Print what a run would do: tracks to embed, bytes they take, probes to train."""
    index = AudioIndex(options.home)
    rows: list[list[object]] = []
    counted: set[tuple[str, Path]] = set()
    for job in jobs:
        space = job.source.space
        todo = [] if job.kept else job.source.missing(job.data.tracks, index)
        fresh = [track for track in todo if (space.key, track.path) not in counted]
        counted.update((space.key, track.path) for track in todo)
        megabytes = len(fresh) * space.width * 4 / 1e6
        probes = job.search.trials + job.search.seeds
        name = job.encoder.name if not (variant := job.variant) else f"{job.encoder.name}+{variant}"
        work = job.outcome if job.kept else f"{probes} probes, {job.outcome}"
        if job.subset is not None:
            work += f", {job.subset.fraction:g} of train, repeat {job.subset.repeat}"
        rows.append(
            [
                job.card.id,
                name,
                len(job.data.items),
                f"{len(fresh)}" if job.source.reads_audio else "given",
                f"{megabytes:.1f}",
                work,
            ]
        )
    display(table(rows, ["task", "encoder", "items", "to embed", "MB", "then"]))
    if any(job.source.reads_audio for job in jobs):
        display()
        print_estimates(estimates(jobs, options.embedding))
    print_deformations(jobs)
    for refusal in dict.fromkeys(job.existing.refusal for job in jobs if job.existing.refusal):
        display(f"\nRefused: {refusal}")
    folder = "curves" if options.train_fraction else "runs"
    display(f"\nHome {options.home}; records in {options.results}/{folder}. Nothing was run.")


def print_estimates(found: Iterable[SpaceEstimate]) -> None:
    """Print the estimates as a table, and below it where the hours come from."""
    found = list(found)
    rows = [
        [
            each.encoder,
            each.windows,
            f"{each.tracks:,}",
            f"{each.tracks - each.to_embed:,}",
            f"{each.to_embed:,}",
            f"{each.lengths.hours:.2f}",
            "unknown" if each.seconds is None else format_time(each.seconds),
            decimal(each.disk),
        ]
        for each in found
    ]
    display(table(rows, ["encoder", "windows", "tracks", "cached", "to embed", "hours of audio", "about", "disk"]))
    for each in found:
        if each.to_embed:
            display(
                f"\n{each.encoder}, {each.windows}: lengths of {each.to_embed:,} tracks: {each.lengths.describe()}."
            )
        if each.why:
            display(f"Time unknown: {each.why}.")
        if each.memory:
            display(f"{each.memory}.")


def refuse_precomputed(encoders: Iterable[Encoder]) -> None:
    """Refuse to embed what was embedded elsewhere.

    Raises:
        UserError: One of the encoders is a file of embeddings.
    """
    for encoder in encoders:
        if isinstance(encoder, Precomputed):
            raise UserError(
                f"{encoder.path} holds embeddings already, there is nothing to embed: leave it out, or go on with "
                "'bench run', which needs no audio for it"
            )


def print_embedded(jobs: Sequence[Job], done: Embedded) -> None:
    """Print one line a space: how many embeddings there are, and where."""
    for job in {job.store.space.key: job for job in jobs}.values():
        new = done.embedded[job.store.space.key]
        display(f"{job.encoder.name}: {len(job.store.places())} embeddings, {new} of them new, in {job.store.folder}")
