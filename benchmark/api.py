"""``benchmark.run``: one encoder on one task, from Python."""

from __future__ import annotations

import difflib
import inspect
from pathlib import Path
from typing import Any

from benchmark.encoders.base import Encoder
from benchmark.encoders.registry import resolve
from benchmark.errors import UserError
from benchmark.jobs.options import Options, option_list
from benchmark.jobs.runner import run_many
from results.record import Record
from tasks import registry


def run(encoder: str | Encoder, task: str | Path, **options: Any) -> Record:
    """Evaluate one encoder on one task and return the record, which is also written below ``results``.

    Args:
        encoder: A name (``logmel``, ``file.py:Class``, ``hf:id?layer=7``, ``emb:features.npz``, ...; see
            :mod:`benchmark.encoders.spec`) or an :class:`~benchmark.Encoder` object.
        task: A task id or alias, or the path of a card.
        **options: Fields of :class:`benchmark.jobs.options.Options`, by name.

    Raises:
        UserError: Something that the caller can mend; so does ``tasks.errors.TaskError`` for tasks and data.
        TypeError: There is no such option.
    """
    known = [option.name for option in option_list()]
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise TypeError(
                f"benchmark.run() has no option {name!r}"
                + (f": did you mean {near[0]!r}?" if near else f"; it has {', '.join(known)}")
            )
    choices = Options(**options)
    home = choices.home_folder
    encoders = resolve(encoder, home, choices.precision, choices.encoder_args)
    tasks = registry.find(str(task), home, choices.data_roots)
    if len(encoders) != 1 or len(tasks) != 1:
        raise UserError(
            f"benchmark.run takes one encoder and one task, not {len(encoders)} and {len(tasks)}: "
            "benchmark.jobs.runner.run_many takes several"
        )
    return run_many(encoders, tasks, choices)[0].record


def _explained() -> tuple[inspect.Signature, str]:
    """Return the signature of :func:`run` with a keyword for each option, and its docstring with their help."""
    own = [p for p in inspect.signature(run).parameters.values() if p.kind is not p.VAR_KEYWORD]
    keywords = [
        inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=option.default, annotation=option.type)
        for option in option_list()
    ]
    lines = [f"        {option.name}: {option.flag.help}\n" for option in option_list()]
    return inspect.Signature([*own, *keywords], return_annotation=Record), "\n    Options:\n" + "".join(lines)


_signature, _options = _explained()
vars(run)["__signature__"] = _signature
run.__doc__ = f"{run.__doc__}{_options}    "
