"""One encoder on one task, from the store to a record. Test is opened in one place, :func:`_score_test`, once."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmark.embeddings.audio_index import AudioIndex
from benchmark.embeddings.extract import Damage
from benchmark.errors import UserError
from benchmark.machine import device_of, hardware, versions
from benchmark.plan import Options, Pair, run_key
from benchmark.progress import Reporter
from benchmark.scoring import objective, objective_name, refuse_undefined, score_split
from probes.data import SplitArrays, TrainValid
from probes.protocol import ProbeSpec
from probes.search import SAMPLER, SearchResult, search
from probes.training import TrainedProbe, train
from results import record as schema
from results import store as records
from tasks.items import Items

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class _Material:
    """The items of a pair that are scored, with the key of each one's embedding."""

    pair: Pair
    items: Items
    keys: tuple[str, ...]
    damaged: tuple[Damage, ...]

    def arrays(self, split: str) -> SplitArrays:
        """Read one split's embeddings from the store."""
        rows = self.items.rows(split)
        if len(rows) == 0:
            raise UserError(f"no item of the {split} split is left: too many tracks are damaged")
        embeddings = self.pair.store.read([self.keys[i] for i in rows])
        return SplitArrays(tuple(self.items.track_ids[i] for i in rows), embeddings, self.items.targets[rows])

    def groups(self, split: str) -> list[str] | None:
        """Return the groups of one split's items."""
        groups = self.items.groups
        return None if groups is None else [groups[i] for i in self.items.rows(split)]


def evaluate(
    pair: Pair, damaged: Mapping[Path, Damage], embed_seconds: float, options: Options, report: Reporter
) -> tuple[schema.Record, Path]:
    """Search, retrain and score a pair whose embeddings are in the store; write and return its record.

    Raises:
        UserError: A split is empty or a metric undefined, embeddings are not usable, or nothing can be written.
    """
    started = time.monotonic()
    card = pair.asked.task.card
    material = _gather(pair, damaged, options)
    spec = ProbeSpec(
        card.kind, len(material.items.labels), card.probe.hidden, card.probe.dropout, card.probe.batch_size
    )
    device = device_of(options.device)
    found, probes, data, search_seconds = _select(spec, material, options, device, report)
    valid_outputs = [probe.predict(data.valid.embeddings) for probe in probes]
    valid = score_split(
        card, data.valid.targets, valid_outputs, material.items.labels, material.groups("valid"),
        seed=options.seed, split="valid",
    )  # fmt: skip
    test, test_outputs = _score_test(material, probes, options.seed)
    finished = time.monotonic()
    key = run_key(pair, _all_keys(pair, options), options)
    name = records.write_predictions(
        options.results, card.id, pair.encoder.name, key,
        _predictions(material, valid_outputs, test_outputs), options.limit,
    )  # fmt: skip
    record = schema.Record(
        run_key=key,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        limit=options.limit,
        protocol=pair.asked.protocol.name,
        task=_task_section(pair),
        encoder=_encoder_section(pair),
        scores=schema.Scores(valid=valid, test=test),
        probe=_probe_section(spec, found, probes),
        search=_search_section(pair, found),
        data=_data_section(material, options),
        seeds=schema.SeedsSection(search=options.seed, probes=[probe.seed for probe in probes]),
        versions=versions(),
        hardware=schema.HardwareSection(**hardware(device)),
        seconds=schema.SecondsSection(
            embed=round(embed_seconds, 3),
            search=round(search_seconds, 3),
            probes=round(finished - started - search_seconds, 3),
            total=round(embed_seconds + finished - started, 3),
        ),
        predictions=name,
    )
    path = records.write(options.results, record)
    scores = ", ".join(f"{metric} {score.value:.3f}" for metric, score in test.items())
    report.say(f"Probed {pair.encoder.name} on {card.id} in {finished - started:.1f} s: {scores}")
    return record, path


