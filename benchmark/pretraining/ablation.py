"""``bench pretrain ablate``: a loop over recipes that differ in one key, and a table of what each came to.

Of a key with a list, ``--over workers``, the whole list is trained, then the list without each of its entries, each
entry alone, or both: the ablation of Wu et al. 2021. Of a key with choices, ``--over weighting``, each choice is; of
any key, ``--over KEY=A,B``, what is named. Every run is an ordinary one in its own folder, so the same command
continues what was stopped.
"""

from __future__ import annotations

import csv
import typing
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_origin

from benchmark.encoders.options import text_of
from benchmark.errors import UserError, message_for_user
from benchmark.jobs.options import Options
from benchmark.pretraining.comparison.training import Train
from benchmark.pretraining.continuing import refuse_another_run
from benchmark.pretraining.data.store import Store, open_store
from benchmark.pretraining.processes import adopt_slurm, world
from benchmark.pretraining.runs import CARD, WEIGHTS
from benchmark.pretraining.strategies.recipe import Recipe
from benchmark.pretraining.strategies.table import strategy_class
from benchmark.pretraining.training import recipes
from benchmark.system.descriptions import read_description
from benchmark.system.home import home_folder, refuse_unwritable
from benchmark.system.progress import Reporter, Silent
from results.files import replace_file
from results.markdown import escaped
from tasks.spelling import did_you_mean

if TYPE_CHECKING:
    from tasks.registry import Task

TABLE, RESULTS = "ablation.md", "results"
#: The share of a run's steps, its last ones, whose losses are averaged.
LAST = 0.1


@dataclass(frozen=True)
class Asked:
    """What a user asks of an ablation.

    Attributes:
        recipe: Name or path.
        over: ``KEY``, or ``KEY=A,B``.
        data: Folder or address of the store.
        out: The ablation's folder.
        overrides: ``key=value`` texts that all runs take.
        drop_one: Of a list, leave each entry out once.
        only_one: Of a list, take each entry alone.
        tasks: What each network is probed on.
        probe_trials: Probe settings to try.
        device: ``auto``, ``cpu``, ``cuda``.
        home: The data home.
        data_roots: ``COLLECTION=DIR``, where the datasets of probes lie.
    """

    recipe: str
    over: str
    data: str
    out: Path
    overrides: tuple[str, ...] = ()
    drop_one: bool = True
    only_one: bool = False
    tasks: tuple[str, ...] = ()
    probe_trials: int = 4
    device: str = "auto"
    home: Path | None = None
    data_roots: tuple[str, ...] = ()


@dataclass
class Variant:
    """A run of an ablation, and what it came to.

    Attributes:
        name: Of its folder.
        override: ``key=value``.
        status: ``finished``, or why it is not.
        losses: Means over the last steps, by name: ``loss``, ``loss/chroma``.
        scores: On valid, by task and metric.
    """

    name: str
    override: str
    status: str = "finished"
    losses: dict[str, float] = field(default_factory=dict)
    scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Ablation:
    """What came of an ablation: its runs, the table as Markdown, where that lies, and what failed."""

    variants: tuple[Variant, ...]
    text: str
    path: Path
    problems: tuple[str, ...]


def ablate(asked: Asked, train: Train, report: Reporter | None = None) -> Ablation:
    """Train all variants of a recipe, or continue with them, probe them where tasks are named, and write the table.

    A variant that collapses, or that its strategy refuses, does not keep the others from being trained.

    Args:
        asked: What a user asks.
        train: Trains a run on the store: :func:`benchmark.pretraining.pretrain.trains_on`.
        report: Where progress goes.

    Raises:
        UserError: Recipe, key, store, folder or machine do not do, or no variant can be trained: before any training,
            but for what a machine shows later.
        KeyboardInterrupt: Somebody interrupted; a checkpoint is written.
    """
    report = report or Silent()
    adopt_slurm()
    if world() > 1:
        raise UserError(
            "an ablation is run by one process", "train its recipes one by one: torchrun ... -m benchmark pretrain"
        )
    home = home_folder(asked.home)
    variants = variants_of(asked)
    store = open_store(asked.data, home=home, report=report)
    for variant in variants:
        variant.status = _refused(asked, variant, store)
    able = [variant for variant in variants if not variant.status]
    if not able:
        raise UserError(f"no variant can be trained: {variants[0].status}", "mend the recipe, or name another key")
    refuse_unwritable(asked.out, "--out")
    tasks, options = _tasks_of(asked, home, report)
    problems = [f"{variant.name}: {variant.status}" for variant in variants if variant.status]
    for number, variant in enumerate(able, start=1):
        report.say(f"{variant.name} ({variant.override}): {number} of {len(able)}")
        variant.status = _trained(asked, variant, train, report)
        variant.losses = last_losses(asked.out / variant.name)
        if variant.status == "finished":
            problems += _probe(asked, variant, tasks, options, report)
        else:
            problems.append(f"{variant.name}: {variant.status}")
    text = as_markdown(asked, variants)
    replace_file(asked.out / TABLE, text.encode())
    return Ablation(tuple(variants), text, asked.out / TABLE, tuple(problems))


