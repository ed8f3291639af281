"""Write a task card with a comment on each key that a person may want to change, and change single keys of one."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from tasks.card import TaskCard
from tasks.errors import TaskError
from tasks.files import parse_toml, toml_value
from tasks.kinds import KINDS, Kind

WIDTH = 34  # columns before a comment
_NOWHERE = Path("card.toml")  # of messages that are not shown
_STRING = r"""(?:"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""


@dataclass(frozen=True)
class CardDraft:
    """What a card that is made from data says; ``other_metrics`` and ``command`` are told in its comments."""

    id: str
    title: str
    kind: Kind
    metrics: tuple[str, ...]
    other_metrics: tuple[str, ...]
    manifest: str
    id_column: str
    audio_column: str
    split_column: str
    targets: tuple[str, ...]
    group: str | None
    command: str


def identifier(name: str) -> str:
    """Return the id of a card that is named after a file or folder; ``my_task`` where it has no letter or digit.

    >>> identifier("My genres (v2)"), identifier("音楽")
    ('My_genres_v2', 'my_task')
    """
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("_.-")[:100] or "my_task"


def card_text(draft: CardDraft) -> str:
    """Return the card as TOML with comments."""
    kind = KINDS[draft.kind]
    also = f"; also possible: {', '.join(draft.other_metrics)}" if draft.other_metrics else ""
    kinds = {
        "multiclass": "multiclass: one label an item (multilabel: any number, regression: numbers)",
        "multilabel": "multilabel: any number of labels an item, with | between them (multiclass: one)",
        "regression": "regression: numbers (multiclass: they name classes)",
    }
    target = draft.targets if draft.kind == "regression" else draft.targets[0]
    lines = [
        f"# Written by: {draft.command}",
        _line("id", draft.id, "names records and rows of the leaderboard: letters, digits, . _ -"),
        _line("title", draft.title, "any text"),
        _line("kind", draft.kind, kinds[draft.kind]),
        _line("metrics", draft.metrics, f"the first decides which probe is chosen{also}"),
        _line("manifest", draft.manifest, "relative to this card; audio paths in it are relative to the manifest"),
    ]
    if kind.has_labels:
        lines.append('# labels = ["...", "..."]          # all labels, in the order wanted; else as found, sorted')
        lines.append("# distinct_labels = true           # labels that differ only in case or spelling are meant so")
    lines += [
        "# distinct_groups = true           # the same of groups",
        "# window_seconds = 3.0             # the length of the windows that are embedded; else the encoder's own",
        "# hop_seconds = 2.0                # from one window to the next",
        "",
        "[columns]                          # of the manifest",
        _line("id", draft.id_column, "a text of its own for each item"),
        _line("audio", draft.audio_column, "its audio file"),
        _line("split", draft.split_column, "train, valid or test; bench data split makes one"),
        _line("target", target, "what is predicted"),
        _line("group", draft.group, "items that belong together: no two splits share one, intervals are over them")
        if draft.group is not None
        else '# group = "artist"                 # items that belong together: intervals are over them',
        "",
        "# [probe]                          # else one hidden layer of 512 units, and its alternatives are searched",
        "# hidden = []                      # widths of the hidden layers; [] is a linear probe",
        "# dropout = 0.5                    # after each hidden layer",
        "# batch_size = 256                 # items in a minibatch",
    ]
    return "\n".join([*lines, ""])


def with_split(text: str, card: TaskCard, manifest: str, group: str | None, fold: str | None = None) -> str:
    """Return the text of a card that names another manifest, and another group or a fold column where one is given.

    Only these keys are changed; comments stay. ``fold`` stands in place of ``split``.

    Raises:
        TaskError: The text is of a form in which they cannot be changed safely: the message says what to write.
    """
    assert card.columns is not None
    changed = re.sub(
        rf"^(\s*manifest\s*=\s*){_STRING}",
        lambda found: found[1] + toml_value(manifest),
        text,
        count=1,
        flags=re.MULTILINE,
    )
    wanted = card.model_copy(update={"manifest": manifest})
    if group is not None and group != card.columns.group:
        wanted = wanted.model_copy(update={"columns": card.columns.model_copy(update={"group": group})})
        changed = _with_group(changed, group, present=card.columns.group is not None)
    if fold is not None:
        assert wanted.columns is not None
        wanted = wanted.model_copy(
            update={"columns": wanted.columns.model_copy(update={"split": None, "fold": fold}), "sizes": None}
        )
        changed = _with_fold(changed, fold)
    try:
        same = TaskCard.model_validate_json(json.dumps(parse_toml(changed, path=_NOWHERE), default=str)) == wanted
    except (ValueError, TaskError):
        same = False
    if not same:
        more = f" and group = {toml_value(group)} to its columns" if group is not None else ""
        more += f", and fold = {toml_value(fold)} in place of split" if fold is not None else ""
        raise TaskError(
            f"the card {card.id!r} has a form that is not changed here",
            f"Write manifest = {toml_value(manifest)}{more} into it yourself",
        )
    return changed


def _with_group(text: str, group: str, *, present: bool) -> str:
    """Return the text with another group column, in a table of its own or in an inline one."""
    line = toml_value(group)
    inline = re.compile(r"^(\s*columns\s*=\s*\{)(.*)(\}[^}\n]*)$", re.MULTILINE)
    found = inline.search(text)
    start, end = (found.start(), found.end()) if found else _columns_table(text)
    part = text[start:end]
    if present:
        part = re.sub(rf"(\bgroup\s*=\s*){_STRING}", lambda match: match[1] + line, part, count=1)
    elif found:
        part = f"{found[1]}{found[2].rstrip().rstrip(',')}, group = {line} {found[3]}"
    else:
        part = re.sub(r"^#\s*group\s*=.*\n?", "", part, count=1, flags=re.MULTILINE)
        head, _, rest = part.partition("\n")
        part = f"{head}\ngroup = {line}\n{rest}"
    return text[:start] + part + text[end:]


def _with_fold(text: str, fold: str) -> str:
    """Return the text with a fold column in place of the split column."""
    found = re.search(r"^(\s*columns\s*=\s*\{)(.*)(\}[^}\n]*)$", text, re.MULTILINE)
    start, end = (found.start(), found.end()) if found else _columns_table(text)
    part = text[start:end]
    part = re.sub(rf"\b(?:split|fold)(\s*=\s*){_STRING}", lambda at: f"fold{at[1]}{toml_value(fold)}", part, count=1)
    part = re.sub(
        r"^(fold\s*=\s*\S+\s*#).*$", r"\1 each fold is test once, the next one validation", part, flags=re.MULTILINE
    )
    return text[:start] + part + text[end:]


def _columns_table(text: str) -> tuple[int, int]:
    found = re.search(r"^[ \t]*\[columns\][^\n]*\n?(?:(?![ \t]*\[)[^\n]*\n?)*", text, re.MULTILINE)
    return (found.start(), found.end()) if found else (0, 0)


def _line(key: str, value: str | tuple[str, ...], comment: str) -> str:
    entry = f"{key} = {toml_value(value)}"
    return f"{entry:<{WIDTH}} # {comment}"
