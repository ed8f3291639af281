"""The commands that work: run and embed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmark.embeddings.audio_index import AudioIndex
from benchmark.embeddings.extract import missing_tracks
from benchmark.encoders.resolve import resolve
from benchmark.home import home_folder
from benchmark.pipeline import Outcome, prepare, run_many
from benchmark.pipeline import embed as embed_pairs
from benchmark.plan import Options, Pair, make_pairs
from benchmark.progress import Terminal
from tasks import registry


def run(encoder: Sequence[str], task: Sequence[str], *, dry_run: bool, home: Path | None, **chosen: Any) -> None:
    """Run and print one line a score."""
    options = Options(home=home_folder(home), **chosen)
    encoders, tasks, report = (
        resolve(encoder, options.home, options.precision),
        registry.find(task, options.home, options.data_roots),
        Terminal(),
    )
    if dry_run:
        print_plan(make_pairs(encoders, prepare(tasks, options, report), options), options)
        return
    print_outcomes(run_many(encoders, tasks, options, report))


def embed(encoder: Sequence[str], task: Sequence[str], *, home: Path | None, **chosen: Any) -> None:
    """Embed and print one line an encoder."""
    options = Options(home=home_folder(home), results=Path("results"), overwrite="always", **chosen)
    encoders, report = resolve(encoder, options.home, options.precision), Terminal()
    pairs = make_pairs(
        encoders, prepare(registry.find(task, options.home, options.data_roots), options, report), options
    )
    done = embed_pairs(pairs, options, report)
    for pair in {pair.space.key: pair for pair in pairs}.values():
        new = done.embedded[pair.space.key]
        print(f"{pair.encoder.name}: {len(pair.store.places())} embeddings, {new} of them new, in {pair.store.folder}")


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """Print the scores of the test split as a table, and where the records are."""
    from tabulate import tabulate

    rows = []
    for outcome in outcomes:
        record = outcome.record
        for metric, score in record.scores.test.items():
            valid = record.scores.valid[metric].value
            interval, spread = (
                f"{score.low:.3f}–{score.high:.3f}",
                (f"{score.std:.3f}" if len(score.seeds) > 1 else "-"),
            )
            items = record.data.counts["test"]
            mark = "kept" if outcome.kept else "new"
            rows.append(
                [
                    record.task.id,
                    record.encoder.id,
                    metric,
                    f"{score.value:.3f}",
                    interval,
                    spread,
                    f"{valid:.3f}",
                    items,
                    mark,
                ]
            )
    headers = ["task", "encoder", "metric", "test", "95 % interval", "std", "valid", "items", "record"]
    print(tabulate(rows, headers, tablefmt="simple", disable_numparse=True))
    folders = sorted({str(outcome.path.parent.parent) for outcome in outcomes})
    print(f"\nRecords in {', '.join(folders)}/<task>/<encoder>.json")
    for outcome in outcomes:
        data, what = outcome.record.data, f"{outcome.record.encoder.id} on {outcome.record.task.id}"
        if data.missing:
            print(f"{what}: {len(data.missing)} missing track(s) or differing counts, named in the record")
        if data.damaged:
            print(f"{what}: {len(data.damaged)} damaged track(s) left out, named in the record")
        if data.shared_groups:
            print(f"{what}: {len(data.shared_groups)} group(s) of test are also in train or valid: a leak")
        if data.shared_audio:
            print(f"{what}: {len(data.shared_audio)} test track(s) have the very audio of a train or valid track")
        if outcome.record.limit is not None:
            print(f"{what}: limited to {outcome.record.limit} items; this record enters no leaderboard")


def print_plan(pairs: Sequence[Pair], options: Options) -> None:
    """Print what a run would do: tracks to embed, bytes they take, probes to train."""
    from tabulate import tabulate

    index = AudioIndex(options.home)
    rows: list[list[object]] = []
    counted: set[tuple[str, Path]] = set()
    for pair in pairs:
        card, protocol = pair.asked.task.card, pair.asked.protocol
        todo = [] if pair.kept else missing_tracks(pair.asked.tracks, pair.store, index)
        fresh = [track for track in todo if (pair.space.key, track.path) not in counted]
        counted.update((pair.space.key, track.path) for track in todo)
        megabytes = len(fresh) * pair.space.width * 4 / 1e6
        probes = (options.trials or protocol.trials) + (options.seeds or protocol.seeds)
        work = "record kept" if pair.kept else f"{probes} probes"
        rows.append([card.id, pair.encoder.name, len(pair.asked.items), f"{len(fresh)}", f"{megabytes:.1f}", work])
    headers = ["task", "encoder", "items", "to embed", "MB", "then"]
    print(tabulate(rows, headers, tablefmt="simple", disable_numparse=True))
    print(f"\nHome {options.home}; records in {options.results}/runs. Nothing was run.")
