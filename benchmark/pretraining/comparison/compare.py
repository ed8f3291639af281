"""``bench pretrain compare``: recipes under an equal budget, trained, probed, and put side by side.

All is checked first. Then the random weights of each network are probed, which also shows whether the tasks can be
scored at all before hours of training; then each recipe is trained and probed, seed by seed. What was killed goes on
with the same command, and what is finished is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from benchmark.errors import UserError
from benchmark.jobs.items import prepare
from benchmark.jobs.options import Options
from benchmark.pretraining.batches import sampler_of
from benchmark.pretraining.comparison import markdown, summary
from benchmark.pretraining.comparison.budget import parse
from benchmark.pretraining.comparison.folder import LOCK, RESULTS, RUNS, TABLE
from benchmark.pretraining.comparison.plan import (
    Plan,
    read_plan,
    read_recipes,
    refuse_another,
    write_plan,
)
from benchmark.pretraining.comparison.probing import SAMPLES, Probing
from benchmark.pretraining.comparison.random_weights import random_name, write_random
from benchmark.pretraining.comparison.scores import RESAMPLES, SEED, TWO_WAY, Member, points_of, task_scores
from benchmark.pretraining.comparison.summary import Run, Strategy, Summary
from benchmark.pretraining.comparison.training import Place, Train, trained, with_steps
from benchmark.pretraining.data.store import Store, open_store
from benchmark.pretraining.processes import adopt_slurm, world
from benchmark.pretraining.runs import CARD
from benchmark.pretraining.strategies.recipe import Recipe
from benchmark.pretraining.strategies.table import strategy_class
from benchmark.system.descriptions import read_description
from benchmark.system.home import refuse_unwritable
from benchmark.system.progress import Reporter, Silent
from results.files import replace_file
from results.record import Record
from tasks import registry

#: Frames a second of crops.
FRAME_RATE = 100


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What a user chooses of a comparison.

    Attributes:
        words: Names or paths of recipes, and ``key=value`` texts for all of them.
        data: Folder or address of the store.
        tasks: What is probed, as ``bench run`` names tasks.
        out: The comparison's folder; one that was begun is continued.
        budget: ``steps=N`` or ``minutes=M``, of each run.
        seeds: Runs of each recipe, with the seeds from 0 upwards.
        curve_seeds: Of how many of them limited-data curves are measured; 0 for none.
        probe_seeds: How often each probe is retrained; ``None`` leaves it to the protocol.
        device: ``auto``, ``cpu``, ``cuda``.
        run: Options of ``bench run`` by name: home, data_roots, protocol, trials, workers, ...
    """

    words: Sequence[str]
    data: str
    tasks: Sequence[str]
    out: Path
    budget: str
    seeds: int = 3
    curve_seeds: int = 1
    probe_seeds: int | None = None
    device: str = "auto"
    run: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Compared:
    """What came of a comparison: its tables as Markdown, their file, and a line for each thing that went wrong."""

    text: str
    path: Path
    problems: tuple[str, ...]


@dataclass
class _Side:
    """A strategy, or the random weights of a network, while its networks are probed."""

    runs: list[Run] = field(default_factory=list)
    records: list[Mapping[str, Record]] = field(default_factory=list)
    curves: list[Mapping[str, Sequence[Record]]] = field(default_factory=list)


