"""Run the console blocks of the pages and compare what the commands print with what the pages show.

    python tests/docs_check.py [--demo HOME] [PAGE ...]     README.md, CONTRIBUTING.md and docs/*.md by default

HOME is a data home whose demo collection is used, such as that of ``make demo``; without, the collection is rendered.

Every fenced block ``console`` is run, command by command (``$ ...``), in a scratch folder of its page; all pages share
one data home. A command must exit with 0, or with 2 where the page shows a message (``bench: ...``) or a broken rule
(``FAIL ...``). Where the page shows output it must be what the command prints to stdout, and to stderr too where it
fails. Comments say otherwise:

    <!-- docs-check: not run, REASON -->      before a block that needs something from outside, or hours
    <!-- docs-check: file NAME -->            before a block of another kind: written to NAME in the page's folder
    <!-- docs-check: TEXT is OTHER -->        anywhere: in the commands of this page OTHER is run where TEXT stands

In what is shown, a line … stands for any lines, and … in a line for any text. Text must be equal but for white space.
Whole numbers must be equal; numbers with a fraction may differ by 0.1 or a tenth; times, sizes, rates, dates, hashes,
and the folders of absolute paths may be any.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 300  # that one command may take
REST = "…"
NEAR = 0.1  # how far numbers with a fraction may be apart: this much, or this part of the larger one

MARK = re.compile(r"\s*<!--\s*docs-check\b:?\s*(.*?)\s*-->\s*$")
FENCE = re.compile(r"(\s*)```([\w-]*)\s*$")
NUMBER = r"[-+]?\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?"
#: What is compared loosely, first fit first: its kind and its pattern. What has a kind of its own may have any value.
LOOSE = (
    ("date", r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:Z|[-+]\d\d:\d\d)?)?"),
    ("folder", r"(?<![\w.~/…])~?/(?:[\w.@+~-]+/)+"),
    ("hash", r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{8,64}\b"),
    ("time", rf"(?<![\w.]){NUMBER} ?(?:ms|s|min|h|seconds?|minutes?|hours?|days?)\b"),
    ("size", rf"(?<![\w.]){NUMBER} ?(?:bytes|[kKMGT]i?B)\b"),
    ("rate", rf"(?<![\w.]){NUMBER} times(?= real time)"),
    ("number", rf"(?<![\w.]){NUMBER}(?![\w])"),
)
TOKEN = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in LOOSE))


class PageError(Exception):
    """A page that cannot be checked as it is; the message begins with its file and line."""


@dataclass(frozen=True)
class Command:
    """A command of a block: the lines of the page that it and its output begin at, and what the page shows of it."""

    text: str
    line: int
    shown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Block:
    """A fenced block of a page, its first line's number, and what the comment before it says."""

    kind: str
    line: int
    lines: tuple[str, ...]
    not_run: str = ""
    file: str = ""


@dataclass
class Page:
    """The blocks of a page, and what is run in the place of some words of its commands."""

    name: str
    blocks: list[Block] = field(default_factory=list)
    replaced: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """A line of a page that is not what was printed."""

    page: str
    line: int
    expected: str
    printed: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}:\n  expected: {self.expected}\n  printed:  {self.printed}"


def parse(name: str, text: str) -> Page:
    """Return the blocks of a page.

    Raises:
        PageError: A comment that is not understood or stands before no block, a block that does not end, or one of the
            kind ``console`` without a command.
    """
    page, marked, lines = Page(name), None, text.splitlines()
    numbered = iter(enumerate(lines, 1))
    for number, line in numbered:
        if mark := MARK.match(line):
            if marked is not None:
                raise PageError(f"{name}:{marked[0]}: no block follows this comment")
            text, is_, other = mark[1].partition(" is ")
            if is_ and not mark[1].startswith(("not run", "file ")):
                page.replaced[text] = other
            else:
                marked = number, _meaning(f"{name}:{number}", mark[1])
        elif fence := FENCE.match(line):
            inside = []
            for _, each in numbered:
                if each.strip() == "```":
                    break
                inside.append(each.removeprefix(fence[1]))
            else:
                raise PageError(f"{name}:{number}: this block does not end")
            what = {} if marked is None else marked[1]
            block = Block(fence[2], number + 1, tuple(inside), **what)
            if (block.kind == "console") != ("file" not in what) and marked is not None:
                raise PageError(f"{name}:{marked[0]}: console blocks are run or not run, others are files")
            if block.kind == "console" and not block.not_run:
                commands_of(page, block)
            page.blocks.append(block)
            marked = None
        elif line.strip() and marked is not None:
            raise PageError(f"{name}:{marked[0]}: no block follows this comment")
    if marked is not None:
        raise PageError(f"{name}:{marked[0]}: no block follows this comment")
    return page


