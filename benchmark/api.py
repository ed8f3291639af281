"""``benchmark.run`` and ``benchmark.run_many``: encoders on tasks, from Python."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmark.encoders.base import Encoder
from benchmark.encoders.registry import resolve
from benchmark.errors import BenchmarkWarning, UserError
from benchmark.jobs.configuration import read_configuration
from benchmark.jobs.options import Options, option_list
from benchmark.jobs.remarks import remarks
from benchmark.jobs.runner import Outcome, UnfinishedError
from benchmark.jobs.runner import run_many as run_jobs
from benchmark.system.notebook import Notebook, in_notebook
from benchmark.system.progress import Advance, Reporter, Silent, Terminal
from results.record import Record
from tasks import registry
from tasks.registry import Task
from tasks.spelling import did_you_mean

#: Is told the title of a stage, how much of it is done, and how much there is.
Progress = Callable[[str, float, float], None]


def run(
    encoder: str | Encoder | None = None,
    task: str | Path | None = None,
    *,
    config: str | Path | None = None,
    progress: Progress | bool | None = None,
    **options: Any,
) -> Record:
    """Evaluate one encoder on one task and return the record, which is also written below ``results``.

    Args:
        encoder: A name (``logmel``, ``file.py:Class``, ``hf:id?layer=7``, ``emb:features.npz``, ...; see
            :mod:`benchmark.encoders.spec`) or an :class:`~benchmark.Encoder` object.
        task: A task id or alias, or the path of a card.
        config: A TOML file that names encoder, task and options, as ``bench run --config`` has; what is given wins.
        progress: A function that is called with the title of a stage, how much is done, and how much there is; or
            whether progress is shown, which by default it is in a notebook alone: one bar there, on stderr elsewhere.
        **options: Fields of :class:`benchmark.jobs.options.Options`, by name.

    Raises:
        UserError: Something that the caller can mend; so does ``tasks.errors.TaskError`` for tasks and data.
        TypeError: There is no such option.

    Warns:
        BenchmarkWarning: What a reader of the scores must know: a leak, items left out, a ridge that does better.
    """
    encoders, tasks, choices = _named(_several(encoder), _several(task), config, options)
    if len(encoders) != 1 or len(tasks) != 1 or len(choices.subsets) != 1:
        names, asked = ",".join(each.name for each in encoders), ",".join(each.card.id for each in tasks)
        raise UserError(
            f"benchmark.run gives one record, and {names!r} on {asked!r} are "
            f"{len(encoders) * len(tasks) * len(choices.subsets)}",
            "call benchmark.run_many, which gives several",
        )
    return _run(encoders, tasks, choices, progress)[0]


def run_many(
    encoders: str | Encoder | Sequence[str | Encoder] | None = None,
    tasks: str | Path | Sequence[str | Path] | None = None,
    *,
    config: str | Path | None = None,
    progress: Progress | bool | None = None,
    **options: Any,
) -> list[Record]:
    """Evaluate every encoder on every task and return the records, in the order of ``bench run``.

    Args:
        encoders: As for :func:`run`, one or several; a name may hold several, separated by commas.
        tasks: Likewise.
        config: As for :func:`run`.
        progress: As for :func:`run`.
        **options: As for :func:`run`.

    Raises:
        UserError: As for :func:`run`. Of several pairs some may fail: the others are finished, and the error's
            ``outcomes`` are theirs.
        TypeError: There is no such option.

    Warns:
        BenchmarkWarning: As for :func:`run`.
    """
    return _run(*_named(_several(encoders), _several(tasks), config, options), progress)


def _several(names: Any) -> list[Any]:
    """Return what is named, one or several or none, as a list."""
    if names is None:
        return []
    return [names] if isinstance(names, str | Path | Encoder) else list(names)


def _named(
    encoders: Sequence[str | Encoder],
    tasks: Sequence[str | Path],
    config: str | Path | None,
    options: Mapping[str, Any],
) -> tuple[list[Encoder], list[Task], Options]:
    """Return the encoders and tasks that names stand for, and the options.

    Raises:
        TypeError: There is no such option.
        UserError: There is no such encoder, none is named, or an option or the file ``config`` has no such value; so
            does ``TaskError`` for tasks.
    """
    known = [option.name for option in option_list()]
    for name in options:
        if name not in known:
            hint = did_you_mean(name, known, f"it has {', '.join(known)}")
            raise TypeError(f"benchmark.run has no option {name!r}: {hint}")
    if config is not None:
        found = read_configuration(config)
        encoders, tasks, options = encoders or found.encoders, tasks or found.tasks, {**found.chosen, **options}
    for what, names, example in (("encoder", encoders, "logmel"), ("task", tasks, "demo_key")):
        if not names:
            raise UserError(f"no {what} is named", f"give one such as {example!r}, or a config that names one")
    choices = Options(**options)
    home, given = choices.home_folder, choices.encoder_args
    used = [encoder for name in encoders for encoder in resolve(name, home, choices.precision, given)]
    return used, registry.find([str(name) for name in tasks], home, choices.data_roots), choices


def _run(
    encoders: Sequence[Encoder], tasks: Sequence[Task], choices: Options, progress: Progress | bool | None
) -> list[Record]:
    report = _reporter(progress)
    try:
        outcomes = run_jobs(encoders, tasks, choices, report)
    except UnfinishedError as error:
        _warn(error.outcomes)
        raise
    finally:
        if isinstance(report, Notebook):
            report.close()
    _warn(outcomes)
    return [outcome.record for outcome in outcomes]


def _warn(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        record = outcome.record
        ridge = record.floors.ridge or {}
        notes = [
            f"{record.name} on {record.task.id}: {metric} is below that of a ridge regression on the same embeddings "
            f"({ridge[metric].value:.3f}) by more than the interval"
            for metric in record.floors.loses_to_ridge
        ]
        for note in dict.fromkeys([*notes, *remarks(record), *outcome.untracked]):
            warnings.warn(note, BenchmarkWarning, stacklevel=4)


def _reporter(progress: Progress | bool | None) -> Reporter:
    """Return what tells the progress: a function that was given, a notebook, the terminal, or nothing."""
    if callable(progress):
        return _Calls(progress)
    if progress is not False and in_notebook():
        return Notebook()
    return Terminal() if progress else Silent()


class _Calls:
    """Hands the progress of a run to a function."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @contextmanager
    def stage(self, title: str, total: float, unit: str) -> Iterator[Advance]:  # noqa: ARG002
        """Open a stage; the function hears of every step."""
        whole = total

        def advance(done: float, note: str = "", total: float | None = None) -> None:  # noqa: ARG001
            nonlocal whole
            whole = whole if total is None else total
            self._progress(title, done, whole)

        advance(0)
        yield advance

    def say(self, text: str) -> None:
        """Tell nothing: what matters of it is a warning."""


def _explain(function: Callable[..., object], returns: object) -> None:
    """Give a function a signature with a keyword for each option, and their help in its docstring."""
    own = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
    keywords = [
        inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=option.default, annotation=option.type)
        for option in option_list()
    ]
    vars(function)["__signature__"] = inspect.Signature([*own, *keywords], return_annotation=returns)
    lines = "".join(f"        {option.name}: {option.flag.help}\n" for option in option_list())
    function.__doc__ = f"{function.__doc__}\n    Options:\n{lines}    "


_explain(run, Record)
_explain(run_many, list[Record])
