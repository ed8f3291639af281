"""Sections of a record on scores: of the probe, of its baselines, and on deformed audio."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from results.sections import Section


class Score(Section):
    """One metric on one split.

    ``value`` is the mean over the retrained probes (``seeds`` lists each), ``std`` their sample deviation (``None``
    for one probe, of whose deviation nothing is known). ``low`` and ``high`` bound the 95 % interval of the expected
    score; ``question`` says over what: ``items and seeds`` (items or groups of this kind, and probe seeds), or
    ``items`` for these very probes, as with a single probe and in records before schema 3. ``items_low`` and
    ``items_high`` bound that narrower interval of these probes. All four are ``None`` where the metric is undefined
    without some one item or group. ``clusters`` is the number of groups drawn (of items, unless ``clustered``).
    ``labels`` holds the per-label values where the metric has them, ``left_out`` the labels without a positive (or
    without a negative, for ROC AUC) in this split, which the macro average therefore leaves out.
    """

    value: float
    low: float | None
    high: float | None
    std: float | None
    seeds: list[float]
    question: Literal["items", "items and seeds"] = "items"
    items_low: float | None = None
    items_high: float | None = None
    clusters: int | None = None
    clustered: bool | None = None
    labels: dict[str, float] | None = None
    left_out: list[str] = Field(default_factory=list)


class Scores(Section):
    """Scores by split and metric. Valid chose the probe, test did not."""

    valid: dict[str, Score]
    test: dict[str, Score]


class FloorScore(Section):
    """A metric on test of something simpler than the probe, with its 95 % interval over items (or groups) alone.

    A constant and a ridge have no seeds; the probe of permuted labels has one, whose part is not known.
    """

    value: float
    low: float | None
    high: float | None


class Floors(Section):
    """What the probe is to be held against, on test, by metric.

    ``constant`` knows how often each label occurs in train; ``permuted`` is the selected probe trained on permuted
    labels (``None`` where that diverged); ``ridge`` a ridge regression on the same embeddings, of the best of four
    penalties on valid. ``permuted`` or ``ridge`` is ``None`` too where its outputs on test are not finite.
    ``loses_to_ridge`` names the metrics in which the probe is worse than the ridge by more than the 95 % interval of
    their difference, in which the seeds of the probe count as well as the items.
    """

    constant: dict[str, FloorScore]
    permuted: dict[str, FloorScore] | None
    ridge: dict[str, FloorScore] | None
    ridge_penalty: float | None
    loses_to_ridge: list[str]


class Drop(Section):
    """A metric on deformed test audio, with its interval, and how far that is from the score on clean audio.

    ``drop`` is deformed minus clean, below zero where the score fell; ``drop_low`` and ``drop_high`` bound its 95 %
    interval: of the same items and the same probes, clean and deformed. ``question`` is that of both intervals, as in
    :class:`Score`; their ends are ``None`` where the metric is undefined without some one item or group.
    """

    value: float
    low: float | None
    high: float | None
    drop: float
    drop_low: float | None
    drop_high: float | None
    question: Literal["items", "items and seeds"] = "items"


class Robustness(Section):
    """What one deformation of the test audio does to the scores of the probes that were trained on clean audio.

    ``spec`` and ``version`` say which, ``space`` is the key of the deformed audio's embeddings, and ``clipped`` counts
    the test tracks that it drove beyond full scale.
    """

    spec: str
    version: int
    space: str
    clipped: int
    metrics: dict[str, Drop]
