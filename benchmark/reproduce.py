"""Train a recorded probe once more from the stored embeddings, and say how far its scores are from the record's."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from benchmark.embeddings.extract import Damage, missing_tracks
from benchmark.encoders.resolve import resolve
from benchmark.errors import UserError
from benchmark.home import home_folder
from benchmark.options import Options
from benchmark.pipeline import needs_audio, prepare
from benchmark.plan import Pair, make_pairs
from benchmark.progress import Reporter, Terminal
from results import store as records
from results.record import Record
from tasks import registry
from tasks.errors import TaskError

#: Differences up to this come from the order in which products are summed, not from another probe.
TOLERANCE = 1e-4


def reproduce(
    path: Path,
    *,
    home: Path | None,
    encoder: str | None = None,
    task: str | None = None,
    data_roots: Sequence[str] = (),
    device: str = "auto",
) -> bool:
    """Retrain the probe of the record at ``path``, print the differences, and say whether all are within tolerance.

    Args:
        path: The JSON file of a record.
        home: Data home, with the embeddings.
        encoder: What names the encoder, where its id alone does not (a plug-in in a file).
        task: What names the task, where its id alone does not (a card in a file).
        data_roots: ``COLLECTION=DIR``, where datasets lie.
        device: torch's name of the device.

    Raises:
        UserError: The task, the encoder or the embeddings are not those of the record.
    """
    from tabulate import tabulate

    record, report = records.read(path), Terminal()
    options = _options(record, home_folder(home), tuple(data_roots), device)
    names = encoder or record.encoder.id, task or record.task.id
    pair = _pair(record, options, *names, report)
    if pair.given is None:
        _refuse_lacking(record, pair, options, _embed_command(record, *names, home, data_roots))
    found = _retrained(record, pair, options)
    rows, alike = [], True
    for split, recorded in (("valid", record.scores.valid), ("test", record.scores.test)):
        for metric, score in recorded.items():
            differences = [new - old for new, old in zip(found[split][metric], score.seeds, strict=True)]
            worst = max(differences, key=abs)
            alike = alike and abs(worst) <= TOLERANCE
            new = sum(found[split][metric]) / len(score.seeds)
            rows.append([split, metric, f"{score.value:.6f}", f"{new:.6f}", f"{worst:+.1e}"])
    print(
        tabulate(rows, ["split", "metric", "recorded", "now", "worst seed"], tablefmt="simple", disable_numparse=True)
    )
    verdict = "reproduced" if alike else f"not reproduced: some difference is beyond {TOLERANCE:g}"
    print(f"\n{record.encoder.id} on {record.task.id}, {len(record.seeds.probes)} seed(s): {verdict}")
    return alike


def _options(record: Record, home: Path, data_roots: tuple[str, ...], device: str) -> Options:
    curve = record.curve
    return Options(
        home=home,
        results=Path("results"),
        seed=record.seeds.search,
        seeds=len(record.seeds.probes),
        limit=record.limit,
        device=device,
        overwrite="always",
        allow_damaged=record.data.allow_damaged,
        allow_missing=record.data.allow_missing,
        data_roots=data_roots,
        own_windows=record.encoder.own_windows,
        protocol=record.protocol,
        probe_precision=record.probe.precision,
        layer=record.probe.layer,
        train_fraction=() if curve is None else (curve.fraction,),
        repeats=1 if curve is None else max(1, curve.repeat + 1),
    )


def _pair(record: Record, options: Options, encoder: str, task: str, report: Reporter) -> Pair:
    """Return the record's pair, with every sound item's embedding in the store.

    Raises:
        UserError: Something is not as it was; it is named.
    """
    try:
        encoders = resolve(encoder, options.home)
    except UserError as error:
        raise UserError(
            f"{error}\nIf the encoder of the record has another name here, give it with --encoder"
        ) from None
    try:
        tasks = registry.find(task, options.home, options.data_roots)
    except TaskError as error:
        raise UserError(f"{error}\nIf the task of the record has another name here, give it with --task") from None
    if len(encoders) != 1 or len(tasks) != 1:
        raise UserError(f"{encoder!r} on {task!r} is not one encoder on one task")
    asked = prepare(tasks, options, report, audio=needs_audio(encoders))
    pairs = make_pairs(encoders, asked, options, report)
    repeat = 0 if record.curve is None else record.curve.repeat
    pair = pairs[repeat]
    for what, now, then in (
        ("task", pair.asked.fingerprint, record.task.fingerprint),
        ("encoder", pair.source.space.fingerprint, record.encoder.fingerprint),
        ("space of embeddings", pair.source.space.key, record.encoder.space),
    ):
        _refuse_other(what, now, then)
    return pair


def _refuse_other(what: str, now: str, then: str) -> None:
    if now != then:
        raise UserError(
            f"the {what} is not that of the record: its fingerprint is {now[:12]}, there {then[:12]}. The package, a "
            "file or the data has changed since; 'bench run' makes a record of what is here"
        )


def _embed_command(record: Record, encoder: str, task: str, home: Path | None, data_roots: Sequence[str]) -> str:
    """Return the command that embeds what the record's probe was trained on."""
    words = ["bench", "embed", "--encoder", encoder, "--task", task]
    if record.limit is not None:
        words += ["--limit", str(record.limit), "--seed", str(record.seeds.search)]
    words += ["--own-windows"] if record.encoder.own_windows else []
    words += ["--home", str(home)] if home is not None else []
    return shlex.join([*words, *(word for root in data_roots for word in ("--data-root", root))])


