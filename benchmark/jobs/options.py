"""What a user may choose of a run: written once, for ``bench run``, ``bench embed`` and :func:`benchmark.run` alike.

A field's type, default and :class:`Flag` are all there is of an option: the command line makes its parameters from them
(:mod:`benchmark.cli.parameters`), ``benchmark.run`` its keywords (:mod:`benchmark.api`), and both their help. ``bench
--help`` imports this module, so it imports no numpy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from benchmark.errors import UserError
from benchmark.system.machine import Precision, refuse_unknown_device
from benchmark.tracking.kinds import PROJECT, Tracking, tracking_of

if TYPE_CHECKING:
    from benchmark.audio.deformations import Deformation

Sampler = Literal["tpe", "random", "grid"]
Pruner = Literal["halving", "none"]
Overwrite = Literal["missing", "always", "never"]

DATA, ENCODER, PROBE, RECORDS, MACHINE = "Data", "Encoder", "Probe and search", "Records", "Machine"
LARGEST_SEED = 2**31
#: Options that say where something lies or how fast it is made; those of encoders stand in the encoder's text.
PLACES = (
    "home", "data_roots", "encoder_args", "storage", "results", "overwrite", "export", "device", "batch_size",
    "workers", "track", "track_project",
)  # fmt: skip


@dataclass(frozen=True)
class Flag:
    """How an option is explained, bounded and written on the command line.

    Attributes:
        help: One or two sentences.
        panel: The group it stands in.
        least: The smallest number that is allowed.
        name: Its name on the command line, where that is not the field's.
        metavar: What stands for its value in the help.
    """

    help: str
    panel: str
    least: int | None = None
    name: str = ""
    metavar: str | None = None


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
class TrainSubset:
    """A fraction of train, and which of several samples of it."""

    fraction: float
    repeat: int

    @property
    def name(self) -> str:
        """The name of its record among those of a learning curve."""
        return f"fraction-{self.fraction:g}.repeat-{self.repeat}"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user may choose of a run. ``None`` leaves the choice to the protocol, the encoder or the machine."""

    home: Annotated[
        Path | str | None, Flag("Data home (default: $BENCH_HOME, else the platform's cache folder).", DATA)
    ] = None
    data_roots: Annotated[
        Sequence[str],
        Flag("Where a copy of a task or collection lies; it is never written.", DATA, None, "--data-root", "NAME=DIR"),
    ] = ()
    limit: Annotated[
        int | None, Flag("Use a seeded sample of about N items; never in a leaderboard.", DATA, least=3, metavar="N")
    ] = None
    allow_missing: Annotated[
        int, Flag("Continue without up to N tracks of a dataset; the record names them.", DATA, least=0, metavar="N")
    ] = 0
    allow_damaged: Annotated[
        int, Flag("Leave out up to N damaged tracks of a task; the record names them.", DATA, least=0, metavar="N")
    ] = 0
    deform: Annotated[
        str | None, Flag("Score test under deformations too, such as gain=-20,noise=20dB,mp3=64k.", DATA)
    ] = None
    encoder_args: Annotated[
        Mapping[str, object] | Sequence[str],
        Flag("An option for the encoders named; repeatable.", ENCODER, None, "--encoder-arg", "K=V"),
    ] = ()
    precision: Annotated[Precision | None, Flag("What the encoder computes in, if it has a choice.", ENCODER)] = None
    own_windows: Annotated[
        bool, Flag("Where an encoder cannot take a task's windows, use its own; recorded.", ENCODER)
    ] = False
    layer: Annotated[
        str | None,
        Flag("For encoders with layers: auto (chosen on valid, the default), a name or number, mix or all.", ENCODER),
    ] = None
    protocol: Annotated[str, Flag("What a probe may be: paper, quick, open, jukemir, or published:MODEL.", PROBE)] = (
        "paper"
    )
    trials: Annotated[int | None, Flag("Probe settings to try (default: the protocol's).", PROBE, least=1)] = None
    seed: Annotated[int, Flag("Seed of the sample of --limit, the search and the first probe.", PROBE, least=0)] = 0
    seeds: Annotated[
        int | None,
        Flag(
            "How often the selected probe is retrained, with seeds from --seed upwards (default: the protocol's).",
            PROBE,
            least=1,
        ),
    ] = None
    sampler: Annotated[Sampler, Flag("What chooses settings; grid where the protocol has one.", PROBE)] = "tpe"
    pruner: Annotated[
        Pruner | None,
        Flag("halving ends hopeless trials early (default, but for a grid); none trains all to their end.", PROBE),
    ] = None
    storage: Annotated[
        str | None, Flag("URL of an Optuna storage to share a search (default: a journal beside the records).", PROBE)
    ] = None
    probe_precision: Annotated[Precision, Flag("What the probe's matrix products are computed in.", PROBE)] = "fp32"
    train_fraction: Annotated[
        str | Sequence[float], Flag("Learning curve: fractions of train, such as 0.01,0.1,1.", PROBE, metavar="F,F")
    ] = ()
    repeats: Annotated[int, Flag("Samples of each fraction of train.", PROBE, least=1)] = 1
    results: Annotated[
        Path | str | None,
        Flag("Folder of the records (default: results; in a checkout of this package my-results).", RECORDS),
    ] = None
    overwrite: Annotated[
        Overwrite,
        Flag(
            "missing: keep a record of the same run, refuse to displace one of more trials or seeds; always: run again "
            "and displace whatever is there (into history/); never: displace none.",
            RECORDS,
        ),
    ] = "missing"
    export: Annotated[
        Path | str | None, Flag("Write the trained probe (safetensors, ONNX) below this folder.", RECORDS)
    ] = None
    track: Annotated[
        Sequence[str],
        Flag("Show the run in tensorboard, wandb, trackio or mlflow too; repeatable.", RECORDS, None, metavar="KIND"),
    ] = ()
    track_project: Annotated[str, Flag("Project, or experiment, of the trackers.", RECORDS, metavar="NAME")] = PROJECT
    device: Annotated[str, Flag("auto, cpu, cuda, cuda:1, ... or mps.", MACHINE)] = "auto"
    batch_size: Annotated[int, Flag("Windows in a batch of the encoder.", MACHINE, least=1)] = 32
    workers: Annotated[
        int | None, Flag("Decoding processes. Default: one a core. 0: in this one, no time limit.", MACHINE, least=0)
    ] = None

    def __post_init__(self) -> None:
        for option in option_list():
            check(option, getattr(self, option.name))
        if self.seed > LARGEST_SEED:
            raise UserError(f"--seed is {self.seed}", f"give {LARGEST_SEED} at most")
        refuse_unknown_device(self.device)
        if self.device.startswith("mps") and "bf16" in (self.precision, self.probe_precision):
            raise UserError("--device mps computes in float32 alone", "leave bf16 out, or give another device")
        if self.data_roots:
            from tasks.sources.locations import parse_data_roots

            parse_data_roots(self.data_roots)
        fractions, _, _ = self.fractions, self.deformations, self.tracking  # what they refuse is refused at once
        if self.repeats > 1 and not fractions:
            raise UserError(
                "--repeats draws several samples of a fraction",
                "give --train-fraction too, or leave it out",
            )
        if self.export is not None and fractions:
            raise UserError("--export goes with a whole run", "leave --train-fraction out")

    @cached_property
    def home_folder(self) -> Path:
        """The data home."""
        from benchmark.system.home import home_folder

        return home_folder(self.home)

    @cached_property
    def results_folder(self) -> Path:
        """The folder of the records."""
        from benchmark.system.home import results_folder

        return results_folder(self.results)

    @cached_property
    def export_folder(self) -> Path | None:
        """The folder of exported probes, where they are asked for."""
        return None if self.export is None else Path(self.export)

    @cached_property
    def deformations(self) -> tuple[Deformation, ...]:
        """The deformations of test.

        Raises:
            UserError: There is no such deformation.
        """
        if self.deform is None:
            return ()
        from benchmark.audio.deformations import parse

        return parse(self.deform)

    @cached_property
    def tracking(self) -> Tracking:
        """The trackers, and the project in them.

        Raises:
            UserError: There is no such tracker.
        """
        return tracking_of(self.track, self.track_project)

    @cached_property
    def fractions(self) -> tuple[float, ...]:
        """The fractions of train, rising.

        Raises:
            UserError: They are no numbers above 0 and at most 1.
        """
        parts = self.train_fraction.split(",") if isinstance(self.train_fraction, str) else self.train_fraction
        try:
            fractions = sorted({float(part) for part in parts})
        except ValueError:
            raise UserError(
                f"--train-fraction: {self.train_fraction!r} is not a list of numbers",
                "write it such as 0.01,0.1,1",
            ) from None
        for fraction in fractions:
            if not 0 < fraction <= 1:
                raise UserError(f"--train-fraction is {fraction:g}", "give numbers above 0 and at most 1")
        return tuple(fractions)

    @property
    def subsets(self) -> tuple[TrainSubset | None, ...]:
        """The parts of train that are asked for; ``None`` is all of it, as the task says."""
        if not self.fractions:
            return (None,)
        return tuple(
            TrainSubset(fraction, repeat)
            for fraction in self.fractions
            for repeat in range(1 if fraction == 1 else self.repeats)  # all of train is the same in every repeat
        )

    @property
    def asked(self) -> tuple[str, ...]:
        """The words of ``bench run`` for what is not the default; without :data:`PLACES`, which decide no number."""
        words: list[str] = []
        for option in option_list():
            value = getattr(self, option.name)
            if option.name in PLACES or value == option.default or value is None:
                continue
            if isinstance(value, bool):
                words.append(option.text)
            elif isinstance(value, str | int | float):
                words += [option.text, str(value)]
            elif value:
                words += [option.text, ",".join(f"{each:g}" for each in value)]
        return tuple(words)

    @property
    def embedding(self) -> EmbedSettings:
        """How tracks are embedded."""
        return EmbedSettings(self.home_folder, self.device, self.batch_size, self.workers)


