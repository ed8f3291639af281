"""What decides a record's numbers, as one key; and the name of a search, by which it is continued."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from benchmark.audio.deformations import texts
from benchmark.jobs.job import Job
from benchmark.jobs.scoring import SCORING_VERSION
from benchmark.system.machine import kind_of
from probes.protocol import TRAINING_VERSION
from probes.search.pruning import PRUNERS


def run_key(job: Job, audio_keys: Iterable[str], deformed: Sequence[str] | None = None) -> str:
    """Return the sha256 of all that decides a record's numbers: equal keys mean that a run would repeat them.

    One thing is not in it: a search that was extended (50 trials, then 200) asked in other rounds than one of as many
    at once, so that its sampler knew other things.

    Args:
        job: The job.
        audio_keys: The content hash of every item's audio, in order.
        deformed: The deformations of the robustness view, where they are not those of the job.
    """
    deformed = texts(job.deform) if deformed is None else deformed
    state = {
        **_search_state(job, audio_keys),
        "trials": job.search.trials,
        "seeds": job.search.seeds,
        "shown": [job.card.title, job.data.task.collection, job.data.task.group],
        **({"deform": list(deformed)} if deformed else {}),
    }
    return hashlib.sha256(json.dumps(state, sort_keys=True).encode()).hexdigest()


def study_name(job: Job, audio_keys: Iterable[str], fold: str | None = None) -> str:
    """Return a name that searches share exactly when one of more trials would continue where the other ended.

    Args:
        job: The job.
        audio_keys: The content hash of every item's audio, in order.
        fold: The fold that is test, where the task has folds: each has a search of its own.
    """
    state = json.dumps(_search_state(job, audio_keys) | ({} if fold is None else {"fold": fold}), sort_keys=True)
    return hashlib.sha256(state.encode()).hexdigest()[:32]


def _search_state(job: Job, audio_keys: Iterable[str]) -> dict[str, object]:
    search = job.search
    return {
        "scoring": SCORING_VERSION,
        "training": TRAINING_VERSION,
        "encoder": job.encoder.name,
        "space": job.source.space.key,
        "layer": search.layer,
        "task": job.data.fingerprint,
        "audio": hashlib.sha256("".join(audio_keys).encode()).hexdigest(),
        "protocol": asdict(job.data.protocol),
        "sampler": search.sampler,
        "pruner": asdict(pruner) if (pruner := PRUNERS[search.pruner]) else None,
        "precision": search.precision,
        "part": None if job.subset is None else asdict(job.subset),
        "seed": search.seed,
        "limit": job.limit,
        "device": None if (kind := kind_of(search.device)) == "cpu" else kind,
    }
