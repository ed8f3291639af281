"""The trackers that there are. Imports none of their libraries: ``bench --help`` reads this table."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmark.errors import UserError

PROJECT = "music-probe-benchmark"


@dataclass(frozen=True)
class Kind:
    """One tracker.

    Attributes:
        module: Its adapter, a module with ``open_tracker``.
        package: What the adapter imports. The extra has the tracker's name.
    """

    module: str
    package: str


KINDS: Mapping[str, Kind] = {
    "tensorboard": Kind("benchmark.tracking.tensorboard", "tensorboard"),
    "wandb": Kind("benchmark.tracking.wandb", "wandb"),
    "trackio": Kind("benchmark.tracking.trackio", "trackio"),
    "mlflow": Kind("benchmark.tracking.mlflow", "mlflow"),
}


@dataclass(frozen=True)
class Tracking:
    """Which trackers follow a run, and the project in them."""

    kinds: tuple[str, ...] = ()
    project: str = PROJECT


def tracking_of(given: str | Sequence[str], project: str = PROJECT) -> Tracking:
    """Return the trackers that are named, each once; a text may hold several, separated by commas.

    Raises:
        UserError: There is no such tracker, or the project has no name.
    """
    texts = [given] if isinstance(given, str) else given
    names = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    for name in names:
        if name not in KINDS:
            from tasks.spelling import did_you_mean

            hint = did_you_mean(name, KINDS, f"choose among {', '.join(KINDS)}")
            raise UserError(f"--track {name!r} is no tracker", hint)
    if not project.strip():
        raise UserError("--track-project is empty", f"give a name, such as {PROJECT}")
    return Tracking(tuple(dict.fromkeys(names)), project)


def is_installed(kind: str) -> bool:
    """Say whether the library of a tracker is here."""
    return importlib.util.find_spec(KINDS[kind].package) is not None


def refuse_missing(kinds: Sequence[str]) -> None:
    """Refuse trackers whose library is not here, before anything is computed.

    Raises:
        UserError: The message has the command that installs it.
    """
    for kind in kinds:
        if not is_installed(kind):
            from benchmark.system.extras import install_command

            raise UserError(
                f"--track {kind} needs the package {KINDS[kind].package}", f"install it:\n  {install_command(kind)}"
            )