@dataclass(frozen=True)
class Option:
    """One field of :class:`Options`: its name, type without :class:`Flag`, default, and flag."""

    name: str
    type: Any
    default: Any
    flag: Flag

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that it may have, where these are a few texts."""
        members = get_args(self.type) if get_origin(self.type) in (Union, UnionType) else (self.type,)
        return next((get_args(member) for member in members if get_origin(member) is Literal), ())

    @property
    def text(self) -> str:
        """Its name on the command line."""
        return self.flag.name or f"--{self.name.replace('_', '-')}"


@cache
def option_list() -> tuple[Option, ...]:
    """Return every option, in order."""
    hints = get_type_hints(Options, include_extras=True)
    options = []
    for field in dataclasses.fields(Options):
        annotated, flag = get_args(hints[field.name])
        options.append(Option(field.name, annotated, field.default, flag))
    return tuple(options)


def check(option: Option, value: object) -> None:
    """Refuse a number that is too small, or a text that is none of the choices.

    Raises:
        UserError: The message names the option and what it takes.
    """
    least = option.flag.least
    if least is not None and isinstance(value, int) and value < least:
        raise UserError(f"{option.text} is {value}", f"give {least} at least")
    if option.choices and value is not None and value not in option.choices:
        raise UserError(f"{option.text} has no choice {value!r}", f"give one of {', '.join(option.choices)}")
