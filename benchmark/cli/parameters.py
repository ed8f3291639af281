"""Options of the command line that several commands take."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class PrecisionChoice(StrEnum):
    """What an encoder computes in."""

    fp32 = "fp32"
    bf16 = "bf16"


EncoderNames = Annotated[
    list[str],
    typer.Option(
        "-e", "--encoder",
        help="Encoder: id, file.py[:Class], module:Class, hf:ID, hear:MODULE, onnx:FILE, torchscript:FILE, emb:FILE; "
        "options as ?k=v&k2=v2; X,Y for several. 'bench encoders' tells more.",
    ),
]  # fmt: skip
EncoderArgs = Annotated[
    list[str] | None, typer.Option("--encoder-arg", metavar="K=V", help="An option for the encoders named; repeatable.")
]
TaskNames = Annotated[
    list[str], typer.Option("-t", "--task", help="Task: id, alias, group, glob ('demo_*') or path of a card; T,U too.")
]
Home = Annotated[Path | None, typer.Option(help="Data home (default: $BENCH_HOME, else the platform's cache folder).")]
Results = Annotated[Path, typer.Option(help="Folder of the records.")]
Limit = Annotated[int | None, typer.Option(help="Use a seeded sample of about N items; never in a leaderboard.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
BatchSize = Annotated[int, typer.Option(help="Windows in a batch of the encoder.")]
Workers = Annotated[
    int | None, typer.Option(help="Decoding processes. Default: one a core. 0: in this one, no time limit.")
]
AllowMissing = Annotated[int, typer.Option(help="Go on without up to N tracks of a dataset; the record names them.")]
Precision = Annotated[PrecisionChoice | None, typer.Option(help="What the encoder computes in, if it has a choice.")]
OwnWindows = Annotated[
    bool, typer.Option("--own-windows", help="Where an encoder cannot take a task's windows, use its own; recorded.")
]
DataRoots = Annotated[
    list[str] | None, typer.Option("--data-root", help="COLLECTION=DIR: a copy you have; it is never written.")
]
AllowDamaged = Annotated[int, typer.Option(help="Leave out up to N damaged tracks of a task; the record names them.")]