def _meaning(where: str, mark: str) -> dict[str, str]:
    kind, _, rest = mark.partition(" ")
    if kind == "file" and rest:
        return {"file": rest}
    if mark.startswith("not run, ") and mark.removeprefix("not run, ").strip():
        return {"not_run": mark.removeprefix("not run, ")}
    raise PageError(f"{where}: unknown marker {mark!r}: write 'not run, REASON', 'file NAME' or 'TEXT is OTHER'")


def commands_of(page: Page, block: Block) -> list[Command]:
    """Return the commands of a block with what is shown of each.

    Raises:
        PageError: The block begins with something else than a command.
    """
    found: list[Command] = []
    open_ended = False
    for number, line in enumerate(block.lines, block.line):
        if open_ended:
            found[-1] = Command(f"{found[-1].text}\n{line}", found[-1].line)
        elif line.startswith("$ "):
            found.append(Command(line.removeprefix("$ "), number))
        elif not found:
            raise PageError(f"{page.name}:{number}: a console block begins with a command, '$ ...'")
        else:
            found[-1] = Command(found[-1].text, found[-1].line, (*found[-1].shown, line))
            continue
        open_ended = found[-1].text.endswith("\\")
    if not found:
        raise PageError(f"{page.name}:{block.line}: this console block has no command")
    return found


