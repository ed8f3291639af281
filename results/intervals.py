"""What the intervals of a record answer, in words: for the terminal, the leaderboard and the tables of labels."""

from __future__ import annotations

from collections.abc import Iterable

from results.record import Record
from results.sections.scores import Score

FEW_CLUSTERS = 30
"""With fewer groups or items than this, intervals hold less often than they say."""

FEW_FOR_MAP = 1000
"""Average precision over fewer items than this is noticeably above what many items would give."""


def span(low: float | None, high: float | None) -> str:
    """Return both ends of an interval; ``-`` where there is none."""
    return "-" if low is None or high is None else f"{low:z.3f}–{high:z.3f}"


def meaning(scores: Iterable[Score]) -> str:
    """Return in one sentence which question the intervals of ``scores`` answer."""
    asked = {score.question for score in scores}
    if asked == {"items and seeds"}:
        return (
            "95 % interval: of the score that this encoder is to be expected to have, over items of this kind (or "
            "groups of them) and over seeds of the probe."
        )
    if asked == {"items"}:
        return "95 % interval: over items (or groups) alone, for these very probes; what other seeds give is not in it."
    return "95 % interval: over items (or groups) and, unless a note says otherwise, over seeds of the probe."


def interval_notes(record: Record) -> list[str]:
    """Return what a reader of the test scores must know of their intervals, one phrase each."""
    scores, notes = record.scores.test, []
    if any(score.question == "items" for score in scores.values()):
        if len(record.seeds.probes) == 1:
            notes.append("one probe: its interval is over items alone, what other seeds would give is not known")
        else:
            notes.append("intervals over items alone, for these very probes: other seeds are not in them")
    counted = next(iter(scores.values()))
    if counted.clusters is not None and counted.clusters < FEW_CLUSTERS:
        what = "groups" if counted.clustered else "items"
        notes.append(f"{counted.clusters} test {what} are few: intervals of fewer than {FEW_CLUSTERS} are rough")
    without = [metric for metric, score in scores.items() if score.low is None]
    if without:
        notes.append(f"no interval of {', '.join(without)}: undefined without some one item or group of test")
    if record.task.has_classes and any(len(score.labels or {}) == 1 for score in scores.values()):
        notes.append("all test items are of one class: this is how often that class is named, not told from others")
    if record.task.has_classes and any(len(each.labels or {}) == 1 for each in record.scores.valid.values()):
        notes.append("all valid items are of one class: the probe was chosen by how often that class is named")
    return notes


def map_note(record: Record) -> list[str]:
    """Return what a map over few items cannot say; nothing for other metrics, and over many."""
    items = record.data.counts.get("test", 0)
    if "map" not in record.scores.test or items >= FEW_FOR_MAP:
        return []
    return [f"map of so few items ({items}) lies above what many would give: compare it on these items only"]
