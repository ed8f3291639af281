"""Planted protocol errors, each of which a named test must notice: the campaign behind ``make mutants``.

    python tests/campaigns/mutants.py [--only NAME ...] [--jobs 2] [--dry-run]

Every mutant of mutants.toml is planted into a copy of the tree, in which its tests are run. It is killed when each of
them fails by an assertion (or by the product's own exception that the mutant names), not by an import or a crash. Tests
that fail on the unchanged copy count for nothing; a mutant that can no longer be planted is stale. Printed as Markdown;
the exit status is 0 when all are killed.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE))

from tests.campaigns.outcomes import FILE  # noqa: E402
from tests.campaigns.planting import Mutant, StaleError, find_tests, plant, read_mutants  # noqa: E402

MUTANTS = Path(__file__).with_name("mutants.toml")
SECONDS = 600  # for the tests of one mutant
#: How a test may fail: a false assertion, ``pytest.raises`` that saw nothing raised, ``pytest.fail``.
ASSERTED = {"AssertionError", "Failed"}
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", ".demo", ".hypothesis")


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: ``killed``, ``survived`` or ``stale``; why, where it was not killed; and seconds."""

    mutant: Mutant
    state: str
    why: str
    seconds: float


class Copy:
    """A copy of the tree with an interpreter of its own, whose only product is the copy."""

    def __init__(self, folder: Path) -> None:
        self.tree = folder / "tree"
        shutil.copytree(TREE, self.tree, ignore=LEFT_OUT, symlinks=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", self.tree / ".venv"], check=True)
        self.python = self.tree / ".venv" / "bin" / "python"
        (packages,) = (self.tree / ".venv").glob("lib/python*/site-packages")
        # Lines of a .pth are searched in order, also by child interpreters that ignore the environment; links that an
        # editable installation left in the folders named here are not followed, so the product is the copy's.
        found = [self.tree, *(path for path in map(Path, sys.path) if path.name == "site-packages")]
        (packages / "copy.pth").write_text("".join(f"{path}\n" for path in found), encoding="utf-8")
        self._outcomes = folder / "outcomes.jsonl"
        self._written = time.time()
        self._tests = subprocess.Popen(
            [self.python, "-P", Path(__file__).with_name("forks.py")], cwd=self.tree, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, FILE: str(self._outcomes), "OMP_WAIT_POLICY": "PASSIVE"},  # copies share the cores
        )  # fmt: skip

    def close(self) -> None:
        """End the process that runs tests."""
        self._tests.communicate()

    def write(self, path: Path, text: str) -> None:
        """Write a file of the copy, with a time that no compiled file of it has."""
        path.write_text(text, encoding="utf-8")
        self._written += 10
        os.utime(path, (self._written, self._written))

    def run(self, tests: Sequence[str], *, every: bool) -> list[dict[str, object]]:
        """Run tests and return how they ended, one entry a case; without ``every`` up to the first failure."""
        self._outcomes.unlink(missing_ok=True)
        arguments = ["-p", "tests.campaigns.outcomes", "-p", "no:cacheprovider", *([] if every else ["-x"]), *tests]
        assert self._tests.stdin is not None
        assert self._tests.stdout is not None
        self._tests.stdin.write(json.dumps({"arguments": arguments, "seconds": SECONDS}) + "\n")
        self._tests.stdin.flush()
        if self._tests.stdout.readline().strip() != "ended":
            return [{"test": tests[0], "when": "call", "outcome": "failed", "kinds": [], "message": "no end in time"}]
        if not self._outcomes.exists():
            return []
        return [json.loads(line) for line in self._outcomes.read_text(encoding="utf-8").splitlines()]


def judge(mutant: Mutant, tests: Sequence[str], outcomes: Sequence[dict[str, object]]) -> tuple[str, str]:
    """Return the state of a planted mutant, and why it is not ``killed``, from how its tests ended."""
    if not outcomes:
        return "survived", "no test ran: the tests cannot be imported"
    accepted = ASSERTED | ({mutant.error} if mutant.error else set())
    for test in tests:
        failed = [each for each in outcomes if each["test"] == test and each["outcome"] == "failed"]
        if not failed:
            return "survived", f"{test} passes"
        for each in failed:
            names = each["kinds"]
            assert isinstance(names, list)
            late = "Timeout" in str(each["message"])  # pytest-timeout fails as pytest.fail does
            if each["when"] != "call" or late or not accepted & set(names):
                return "survived", f"{test} fails by something else: {each['message']}"
    return "killed", ""


