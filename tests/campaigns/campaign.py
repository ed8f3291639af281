"""Harm the product in every way that these campaigns know, and print what became of it as a table of Markdown.

    python tests/campaigns/campaign.py [--full] [--only kills,flips] [--minutes 30] [--seed 0] [--output FILE]

Outcomes: ok (the work is whole, or the harm of no consequence); refusal (a sentence says what happened); undetectable
(other sound is heard, and the format holds nothing that could tell); and what must not be: SILENT (another answer
without a word), TRACEBACK, HANG (over a minute of processor time), MEMORY (over a gigabyte beyond the libraries), LOST
(work lost, twice or changed), UNPINNED (another outcome than damaged.csv has), CRASH, EXECUTED (foreign code was run,
or a file written beside). Exit 1 where there is one of those.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE))

from tests.campaigns import damage, disks, flips, foreign, hostile, kills, world  # noqa: E402

GOOD = ("ok", "refusal", "undetectable")
Outcomes = Iterator[tuple[str, str, str]]

#: How much of each campaign: short, and full.
AMOUNTS = {
    "kills": (4, 26),
    "signals": (3, 12),
    "together": (1, 6),
    "disks": (3, 20),
    "flips": (40, 400),
    "damage": (4, 8),
    "hostile": (5, 1),
}


def campaigns(worlds: world.World, full: bool, seed: int) -> dict[str, Callable[[Path], Outcomes]]:
    """Return what runs each campaign in a scratch folder."""
    amount = {name: pair[full] for name, pair in AMOUNTS.items()}
    return {
        "kills": lambda scratch: kills.killed(worlds, scratch, amount["kills"], seed),
        "signals": lambda scratch: kills.interrupted(worlds, scratch, amount["signals"], seed),
        "together": lambda scratch: kills.at_once(worlds, scratch, amount["together"]),
        "disks": lambda scratch: disks.full(worlds, scratch, amount["disks"]),
        "flips": lambda scratch: flips.flips(worlds, scratch, amount["flips"], seed),
        "damage": lambda scratch: damage.verdicts(list(damage.damaged(scratch, amount["damage"], seed))),
        "hostile": lambda scratch: hostile.hostile(worlds, scratch, amount["hostile"]),
        "foreign": lambda scratch: foreign.foreign(worlds, scratch),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the campaigns that were asked for; return 1 where one found what must not be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="hours in place of half an hour")
    parser.add_argument("--only", default="", help="names of campaigns, separated by commas")
    parser.add_argument("--minutes", type=float, default=600.0, help="that each campaign may take, by the clock")
    parser.add_argument("--seed", type=int, default=0, help="chooses moments, bits and noise")
    parser.add_argument("--output", type=Path, help="a file for the tables too")
    given = parser.parse_args(arguments)
    found: list[str] = []
    bad = 0
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        wanted = [name for name in given.only.split(",") if name]
        alone = wanted == ["damage"]
        worlds = world.World(Path(folder), {}, {}) if alone else world.make(Path(folder) / "worlds", say=_say)
        for name, start in campaigns(worlds, given.full, given.seed).items():
            if wanted and name not in wanted:
                continue
            began, scratch = time.monotonic(), Path(folder) / name
            scratch.mkdir()
            rows: dict[str, Counter[str]] = {}
            examples: list[str] = []
            for label, word, said in start(scratch):
                rows.setdefault(label, Counter())[word] += 1
                if word not in GOOD:
                    bad += 1
                    examples.append(f"- {label}, {word}: {said}")
                    _say(examples[-1])
                if time.monotonic() - began > 60 * given.minutes:
                    label = "ended by the clock, not at its end"
                    rows[label] = Counter()
                    break
            shutil.rmtree(scratch, ignore_errors=True)
            found += [table(name, rows, time.monotonic() - began), *examples[:40], ""]
            print("\n".join(found[-len(examples[:40]) - 2 :]), flush=True)
    if given.output:
        given.output.write_text("\n".join(found) + "\n", encoding="utf-8")
    return 1 if bad else 0


def table(name: str, rows: dict[str, Counter[str]], seconds: float) -> str:
    """Return the outcomes of a campaign as Markdown."""
    total = sum(rows.values(), Counter())
    words = [word for word in GOOD if total[word]] + sorted(word for word in total if word not in GOOD)
    lines = [f"## {name}: {total.total()} in {seconds / 60:.1f} minutes", "", f"| | {' | '.join(words)} |"]
    lines.append("| --- |" + " ---: |" * len(words))
    for label, counts in [*rows.items(), ("all", total)]:
        lines.append(f"| {label} | {' | '.join(str(counts[word] or '') for word in words)} |")
    return "\n".join([*lines, ""])


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