def compare(
    choices: Choices, train: Train, report: Reporter | None = None, clock: Callable[[], float] = time.monotonic
) -> Compared:
    """Train, probe and compare recipes, or go on with it.

    Args:
        choices: What the user chose.
        train: Trains a run on the store: :func:`benchmark.pretraining.pretrain.trains_on`.
        report: Where progress goes.
        clock: Seconds, by which a pace is measured.

    Raises:
        UserError: An argument, the folder, the store or the machine does not do. What is finished is kept.
        TaskError: There is no such task, or its audio is not here: before any training.
        KeyboardInterrupt: Somebody interrupted; the same command continues.
    """
    report = report or Silent()
    adopt_slurm()
    if world() > 1:
        raise UserError(
            "bench pretrain compare trains its runs one after another, in one process",
            "start it without torchrun. A run on several devices: torchrun ... -m benchmark pretrain "
            f"{choices.out}/recipes/RECIPE.toml seed=K --data {choices.data} --out {choices.out}/runs/RECIPE-seed-K; "
            "compare keeps it",
        )
    budget = parse(choices.budget)
    for option, value, least in (("--seeds", choices.seeds, 1), ("--curve-seeds", choices.curve_seeds, 0)):
        if value < least:
            raise UserError(f"{option} is {value}", f"give {least} at least")
    if choices.curve_seeds > choices.seeds:
        raise UserError(
            f"--curve-seeds is {choices.curve_seeds}, and --seeds {choices.seeds}", f"give {choices.seeds} at most"
        )
    found = read_recipes(choices.words)
    options = Options(
        **{**choices.run, "results": choices.out / RESULTS, "seeds": choices.probe_seeds, "device": choices.device}
    )
    tasks = registry.find(choices.tasks, options.home_folder, options.data_roots)
    store = open_store(choices.data, home=options.home_folder, report=report)
    for name, recipe in found.items():
        _refuse_unfit(name, recipe, store)
    plan = Plan(
        recipes={name: recipe.model_dump(mode="json", exclude={"seed"}) for name, recipe in found.items()},
        seeds=choices.seeds, budget=budget.text, fingerprint=store.fingerprint,
        tasks=[task.card.id for task in tasks], protocol=options.protocol, trials=options.trials,
        probe_seeds=options.seeds, curve_seeds=choices.curve_seeds,
    )  # fmt: skip
    before = read_plan(choices.out)
    if before is not None:
        refuse_another(choices.out, before, plan)
    refuse_unwritable(choices.out, "--out")
    data = prepare(tasks, options, report)
    choices.out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(choices.out / LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise UserError(
            f"another process works on the comparison {choices.out}", "wait for it, or choose another --out"
        ) from None
    try:
        if before is None:
            write_plan(choices.out, plan)
        place = Place(choices.out, train)
        plan = with_steps(before or plan, found, place, report, clock)
        probing = Probing(data, options, report)
        sides = _sides(plan, found, place, probing)
        whole = _summary(plan, found, store, sides, probing)
        return _written(choices.out, whole, probing)
    finally:
        lock.release()


def _refuse_unfit(name: str, recipe: Recipe, store: Store) -> None:
    """See whether a recipe can be trained on a store.

    Raises:
        UserError: It cannot; the message names the recipe.
    """
    try:
        sampler_of(recipe, store)
        strategy_class(recipe.objective).check(recipe, store)
    except UserError as error:
        raise UserError(f"the recipe {name}: {error.what}", error.do, error.rows) from None


def _sides(plan: Plan, found: Mapping[str, Recipe], place: Place, probing: Probing) -> dict[str, _Side]:
    """Train and probe everything; return the sides of the comparison by name, random weights first."""
    networks = list(dict.fromkeys(recipe.network for recipe in found.values()))
    sides = {name: _Side() for name in [*map(random_name, networks), *found]}
    for seed in range(plan.seeds):
        for network in networks:
            folder = write_random(place.folder, network, seed)
            side = sides[random_name(network)]
            side.runs.append(Run(name=folder.name, seed=seed, status="random"))
            _probe(side, folder, plan, probing)
    for seed in range(plan.seeds):
        for name in found:
            run = trained(plan, name, seed, place, probing.report)
            sides[name].runs.append(run)
            if run.status == "finished":
                _probe(sides[name], place.run(run.name), plan, probing)
    return sides


def _probe(side: _Side, folder: Path, plan: Plan, probing: Probing) -> None:
    encoder = probing.opened(folder)
    side.records.append(probing.probe(encoder))
    side.curves.append(probing.curve(encoder) if len(side.curves) < plan.curve_seeds else {})


def _summary(
    plan: Plan, found: Mapping[str, Recipe], store: Store, sides: Mapping[str, _Side], probing: Probing
) -> Summary:
    """Return what was found."""
    results = probing.options.results_folder
    baseline = {name: random_name(recipe.network) for name, recipe in found.items()}
    facts, scores, differences, points, notes = [], [], [], [], list(dict.fromkeys(probing.notes))
    for task in plan.tasks:
        members = [
            Member(name, baseline.get(name, ""), tuple(each[task] for each in side.records if task in each))
            for name, side in sides.items()
        ]
        came = task_scores(results, members)
        if came is None:
            notes.append(f"No network has a record of {task}.")
            continue
        facts.append(came[0])
        scores += came[1]
        differences += came[2]
        notes += came[3]
        for name, side in sides.items():
            pairs = list(zip(side.records, side.curves, strict=True))
            parts = [point for _, curve in pairs for point in curve.get(task, ())]
            points += points_of(name, parts, [record[task] for record, curve in pairs if curve and task in record])
    notes += [f"{each}: it has no score." for each in probing.failures]
    records = [record for side in sides.values() for each in side.records for record in each.values()]
    return Summary(
        budget=plan.budget, paces=plan.paces, seeds=plan.seeds, store=Path(store.path).name or store.path,
        fingerprint=store.fingerprint, tracks=store.tracks, hours=store.seconds_total / 3600, protocol=plan.protocol,
        probe_seeds=len(records[0].seeds.probes) if records else 0, samples=SAMPLES, curve_seeds=plan.curve_seeds,
        resamples=RESAMPLES, two_way_resamples=TWO_WAY, bootstrap_seed=SEED, tasks=facts,
        strategies=[_strategy(name, plan, found.get(name), side, probing) for name, side in sides.items()],
        scores=scores, differences=differences, points=points, notes=notes,
    )  # fmt: skip


def _strategy(name: str, plan: Plan, recipe: Recipe | None, side: _Side, probing: Probing) -> Strategy:
    """Return what a recipe is and took; of random weights what they are."""
    parameters = _parameters(side.runs, probing)
    if recipe is None:
        network = name.partition("-")[2]
        title = "weights as they are drawn, nothing was trained"
        return Strategy(
            name=name, title=title, objective="", network=network, random=True, parameters=parameters, runs=side.runs
        )
    steps, crops = plan.steps[name], 1 if strategy_class(recipe.objective).views(recipe).pairs is None else 2
    return Strategy(
        name=name, title=recipe.title, objective=recipe.objective, network=recipe.network, parameters=parameters,
        batch=recipe.batch, crops=crops, steps=steps, examples=steps * recipe.batch,
        hours=steps * recipe.batch * crops * recipe.frames / FRAME_RATE / 3600, runs=side.runs,
    )  # fmt: skip


def _parameters(runs: Sequence[Run], probing: Probing) -> int:
    """Return how many parameters the network of some runs has, from the card of one that has a card; else 0."""
    for run in runs:
        if run.status != "stopped":
            folder = probing.options.results_folder.parent / RUNS / run.name
            count = read_description(folder / CARD).get("parameters")
            if isinstance(count, int):
                return count
    return 0


def _written(folder: Path, whole: Summary, probing: Probing) -> Compared:
    """Write the summary and its tables.

    Raises:
        UserError: They cannot be written.
    """
    text, path = markdown.page(whole), folder / TABLE
    try:
        summary.write(folder / RESULTS, whole)
        replace_file(path, text.encode())
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror or error}. All runs and records are kept",
            "make room and run the same command again",
        ) from error
    stopped = [
        f"{run.name} was stopped: {run.why}"
        for strategy in whole.strategies
        for run in strategy.runs
        if run.status == "stopped"
    ]
    return Compared(text, path, (*stopped, *probing.failures))