def examine(copy: Copy, mutant: Mutant, sound: dict[str, bool]) -> Verdict:
    """See that its tests pass, plant a mutant, run them, and take it out again.

    Args:
        copy: An unchanged copy, which it is again afterwards.
        mutant: What to plant.
        sound: Whether a test passes without any mutant, as far as that is known; it is added to.
    """
    started = time.monotonic()
    try:
        planted, tests = plant(copy.tree, mutant), find_tests(copy.tree, mutant.tests)
    except StaleError as error:
        return Verdict(mutant, "stale", str(error), 0.0)
    for test in tests:
        if test not in sound:
            clean = copy.run([test], every=True)
            sound[test] = bool(clean) and all(each["outcome"] == "passed" for each in clean)
        if not sound[test]:
            return Verdict(mutant, "stale", f"{test} does not pass without the mutant", time.monotonic() - started)
    try:
        copy.write(planted.path, planted.after)
        outcomes = copy.run(tests, every=len(tests) > 1)
    finally:
        copy.write(planted.path, planted.before)
    state, why = judge(mutant, tests, outcomes)
    return Verdict(mutant, state, why, time.monotonic() - started)


def table(verdicts: Sequence[Verdict]) -> str:
    """Return the verdicts as Markdown: one line a mutant, then one an area."""
    lines = ["| mutant | planted in | noticed by | verdict | s |", "| --- | --- | --- | --- | --- |"]
    for each in verdicts:
        tests = ", ".join(f"`{test.rpartition('.')[2]}`" for test in each.mutant.tests)
        verdict = each.state + (f": {' '.join(each.why.split())}".replace("|", "\\|") if each.why else "")
        lines.append(f"| {each.mutant.name} | `{each.mutant.where}` | {tests} | {verdict} | {each.seconds:.0f} |")
    lines += ["", "| area | planted | killed | survived | stale |", "| --- | --- | --- | --- | --- |"]
    areas = list(dict.fromkeys(each.mutant.area for each in verdicts))
    for area in [*areas, "all"]:
        states = [each.state for each in verdicts if area in (each.mutant.area, "all")]
        counts = " | ".join(str(states.count(state)) for state in ("killed", "survived", "stale"))
        lines.append(f"| {area} | {len(states)} | {counts} |")
    return "\n".join(lines)


def main() -> int:
    """Run the campaign as the command line asks; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="areas, or texts that names of mutants contain")
    parser.add_argument("--jobs", type=int, default=2, help="copies of the tree at work at once")
    parser.add_argument("--dry-run", action="store_true", help="only see whether all can be planted")
    chosen = parser.parse_args()
    mutants = [
        mutant
        for mutant in read_mutants(MUTANTS)
        if chosen.only is None or any(text == mutant.area or text in mutant.name for text in chosen.only)
    ]
    if chosen.dry_run:
        stale = 0
        for mutant in mutants:
            try:
                plant(TREE, mutant)
                find_tests(TREE, mutant.tests)
            except StaleError as error:
                stale += 1
                print(f"stale: {mutant.name}: {error}")
        print(f"{len(mutants) - stale} of {len(mutants)} mutants can be planted")
        return int(stale > 0)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        copies = [Copy(Path(folder) / str(number)) for number in range(max(1, chosen.jobs))]
        sound: dict[str, bool] = {}
        idle: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for copy in copies:
            idle.put(copy)

        def work(mutant: Mutant) -> Verdict:
            copy = idle.get()
            try:
                verdict = examine(copy, mutant, sound)
            finally:
                idle.put(copy)
            print(f"{verdict.state:<9}{verdict.seconds:5.0f} s  {mutant.name}  {verdict.why}", file=sys.stderr)
            return verdict

        with ThreadPoolExecutor(len(copies)) as pool:
            verdicts = list(pool.map(work, mutants))
        for copy in copies:
            copy.close()
    print(table(verdicts))
    killed = sum(each.state == "killed" for each in verdicts)
    print(f"\n{killed} of {len(verdicts)} mutants killed in {(time.monotonic() - started) / 60:.1f} min")
    return int(killed < len(verdicts))


if __name__ == "__main__":
    sys.exit(main())
