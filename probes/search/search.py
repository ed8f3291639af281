"""Search the probe's settings on train and valid. Test is out of reach by construction.

Trials are asked for in rounds. Those of a round train side by side where that pays, and are compared with each other
and with earlier ones when they are pruned. What a round holds depends on the protocol and the seed alone; so a search
that is killed and resumed, or whose trials are grouped otherwise on another machine, comes to the same result: for
wide probes to the last bit, for narrow ones, whose products are shared, to rounding.

Another processor rounds otherwise. So that it comes to the same settings where it can, samplers and the pruner see
scores on a grid, and scores that valid cannot tell apart are taken in a fixed order (:mod:`probes.search.ties`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, TrialState

from probes.protocol import Protocol, Settings
from probes.search.pruning import PRUNERS, Halving
from probes.search.sampling import Sampler, StudySampler, settings_of, suggest
from probes.search.storage import SearchStudy
from probes.search.ties import first_within, rounded, tolerance
from probes.search.trials import SearchResult, Snapshot, State, TrialResult
from probes.training.lanes import ThreadBudget, at_once
from probes.training.probe import TrainedProbe
from probes.training.state import Training
from probes.training.trainer import Trainer

#: Bytes of a round's trainings that are held between rungs.
HELD_BYTES = 2**31
POLL_SECONDS = 0.5  # between looks at what other processes of the same study have done


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
    complete = [trial for trial in done if trial.state == "complete" and trial.score > -math.inf]
    if not complete:
        raise FloatingPointError(f"all {trials} trials diverged: the embeddings may be of an extreme scale")
    chosen = complete.pop(first_within([trial.score for trial in complete], run.tolerance))
    runner_up = complete[first_within([trial.score for trial in complete], run.tolerance)] if complete else None
    operations = sum(trainer.operations(trial.settings) * trial.steps_run for trial in done)
    return SearchResult(
        tuple(done), done.index(chosen), operations, run.probe_of(chosen.number), run.tolerance, runner_up
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
        self._starts = 0 if sampler == "grid" else len(first)
        self._size = trials if sampler == "grid" else protocol.round
        #: Scores as near as this count as equal; samplers and the pruner see them on a grid of this step.
        self.tolerance = tolerance(len(trainer.valid))
        self._best: dict[int, TrainedProbe] = {}

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
        # Up to the end of the round, also where a resumed search has no more than some of it left to train.
        end = -(-(max(settings) + 1) // self._size) * self._size
        group = [each for each in self.results(whole=False) if each.number < end and each.number not in settings]
        everyone = len(group) + len(settings)
        # States that do not fit are not kept between rungs: a training is the same when it is begun once more.
        held: dict[int, Training] | None = {} if self._bytes(settings.values()) <= HELD_BYTES else None
        reached: dict[int, list[float]] = {number: [] for number in settings}
        going = list(asked)
        for rung, share in enumerate(pruner.shares):
            here: dict[int, Snapshot] = {}
            with closing(self._train(going, held, share)) as arriving:
                for part, trainings in arriving:
                    here |= {
                        trial.number: Snapshot.of(training) for trial, training in zip(part, trainings, strict=True)
                    }
            for number, snapshot in here.items():
                reached[number].append(snapshot.best_score)
            scores = {each.number: each.rungs[rung] for each in group if len(each.rungs) > rung}
            scores |= {number: snapshot.best_score for number, snapshot in here.items()}
            scores = {number: rounded(score, self.tolerance) for number, score in scores.items()}
            numbers = sorted(scores)
            starts = sum(number < self._starts for number in numbers)
            survive = pruner.survive(rung, [scores[n] for n in numbers], [], of=everyone, starts=starts)
            stays = dict(zip(numbers, survive, strict=True))
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
        with closing(self._train(trials, held, 1.0)) as arriving:
            for part, trainings in arriving:
                for trial, training in zip(part, trainings, strict=True):
                    self._tell(trial, Snapshot.of(training), by_number[trial.number], training)
                    if held is not None:
                        del held[trial.number]

    def _train(
        self, trials: Sequence[optuna.Trial], held: dict[int, Training] | None, share: float
    ) -> Generator[tuple[list[optuna.Trial], list[Training]], None, None]:
        """Train trials to a share of their steps, groups in lanes; yield each group as it is there."""
        settings = [self._settings(trial) for trial in trials]
        parts = self._trainer.groups(settings)

        def work(part: list[int], budget: ThreadBudget) -> list[Training]:
            found: list[Training] = []
            for i in part:
                known = None if held is None else held.get(trials[i].number)
                found.append(self._trainer.begin(settings[i], self._seed) if known is None else known)
            self._trainer.advance(found, [_rung(training, share) for training in found], budget)
            return found

        costs = [self._trainer.cost(settings[i] for i in part) for part in parts]
        with closing(at_once([partial(work, part) for part in parts], costs, self._lanes(settings, parts))) as done:
            for place, trainings in done:
                if held is not None:
                    held |= {trials[i].number: each for i, each in zip(parts[place], trainings, strict=True)}
                yield [trials[i] for i in parts[place]], trainings

    def _bytes(self, settings: Iterable[Settings]) -> int:
        """Return the memory that trainings take: weights, two moments, and the best weights."""
        return sum(16 * self._trainer.weights(each) for each in settings)

    def _lanes(self, settings: Sequence[Settings], parts: Sequence[Sequence[int]]) -> int:
        """Return how many groups are trained at once: as many as fit, however many lanes there are."""
        most = max((self._bytes(settings[i] for i in part) for part in parts), default=0)
        return max(1, min(self._trainer.lanes(), HELD_BYTES // max(1, most)))

    def _tell(
        self, trial: optuna.Trial, snapshot: Snapshot, rungs: tuple[float, ...], training: Training | None
    ) -> None:
        state: State = "diverged" if snapshot.diverged else "complete" if snapshot.over else "pruned"
        score = snapshot.best_score
        outcome = {
            "state": state,
            "score": score if math.isfinite(score) else None,
            "best_step": snapshot.best_step,
            "steps_run": snapshot.step,
            "seconds": snapshot.seconds,
            "rungs": [score if math.isfinite(score) else None for score in rungs],
        }
        told = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "diverged": TrialState.FAIL}[state]
        try:
            reported = self._study.trials[trial.number].intermediate_values  # by a process that was killed just then
            for step, reached in enumerate(rungs):
                if math.isfinite(reached) and step not in reported:
                    trial.report(rounded(reached, self.tolerance), step)
            trial.set_user_attr("outcome", outcome)
            value = rounded(score, self.tolerance) if state == "complete" else None
            self._study.study.tell(trial, value, state=told, skip_if_finished=True)
        except UpdateFinishedTrialError:
            pass  # this process was silent for long, another one took the trial up and was faster: it found the same
        if training is not None and state == "complete":
            self._hold(trial.number, training)
        if self._progress is not None:
            done = sum(_is_done(each) for each in self._study.trials)
            self._progress(min(done, self._wanted), self._wanted)

    def _hold(self, number: int, training: Training) -> None:
        """Keep the probes of this process that may be selected: those as good as the best so far."""
        self._best[number] = self._trainer.finish(training)
        least = max(probe.valid_score for probe in self._best.values()) - self.tolerance
        self._best = {number: probe for number, probe in self._best.items() if probe.valid_score >= least}

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
        """Return the probe of the selected trial, if this process trained it."""
        return self._best.get(number)


def _is_done(trial: FrozenTrial) -> bool:
    """Say whether a trial was told whole: one whose process was killed in between is trained once more."""
    return trial.state.is_finished() and "outcome" in trial.user_attrs


def _rung(training: Training, share: float) -> int:
    """Return the first look of a training at or after ``share`` of its steps."""
    return next(look for look in training.validations if look >= share * training.settings.steps)
