"""A run's network as an encoder: ``RUN/encoder.safetensors`` and ``RUN/card.json``."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmark.errors import UserError
from benchmark.pretraining.networks.files import filled, weights_digest
from benchmark.pretraining.networks.files import load as load_network
from benchmark.pretraining.networks.files import save as save_network
from benchmark.pretraining.networks.table import build
from benchmark.pretraining.runs import CARD, WEIGHTS, data_of, folder_of
from benchmark.pretraining.training import checkpoint, recipes
from results.files import replace_file
from tasks.files import expanded, resolved


def network_of(state: Mapping[str, Any]) -> tuple[str, nn.Module]:
    """Return name and network of a checkpoint, without heads, in evaluation mode.

    Raises:
        UserError: The checkpoint is not of the recipe that it names.
    """
    recipe = recipes.from_json(state["recipe"])
    prefix = "network."
    tensors = {name.removeprefix(prefix): tensor for name, tensor in state["model"].items() if name.startswith(prefix)}
    network = build(recipe.network, recipe.drop_rate).eval()
    return recipe.network, filled(network, tensors, f"the checkpoint is not of the network {recipe.network}")


def export(run: Path) -> Path:
    """Write the network of the last checkpoint and its card; return the path of the weights.

    Two runs of equal weights, recipe, data and machine write equal bytes: no file says when it was written.

    Raises:
        UserError: There is no checkpoint, or nothing can be written.
    """
    state = checkpoint.load(checkpoint.path_of(run, "last"))
    name, network = network_of(state)
    recipe = recipes.from_json(state["recipe"])
    data = data_of(run)
    card = {
        "title": recipe.title,
        "licence": recipe.licence,
        "steps": state["step"],
        "of_steps": recipe.steps,
        "examples_seen": state["step"] * recipe.batch,
        "loss": state["loss"],
        "dim": network.dim,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "weights_sha256": weights_digest(network, name),
        "recipe": recipe.model_dump(),
        "data": data,
        "software": {
            "benchmark": version("music-probe-benchmark"),
            "commit": commit(),
            "torch": torch.__version__,
        },
    }
    try:
        save_network(name, network, run / WEIGHTS, {"step": str(state["step"]), "licence": recipe.licence})
        replace_file(run / CARD, (json.dumps(card, indent=2) + "\n").encode())
    except OSError as error:
        raise UserError(
            f"the encoder cannot be written to {run}: {error.strerror or error}. Its checkpoint is kept",
            "make room and run the same command again",
        ) from error
    return run / WEIGHTS


def commit() -> str | None:
    """Return the commit of the package's source, with ``+`` where it was changed; ``None`` outside a checkout."""
    folder = Path(__file__).parent
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--match=", "--dirty=+"],
            capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip() or None


def initial_network(given: str, home: Path) -> tuple[nn.Module, str]:
    """Return the network that a run is to begin with, and a name for it without a machine's path.

    Args:
        given: A run, ``RUN@STEP``, or a file of weights that :func:`export` or a conversion wrote.
        home: The data home, below which runs may lie.

    Raises:
        UserError: It is none of them.
    """
    path = expanded(given)
    if path.is_file():
        return load_network(path)[1], path.name
    target, at, which = given.rpartition("@")
    if path.exists() or not at:
        target, which = given, ""
    folder = folder_of(target, home)
    _, network, step = read_run(folder, which or None)
    return network, resolved(folder).name + (f"@{step}" if step is not None else "")


def read_run(folder: Path, which: str | None) -> tuple[str, nn.Module, int | None]:
    """Return the name and network of a run, and the step where ``which`` names a checkpoint.

    Args:
        folder: The run's folder.
        which: A step, ``last`` or ``best``; ``None`` for what was exported.

    Raises:
        UserError: It is not there.
    """
    if which is None:
        if not (folder / WEIGHTS).is_file():
            raise UserError(
                f"the run {folder} is not finished, so it has no {WEIGHTS} yet",
                f"Run its bench pretrain again, which continues it; or use a checkpoint: pretrained:{folder}@last",
            )
        return *load_network(folder / WEIGHTS), None
    state = checkpoint.load(checkpoint.path_of(folder, which))
    return *network_of(state), int(state["step"])