def run(page: Page, command: Command, folder: Path, environment: Mapping[str, str]) -> Iterator[Difference]:
    """Run a command in the folder of its page and yield what differs from the page."""
    text = command.text
    for word, other in page.replaced.items():
        text = re.sub(rf"(?<!\S){re.escape(word)}(?!\S)", lambda _, other=other: other, text)
    try:
        done = subprocess.run(
            ["bash", "-c", text], cwd=folder, env=environment, capture_output=True, text=True, errors="replace",
            stdin=subprocess.DEVNULL, timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        yield Difference(page.name, command.line, f"{command.text} ends", f"nothing for {SECONDS} s")
        return
    expected = 2 if any(line.startswith(("bench: ", "FAIL ")) for line in command.shown) else 0
    if done.returncode != expected:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        printed = f"exit code {done.returncode}" + "".join(f": {line}" for line in last)
        yield Difference(page.name, command.line, f"exit code {expected} of {command.text}", printed)
    elif command.shown:
        lines = (done.stdout + (done.stderr if expected else "")).splitlines()
        yield from differences(page.name, command, lines)


def differences(page: str, command: Command, printed: Sequence[str]) -> Iterator[Difference]:
    """Yield the lines that a page shows of a command and that were not printed, and what was printed beyond them."""
    lines = [line for line in printed if line.strip()]
    shown = [
        (n, line) for n, line in enumerate(command.shown, command.line + 1 + command.text.count("\n")) if line.strip()
    ]
    skip = False
    for number, line in shown:
        if line.strip() == REST:
            skip = True
            continue
        at = 0
        if skip:
            at = next((i for i, other in enumerate(lines) if same(line, other)), -1)
            if at < 0:
                yield Difference(page, number, line, f"no such line in the {len(lines)} lines that are left")
                return
        elif not lines or not same(line, lines[0]):
            yield Difference(page, number, line, lines[0] if lines else "nothing more")
        lines, skip = lines[at + 1 :], False
    if lines and not skip:
        yield Difference(page, shown[-1][0], f"nothing after this line; '{REST}' stands for what is left out", lines[0])


def same(shown: str, printed: str) -> bool:
    """Say whether two lines are equal, loosely; ``…`` in the shown one stands for any text."""
    parts = shown.split(REST)
    if len(parts) == 1:
        return _same(shown, printed)
    # Where … stands it is not known which number is which: numbers between are compared by their kind alone.
    pattern = ".*".join(re.escape(_plain(part)) for part in parts)
    return re.fullmatch(pattern, _plain(printed)) is not None


def _plain(line: str) -> str:
    """Return a line in which whatever is compared loosely is its kind."""
    return re.sub(r"-{3,}", "---", " ".join(TOKEN.sub(lambda match: f"<{match.lastgroup}>", line).split()))


def _same(shown: str, printed: str) -> bool:
    if _plain(shown) != _plain(printed):
        return False
    pairs = zip(TOKEN.finditer(shown), TOKEN.finditer(printed), strict=True)
    return all(_near(one[0], other[0]) for one, other in pairs if one.lastgroup == "number")


def _near(shown: str, printed: str) -> bool:
    one, other = (float(text.replace(",", "")) for text in (shown, printed))
    if "." not in shown and "." not in printed:
        return one == other
    return math.isclose(one, other, rel_tol=NEAR, abs_tol=NEAR)


def check(names: Sequence[str], root: Path, demo: Path | None = None) -> tuple[list[Difference], int, list[str]]:
    """Check pages below ``root``.

    Args:
        names: Paths of the pages.
        root: The repository.
        demo: A data home whose demo collection is used.

    Returns:
        What differs, how many commands were run, and which blocks were not, with the reason.

    Raises:
        PageError: See :func:`parse`; no command has been run then.
    """
    pages = [parse(name, (root / name).read_text(encoding="utf-8")) for name in names]
    found: list[Difference] = []
    commands, left_out = 0, []
    with tempfile.TemporaryDirectory(prefix="docs-check-") as scratch:
        environment = {
            **{key: value for key, value in os.environ.items() if not key.startswith(("BENCH_", "PYTHON"))},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": scratch, "BENCH_HOME": f"{scratch}/data", "HF_HUB_OFFLINE": "1", "LC_ALL": "C.UTF-8",
            "COLUMNS": "120", "OMP_WAIT_POLICY": "PASSIVE",  # a thread that waits does not keep a core busy
        }  # fmt: skip
        for collection in () if demo is None else (demo / "collections").glob("demo-*"):
            shutil.copytree(collection, Path(scratch, "data", "collections", collection.name))
        for page in pages:
            folder = Path(scratch, "pages", page.name.replace("/", "-"))
            folder.mkdir(parents=True)
            for block in page.blocks:
                if block.not_run:
                    left_out.append(f"{page.name}:{block.line}: not run, {block.not_run}")
                elif block.file:
                    (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
                    (folder / block.file).write_text("\n".join(block.lines) + "\n", encoding="utf-8")
                elif block.kind == "console":
                    for command in commands_of(page, block):
                        commands += 1
                        found += run(page, command, folder, environment)
    return found, commands, left_out


def main(arguments: Sequence[str]) -> int:
    """Check pages, print what differs and what was not run; return 1 if anything differs, 2 if a page is malformed."""
    parser = argparse.ArgumentParser(description="Run the console blocks of the pages and compare what they print.")
    parser.add_argument("--demo", type=Path, metavar="HOME", help="a data home whose demo collection is used")
    parser.add_argument("pages", nargs="*", metavar="PAGE", help="README.md, CONTRIBUTING.md and docs/*.md by default")
    given = parser.parse_args(arguments)
    pages = [path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").glob("*.md"))]
    before = time.perf_counter()
    try:
        found, commands, left_out = check(given.pages or ["README.md", "CONTRIBUTING.md", *pages], ROOT, given.demo)
    except PageError as error:
        print(error)
        return 2
    print(*left_out, *found, sep="\n")
    spent = os.times()
    print(
        f"{commands} commands were run, {len(left_out)} blocks were not; {len(found)} differences "
        f"({spent.children_user + spent.children_system:.0f} CPU seconds, {time.perf_counter() - before:.0f} s)"
    )
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
