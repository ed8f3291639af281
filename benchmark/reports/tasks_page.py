"""The page of the tasks, as Markdown that is the same bytes for the same cards; and the words for what a card says."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence

from benchmark.jobs.protocols import protocol_of
from results.markdown import escaped
from tasks import registry
from tasks.card import TaskCard
from tasks.kinds import KINDS
from tasks.registry import Task

WIDTH = 120
TABLES = {"table3": "3", "table4": "4"}
ORDER = (
    "mtt", "nsynth_p", "nsynth_i", "gtzan", "emo", "gs_key", "jam_50", "jam_all", "jam_mt", "msds", "msd50", "msd100",
    "msd500", "mumu", "amm",
)  # fmt: skip
"""Collections together; a task of the group ``paper`` that is not named here follows, by id."""

INTRODUCTION = """\
# Tasks

The 15 tasks of McCallum et al. 2022, and those of a rendered demo collection. This file is generated from the cards in
`tasks/cards/` by `bench tasks --markdown`; never edit it. `bench tasks ID` prints one card with its labels and what of
it is on this machine, `bench data fetch ID` brings what can be downloaded, `bench data where ID` says what belongs
where."""

QUESTIONS = """\
The first metric is the primary one. The last column is the table of the paper, and of the
[leaderboard](../leaderboard.md), that the task belongs to."""

BELOW_SIZES = """\
Sizes are items. A `*` marks sizes that follow from what the publishers of the dataset state, whose files were not at
hand to count; *not verified* means that no size is known well enough to hold a run to it. All other sizes were counted.
A run whose annotations or audio give another number stops, unless `--allow-missing` lets it continue and its record
says so. Table 1 is the paper's, as printed: tracks, hours of audio, labels."""

DEMO = """\
Rendered at first use, with nothing to download: to try the harness, or an encoder of one's own, in a minute. The
numbers compare with no publication."""


def render() -> str:
    """Return the page of all built-in tasks."""
    tasks = registry.builtin_tasks()
    paper = [task for task in tasks.values() if "paper" in task.card.groups]
    paper.sort(key=lambda task: (ORDER.index(task.card.id) if task.card.id in ORDER else len(ORDER), task.card.id))
    demo = [task for task in tasks.values() if "demo" in task.card.groups]
    parts = [
        INTRODUCTION,
        "## Kinds, metrics, labels",
        QUESTIONS,
        _table(["task", "title", "kind", "metrics", "labels", "table"], map(_question, paper)),
        "## Sizes and licences",
        BELOW_SIZES,
        _table(["task", "train / valid / test", "Table 1", "licence of the audio"], map(_data, paper)),
        "## Task by task",
        *(_section(task) for task in paper),
        "## Demo tasks",
        DEMO,
        _table(
            ["task", "title", "kind", "metrics", "labels", "train / valid / test", "probe"],
            (
                [f"`{task.card.id}`", *_question(task)[1:-1], _sizes(task.card), format_probe(task.card)]
                for task in demo
            ),
        ),
    ]
    return "\n\n".join(parts) + "\n"


def format_windows(card: TaskCard) -> str:
    """Return how a track is cut for the encoder."""
    if card.window_seconds is None:
        return "the encoder's own"
    return (
        f"{card.window_seconds:g} s every {card.hop_seconds or card.window_seconds:g} s, in place of the encoder's own"
    )


def format_probe(card: TaskCard) -> str:
    """Return the probe that a search begins with, and what else it may have under the paper's protocol."""
    protocol = protocol_of("paper", card)
    layers = _format_widths(protocol.hidden[0])
    parts = [layers + _others(_briefly(widths) for widths in protocol.hidden[1:])]
    if protocol.dropout != (0.0,):
        place = {"hidden": "", "logits": " on the logits", "input_and_hidden": " on the input too"}
        parts.append(f"dropout {_format_choices(protocol.dropout)}{place[protocol.dropout_place]}")
    parts.append(f"batches of {_format_choices(protocol.batch_size)}")
    return ", ".join(parts)


def _format_widths(widths: tuple[int, ...]) -> str:
    if not widths:
        return "no hidden layer (linear)"
    return f"{_count(widths)} hidden layer{'s' if len(widths) > 1 else ''} of {_sizes_of(widths)}"


def _briefly(widths: tuple[int, ...]) -> str:
    return f"{_count(widths)} of {_sizes_of(widths)}" if widths else "none"


def _count(widths: tuple[int, ...]) -> str:
    return {1: "one", 2: "two", 3: "three"}.get(len(widths), str(len(widths)))


