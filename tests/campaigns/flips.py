"""One flipped bit in every kind of file that the product writes: noticed, of no consequence, or SILENT.

Files are read in this process by the functions that commands read them with. What they give is compared with what the
sound file gives; an answer that differs without an exception is silent.
"""

from __future__ import annotations

import logging
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tests.campaigns.world import SMALL, World

Reader = Callable[[Path], Any]


def flips(world: World, scratch: Path, times: int, seed: int) -> Iterator[tuple[str, str, str]]:
    """Yield (kind of file, outcome, what happened) of each flip.

    Args:
        world: Worlds with ``run``, ``export``, ``prepare`` and ``pretrain`` done.
        scratch: A folder for copies.
        times: Flips a kind.
        seed: Chooses the bits.
    """
    rng = np.random.default_rng(seed)
    logging.getLogger("benchmark").setLevel(logging.ERROR)
    prepared: dict[str, tuple[Path, Path, bytes, str]] = {}
    for kind, (name, pattern, read) in KINDS.items():
        if name in world.expected:
            place = Path(shutil.copytree(world.folder / f"after-{name}", scratch / f"flip-{kind.replace(' ', '-')}"))
            file = max(place.glob(pattern), key=lambda path: path.stat().st_size)
            prepared[kind] = place, file, file.read_bytes(), repr(read(place))
    for _ in range(times):  # all kinds take turns, so that a campaign that is ended early has seen all of them
        for kind, (place, file, sound, expected) in prepared.items():
            bit = int(rng.integers(8 * len(sound)))
            data = bytearray(sound)
            data[bit // 8] ^= 1 << bit % 8
            file.write_bytes(data)
            what = f"bit {bit % 8} of byte {bit // 8} of {len(sound)}"
            yield kind, *_outcome(KINDS[kind][2], place, expected, what)
            for aside in place.rglob("*.torn"):
                aside.unlink()
            file.write_bytes(sound)


def _outcome(read: Reader, place: Path, expected: str, what: str) -> tuple[str, str]:
    from benchmark.errors import UserError
    from benchmark.pretraining.data.shards import TornIndexError
    from probes.export.files import ProbeFileError
    from probes.search.storage import StorageError
    from results.record import RecordError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = repr(read(place))
    except (UserError, RecordError, ProbeFileError, StorageError, TornIndexError) as error:
        return "refusal", str(error)[:200]
    except Exception as error:
        return "TRACEBACK", f"{what}: {type(error).__name__}: {error}"[:200]
    if found == expected:
        return "ok", "of no consequence"
    if found == NOTICED:
        return "refusal", "set aside, to be made again"
    return "SILENT", what


NOTICED = repr("set aside")


def _embeddings(place: Path) -> Any:
    from benchmark.embeddings.store import COLUMNS, TornError, read_shard, shards

    (folder,) = (place / "home" / "embeddings").iterdir()
    found = []
    for shard in shards(folder):
        try:
            *columns, values = read_shard(shard, COLUMNS, None)
        except TornError:
            return "set aside"
        found.append((columns, values.tobytes()))
    return found


def _index(place: Path) -> Any:
    from benchmark.audio.index import AudioIndex

    index = AudioIndex(place / "home")
    known = {path: entry.key for path, entry in sorted(index._seen.items())}
    return known or "set aside"


def _record(place: Path) -> Any:
    from results import store

    (path,) = (place / "results" / "runs" / "tones").glob("logmel*.json")
    return store.read(path).model_dump()


def _predictions(place: Path) -> Any:
    from results import store

    (path,) = (place / "results" / "runs" / "tones").glob("logmel*.json")
    return store.read_predictions(place / "results", store.read(path)).to_pydict()


def _probe(place: Path) -> Any:
    from probes.export.files import load

    (card,) = (place / "probes").rglob("probe.json")
    probe, about = load(card.parent)
    return {name: array.tobytes() for name, array in probe.tensors().items()}, about.model_dump()


def _graph(place: Path) -> Any:
    from probes.export.files import changed_files

    (card,) = (place / "probes").rglob("probe.json")
    return changed_files(card.parent) and "set aside"


def _journal(place: Path) -> Any:
    from probes.search.storage import open_study

    (journal,) = (place / "results" / "studies").glob("*.journal")
    with open_study(None, journal.parent, journal.stem) as study:
        return [(t.number, t.state, t.params, t.values, t.user_attrs) for t in study.trials]


def _store(place: Path) -> Any:
    from benchmark.pretraining.batches import sampler_of
    from benchmark.pretraining.data.sampling import stream
    from benchmark.pretraining.data.store import open_store
    from benchmark.pretraining.training import recipes

    store = open_store(place / "store")
    recipe = recipes.load("tiny-simclr", ["batch=4", "steps=8", "warmup_steps=1", "frames=32"])
    batches = stream(sampler_of(recipe, store), 0, stop=8)
    return store.fingerprint, [batch.first.tobytes() for batch in batches]


def _tracks(place: Path) -> Any:
    from benchmark.pretraining.data.shards import read_index

    return read_index(place / "store", 0)


def _run(place: Path) -> Any:
    """Compare a run with what it is to continue with."""
    from benchmark.pretraining.data.store import open_store
    from benchmark.pretraining.pretrain import _compare
    from benchmark.pretraining.training import recipes

    _compare(place / "trained", recipes.load("tiny-simclr", list(SMALL)), open_store(place / "store"))
    return "the same"


def _page(place: Path) -> Any:
    from results import leaderboard

    return bool(leaderboard.check(place / "results", place / "board.md")) and "set aside"


def _description(place: Path) -> Any:
    from benchmark.reports.cache import cached_spaces

    (space,) = cached_spaces(place / "home")
    if not space.described:
        return "set aside"
    return space.encoder, space.version, space.width, space.state


def _checkpoint(place: Path) -> Any:
    from benchmark.pretraining.training import checkpoint

    state = checkpoint.load(place / "trained" / "checkpoints" / "last.pt")
    return {name: tensor.numpy().tobytes() for name, tensor in state["model"].items()}, state["step"]


def _pretrained(place: Path) -> Any:
    from benchmark.encoders.registry import resolve_one

    return resolve_one(f"pretrained:{place / 'trained'}", place).fingerprint()


#: Kind of file: the command that makes it, where it lies, and what reads it.
KINDS: dict[str, tuple[str, str, Reader]] = {
    "embedding shard": ("run", "home/embeddings/*/*.parquet", _embeddings),
    "description of embeddings": ("run", "home/embeddings/*/space.json", _description),
    "audio index": ("run", "home/audio-index/*.parquet", _index),
    "record": ("run", "results/runs/tones/*.json", _record),
    "predictions": ("run", "results/runs/tones/*.parquet", _predictions),
    "journal": ("run", "results/studies/*.journal", _journal),
    "probe weights": ("export", "probes/**/probe.safetensors", _probe),
    "probe card": ("export", "probes/**/probe.json", _probe),
    "probe graph": ("export", "probes/**/probe.onnx", _graph),
    "log-mel shard": ("prepare", "store/*.f16", _store),
    "log-mel shard index": ("prepare", "store/*.parquet", _tracks),
    "log-mel store index": ("prepare", "store/index.npy", _store),
    "log-mel store card": ("prepare", "store/store.json", _store),
    "leaderboard page": ("leaderboard", "board.md", _page),
    "recipe of a run": ("pretrain", "trained/recipe.toml", _run),
    "data of a run": ("pretrain", "trained/data.json", _run),
    "checkpoint": ("pretrain", "trained/checkpoints/last*", _checkpoint),
    "trained encoder": ("pretrain", "trained/encoder.safetensors", _pretrained),
}
