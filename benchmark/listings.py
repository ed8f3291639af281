"""The commands that only tell: tasks, encoders, leaderboard."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmark.errors import UserError
from benchmark.home import home_folder


def tasks(name: str | None) -> None:
    """Print the tasks as a table, or one card in full."""
    from tasks import registry

    found = list(registry.builtin_tasks().values()) if name is None else registry.find(name)
    if name is not None and len(found) == 1:
        _print_card(found[0])
        return
    rows = [
        [
            task.card.id,
            task.card.title,
            task.card.kind,
            ", ".join(task.card.metrics),
            " / ".join(str(task.card.sizes[split]) for split in task.card.sizes) if task.card.sizes else "-",
            task.group,
        ]
        for task in found
    ]
    print(_table(rows, ["task", "title", "kind", "metrics", "train / valid / test", "group"]))
    if name is None:
        print("\nOne card: bench tasks ID. Your own data: bench run --encoder X --task path/to/card.toml")


def _print_card(task: object) -> None:
    from tasks.registry import Task

    assert isinstance(task, Task)
    card = task.card
    windows = "the encoder's own" if card.window_seconds is None else f"{card.window_seconds:g} s"
    if card.window_seconds is not None:
        windows += f" every {card.hop_seconds or card.window_seconds:g} s"
    labels = ", ".join(card.labels) if card.labels else "as in the manifest"
    probe = f"hidden {list(card.probe.hidden)}, dropout {card.probe.dropout:g}, batch {card.probe.batch_size}"
    facts = {
        "id": card.id + (f" (also {', '.join(card.aliases)})" if card.aliases else ""),
        "version": str(card.version),
        "kind": card.kind,
        "metrics": ", ".join(card.metrics) + " (the first is the primary one)",
        "collection": task.collection,
        "sizes": ", ".join(f"{split} {n}" for split, n in card.sizes.items()) if card.sizes else "as in the manifest",
        "targets" if card.kind == "regression" else "labels": ", ".join(card.targets)
        if card.kind == "regression"
        else labels,
        "group": (card.columns.group if card.columns else None) or "none: intervals are over items",
        "windows": windows,
        "probe": probe,
        "audio": card.audio or (str(task.manifest) if card.manifest else ""),
        "licence": card.licence,
        "citation": card.citation,
    }
    print(card.title)
    print("=" * len(card.title))
    if card.description:
        print(card.description)
    print()
    for key, value in facts.items():
        if value:
            print(f"{key + ':':<12}{value}")
    for deviation in card.deviations:
        print(f"{'deviation:':<12}{deviation}")
    print(f"{'card:':<12}{task.source}")
    name = card.id if card.collection else task.source
    print(f"\nRun it: bench run --encoder logmel --task {name}")


def encoders(name: str | None, home: Path | None = None) -> None:
    """Print the built-in encoders as a table, or what one declares."""
    from benchmark.encoders.resolve import BUILTIN, PUBLISHED, resolve_one

    if name is None:
        rows = [[encoder, what] for encoder, (_, what) in BUILTIN.items()]
        rows += [[encoder, what] for encoder, what in PUBLISHED.items()]
        print(_table(rows, ["encoder", "what it is"]))
        print("\nYour own: a file with a subclass of benchmark.Encoder, as --encoder path/to/file.py:Class")
        return
    from benchmark.embeddings.space import space_of

    encoder = resolve_one(name, home_folder(home))
    space = space_of(encoder, None, None)
    print(encoder.name)
    print("=" * len(encoder.name))
    documentation = (type(encoder).__doc__ or "").strip()
    if documentation:
        print(documentation.splitlines()[0] + "\n")
    window = (
        f"{encoder.window_seconds:g} s every {encoder.hop_seconds or encoder.window_seconds:g} s"
        if encoder.window_seconds
        else "whole track"
    )
    for key, value in {
        "version": encoder.version,
        "dim": encoder.dim,
        "layers": ", ".join(encoder.layers) if encoder.layers else "none",
        "audio": f"{encoder.sample_rate} Hz, {'mono' if encoder.channels == 1 else 'stereo'}",
        "window": window,
        "shorter": f"{encoder.padding} up to {space.windows.minimum / encoder.sample_rate:g} s",
        "fingerprint": space.fingerprint,
    }.items():
        print(f"{key + ':':<13}{value}")


def fetch_encoder(name: str | None, home: Path | None, *, remove_original: bool) -> None:
    """Fetch and convert the weights of ``name``; the licence is shown once, before the download."""
    from benchmark.encoders.published import FOLDER, WEIGHTS, fetch_weights
    from benchmark.progress import Terminal

    if name is None:
        raise UserError(f"name the encoder: bench encoders fetch NAME, one of {', '.join(WEIGHTS)}")
    where, report = home_folder(home), Terminal()
    if name in WEIGHTS and not (where / FOLDER / name / WEIGHTS[name].converted).is_file():
        report.say(WEIGHTS[name].licence)
    with report.stage(f"Fetching {name}", 1, "bytes") as advance:
        path = fetch_weights(
            name, where, remove_original=remove_original, progress=lambda done, total: advance(done, total=total)
        )
    print(f"{name}: weights in {path}")


def leaderboard(results: Path, output: Path, *, check: bool, show: bool) -> None:
    """Write the leaderboard, or say how the file differs from what the records give."""
    from results import leaderboard as board

    if check:
        difference = board.check(results, output)
        if difference:
            sys.stdout.write(difference)
            print(f"{output} is not what the records in {results} give: run 'bench leaderboard'", file=sys.stderr)
            sys.exit(1)
        print(f"{output} is what the records in {results} give")
        return
    try:
        changed = board.write(results, output)
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror or error}") from None
    if show:
        sys.stdout.write(output.read_text(encoding="utf-8"))
    print(f"{output} {'written' if changed else 'is up to date'}", file=sys.stderr)


def _table(rows: list[list[str]], headers: list[str]) -> str:
    from tabulate import tabulate

    return tabulate(rows, headers, tablefmt="simple", disable_numparse=True)