def variants_of(asked: Asked) -> list[Variant]:
    """Return the variants of a recipe over a key.

    Raises:
        UserError: The recipe does not do, has no such key, or the key has neither list nor choices, or too few.
    """
    recipe = recipes.load(asked.recipe, asked.overrides)
    key, equals, values = asked.over.partition("=")
    kind = type(recipe)
    if key not in kind.model_fields or key == "objective":
        hint = did_you_mean(key, kind.model_fields, "choose another.")
        raise UserError(
            f"--over {key}: there is no such key of {recipe.objective}", f"{hint} For instance: {_keys(kind)}"
        )
    if equals:
        found = [Variant(f"{key}-{value.strip()}", f"{key}={value.strip()}") for value in values.split(",")]
    elif isinstance(getattr(recipe, key), tuple):
        found = _of_list(key, getattr(recipe, key), asked)
    else:
        choices = choices_of(kind.model_fields[key].annotation)
        if not choices:
            raise UserError(
                f"--over {key}: it has neither a list nor choices",
                f"name the values, --over {key}=A,B, or {_keys(kind)}",
            )
        found = [Variant(f"{key}-{text_of(value)}", f"{key}={text_of(value)}") for value in choices]
    if len({variant.name for variant in found}) < max(2, len(found)):
        raise UserError(f"--over {asked.over}: an ablation has two different variants at least", "name more values")
    strange = [variant.name for variant in found if not variant.name.replace("-", "").replace(".", "").isidentifier()]
    if strange and any(set(name) & set("/\\:") or ".." in name for name in strange):
        raise UserError(f"--over {asked.over}: {strange[0]!r} is no name of a folder", "name plain values")
    return found


def _of_list(key: str, entries: Sequence[Any], asked: Asked) -> list[Variant]:
    """Return the whole list, and what is asked for of its parts; equal lists once."""
    parts = {"all": tuple(entries)}
    if asked.drop_one:
        parts |= {f"without-{text_of(one)}": tuple(each for each in entries if each != one) for one in entries}
    if asked.only_one:
        parts |= {f"only-{text_of(one)}": (one,) for one in entries}
    found: dict[tuple[Any, ...], Variant] = {}
    for name, part in parts.items():
        if part:
            found.setdefault(part, Variant(name, f"{key}={text_of(part)}"))
    return list(found.values())


def choices_of(annotation: Any) -> tuple[Any, ...]:
    """Return the values that an annotation lists: of a Literal, or of a truth value.

    >>> choices_of(Literal["a", "b"]), choices_of(bool), choices_of(int)
    (('a', 'b'), (False, True), ())
    """
    if annotation is bool:
        return False, True
    return get_args(annotation) if get_origin(annotation) is typing.Literal else ()


def _keys(kind: type[Recipe]) -> str:
    """Return the keys that an ablation may be over as they are."""
    able = [
        key
        for key, about in kind.model_fields.items()
        if key != "objective" and (choices_of(about.annotation) or get_origin(about.annotation) is tuple)
    ]
    return ", ".join(f"--over {key}" for key in able)


def _refused(asked: Asked, variant: Variant, store: Store) -> str:
    """Return why a variant cannot be trained; nothing where it can.

    Raises:
        UserError: Its folder holds another run.
    """
    try:
        recipe = recipes.load(asked.recipe, (*asked.overrides, variant.override))
        strategy_class(recipe.objective).check(recipe, store)
    except UserError as error:
        return f"refused: {error.what}"
    refuse_another_run(asked.out / variant.name, recipe, store)
    return ""


