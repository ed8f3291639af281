"""The plan of a run: its jobs, with every choice decided, and what is kept. No audio is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from benchmark.audio.index import AudioIndex, inspect_again
from benchmark.embeddings.fitting import training_split
from benchmark.embeddings.precomputed import PrecomputedStore
from benchmark.embeddings.rows import RowSource
from benchmark.embeddings.space import Space, space_of
from benchmark.embeddings.store import EmbeddingStore
from benchmark.encoders.base import Encoder
from benchmark.encoders.precomputed.encoder import Precomputed
from benchmark.encoders.windowing import WindowError
from benchmark.errors import UserError
from benchmark.jobs.existing import existing_of
from benchmark.jobs.items import precomputed_items
from benchmark.jobs.job import Job, SearchPlan, TaskItems
from benchmark.jobs.options import Options
from benchmark.jobs.variants import own_pruner
from benchmark.system.progress import Reporter, Silent
from probes.protocol import Protocol, ProtocolError
from tasks.card import TaskCard
from tasks.spelling import did_you_mean

CHOICES = ("auto", "mix", "all")  # of layers, beside their names


def plan_jobs(
    encoders: Sequence[Encoder],
    tasks: Sequence[TaskItems],
    options: Options,
    report: Reporter | None = None,
    *,
    records: bool = True,
) -> list[Job]:
    """Return every job of the run: each encoder on each task; jobs of one space share its store.

    Args:
        encoders: Encoders, or embeddings that were computed elsewhere.
        tasks: Tasks with their items; see :func:`benchmark.jobs.items.prepare`.
        options: What the user chose.
        report: Is told what is left aside of embeddings that were computed elsewhere.
        records: Whether records matter: what lies at the jobs' record paths is then looked at.

    Raises:
        UserError: An encoder breaks the contract or cannot take a task's window or the layer that is asked for;
            embeddings that were computed elsewhere lack tracks or cannot be used.
        RecordError: What lies at a record path cannot be read.
    """
    index, report = AudioIndex(options.home_folder), report or Silent()
    if not all(isinstance(encoder, Precomputed) for encoder in encoders):
        inspect_again(index, (path for data in tasks for path in data.items.audio), report)
    jobs: list[Job] = []
    stores: dict[str, EmbeddingStore] = {}
    for encoder in encoders:
        if isinstance(encoder, Precomputed):
            if options.deformations:
                _refuse_deformations(encoder, options.deformations[0].text)
            source = PrecomputedStore(encoder)
            for data in tasks:
                jobs += _jobs(encoder, precomputed_items(data, encoder, options, report), source, options)
                jobs[-1].keys(index)  # unusable rows show now, before anything is trained
            continue
        for data in tasks:
            fitted_on = None
            if encoder.fitted:
                _refuse_fitted_on_folds(encoder, data)
                if options.export is not None:
                    _refuse_export(encoder)
                fitted_on = training_split(data.task.card.id, *data.train, index, report)
            used, space, own_windows = _fed(encoder, data.task.card, fitted_on, own_windows=options.own_windows)
            store = stores.setdefault(space.key, EmbeddingStore(options.home_folder, space))
            jobs += _jobs(used, data, store, options, own_windows=own_windows)
    if records:
        jobs = [replace(job, existing=existing_of(job, index, options.overwrite)) for job in jobs]
    return jobs


def _jobs(
    encoder: Encoder, data: TaskItems, source: RowSource, options: Options, *, own_windows: bool = False
) -> list[Job]:
    """Return the jobs of an encoder on a task: one, or one for each point of a learning curve."""
    if data.items.folds:
        _refuse_with_folds(data, options)
    search = _search_plan(encoder, source.space.layers, data.protocol, options)
    return [
        Job(
            encoder=encoder,
            data=data,
            source=source,
            search=search,
            home=options.home_folder,
            results=options.results_folder,
            limit=options.limit,
            own_windows=own_windows,
            subset=subset,
            deform=options.deformations,
            allow_missing=options.allow_missing,
            allow_damaged=options.allow_damaged,
            export=options.export_folder,
            tracking=options.tracking,
            asked=options.asked,
        )
        for subset in options.subsets
    ]


def _search_plan(encoder: Encoder, layers: tuple[str, ...] | None, protocol: Protocol, options: Options) -> SearchPlan:
    """Return how the probe is searched and trained.

    Raises:
        UserError: The protocol says how many trials there are, and the user something else; or there is no such layer.
    """
    return SearchPlan(
        trials=_trials(protocol, options.sampler, options.trials),
        seeds=options.seeds or protocol.seeds,
        seed=options.seed,
        sampler=options.sampler,
        pruner=options.pruner or own_pruner(options.sampler),
        precision=options.probe_precision,
        layer=_layer(encoder, layers, options.layer),
        device=options.device,
        storage=options.storage,
        fresh=options.overwrite == "always",
    )


def _trials(protocol: Protocol, sampler: str, wanted: int | None) -> int:
    if sampler == "grid":
        try:
            trials = len(protocol.grid_settings())
        except ProtocolError as error:
            raise UserError(error.what, error.do) from None
    else:
        trials = 1 if protocol.exact else wanted or protocol.trials
    if wanted not in (None, trials):
        raise UserError(f"--trials {wanted}: there are {trials} here", "leave the option out")
    return trials


def _layer(encoder: Encoder, layers: tuple[str, ...] | None, given: str | None) -> str | None:
    """Return the layer by its name; a number, and no choice at all, have one too."""
    if layers is None:
        if given is None:
            return None
        hint = "name it with ?layer=all" if encoder.text.startswith("hf:") else ""
        raise UserError(
            f"--layer {given}: the encoder {encoder.name!r} gives no layers to choose from",
            hint or "leave --layer out",
        )
    wanted = "auto" if given is None else given
    if wanted in layers or wanted in CHOICES:
        return wanted
    if wanted.isdecimal() and int(wanted) < len(layers):
        return layers[int(wanted)]
    hint = did_you_mean(wanted, [*layers, *CHOICES], "choose another.")
    raise UserError(
        f"--layer {wanted}: the encoder {encoder.name!r} has no such layer",
        f"{hint} It has {', '.join(layers)} (or their numbers from 0 to {len(layers) - 1}); auto chooses one on "
        "valid, mix learns a mixture, all takes them side by side",
    )


def _refuse_deformations(encoder: Precomputed, first: str) -> None:
    raise UserError(
        f"--deform {first}: the embeddings in {encoder.path} were computed elsewhere, and there is no audio of them "
        "to deform",
        "leave --deform out, or name the encoder that made them",
    )


def _refuse_fitted_on_folds(encoder: Encoder, data: TaskItems) -> None:
    if data.items.folds:
        raise UserError(
            f"the encoder {encoder.name!r} is fitted on the training split, and {data.task.card.id!r} has "
            f"{len(data.items.folds)} folds with as many training splits",
            "name an encoder that is not fitted, or give the card a split column",
        )


def _refuse_with_folds(data: TaskItems, options: Options) -> None:
    for option, chosen in (
        ("--train-fraction", bool(options.fractions)),
        ("--deform", bool(options.deformations)),
        ("--export", options.export is not None),
    ):
        if chosen:
            raise UserError(
                f"{option} is about one split, and {data.task.card.id!r} has {len(data.items.folds)} folds",
                "leave it out, or give the card a split column",
            )


def _refuse_export(encoder: Encoder) -> None:
    raise UserError(
        f"--export: the encoder {encoder.name!r} is fitted on each task, and an exported probe cannot say what it was "
        "fitted on",
        "leave --export out",
    )


def _fed(encoder: Encoder, card: TaskCard, fitted_on: str | None, *, own_windows: bool) -> tuple[Encoder, Space, bool]:
    """Return the encoder as the task's windows want it, its space, and whether it fell back to its own windows."""
    if card.window_seconds is None:
        return encoder, space_of(encoder, None, None, fitted_on), False
    used = encoder.for_window(card.window_seconds)
    used.text = encoder.text
    try:
        return used, space_of(used, card.window_seconds, card.hop_seconds, fitted_on), False
    except WindowError as error:
        if not own_windows:
            raise UserError(
                error.what, f"{error.do}, or give it its own with --own-windows (the record will say so)"
            ) from None
        return encoder, space_of(encoder, None, None, fitted_on), True
