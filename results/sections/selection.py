"""Sections of a record on how its probe was selected: the search, every trial, the probe and its seeds."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from results.sections import Section


class ProbeSection(Section):
    """The selected probe.

    ``best_steps`` holds the restored step of each retrained probe, ``steps_run`` the steps that each was trained for.
    ``layer`` names the encoder's layer that the probe takes, or ``mix`` or ``all``; ``mixing`` the weight that each
    probe gives each layer. ``dropout_place`` is ``hidden``, ``logits`` or ``input_and_hidden``.
    """

    hidden: list[int]
    dropout: float
    dropout_place: str
    batch_size: int
    loss: str
    learning_rate: float
    warm_rate: float | None
    l2: float
    steps: int
    standardise: bool
    parameters: int
    best_steps: list[int]
    steps_run: list[int]
    precision: Literal["fp32", "bf16"]
    layer: str | None = None
    mixing: list[list[float]] | None = None


class Trial(Section):
    """One probe configuration tried: its settings, its best validation score and the step that reached it.

    ``state`` is ``complete``, ``pruned`` or ``diverged``; ``score`` is ``None`` for a trial that diverged before its
    first look at valid. ``steps_run`` of its ``steps`` were trained.
    """

    number: int
    state: Literal["complete", "pruned", "diverged"]
    hidden: list[int]
    dropout: float
    batch_size: int
    learning_rate: float
    l2: float
    steps: int
    standardise: bool
    score: float | None
    best_step: int
    steps_run: int
    seconds: float


class RunnerUp(Section):
    """The trial that would have been selected without the selected one.

    ``lead`` is the selected one's score less this one's; it is below zero where the selected one came first among
    scores that count as equal.
    """

    number: int
    score: float
    lead: float


class SearchSection(Section):
    """The search on train and valid: its sampler, objective, every trial, and the index of the selected one.

    The budget spent is ``steps_run`` of the ``steps_asked`` of all trials; ``operations`` are those of the matrix
    products in these steps, and ``floor_seconds`` what they would take at the rate that was measured on this machine.
    ``section`` is the part of the protocol that served the task; ``layers`` the validation score of a ridge on each of
    the encoder's layers, where the layer was chosen by it. ``protocol_version`` is that of the protocols'
    file. Trials whose scores are at most ``tolerance`` below the best count as equal to it: of these the one of the
    smallest number is selected. ``runner_up`` is the next in that order; ``None`` where no other trial was completed.
    """

    section: str
    protocol_version: int
    sampler: str
    pruner: str
    objective: str
    selected: int
    trials: list[Trial]
    steps_run: int
    steps_asked: int
    operations: float
    floor_seconds: float
    layers: dict[str, float] | None = None
    tolerance: float | None = None
    runner_up: RunnerUp | None = None


class SeedsSection(Section):
    """Seeds of the search and of each retrained probe; blocks of items are dealt by the search's seed.

    With the seeds in ``diverged`` the selected probe reached no finite validation score: they are left out.
    """

    search: int
    probes: list[int]
    diverged: list[int] = Field(default_factory=list)
