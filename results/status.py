"""Whether a published score was reproduced: a record beside what was published of its encoder.

``reproduced``
    The published value lies inside the 95 % interval of ours, or within :data:`NEAR` of ours, and the interval is at
    most :data:`NARROW` to either side.
``undecided``
    It lies there, but the interval is wider: a much lower score would lie there too.
``off``
    It lies outside.
``not comparable``
    The two were not measured in the same way, or ours not well enough; never ``reproduced``, however near they are.

The rules stand in docs/protocol.md; what was published lies in ``published/`` and ``paper/``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from results.intervals import span
from results.paper_tables import PublishedValue
from results.partial import format_left_out, is_partial
from results.record import Record
from results.sections.scores import Score
from results.sources import PublishedSource, sources

NEAR = 0.01
"""A published value this near to ours counts as equal: published scores are rounded, and made on other machines."""

NARROW = 0.03
"""The largest half-width of an interval that can say that a score was reproduced."""

_ROUNDING = 1e-9
"""The tolerance is for values such as 0.42 - 0.41, which is a little more than 0.01 in binary."""

Word = Literal["reproduced", "undecided", "off", "not comparable"]


@dataclass(frozen=True)
class Status:
    """One score of a record beside the published one.

    Attributes:
        task: Id of the task.
        encoder: The record's name: id of the encoder, and variant.
        metric: The metric.
        word: What came of it.
        measured: Our value.
        low: Lower end of our 95 % interval, ``None`` where there is none.
        high: Its upper end.
        published: The published value.
        difference: Ours less the published one.
        source: Where it was published.
        reason: Why it is undecided, off or not comparable; empty where it was reproduced.
    """

    task: str
    encoder: str
    metric: str
    word: Word
    measured: float
    low: float | None
    high: float | None
    published: float
    difference: float
    source: str
    reason: str


def statuses(record: Record, known: Sequence[PublishedSource] | None = None) -> tuple[Status, ...]:
    """Return the status of every score of a record that a source has; empty where none has its encoder and task.

    Args:
        record: The record.
        known: The sources; ``None`` for those of this package.

    Raises:
        RecordError: The sources of this package are malformed.
    """
    found = []
    encoder = base_id(record.encoder.id)
    for source in sources() if known is None else known:
        cells = source.cells_of(encoder)
        for metric, score in record.scores.test.items():
            if (record.task.id, metric) in cells:
                value, table = cells[record.task.id, metric]
                found.append(_status(record, metric, score, source, value, f"{source.title}, {table}"))
    return tuple(found)


def sentence(status: Status) -> str:
    """Return a status in a line: what came of it, and both scores."""
    why = f" ({status.reason})" if status.reason else ""
    ours = f"{status.measured:z.3f} ({span(status.low, status.high)})"
    return (
        f"{status.encoder} on {status.task}, {status.metric}: {status.word}{why}; ours {ours}, published "
        f"{status.published:.3f} ({status.source}), difference {status.difference:+.3f}"
    )


def base_id(encoder: str) -> str:
    """Return what an encoder is called without its revision and its options.

    >>> base_id("hf:m-a-p/MERT-v1-330M@0e3a3e2?layer=7")
    'hf:m-a-p/MERT-v1-330M'
    """
    return encoder.partition("?")[0].partition("@")[0]


def _status(
    record: Record, metric: str, score: Score, source: PublishedSource, value: PublishedValue, where: str
) -> Status:
    difference = score.value - value.value
    reasons = [*_other_protocol(source, value), *_other_run(record, source), *_no_interval(record, score)]
    word: Word
    if reasons or score.low is None or score.high is None:
        word, reason = "not comparable", "; ".join(reasons)
    else:
        word, reason = _compared(difference, score.low, score.high, value.value)
    return Status(
        task=record.task.id, encoder=record.name, metric=metric, word=word, measured=score.value, low=score.low,
        high=score.high, published=value.value, difference=difference, source=where, reason=reason,
    )  # fmt: skip


def _compared(difference: float, low: float, high: float, published: float) -> tuple[Word, str]:
    """Return the word, and why, for two scores that were measured in the same way."""
    half = (high - low) / 2
    if not (low <= published <= high or abs(difference) <= NEAR + _ROUNDING):
        side = "above" if difference > 0 else "below"
        return "off", f"{abs(difference):.3f} {side} what was published"
    if half > NARROW + _ROUNDING:
        return "undecided", f"the interval is ±{math.ceil(half * 1000 - 1e-6) / 1000:.3f}, wider than ±{NARROW:.2f}"
    return "reproduced", ""


def _other_protocol(source: PublishedSource, value: PublishedValue) -> Iterator[str]:
    """Say why a published value is of another protocol than ours."""
    if not source.protocol:
        yield f"other protocol: {source.other}"
    if value.reference:
        yield f"other protocol: the source has it from its reference [{value.reference}]"


def _other_run(record: Record, source: PublishedSource) -> Iterator[str]:
    """Say how a record was measured otherwise than the source would have it."""
    task = record.task.id
    if task in source.tasks:
        yield source.tasks[task]
    if record.encoder.id != (base := base_id(record.encoder.id)):
        yield f"other settings of the encoder: {record.encoder.id.removeprefix(base)}"
    if record.variant:
        yield f"a variant: +{record.variant}"
    if source.protocol and record.protocol != source.protocol:
        yield f"other protocol: {record.protocol}, not {source.protocol}"
    yield from _other_items(record)
    if record.encoder.own_windows:
        yield "other windows: the encoder's own in place of the task's"
    elif source.windows and (told := _windows_of(record)) is not None:
        wanted = source.windows.get(task, source.windows.get(""))
        if wanted is not None and told != wanted:
            yield f"other windows: {told[0]:g} s every {told[1]:g} s, not {wanted[0]:g} s every {wanted[1]:g} s"


def _other_items(record: Record) -> Iterator[str]:
    """Say which items of the task a record does not have, or has otherwise."""
    if record.limit is not None:
        yield f"limited to {record.limit} items"
    if record.curve is not None:
        yield f"a point of a learning curve: {record.curve.fraction:g} of train"
    if record.folds:
        yield f"other splits: {len(record.folds)} folds"
    if is_partial(record):
        yield f"data missing: {format_left_out(record.data)}"
    elif record.data.missing:
        yield "counts of items differ from the card's"
    if record.data.audio_seconds is None:
        yield "embeddings that were given: of which audio is not known"


def _no_interval(record: Record, score: Score) -> Iterator[str]:
    """Say why the interval of a score does not answer what the score is to be expected to be."""
    if score.low is None or score.high is None:
        yield "no interval: the metric is undefined without some one item or group of test"
    elif len(score.seeds) == 1:
        yield "a single probe: what other seeds would give is not known"
    elif score.question == "items":
        older = f"the record is of schema {record.schema_version}: " if record.schema_version < 3 else ""
        yield f"{older}its interval is over items alone, what other seeds would give is not in it"


def _windows_of(record: Record) -> tuple[float, float] | None:
    """Return window and hop of a record; ``None`` for an encoder that takes whole tracks, by its published pipeline."""
    encoder = record.encoder
    if encoder.window_seconds is None:
        return None
    return encoder.window_seconds, encoder.hop_seconds or encoder.window_seconds
