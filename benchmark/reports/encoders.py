"""What ``bench encoders`` prints: the catalogue, and the check of one encoder."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from benchmark.errors import UserError
from benchmark.system.home import home_folder
from benchmark.system.terminal import display

if TYPE_CHECKING:
    from benchmark.encoders.base import Encoder
    from benchmark.encoders.check.check import Check
    from benchmark.encoders.precomputed.encoder import Precomputed

WIDTH = 100


def catalogue(home: Path) -> str:
    """Return the encoders that have a name here, and the other ways to name one, with an example each.

    Args:
        home: The data home, whose runs of pre-training are listed.
    """
    from tabulate import tabulate

    from benchmark.catalogue import list_encoders
    from benchmark.encoders.registry import format_kinds

    rows = [[encoder.name, encoder.description] for encoder in list_encoders(home)]
    return (
        tabulate(rows, ["encoder", "what it is"], tablefmt="simple", disable_numparse=True)
        + f"\n\nAn encoder is named as\n{format_kinds()}"
        + "\n\nOne of them: bench encoders NAME. Its contract, speed and memory: bench encoders check NAME."
        + "\nYour own in ten lines: bench encoders new my_encoder.py"
    )


def check(
    name: str,
    home: Path | None,
    *,
    arguments: Sequence[str],
    task: Sequence[str],
    data_roots: Sequence[str],
    device: str,
    batch_size: int,
) -> bool:
    """Check the encoder ``name``, print every rule with its numbers, and return whether it keeps them all.

    Args:
        name: As for ``--encoder``.
        home: Data home.
        arguments: ``k=v``, the encoder's options.
        task: Tasks whose embedding is to be estimated.
        data_roots: ``COLLECTION=DIR``, where datasets lie.
        device: ``auto``, ``cpu``, ``cuda``, ...
        batch_size: Windows in the batch that is timed.

    Raises:
        UserError: It cannot be made, a task cannot be found or is not there, or embeddings that are given are bad.
    """
    from benchmark.encoders.check.check import check as check_encoder
    from benchmark.encoders.check.reopening import Named, reopened
    from benchmark.encoders.precomputed.encoder import Precomputed, checked
    from benchmark.encoders.registry import resolve
    from benchmark.system.machine import device_of
    from benchmark.system.stdout import stdout_to_stderr

    where = home_folder(home)
    with stdout_to_stderr():
        encoders = resolve(name, where, arguments=arguments)
    if len(encoders) != 1:
        raise UserError(f"{name!r} names {len(encoders)} encoders: check one at a time")
    (encoder,) = encoders
    if isinstance(encoder, Precomputed):
        checked(encoder, encoder.ids)
        (again,) = resolve(name, where, arguments=arguments)
        if again.fingerprint() != encoder.fingerprint():
            raise UserError(f"{encoder.path} is not what it was a moment ago: is it still being written?")
        display(
            f"{format_given(encoder)}\nEvery row is finite, none is constant, and read twice they are the same; "
            "nothing else can be checked here."
        )
        return True
    used = device_of(device, encoder.arrays)
    named = Named(name, tuple(arguments), str(where), used)
    found = check_encoder(encoder, used, batch_size=batch_size, again=partial(reopened, named))
    display(f"{encoder.name} on {used}")
    display(format_findings(found))
    if task and not found.failures:
        _print_estimate(encoder, found, task, where, data_roots, used, batch_size)
    return not found.failures


def format_given(encoder: Precomputed) -> str:
    """Return what is known of embeddings that were computed elsewhere."""
    return (
        f"{encoder.name}: {len(encoder.ids):,} embeddings of dim {encoder.dim} in {encoder.path}, computed elsewhere\n"
        f"fingerprint: {encoder.fingerprint()}"
    )


def format_findings(found: Check) -> str:
    """Return one line a rule with its numbers, speed and memory, and how many rules are broken."""
    lines = []
    for finding in found.findings:
        start = f"{'pass' if finding.passed else 'FAIL'}  {finding.rule:<15}"
        lines.append(
            textwrap.fill(
                finding.numbers, WIDTH, initial_indent=start, subsequent_indent=" " * len(start), break_long_words=False
            )
        )
    if found.speed is not None:
        lines.append(f"\nSpeed: {found.speed.describe()}")
    if found.failures:
        lines.append(f"\n{len(found.failures)} of {len(found.findings)} rules are broken")
    return "\n".join(lines)


def _print_estimate(
    encoder: Encoder, found: Check, task: Sequence[str], home: Path, data_roots: Sequence[str], device: str, batch: int
) -> None:
    from benchmark.jobs.estimate import estimates
    from benchmark.jobs.items import prepare
    from benchmark.jobs.options import Options
    from benchmark.jobs.plan import plan_jobs
    from benchmark.reports.plan import print_estimates
    from benchmark.system.progress import Terminal
    from tasks import registry

    options = Options(
        home=home, results=Path("results"), overwrite="always", device=device, batch_size=batch,
        data_roots=tuple(data_roots),
    )  # fmt: skip
    jobs = plan_jobs(
        [encoder],
        prepare(registry.find(list(task), home, tuple(data_roots)), options, Terminal()),
        options,
        records=False,
    )
    display()
    print_estimates(estimates(jobs, options.embedding, found.speed))


def new(path: Path) -> None:
    """Write a plug-in that runs to ``path``, and say what to do with it.

    Raises:
        UserError: It cannot be written.
    """
    from benchmark.encoders.template import write

    write(path)
    shown = f"'{path}'" if " " in str(path) else str(path)
    display(f"{path} written. Try it:\n  bench encoders check {shown}\n  bench run --encoder {shown} --task demo")
