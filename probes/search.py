"""Search the probe's settings on train and valid. Test is out of reach by construction.

Trials are asked for in rounds. Those of a round train side by side where that pays, and are compared with each other
and with earlier ones when they are pruned. What a round holds depends on the protocol and the seed alone; so a search
that is killed and resumed, or whose trials are grouped otherwise on another machine, comes to the same result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from probes.protocol import Protocol, Settings
from probes.pruning import PRUNERS, Halving
from probes.sampling import Sampler, StudySampler, settings_of, suggest
from probes.studies import SearchStudy
from probes.training import TrainedProbe, Trainer, Training

State = Literal["complete", "pruned", "diverged"]

#: Probes of one group: on a CPU, as many as keep weights, gradients and moments in the cache.
CPU_GROUP, CPU_GROUP_WEIGHTS, GPU_GROUP = 16, 1_000_000, 64

#: Bytes of a round's trainings that are held between rungs.
HELD_BYTES = 2**31
POLL_SECONDS = 0.5  # between looks at what other processes of the same study have done


@dataclass(frozen=True)
class TrialResult:
    """One trial.

    Attributes:
        number: Its place in the study.
        settings: What it tried.
        state: Complete, pruned, or diverged.
        score: Its best validation score (``-inf`` when it diverged).
        best_step: The steps after which that was reached.
        steps_run: The steps it was trained for.
        seconds: Its share of wall-clock time.
        rungs: Its validation scores where it was compared with others.
    """

    number: int
    settings: Settings
    state: State
    score: float
    best_step: int
    steps_run: int
    seconds: float
    rungs: tuple[float, ...] = ()


@dataclass(frozen=True)
class SearchResult:
    """All trials in order, and what came of them.

    Attributes:
        trials: In the order of their numbers.
        selected: Index of the best complete one, the earliest of equals.
        operations: Operations of all products of all steps that were trained, for the arithmetic floor of the search.
        probe: The selected trial's probe, where this process trained it.
    """

    trials: tuple[TrialResult, ...]
    selected: int
    operations: float
    probe: TrainedProbe | None = None

    @property
    def settings(self) -> Settings:
        """The selected settings."""
        return self.trials[self.selected].settings

    @property
    def steps_run(self) -> int:
        """The budget spent: steps of all trials."""
        return sum(trial.steps_run for trial in self.trials)


def search(
    trainer: Trainer,
    protocol: Protocol,
    study: SearchStudy,
    *,
    trials: int,
    seed: int,
    sampler: Sampler = "tpe",
    pruner: str = "halving",
    progress: Callable[[int, int], None] | None = None,
) -> SearchResult:
    """Bring ``study`` to ``trials`` trials and select the best on valid.

    The protocol's first settings come first (published ones, or the middle of its ranges), so that a short search
    starts from a sane probe; the sampler chooses the rest. Where other processes work on the same study, the trials
    that they have begun are waited for.

    Args:
        trainer: Trains on train, scores on valid.
        protocol: The ranges.
        study: Where trials are kept; it may hold some already.
        trials: How many settings, at least 1.
        seed: Seed of the sampler and of every trial's training.
        sampler: ``tpe``, ``random``, or every point of the protocol's ``grid``.
        pruner: ``halving`` or ``none``.
        progress: Called with (trials done, trials).

    Raises:
        ValueError: No trials asked for, or a number that is not the grid's.
        FloatingPointError: Every trial diverged.
    """
    if trials < 1:
        raise ValueError("a search needs at least one trial")
    first = protocol.grid_settings() if sampler == "grid" else list(protocol.first)
    if sampler == "grid" and trials != len(first):
        raise ValueError(f"the grid has {len(first)} points, so --sampler grid makes {len(first)} trials, not {trials}")
    run = _Rounds(trainer, protocol, study, trials, seed, sampler, PRUNERS[pruner], first, progress)
    while run.round() or run.others_go_on():
        pass
    done = run.results()
    selected = max(range(len(done)), key=lambda i: (done[i].state == "complete", done[i].score, -i))
    if done[selected].score == -math.inf:
        raise FloatingPointError(f"all {trials} trials diverged: the embeddings may be of an extreme scale")
    operations = sum(trainer.operations(trial.settings) * trial.steps_run for trial in done)
    return SearchResult(tuple(done), selected, operations, run.probe_of(done[selected].number))


@dataclass(frozen=True)
class _Stand:
    """Where a training stands."""

    best_score: float
    best_step: int
    step: int
    seconds: float
    over: bool
    diverged: bool

    @classmethod
    def of(cls, training: Training) -> _Stand:
        return cls(
            training.best_score, training.best_step, training.step, training.seconds, training.over, training.diverged
        )


class _Rounds:
    """The rounds of one search."""

    def __init__(
        self,
        trainer: Trainer,
        protocol: Protocol,
        study: SearchStudy,
        trials: int,
        seed: int,
        sampler: Sampler,
        pruner: Halving | None,
        first: Sequence[Settings],
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self._trainer, self._protocol, self._study, self._wanted = trainer, protocol, study, trials
        self._seed, self._sampler, self._pruner, self._progress = seed, sampler, pruner, progress
        study.study.sampler = StudySampler(sampler, seed, first)
        self._first = {replace(settings, warm_rate=None): settings for settings in first}
        self._size = trials if sampler == "grid" else protocol.round
        self._best: tuple[int, TrainedProbe] | None = None

    def round(self) -> bool:
        """Take up what was left behind, ask for what is still wanted, train it; say whether there was anything."""
        with self._study.asking():
            asked = self._take_up()
            asked += self._ask(asked)
        if not asked:
            return False
        if self._pruner is None:
            self._finish(asked, [()] * len(asked), {})
        else:
            self._climb(asked, self._pruner)
        return True

    def _take_up(self) -> list[optuna.Trial]:
        taken = self._study.left_behind(self._wanted)
        for trial in taken:
            self._study.claim(trial)
            # Its process may have been killed before it had asked for everything.
            suggest(trial, self._protocol, grid=self._sampler == "grid")
        return taken

    def _ask(self, taken: Sequence[optuna.Trial]) -> list[optuna.Trial]:
        begun = len(self._study.trials)
        left = max(0, self._wanted - begun)
        room = -begun % self._size
        count = min(left, room if taken or room else self._size)
        asked = []
        for _ in range(count):
            trial = self._study.study.ask()
            if trial.number >= self._wanted:  # another process was faster; a longer search will take it up
                break
            self._study.claim(trial)
            suggest(trial, self._protocol, grid=self._sampler == "grid")
            asked.append(trial)
        return asked

    def others_go_on(self) -> bool:
        """Wait a moment and say yes while other processes train some of the trials that are wanted."""
        if all(trial.state.is_finished() for trial in self._study.trials[: self._wanted]):
            return False
        time.sleep(POLL_SECONDS)
        return True

    def _settings(self, trial: optuna.Trial | FrozenTrial) -> Settings:
        found = settings_of(trial.params, self._protocol)
        return self._first.get(found, found)

    def _climb(self, asked: Sequence[optuna.Trial], pruner: Halving) -> None:
        """Train a round, telling what falls behind at each rung, and what comes to its end."""
        settings = {trial.number: self._settings(trial) for trial in asked}
        company = [
            each for each in self.results(whole=False) if each.number < max(settings) and each.number not in settings
        ]
        # States that do not fit are not kept between rungs: a training is the same when it is begun once more.
        held: dict[int, Training] | None = {} if self._fit(settings.values()) else None
        reached: dict[int, list[float]] = {number: [] for number in settings}
        going = list(asked)
        for rung, share in enumerate(pruner.shares):
            here: dict[int, _Stand] = {}
            for part in self._groups(going):
                trainings = self._at(part, held)
                self._trainer.advance(trainings, [_rung(training, share) for training in trainings])
                here |= {trial.number: _Stand.of(training) for trial, training in zip(part, trainings, strict=True)}
            for number, stand in here.items():
                reached[number].append(stand.best_score)
            scores = {each.number: each.rungs[rung] for each in company if len(each.rungs) > rung}
            scores |= {number: stand.best_score for number, stand in here.items()}
            stays = dict(
                zip(sorted(scores), pruner.survive(rung, [scores[n] for n in sorted(scores)], []), strict=True)
            )
            for trial in going:
                if not stays[trial.number]:
                    self._tell(trial, here[trial.number], tuple(reached[trial.number]), None)
                    if held is not None:
                        del held[trial.number]
            going = [trial for trial in going if stays[trial.number]]
        self._finish(going, [tuple(reached[trial.number]) for trial in going], held)

    def _finish(
        self, trials: Sequence[optuna.Trial], rungs: Sequence[tuple[float, ...]], held: dict[int, Training] | None
    ) -> None:
        """Train trials to their end, and tell each group as it is there."""
        by_number = dict(zip((trial.number for trial in trials), rungs, strict=True))
        for part in self._groups(trials):
            trainings = self._at(part, held)
            self._trainer.advance(trainings, [training.settings.steps for training in trainings])
            for trial, training in zip(part, trainings, strict=True):
                self._tell(trial, _Stand.of(training), by_number[trial.number], training)
                if held is not None:
                    del held[trial.number]

    def _at(self, trials: Sequence[optuna.Trial], held: dict[int, Training] | None) -> list[Training]:
        """Return the trainings of trials where they stand, or begun."""
        found = {} if held is None else held
        for trial in trials:
            if trial.number not in found:
                found[trial.number] = self._trainer.begin(self._settings(trial), self._seed)
        return [found[trial.number] for trial in trials]

    def _groups(self, trials: Sequence[optuna.Trial]) -> list[list[optuna.Trial]]:
        parts = groups(self._trainer, [self._settings(trial) for trial in trials])
        return [[trials[i] for i in part] for part in parts]

    def _fit(self, settings: Iterable[Settings]) -> bool:
        """Say whether all trainings of a round can be held: weights, two moments, and the best weights."""
        return sum(16 * self._trainer.weights(each) for each in settings) <= HELD_BYTES

    def _tell(self, trial: optuna.Trial, stand: _Stand, rungs: tuple[float, ...], training: Training | None) -> None:
        state: State = "diverged" if stand.diverged else "complete" if stand.over else "pruned"
        score = stand.best_score
        outcome = {
            "state": state,
            "score": score if math.isfinite(score) else None,
            "best_step": stand.best_step,
            "steps_run": stand.step,
            "seconds": stand.seconds,
            "rungs": [score if math.isfinite(score) else None for score in rungs],
        }
        told = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "diverged": TrialState.FAIL}[state]
        try:
            reported = self._study.trials[trial.number].intermediate_values  # by a process that was killed just then
            for step, reached in enumerate(rungs):
                if math.isfinite(reached) and step not in reported:
                    trial.report(reached, step)
            trial.set_user_attr("outcome", outcome)
            value = score if state == "complete" else None
            self._study.study.tell(trial, value, state=told, skip_if_finished=True)
        except UpdateFinishedTrialError:
            pass  # this process was silent for long, another one took the trial up and was faster: it found the same
        if training is not None and state == "complete" and (self._best is None or score > self._best[1].valid_score):
            self._best = trial.number, self._trainer.finish(training)
        if self._progress is not None:
            done = sum(_is_done(each) for each in self._study.trials)
            self._progress(min(done, self._wanted), self._wanted)

    def results(self, *, whole: bool = True) -> list[TrialResult]:
        """Return the trials that are done, in order; with ``whole``, of the first ones, as many as were wanted."""
        trials = self._study.trials[: self._wanted] if whole else self._study.trials
        return [self._result(trial) for trial in trials if _is_done(trial)]

    def _result(self, trial: FrozenTrial) -> TrialResult:
        outcome = trial.user_attrs["outcome"]
        rungs = tuple(-math.inf if score is None else score for score in outcome["rungs"])
        return TrialResult(
            number=trial.number,
            settings=self._settings(trial),
            state=outcome["state"],
            score=-math.inf if outcome["score"] is None else outcome["score"],
            best_step=outcome["best_step"],
            steps_run=outcome["steps_run"],
            seconds=outcome["seconds"],
            rungs=rungs,
        )

    def probe_of(self, number: int) -> TrainedProbe | None:
        """Return the probe of a trial, if this process trained it and it is the best it trained."""
        return self._best[1] if self._best is not None and self._best[0] == number else None


def _is_done(trial: FrozenTrial) -> bool:
    """Say whether a trial was told whole: one whose process was killed in between is trained once more."""
    return trial.state.is_finished() and "outcome" in trial.user_attrs


def groups(trainer: Trainer, settings: Sequence[Settings]) -> list[list[int]]:
    """Return indices of settings in groups that are trained side by side: of one shape, and no more than pays.

    A wide layer reaches the full rate of a product alone, so that on a CPU such probes go one after the other.
    """
    found: dict[tuple[object, ...], list[int]] = {}
    for i, each in enumerate(settings):
        found.setdefault((each.hidden, each.dropout, each.batch_size), []).append(i)
    parts = []
    for (hidden, *_), members in found.items():
        size = _group_size(trainer, bool(hidden))
        parts += [members[start : start + size] for start in range(0, len(members), size)]
    return parts


def _group_size(trainer: Trainer, hidden: bool) -> int:
    if trainer.spec.layers is not None:
        return 1
    if trainer.device != "cpu":
        return GPU_GROUP
    return 1 if hidden else max(1, min(CPU_GROUP, CPU_GROUP_WEIGHTS // (trainer.dim * trainer.spec.outputs)))


def _rung(training: Training, share: float) -> int:
    """Return the first look of a training at or after ``share`` of its steps."""
    return next(look for look in training.looks if look >= share * training.settings.steps)
