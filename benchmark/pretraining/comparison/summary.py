"""What a comparison found, ``results/strategies.json``: what its tables and its view of the report page show."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import ValidationError

from benchmark.system.descriptions import read_description
from results.files import replace_file
from results.record import RecordError
from results.sections import Section

#: The file, beside ``runs/`` and ``curves/`` of the results folder that holds the comparison's records.
NAME = "strategies.json"
SCHEMA_VERSION: Final = 1

Question = Literal["items", "items and seeds"]


class Run(Section):
    """One training, or one network of random weights.

    ``name`` is that of its folder below ``runs/`` and of the encoder in records. ``why`` says what stopped it.
    ``effective_rank`` is of the embeddings of its last logged batch, ``minutes`` its steps at its last logged pace;
    both are ``None`` of random weights and where nothing was logged.
    """

    name: str
    seed: int
    status: Literal["finished", "stopped", "random"]
    why: str = ""
    steps: int = 0
    minutes: float | None = None
    effective_rank: float | None = None
    loss: float | None = None


class Strategy(Section):
    """A recipe with its runs, or a network of random weights with its draws (``random``), for which steps are 0.

    An example is a track's crop, of strategies that compare two crops a pair of them; ``hours`` are of the audio of all
    crops, repeats counted.
    """

    name: str
    title: str
    objective: str
    network: str
    random: bool = False
    parameters: int
    batch: int = 0
    crops: int = 0
    steps: int = 0
    examples: int = 0
    hours: float = 0.0
    runs: list[Run]


class Dots(Section):
    """Resampled test items: each value is the mean over networks of a resample, ``mean`` theirs, the ends percentiles.

    ``seeds_low`` and ``seeds_high`` are percentiles of resamples in which pre-training seeds were drawn too.
    """

    values: list[float]
    mean: float
    low: float
    high: float
    seeds_low: float
    seeds_high: float
    undefined: int = 0


class Score(Section):
    """A strategy's score on test of a task: the mean over pre-training seeds, each the mean over its probes.

    ``seeds`` has each network's. The interval is of the score to be expected over items (or groups) and pre-training
    seeds, or over items alone where there is one seed (``question``); it is ``None`` where the metric is undefined
    without some one item or group. ``rank`` is the rank group among strategies, on a task's primary metric.
    """

    strategy: str
    task: str
    metric: str
    value: float
    low: float | None
    high: float | None
    question: Question
    seeds: list[float]
    dots: Dots | None
    rank: int | None = None


class Difference(Section):
    """What the first strategy has over the second on a task's primary metric, with Holm's p over the task's family.

    ``baseline`` marks the difference of a strategy from the random weights of its own network.
    """

    task: str
    metric: str
    first: str
    second: str
    baseline: bool
    difference: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    question: Question

    @property
    def separated(self) -> bool:
        """Whether p, corrected, is under .05."""
        return self.p_holm is not None and self.p_holm < 0.05


class Point(Section):
    """A point of a limited-data curve: ``fraction`` of train, ``items`` in number (the mean over samples).

    ``scores`` has the score on test of each sample; of several networks the samples of all. The band runs from the
    lowest to the highest of them.
    """

    strategy: str
    task: str
    metric: str
    fraction: float
    items: float
    scores: list[float]

    @property
    def mean(self) -> float:
        """The mean over samples."""
        return sum(self.scores) / len(self.scores)


class TaskFacts(Section):
    """A task: its kind, metrics (the primary one first), and how many items of train and test, and groups, it has."""

    id: str
    title: str
    kind: str
    metrics: list[str]
    train: int
    test: int
    clusters: int
    grouped: bool


class Summary(Section):
    """A whole comparison. ``notes`` are sentences on what is missing, or must be known to read it."""

    schema_version: Literal[1] = SCHEMA_VERSION
    budget: str
    paces: dict[str, float]
    seeds: int
    store: str
    fingerprint: str
    tracks: int
    hours: float
    protocol: str
    probe_seeds: int
    samples: int
    curve_seeds: int
    resamples: int
    two_way_resamples: int
    bootstrap_seed: int
    tasks: list[TaskFacts]
    strategies: list[Strategy]
    scores: list[Score]
    differences: list[Difference]
    points: list[Point]
    notes: list[str]

    def score(self, strategy: str, task: str, metric: str) -> Score | None:
        """Return the score of a strategy on a task, where there is one."""
        found = (each for each in self.scores if (each.strategy, each.task, each.metric) == (strategy, task, metric))
        return next(found, None)


def write(results: Path, summary: Summary) -> Path:
    """Write a summary into a results folder, where it is not there as it is; return its path."""
    path, content = results / NAME, (summary.model_dump_json(indent=1) + "\n").encode()
    if not path.is_file() or path.read_bytes() != content:
        replace_file(path, content)
    return path


def read(results: Path) -> Summary | None:
    """Return the summary of a results folder, or ``None`` where there is no comparison.

    Raises:
        RecordError: It cannot be read, or another version wrote it.
    """
    path = results / NAME
    if not path.is_file():
        return None
    again = "write it again with the same bench pretrain compare, which keeps what is finished"
    try:
        return Summary.model_validate(read_description(path))
    except OSError as error:
        raise RecordError(f"cannot read {path}: {error.strerror or error}", again) from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RecordError(f"{path} is no comparison that this version reads: {where}: {first['msg']}", again) from None
    except ValueError as error:
        raise RecordError(str(error), again) from None
