"""The plan of a run as text: tracks to embed, the time and room that takes, probes to train."""

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
from benchmark.jobs.options import EmbedSettings
from benchmark.reports.robustness import format_deformations
from benchmark.system.tables import table

#: Columns of an estimate that a narrow terminal does without, the least needed first.
SPARE = ("hours of audio", "cached", "windows", "tracks")


def format_plan(jobs: Sequence[Job], settings: EmbedSettings) -> str:
    """Return what a run would do: tracks to embed, bytes they take, time, probes to train.

    Args:
        jobs: The jobs of the run, at least one.
        settings: How their tracks would be embedded.
    """
    index = AudioIndex(settings.home)
    rows: list[list[object]] = []
    counted: set[tuple[str, Path]] = set()
    for job in jobs:
        space = job.source.space
        todo = [] if job.kept else job.source.missing(job.data.tracks, index)
        fresh = [track for track in todo if (space.key, track.path) not in counted]
        counted.update((space.key, track.path) for track in todo)
        megabytes = len(fresh) * space.width * 4 / 1e6
        folds = len(job.data.items.folds)
        probes = (job.search.trials + job.search.seeds) * max(1, folds)
        name = job.encoder.name if not (variant := job.variant) else f"{job.encoder.name}+{variant}"
        in_folds = f" in {folds} folds" if folds else ""
        work = job.outcome if job.kept else f"{probes} probes{in_folds}, {job.outcome}"
        if job.subset is not None:
            work += f", {job.subset.fraction:g} of train, repeat {job.subset.repeat}"
        to_embed = f"{len(fresh)}" if job.source.reads_audio else "given"
        rows.append([job.card.id, name, len(job.data.items), to_embed, f"{megabytes:.1f}", work])
    parts = [
        table(
            rows,
            ["task", "encoder", "items", "to embed", "MB", "then"],
            texts=("then",),
            spare=("MB", "items"),
            json=False,
        )
    ]
    if any(job.source.reads_audio for job in jobs):
        parts += ["", format_estimates(estimates(jobs, settings))]
    parts += format_deformations(jobs)
    refusals = dict.fromkeys(str(job.existing.refusal) for job in jobs if job.existing.refusal)
    parts += [f"\nRefused: {refusal}" for refusal in refusals]
    folder = "runs" if jobs[0].subset is None else "curves"
    return "\n".join([*parts, f"\nHome {settings.home}; records in {jobs[0].results}/{folder}. Nothing was run."])


def format_estimates(spaces: Iterable[SpaceEstimate]) -> str:
    """Return the estimates as a table, and below it where the hours come from."""
    spaces = list(spaces)
    rows = [
        [
            space.encoder,
            space.windows,
            f"{space.tracks:,}",
            f"{space.tracks - space.to_embed:,}",
            f"{space.to_embed:,}",
            f"{space.lengths.hours:.2f}",
            "unknown" if space.seconds is None else format_time(space.seconds),
            decimal(round(space.disk)),
        ]
        for space in spaces
    ]
    headers = ["encoder", "windows", "tracks", "cached", "to embed", "hours of audio", "about", "disk"]
    lines = [table(rows, headers, texts=("windows", "about"), spare=SPARE, json=False)]
    for space in spaces:
        if space.to_embed:
            lengths = space.lengths.describe()
            lines.append(f"\n{space.encoder}, {space.windows}: lengths of {space.to_embed:,} tracks: {lengths}.")
        if space.why:
            lines.append(f"Time unknown: {space.why}.")
        if space.memory:
            lines.append(f"{space.memory}.")
    return "\n".join(lines)


def refuse_precomputed(encoders: Iterable[Encoder]) -> None:
    """Refuse to embed what was embedded elsewhere.

    Raises:
        UserError: One of the encoders is a file of embeddings.
    """
    for encoder in encoders:
        if isinstance(encoder, Precomputed):
            raise UserError(
                f"{encoder.path} holds embeddings already, there is nothing to embed",
                "leave it out, or continue with 'bench run', which needs no audio for it",
            )


def format_embedded(jobs: Sequence[Job], done: Embedded) -> str:
    """Return one line a space: how many embeddings there are, and where."""
    spaces = {job.store.space.key: job for job in jobs}
    return "\n".join(
        f"{job.encoder.name}: {len(job.store.places())} embeddings, {done.embedded[key]} of them new, in "
        f"{job.store.folder}"
        for key, job in spaces.items()
    )