def _gather(pair: Pair, damaged: Mapping[Path, Damage], options: Options) -> _Material:
    items, places, index = pair.asked.items, pair.store.places(), AudioIndex(options.home)
    sound = np.array([path not in damaged for path in items.audio])
    left_out = tuple(damaged[path] for path, ok in zip(items.audio, sound, strict=True) if not ok)
    items = items.take(np.flatnonzero(sound))
    if left_out:
        refuse_undefined(pair.asked.task.card, items)
    keys = [index.key(path) for path in items.audio]
    for path, key in zip(items.audio, keys, strict=True):
        if key is None or key not in places:
            raise UserError(f"{path} changed while the run was under way: run the same command again")
    return _Material(pair, items, tuple(key for key in keys if key), left_out)


def _select(
    spec: ProbeSpec, material: _Material, options: Options, device: str, report: Reporter
) -> tuple[SearchResult, list[TrainedProbe], TrainValid, float]:
    """Search on train and valid, then retrain the selected probe; the ids of test are sealed, its arrays not read."""
    started = time.monotonic()
    card, protocol, labels = material.pair.asked.task.card, material.pair.asked.protocol, material.items.labels
    sealed = frozenset(material.items.track_ids[i] for i in material.items.rows("test"))
    data = TrainValid(material.arrays("train"), material.arrays("valid"), sealed)
    trials, seeds = options.trials or protocol.trials, options.seeds or protocol.seeds

    def score(targets: np.ndarray, outputs: np.ndarray) -> float:
        return objective(card, targets, outputs, labels)

    title = f"Probing {material.pair.encoder.name} on {card.id}"
    with report.stage(title, trials + seeds, "probes") as advance:
        try:
            found = search(
                spec, protocol, data, score, trials=trials, seed=options.seed, device=device,
                progress=lambda done, _: advance(done, f"{done / (time.monotonic() - started):.1f} probes/s"),
            )  # fmt: skip
            searched = time.monotonic() - started
            probes = []
            for i in range(seeds):
                probes.append(train(spec, found.settings, data, score, seed=options.seed + i, device=device))
                advance(trials + i + 1)
        except FloatingPointError as error:
            raise UserError(f"{title}: {error}") from error
        except KeyboardInterrupt:
            report.say(f"Stopped while {title[0].lower()}{title[1:]}: embeddings and finished records are kept.")
            raise
    return found, probes, data, searched


def _score_test(
    material: _Material, probes: Sequence[TrainedProbe], seed: int
) -> tuple[dict[str, schema.Score], list[np.ndarray]]:
    """Open test, for the first and only time, and score the selected probes on it."""
    test = material.arrays("test")
    outputs = [probe.predict(test.embeddings) for probe in probes]
    card = material.pair.asked.task.card
    scores = score_split(
        card, test.targets, outputs, material.items.labels, material.groups("test"), seed=seed, split="test"
    )
    return scores, outputs


def _all_keys(pair: Pair, options: Options) -> list[str]:
    """Return the content hash of every item's audio, damaged ones included; a file that cannot be read has none."""
    index = AudioIndex(options.home)
    return [index.key(path) or "" for path in pair.asked.items.audio]


def _predictions(material: _Material, valid: Sequence[np.ndarray], test: Sequence[np.ndarray]) -> pyarrow.Table:
    """Return one row an item of valid and test: split, track_id, group, target, and the outputs of each probe."""
    import pyarrow as pa

    items = material.items
    rows = np.concatenate([items.rows("valid"), items.rows("test")])
    targets = items.targets[rows]
    columns = {
        "split": [items.splits[i] for i in rows],
        "track_id": [items.track_ids[i] for i in rows],
        "group": pa.array([None if items.groups is None else items.groups[i] for i in rows], pa.string()),
        "target": list(targets) if targets.ndim > 1 else targets,
    }
    for i, (first, second) in enumerate(zip(valid, test, strict=True)):
        outputs = np.concatenate([first, second]).astype(np.float32)
        columns[f"outputs_{i}"] = pa.FixedSizeListArray.from_arrays(pa.array(outputs.ravel()), outputs.shape[1])
    return pa.table(columns).replace_schema_metadata({"labels": "\x1f".join(items.labels)})