def _trained(asked: Asked, variant: Variant, train: Train, report: Reporter) -> str:
    """Train a variant, or continue with it, and return ``finished``, or what stopped it."""
    from benchmark.pretraining.training.collapse import TrainingStopped

    run, overrides = asked.out / variant.name, (*asked.overrides, variant.override)
    with suppress(OSError, ValueError):
        steps = recipes.load(asked.recipe, overrides).steps
        if (run / WEIGHTS).is_file() and read_description(run / CARD).get("steps") == steps:
            return "finished"
    try:
        train(Path(asked.recipe), run, overrides, report)
    except TrainingStopped as stop:
        return f"stopped: {stop.what}"
    return "finished"


def last_losses(run: Path, share: float = LAST) -> dict[str, float]:
    """Return the means of a run's logged losses over its last steps, by name; nothing where there is no log."""
    from benchmark.pretraining.training.logs import CSV_NAME

    rows: list[tuple[int, str, float]] = []
    with suppress(OSError, UnicodeDecodeError), (run / CSV_NAME).open(newline="", encoding="utf-8") as file:
        for row in csv.reader(file):
            with suppress(ValueError):  # the head, or a line that was cut off
                if len(row) == 3 and row[1].partition("/")[0] == "loss":
                    rows.append((int(row[0]), row[1], float(row[2])))
    last = max((step for step, _, _ in rows), default=0)
    values: dict[str, list[float]] = {}
    for step, name, value in rows:
        if step > last * (1 - share) or step == last:
            values.setdefault(name, []).append(value)
    return {name: sum(found) / len(found) for name, found in values.items()}


def _tasks_of(asked: Asked, home: Path, report: Reporter) -> tuple[list[Task], Options]:
    """Return the tasks of probes with what a run takes.

    Raises:
        UserError: A task is unknown, or (as TaskError) its audio is not here.
    """
    options = Options(
        home=home, results=asked.out / RESULTS, trials=asked.probe_trials, device=asked.device,
        data_roots=asked.data_roots,
    )  # fmt: skip
    if not asked.tasks:
        return [], options
    from benchmark.jobs.items import prepare
    from tasks import registry

    tasks = [task for name in asked.tasks for task in registry.find(name, home, asked.data_roots)]
    prepare(tasks, options, report)
    return tasks, options


def _probe(asked: Asked, variant: Variant, tasks: Sequence[Task], options: Options, report: Reporter) -> list[str]:
    """Put a variant's scores on valid into it; records of the same probe are kept. Return what failed."""
    if not tasks:
        return []
    from benchmark.encoders.registry import resolve_one
    from benchmark.jobs.runner import UnfinishedError, run_many

    failed: list[str] = []
    try:
        encoder = resolve_one(f"pretrained:{asked.out / variant.name}", options.home_folder)
        outcomes = run_many([encoder], tasks, options, report)
    except UnfinishedError as error:
        outcomes, failed = list(error.outcomes), [f"{variant.name}: {row.strip()}" for row in error.rows]
    except Exception as error:  # what one network or task is refused for is not to cost the others
        said = message_for_user(error)
        if said is None:
            raise
        return [f"{variant.name}: {said}"]
    for outcome in outcomes:
        task = outcome.record.task
        score = outcome.record.scores.valid[task.metrics[0]].value
        variant.scores[f"{task.id} {task.metrics[0]}"] = score
    return failed


def as_markdown(asked: Asked, variants: Sequence[Variant]) -> str:
    """Return the table of an ablation: a row a variant, a column a loss and a task."""
    losses = list(dict.fromkeys(name for variant in variants for name in sorted(variant.losses)))
    scores = list(dict.fromkeys(name for variant in variants for name in variant.scores))
    head = ["variant", *losses, *(f"{name} (valid)" for name in scores), "state"]
    lines = [head, ["---", *["---:"] * (len(losses) + len(scores)), "---"]]
    for variant in variants:
        numbers = [variant.losses.get(name) for name in losses] + [variant.scores.get(name) for name in scores]
        cells = ["" if number is None else f"{number:.4g}" for number in numbers]
        lines.append([variant.name, *cells, variant.status])
    table = "\n".join(f"| {' | '.join(map(escaped, cells))} |" for cells in lines)
    what = f"`{asked.over}` of `{Path(asked.recipe).name}`"
    more = "" if not asked.overrides else f" with {' '.join(f'`{text}`' for text in asked.overrides)}"
    return (
        f"# Ablation over {what}{more}\n\n{table}\n\n"
        f"Losses are of training, means over the last {LAST:.0%} of the steps. `loss` is what a run reports of its own "
        "parts: of variants with other parts it cannot be compared. "
        + ("Scores are on valid: none was chosen on test. " if scores else "")
        + "One run a variant: differences within the spread of seeds say nothing.\n"
    )