def _sizes_of(widths: tuple[int, ...]) -> str:
    return f"{widths[0]:,}" if len(set(widths)) == 1 else " and ".join(f"{width:,}" for width in widths)


def _format_choices(values: Sequence[float]) -> str:
    first, *others = (f"{value:,}" if isinstance(value, int) else f"{value:g}" for value in values)
    return first + _others(others)


def _others(words: Iterable[str]) -> str:
    """Return what may stand in place of a first choice, in brackets."""
    listed = list(words)
    return f" (or {', '.join(listed)})" if listed else ""


def format_table1(card: TaskCard) -> str:
    """Return the row of Table 1 as printed; nothing where the card has none."""
    row = card.table1
    if row is None:
        return ""
    parts = (("tracks", row.tracks), ("h", row.hours), ("labels", row.labels))
    return ", ".join(f"{value} {unit}" for unit, value in parts if value)


def citation_keys(card: TaskCard) -> list[str]:
    """Return the BibTeX keys of what to cite."""
    return re.findall(r"@\w+\{([^,\s]+),", card.citation)


def audio_licence(card: TaskCard) -> str:
    """Return the part of the licence that speaks of the audio."""
    parts = [part.strip() for part in card.licence.split(";")]
    of_audio = next((part for part in parts if not part.startswith("Metadata")), card.licence)
    return of_audio.removeprefix("Audio: ")


def _question(task: Task) -> list[str]:
    card = task.card
    labels = f"{len(card.labels)}" if card.labels else "" if KINDS[card.kind].has_labels else ", ".join(card.targets)
    table = next((number for group, number in TABLES.items() if group in card.groups), "-")
    # The names of 100 or 500 tags stand in the user's files; how many they are is in the paper.
    labels = labels or (card.table1.labels if card.table1 else "") or "-"
    return [_link(card.id), escaped(card.title), card.kind, ", ".join(card.metrics), escaped(labels), table]


def _data(task: Task) -> list[str]:
    card = task.card
    return [_link(card.id), _sizes(card), escaped(format_table1(card)) or "-", escaped(audio_licence(card))]


def _sizes(card: TaskCard) -> str:
    if not card.sizes:
        return "*not verified*"
    return " / ".join(f"{size:,}" for size in card.sizes.values()) + ("" if card.counts_verified else " \\*")


def _section(task: Task) -> str:
    card = task.card
    facts = [
        ("Split", card.split_rule),
        ("Labels", card.label_source),
        ("Windows", f"{format_windows(card)}."),
        ("Probe", f"{format_probe(card)}."),
        ("Audio", card.audio),
        ("Licence", f"{card.licence.rstrip('.')}."),
    ]
    lines = [f"### {card.id}", "", *_wrapped(f"**{escaped(card.title)}.** {escaped(card.description)}", "", ""), ""]
    for name, fact in facts:
        if fact:
            lines += _wrapped(f"{name}: {escaped(fact)}", "- ", "  ")
    if card.deviations:
        lines.append("- Deviations, and what to know:")
    for deviation in card.deviations:
        lines += _wrapped(escaped(deviation), "    - ", "      ")
    names = ", ".join(f"`{alias}`" for alias in card.aliases)
    lines += _wrapped(
        f"Collection `{task.collection}`" + (f"; the task is also called {names}." if names else "."), "- ", "  "
    )
    keys = ", ".join(f"`{key}`" for key in citation_keys(card))
    if keys:
        lines += _wrapped(f"Cite {keys}; `bench tasks {card.id}` prints the entries.", "- ", "  ")
    return "\n".join(lines)


def _wrapped(text: str, first: str, rest: str) -> list[str]:
    """Return ``text`` in lines none of which Markdown could take for the beginning of a list, heading or quotation."""
    lines = textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
    mark = re.compile(r"^( *)([-+*#>]+(?= |$)|1(?=[.)](?: |$)))")
    return [lines[0], *(mark.sub(_guarded, line) for line in lines[1:])]


def _guarded(mark: re.Match[str]) -> str:
    """Put a backslash where Markdown would see a mark: before a sign, or between a number and its stop."""
    return f"{mark[1]}{mark[2]}\\" if mark[2][0].isdigit() else f"{mark[1]}\\{mark[2]}"


def _link(task: str) -> str:
    return f"[{task}](#{task})"


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    from tabulate import tabulate

    return tabulate(list(rows), headers, tablefmt="github", disable_numparse=True, stralign="left")