def _task_section(pair: Pair) -> schema.TaskSection:
    task, card = pair.asked.task, pair.asked.task.card
    return schema.TaskSection(
        id=card.id,
        title=card.title,
        version=card.version,
        kind=card.kind,
        metrics=list(card.metrics),
        collection=task.collection,
        group=task.group,
        fingerprint=pair.asked.fingerprint,
    )


def _encoder_section(pair: Pair) -> schema.EncoderSection:
    space, windows = pair.space, pair.space.windows
    rate = space.audio.sample_rate
    return schema.EncoderSection(
        id=pair.encoder.name,
        version=space.version,
        fingerprint=space.fingerprint,
        dim=space.width,
        sample_rate=rate,
        channels=space.audio.channels,
        window_seconds=None if windows.window is None else windows.window / rate,
        hop_seconds=None if windows.window is None else windows.hop / rate,
        space=space.key,
        own_windows=pair.own_windows,
    )


def _probe_section(spec: ProbeSpec, found: SearchResult, probes: Sequence[TrainedProbe]) -> schema.ProbeSection:
    settings = found.settings
    return schema.ProbeSection(
        hidden=list(spec.hidden),
        dropout=spec.dropout,
        batch_size=spec.batch_size,
        learning_rate=settings.learning_rate,
        l2=settings.l2,
        steps=settings.steps,
        standardise=settings.standardise,
        parameters=probes[0].parameters,
        best_steps=[probe.best_step for probe in probes],
    )


def _search_section(pair: Pair, found: SearchResult) -> schema.SearchSection:
    trials = [
        schema.Trial(
            number=trial.number,
            learning_rate=trial.settings.learning_rate,
            l2=trial.settings.l2,
            steps=trial.settings.steps,
            standardise=trial.settings.standardise,
            score=trial.score if np.isfinite(trial.score) else None,
            best_step=trial.best_step,
            seconds=round(trial.seconds, 3),
        )
        for trial in found.trials
    ]
    name = objective_name(pair.asked.task.card)
    return schema.SearchSection(sampler=SAMPLER, objective=name, selected=found.selected, trials=trials)


def _data_section(material: _Material, options: Options) -> schema.DataSection:
    items, places = material.items, material.pair.store.places()
    seen = [places[key] for key in material.keys]
    return schema.DataSection(
        fingerprint=hashlib.sha256("".join(material.keys).encode()).hexdigest(),
        counts=items.counts(),
        labels=list(items.labels),
        groups=None if items.groups is None else len(set(items.groups)),
        shared_groups=_shared(items.groups, items.splits),
        shared_audio=_shared_audio(material),
        audio_seconds=round(sum(place.seconds for place in seen), 3),
        clipped=[name for name, place in zip(items.track_ids, seen, strict=True) if place.clipped],
        missing=list(material.pair.asked.missing),
        allow_missing=options.allow_missing,
        damaged=[
            schema.Damaged(
                track_id=damage.track_id,
                file=damage.path.name,
                problem=damage.problem,
                seconds_recovered=round(damage.seconds_recovered, 3),
            )
            for damage in material.damaged
        ],
        allow_damaged=options.allow_damaged,
    )


def _shared(names: Sequence[str] | None, splits: Sequence[str]) -> list[str]:
    """Return the names that occur in test and also in train or valid."""
    if names is None:
        return []
    inside = {name for name, split in zip(names, splits, strict=True) if split == "test"}
    outside = {name for name, split in zip(names, splits, strict=True) if split != "test"}
    return sorted(inside & outside)


def _shared_audio(material: _Material) -> list[str]:
    """Return the test tracks whose very audio is also in train or valid."""
    shared = set(_shared(material.keys, material.items.splits))
    items = material.items
    pairs = zip(items.track_ids, items.splits, material.keys, strict=True)
    return [name for name, split, key in pairs if split == "test" and key in shared]
