"""What a user may choose of a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmark.audio.deformations import Deformation
from benchmark.encoders.base import Precision
from benchmark.errors import UserError
from benchmark.jobs.job import Sampler, TrainSubset
from probes.search.pruning import PRUNERS
from tasks.sources.locations import parse_data_roots

Overwrite = Literal["always", "never", "missing"]

LARGEST_SEED = 2**31


@dataclass(frozen=True)
class EmbedSettings:
    """How tracks are embedded; none of it decides a number.

    Attributes:
        home: The data home.
        device: The encoder's device, as the user named it.
        batch_size: Windows in a batch.
        workers: Decoding processes.
    """

    home: Path
    device: str = "auto"
    batch_size: int = 32
    workers: int | None = None


@dataclass(frozen=True)
class Options:
    """What a user may choose of a run; see ``bench run --help``. ``None`` leaves the choice to the protocol."""

    home: Path
    results: Path
    trials: int | None = None
    seed: int = 0
    seeds: int | None = None
    limit: int | None = None
    device: str = "auto"
    batch_size: int = 32
    workers: int | None = None
    overwrite: Overwrite = "missing"
    allow_damaged: int = 0
    allow_missing: int = 0
    data_roots: tuple[str, ...] = ()
    precision: Precision | None = None
    own_windows: bool = False
    protocol: str = "paper"
    sampler: Sampler = "tpe"
    pruner: str | None = None
    storage: str | None = None
    probe_precision: Precision = "fp32"
    layer: str | None = None
    train_fraction: tuple[float, ...] = ()
    repeats: int = 1
    export: Path | None = None
    deform: tuple[Deformation, ...] = ()

    def __post_init__(self) -> None:
        least = {
            "repeats": 1,
            "trials": 1,
            "seeds": 1,
            "limit": 3,
            "batch_size": 1,
            "workers": 0,
            "allow_damaged": 0,
            "allow_missing": 0,
            "seed": 0,
        }
        for name, smallest in least.items():
            value = getattr(self, name)
            if value is not None and value < smallest:
                raise UserError(f"--{name.replace('_', '-')} must be at least {smallest}, not {value}")
        if self.seed > LARGEST_SEED:
            raise UserError(f"--seed must be at most {LARGEST_SEED}, not {self.seed}")
        parse_data_roots(self.data_roots)
        if self.overwrite not in ("always", "never", "missing"):
            raise UserError(f"--overwrite must be always, never or missing, not {self.overwrite!r}")
        choices = {"sampler": ("tpe", "random", "grid"), "pruner": tuple(PRUNERS), "probe_precision": ("fp32", "bf16")}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed and not (name == "pruner" and self.pruner is None):
                raise UserError(f"--{name.replace('_', '-')} must be one of {', '.join(allowed)}")
        for fraction in self.train_fraction:
            if not 0 < fraction <= 1:
                raise UserError(f"--train-fraction must be above 0 and at most 1, not {fraction:g}")
        if self.repeats > 1 and not self.train_fraction:
            raise UserError("--repeats goes with --train-fraction: it draws several samples of a fraction")
        if self.export is not None and self.train_fraction:
            raise UserError("--export goes with a whole run: leave --train-fraction out")

    @property
    def subsets(self) -> tuple[TrainSubset | None, ...]:
        """The parts of train that are asked for; ``None`` is all of it, as the task says."""
        if not self.train_fraction:
            return (None,)
        fractions = sorted(set(self.train_fraction))
        return tuple(
            TrainSubset(fraction, repeat)
            for fraction in fractions
            for repeat in range(1 if fraction == 1 else self.repeats)  # all of train is the same in every repeat
        )

    @property
    def embedding(self) -> EmbedSettings:
        """How tracks are embedded."""
        return EmbedSettings(self.home, self.device, self.batch_size, self.workers)
