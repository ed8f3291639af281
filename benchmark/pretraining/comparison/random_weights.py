"""The baseline: a network as it is before any training, written like the export of a run, so that it is an encoder."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from benchmark.errors import UserError
from benchmark.pretraining.comparison.folder import RANDOM, RUNS, run_name
from benchmark.pretraining.networks.files import save
from benchmark.pretraining.networks.table import NETWORKS, build
from benchmark.pretraining.runs import CARD, WEIGHTS
from results.files import replace_file


def random_name(network: str) -> str:
    """Return the name of the random weights of a network.

    >>> random_name("sf-nfnet-tiny")
    'random-sf-nfnet-tiny'
    """
    return f"{RANDOM}-{network}"


def write_random(folder: Path, network: str, seed: int) -> Path:
    """Write a network whose weights are drawn from a seed, where it is not there yet; return its folder.

    Raises:
        UserError: It cannot be written.
    """
    run = folder / RUNS / run_name(random_name(network), seed)
    if (run / WEIGHTS).is_file() and (run / CARD).is_file():
        return run
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        drawn = build(network).eval()
    card = {
        "title": f"Random weights of the network {network}, of seed {seed}: nothing was trained",
        "steps": 0,
        "network": network,
        "seed": seed,
        "dim": NETWORKS[network].dim,
        "parameters": sum(parameter.numel() for parameter in drawn.parameters()),
    }
    try:
        run.mkdir(parents=True, exist_ok=True)
        save(network, drawn, run / WEIGHTS, {"step": "0"})
        replace_file(run / CARD, (json.dumps(card, indent=2) + "\n").encode())
    except OSError as error:
        raise UserError(
            f"{run} cannot be written: {error.strerror or error}", "make room and run the same command again"
        ) from error
    return run
