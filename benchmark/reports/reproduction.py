"""A recorded probe that was trained once more: how far its scores are from the record's, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmark.system.tables import table

if TYPE_CHECKING:
    from benchmark.jobs.reproduce import Reproduction


def format_reproduction(reproduction: Reproduction) -> str:
    """Return every score beside the recorded one, what differs between the runs, and the verdict."""
    record = reproduction.record
    rows = [
        [
            score.split, score.metric, f"{score.recorded:.6f}", f"{score.now:.6f}", f"{score.worst_seed:+.1e}",
            f"{score.difference:+.1e}", f"{score.allowed:.1e}", score.verdict,
        ]
        for score in reproduction.scores
    ]  # fmt: skip
    headers = ["split", "metric", "recorded", "now", "worst seed", "difference", "seeds' noise", "verdict"]
    return "\n".join(
        [
            table(rows, headers, spare=("worst seed", "seeds' noise")),
            "",
            *reproduction.circumstances,
            f"{record.name} on {record.task.id}, {len(record.seeds.probes)} seed(s): {reproduction.verdict}",
        ]
    )


def as_facts(reproduction: Reproduction) -> dict[str, Any]:
    """Return the same for programs: verdict, every score, and what differs between the runs, in words."""
    record = reproduction.record
    return {
        "task": record.task.id,
        "encoder": record.name,
        "run_key": record.run_key,
        "seeds": list(record.seeds.probes),
        "verdict": reproduction.verdict,
        "scores": [{**vars(score), "difference": score.difference} for score in reproduction.scores],
        "circumstances": list(reproduction.circumstances),
    }
