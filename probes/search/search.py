"""Search the probe's settings on train and valid. Test is out of reach by construction.

Trials are sampled in rounds. Those of a round are trained in batches, and are compared with each other and with earlier
ones when they are pruned. A round depends on the protocol and the seed alone; so a search that is killed and resumed,
or whose batches are others on another machine, comes to the same result: for wide probes to the last bit, for narrow
ones, which share products, to rounding.

Another processor rounds differently. So that it selects the same settings where it can, samplers and the pruner see
scores on a grid, and scores that the validation split cannot tell apart are taken in a fixed order
(:mod:`probes.search.ties`).
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
from probes.training.concurrency import ThreadBudget, run_concurrently
from probes.training.probe import TrainedProbe
from probes.training.state import Training
from probes.training.trainer import Trainer

#: Bytes of a round's trainings that are kept between rungs.
HELD_BYTES = 2**31
POLL_SECONDS = 0.5  # between two reads of a study that other processes work on


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
    """Extend ``study`` to ``trials`` trials and return them with the best on the validation split.

    The protocol's first settings (published ones, or the middle of its ranges) are the first trials, so that a short
    search has a sensible probe; the sampler chooses the others. Trials that other processes of the same study have
    begun are waited for.

    Args:
        trainer: Trains on train, scores on valid.
        protocol: The ranges.
        study: Keeps the trials; it may hold some already.
        trials: Number of settings, at least 1.
        seed: Seed of the sampler and of every trial's training.
        sampler: ``tpe``, ``random``, or every point of the protocol's ``grid``.
        pruner: ``halving`` or ``none``.
        progress: Called with (trials done, trials).

    Raises:
        ValueError: ``trials`` is below 1, or not the number of the grid's points.
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
        """Train abandoned trials and ask for the missing ones; return whether there were any."""
        with self._study.asking():
            trials = self._take_up()
            trials += self._ask(trials)
        if not trials:
            return False
        if self._pruner is None:
            self._finish(trials, [()] * len(trials), {})
        else:
            self._climb(trials, self._pruner)
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
        trials = []
        for _ in range(count):
            trial = self._study.study.ask()
            if trial.number >= self._wanted:  # another process was faster; a longer search will take it up
                break
            self._study.claim(trial)
            suggest(trial, self._protocol, grid=self._sampler == "grid")
            trials.append(trial)
        return trials

    def others_go_on(self) -> bool:
        """Return whether other processes still train some of the trials, after a short wait if they do."""
        if all(trial.state.is_finished() for trial in self._study.trials[: self._wanted]):
            return False
        time.sleep(POLL_SECONDS)
        return True

    def _settings(self, trial: optuna.Trial | FrozenTrial) -> Settings:
        settings = settings_of(trial.params, self._protocol)
        return self._first.get(settings, settings)

    def _climb(self, trials: Sequence[optuna.Trial], pruner: Halving) -> None:
        """Train a round and report its trials to the study: at each rung those that are pruned, at last the others."""
        settings = {trial.number: self._settings(trial) for trial in trials}
        # Up to the end of the round, also where a resumed search trains only some of its trials.
        end = -(-(max(settings) + 1) // self._size) * self._size
        results = self.results(whole=False)
        earlier = [result for result in results if result.number < end and result.number not in settings]
        count = len(earlier) + len(settings)
        # States that do not fit are not kept between rungs: a training that starts again gives the same weights.
        kept: dict[int, Training] | None = {} if self._bytes(settings.values()) <= HELD_BYTES else None
        reached: dict[int, list[float]] = {number: [] for number in settings}
        running = list(trials)
        for rung, share in enumerate(pruner.shares):
            here: dict[int, Snapshot] = {}
            with closing(self._train(running, kept, share)) as arriving:
                for part, trainings in arriving:
                    here |= {
                        trial.number: Snapshot.of(training) for trial, training in zip(part, trainings, strict=True)
                    }
            for number, snapshot in here.items():
                reached[number].append(snapshot.best_score)
            scores = {result.number: result.rungs[rung] for result in earlier if len(result.rungs) > rung}
            scores |= {number: snapshot.best_score for number, snapshot in here.items()}
            scores = {number: rounded(score, self.tolerance) for number, score in scores.items()}
            numbers = sorted(scores)
            starts = sum(number < self._starts for number in numbers)
            survive = pruner.survive(rung, [scores[n] for n in numbers], [], of=count, starts=starts)
            survives = dict(zip(numbers, survive, strict=True))
            for trial in running:
                if not survives[trial.number]:
                    self._tell(trial, here[trial.number], tuple(reached[trial.number]), None)
                    if kept is not None:
                        del kept[trial.number]
            running = [trial for trial in running if survives[trial.number]]
        self._finish(running, [tuple(reached[trial.number]) for trial in running], kept)

    def _finish(
        self,
        trials: Sequence[optuna.Trial],
        rungs: Sequence[tuple[float, ...]],
        kept: dict[int, Training] | None,
    ) -> None:
        """Train trials to their end, and report each batch to the study when it is trained."""
        by_number = dict(zip((trial.number for trial in trials), rungs, strict=True))
        with closing(self._train(trials, kept, 1.0)) as arriving:
            for part, trainings in arriving:
                for trial, training in zip(part, trainings, strict=True):
                    self._tell(trial, Snapshot.of(training), by_number[trial.number], training)
                    if kept is not None:
                        del kept[trial.number]

    def _train(
        self, trials: Sequence[optuna.Trial], kept: dict[int, Training] | None, share: float
    ) -> Generator[tuple[list[optuna.Trial], list[Training]], None, None]:
        """Train trials to a share of their steps, batches in slots; yield each batch when it is trained."""
        settings = [self._settings(trial) for trial in trials]
        parts = self._trainer.groups(settings)

        def work(part: list[int], budget: ThreadBudget) -> list[Training]:
            trainings: list[Training] = []
            for i in part:
                training = None if kept is None else kept.get(trials[i].number)
                trainings.append(self._trainer.begin(settings[i], self._seed) if training is None else training)
            self._trainer.advance(trainings, [_rung(training, share) for training in trainings], budget)
            return trainings

        costs = [self._trainer.cost(settings[i] for i in part) for part in parts]
        works = [partial(work, part) for part in parts]
        with closing(run_concurrently(works, costs, self._slots(settings, parts))) as done:
            for index, trainings in done:
                batch = [trials[i] for i in parts[index]]
                if kept is not None:
                    kept |= {trial.number: training for trial, training in zip(batch, trainings, strict=True)}
                yield batch, trainings

    def _bytes(self, settings: Iterable[Settings]) -> int:
        """Return the memory that trainings take: weights, two moments, and the best weights."""
        return sum(16 * self._trainer.weights(choice) for choice in settings)

    def _slots(self, settings: Sequence[Settings], parts: Sequence[Sequence[int]]) -> int:
        """Return the number of concurrent batches: the number of slots, or fewer where memory is short."""
        most = max((self._bytes(settings[i] for i in part) for part in parts), default=0)
        return max(1, min(self._trainer.slots(), HELD_BYTES // max(1, most)))

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
        trial_state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "diverged": TrialState.FAIL}[state]
        try:
            reported = self._study.trials[trial.number].intermediate_values  # by a process that was killed just then
            for step, reached in enumerate(rungs):
                if math.isfinite(reached) and step not in reported:
                    trial.report(rounded(reached, self.tolerance), step)
            trial.set_user_attr("outcome", outcome)
            value = rounded(score, self.tolerance) if state == "complete" else None
            self._study.study.tell(trial, value, state=trial_state, skip_if_finished=True)
        except UpdateFinishedTrialError:
            pass  # another process took the trial up and finished it, with the same result
        if training is not None and state == "complete":
            self._keep(trial.number, training)
        if self._progress is not None:
            done = sum(_is_done(trial) for trial in self._study.trials)
            self._progress(min(done, self._wanted), self._wanted)

    def _keep(self, number: int, training: Training) -> None:
        """Keep the probes that may be selected: those within the tolerance of the best so far."""
        self._best[number] = self._trainer.finish(training)
        least = max(probe.valid_score for probe in self._best.values()) - self.tolerance
        self._best = {number: probe for number, probe in self._best.items() if probe.valid_score >= least}

    def results(self, *, whole: bool = True) -> list[TrialResult]:
        """Return the finished trials in order; with ``whole`` those among the first that this search makes."""
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