def _refuse_lacking(record: Record, pair: Pair, options: Options, command: str) -> None:
    from benchmark.embeddings.audio_index import AudioIndex

    damaged = _damaged(record, pair)
    missing = missing_tracks(pair.asked.tracks, pair.store, AudioIndex(options.home))
    lacking = [track for track in missing if track.path not in damaged]
    if lacking:
        raise UserError(
            f"{len(lacking)} of {len(pair.asked.items)} embeddings are not in {pair.store.folder}: make them with "
            f"'{command}'"
        )


def _retrained(record: Record, pair: Pair, options: Options) -> dict[str, dict[str, list[float]]]:
    """Return the scores of each seed by split and metric."""
    from benchmark.machine import device_of
    from benchmark.material import gather
    from benchmark.scoring import objective
    from benchmark.sections import content_of
    from benchmark.selection import split_data
    from probes.protocol import Settings
    from probes.training import Trainer
    from tasks import metrics

    card, probe, labels = pair.asked.task.card, record.probe, record.data.labels
    with gather(pair, _damaged(record, pair), options) as material:
        _refuse_other("audio", content_of(material), record.data.fingerprint)
        layers = pair.source.space.layers
        number = list(layers).index(probe.layer) if layers and probe.layer in layers else None
        data = split_data(material, number)
        spec = pair.asked.protocol.spec(card.kind, len(labels), len(layers or ()) if probe.layer == "mix" else None)
        trainer = Trainer(
            spec, data, lambda targets, outputs: objective(card, targets, outputs, labels),
            device=device_of(options.device), precision=options.probe_precision,
        )  # fmt: skip
        settings = Settings(
            probe.learning_rate, probe.l2, probe.steps, probe.standardise, tuple(probe.hidden), probe.dropout,
            probe.batch_size, probe.warm_rate,
        )  # fmt: skip
        trainings = [trainer.begin(settings, seed) for seed in record.seeds.probes]
        trainer.complete(trainings)
        probes = [trainer.finish(training) for training in trainings]
        found = {}
        for split, arrays in (("valid", data.valid), ("test", material.arrays("test", number))):
            outputs = [each.predict(arrays.embeddings) for each in probes]
            found[split] = {
                metric: [float(metrics.scores(metric, arrays.targets, each, labels)) for each in outputs]
                for metric in card.metrics
            }
    return found


def _damaged(record: Record, pair: Pair) -> dict[Path, Damage]:
    """Return what the record left out, by file."""
    paths = dict(zip(pair.asked.items.track_ids, pair.asked.items.audio, strict=True))
    return {
        paths[each.track_id]: Damage(each.track_id, paths[each.track_id], each.problem, each.seconds_recovered)
        for each in record.data.damaged
    }
