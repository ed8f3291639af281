"""What decides a record's numbers, as one key; and where the record, and the search, are kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.audio.deformations import texts
from benchmark.errors import UserError
from benchmark.jobs.options import Options
from benchmark.jobs.scoring import SCORING_VERSION
from benchmark.jobs.variants import layer_asked, pruner_of, variant_of
from benchmark.system.machine import kind_of
from probes.protocol import TRAINING_VERSION, ProtocolError
from probes.search.pruning import PRUNERS
from results import store as records

if TYPE_CHECKING:
    from benchmark.jobs.job import Pair


def place_of(pair: Pair, options: Options) -> Path:
    """Return the file of a pair's record."""
    curve = None if pair.part is None else pair.part.name
    task, variant = pair.asked.task.card.id, variant_of(pair, options)
    return records.record_path(options.results, task, pair.encoder.name, options.limit, curve, variant)


def run_key(pair: Pair, audio_keys: Iterable[str], options: Options, deformed: Sequence[str] | None = None) -> str:
    """Return the sha256 of all that decides a record's numbers: equal keys mean that a run would repeat them.

    One thing is not in it: a search that was extended (50 trials, then 200) asked in other rounds than one of as many
    at once, so that its sampler knew other things.

    Args:
        pair: Encoder and task.
        audio_keys: The content hash of every item's audio, in order.
        options: What the user chose.
        deformed: The deformations of the robustness view, where they are not those of the options.
    """
    card, protocol = pair.asked.task.card, pair.asked.protocol
    deformed = texts(options.deform) if deformed is None else deformed
    state = {
        **_search_state(pair, audio_keys, options),
        "trials": trials_of(pair, options),
        "seeds": options.seeds or protocol.seeds,
        "shown": [card.title, pair.asked.task.collection, pair.asked.task.group],
        **({"deform": list(deformed)} if deformed else {}),
    }
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def study_name(pair: Pair, audio_keys: Iterable[str], options: Options) -> str:
    """Return a name that searches share exactly when one of more trials would go on where the other ended."""
    state = json.dumps(_search_state(pair, audio_keys, options), sort_keys=True)
    return hashlib.sha256(state.encode()).hexdigest()[:32]


def trials_of(pair: Pair, options: Options) -> int:
    """Return how many settings are tried.

    Raises:
        UserError: The protocol says how many, and the user something else.
    """
    protocol = pair.asked.protocol
    if options.sampler == "grid":
        try:
            wanted = len(protocol.grid_settings())
        except ProtocolError as error:
            raise UserError(str(error)) from None
    else:
        wanted = 1 if protocol.exact else options.trials or protocol.trials
    if options.trials not in (None, wanted):
        raise UserError(f"--trials {options.trials}: there are {wanted} here, leave the option out")
    return wanted


def _search_state(pair: Pair, audio_keys: Iterable[str], options: Options) -> dict[str, object]:
    return {
        "scoring": SCORING_VERSION,
        "training": TRAINING_VERSION,
        "encoder": pair.encoder.name,
        "space": pair.source.space.key,
        "layer": layer_asked(pair, options),
        "task": pair.asked.fingerprint,
        "audio": hashlib.sha256("".join(audio_keys).encode()).hexdigest(),
        "protocol": asdict(pair.asked.protocol),
        "sampler": options.sampler,
        "pruner": asdict(pruner) if (pruner := PRUNERS[pruner_of(options)]) else None,
        "precision": options.probe_precision,
        "part": None if pair.part is None else asdict(pair.part),
        "seed": options.seed,
        "limit": options.limit,
        "device": None if (kind := kind_of(options.device)) == "cpu" else kind,
    }
