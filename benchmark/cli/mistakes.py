"""What the command line says of words that it cannot take: in one line, with the command that was perhaps meant."""

from __future__ import annotations

import difflib
import itertools
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

#: A command line that works, for each command and group that is often called without enough words.
EXAMPLES: Mapping[str, str] = {
    "bench": "bench run -e logmel -t demo_key",
    "bench run": "bench run -e logmel -t demo_key",
    "bench embed": "bench embed -e logmel -t demo_key",
    "bench compare": "bench compare logmel chroma",
    "bench labels": "bench labels demo_tags logmel",
    "bench plot": "bench plot forest -o forest.pdf",
    "bench reproduce": "bench reproduce results/runs/demo_key/logmel.json",
    "bench predict": "bench predict --probe probes-out song.mp3",
    "bench data": "bench data list",
    "bench data fetch": "bench data fetch gtzan",
    "bench data verify": "bench data verify gtzan",
    "bench data where": "bench data where gtzan",
    "bench data audit": "bench data audit demo_key",
    "bench table": "bench table -t demo --format latex",
    "bench cache": "bench cache ls",
    "bench encoders show": "bench encoders logmel",
    "bench encoders check": "bench encoders check logmel",
    "bench encoders new": "bench encoders new mine.py",
    "bench pretrain prepare": "bench pretrain prepare AUDIO --out STORE",
    "bench pretrain train": "bench pretrain tiny-simclr --data STORE --out RUN",
}


def usage_message(error: Any, given: Sequence[str]) -> str:
    """Return what to say of an error in the words of a command line; the first line holds all that is needed.

    Args:
        error: An error of typer's: it has ``format_message``, mostly ``ctx``, and what its kind has.
        given: The words of the command line.
    """
    context = getattr(error, "ctx", None)
    if context is None:
        command = next((f"bench {word}" for word in given if f"bench {word}" in EXAMPLES), "bench")
        return f"{str(error.format_message()).strip().rstrip('.')}. See '{command} --help'"
    path, kind = context.command_path, type(error).__name__
    said = str(error.format_message()).strip().rstrip(".")
    see = f"See '{path} --help'"
    if kind in ("NoArgsIsHelpError", "MissingCommand") or said in ("", "Missing command"):
        return "\n".join([f"name a command, such as: {example_of(path)}", *_commands(context)])
    stray = _stray_words(context, given)
    if kind == "MissingParameter":
        meant = _command_meant(context, stray, given)
        if meant:
            return f"{said}: did you mean {meant}"
        return f"{said}. For example: {example_of(path)}. {see}"
    if kind == "NoSuchOption":
        name = error.option_name
        near = difflib.get_close_matches(name, _options(context), n=2, cutoff=0.6) or list(error.possibilities or ())
        elsewhere = "" if near else _option_of_bench(context, name)
        hint = f"did you mean {' or '.join(near)}?" if near else elsewhere
        return f"No such option: {name}{f': {hint}' if hint else '.'} {see}"
    if kind == "UsageError" and "unexpected extra argument" in said and stray:
        several = _several(context, stray, given)
        return f"{path} cannot place {' '.join(map(shlex.quote, stray))}{several}. {see}"
    return f"{said if said.endswith('?') else said + '.'} {see}"


def example_of(path: str) -> str:
    """Return a command line that works for the command at ``path``, or how to get its help."""
    return EXAMPLES.get(path, f"{path} --help")


def _commands(context: Any) -> list[str]:
    """Return a line for each command of a group."""
    commands = {name: each for name, each in getattr(context.command, "commands", {}).items() if not each.hidden}
    width = max(map(len, commands), default=0)
    return [f"  {name:<{width}}  {each.get_short_help_str(100)}" for name, each in commands.items()]


def _options(context: Any) -> list[str]:
    return [name for each in context.command.params for name in getattr(each, "opts", ()) if name.startswith("-")]


def _option_of_bench(context: Any, name: str) -> str:
    """Say so where an option is one of ``bench`` itself, which go before the command."""
    root = context.find_root()
    if root is not context and name in _options(root):
        return f"it goes before the command: bench {name} {context.command_path.partition(' ')[2]} ..."
    return ""


def _words_of(context: Any, given: Sequence[str]) -> list[str]:
    """Return the words that follow the names of the command."""
    words = list(given)
    for name in context.command_path.split()[1:]:
        if name in words:
            words = words[words.index(name) + 1 :]
    return words


def _stray_words(context: Any, given: Sequence[str]) -> list[str]:
    """Return the words of the command line that no option and no argument of the command takes."""
    with suppress(Exception):  # whatever else is wrong with the words is not what is asked here
        _, rest, _ = context.command.make_parser(context).parse_args(_words_of(context, given))
        return list(rest)
    return []


def _command_meant(context: Any, stray: Sequence[str], given: Sequence[str]) -> str:
    """Return the command with the words that stand alone behind ``-e`` and ``-t``, as far as these are missing."""
    flags = {flag for each in context.command.params for flag in getattr(each, "opts", ())}
    words = _words_of(context, given)
    if not {"-e", "-t"} <= flags or not stray or len(stray) > 2:
        return ""
    missing = [flag for flag, long in (("-e", "--encoder"), ("-t", "--task")) if not _has(words, flag, long)]
    if len(missing) < len(stray):
        return ""
    placed = dict(zip(missing, stray, strict=False))
    if _is_task(stray[0]) and (len(stray) == 1 or not _is_task(stray[1])):
        placed = dict(zip(reversed(missing), stray, strict=False))
    rest = list(words)
    for word in stray:
        rest.remove(word)
    for flag, example in (("-e", "logmel"), ("-t", "demo_key")):
        if flag in missing:
            placed.setdefault(flag, example)
    pairs = [word for flag in sorted(placed) for word in (flag, placed[flag])]
    return f"{context.command_path} {shlex.join([*pairs, *rest] if len(missing) > 1 else [*rest, *pairs])}"


def _has(words: Iterable[str], flag: str, long: str) -> bool:
    return any(word == long or word.startswith((f"{long}=", flag)) for word in words if not word.startswith("---"))


def _is_task(word: str) -> bool:
    """Say whether a word names a task."""
    from tasks import registry
    from tasks.errors import TaskError

    try:
        registry.find(word)
    except TaskError:
        return False
    return True


def _several(context: Any, stray: Sequence[str], given: Sequence[str]) -> str:
    """Say how several encoders or tasks are named, where the command takes such; nothing where it does not."""
    if not {"encoder", "task"} <= {each.name for each in context.command.params if getattr(each, "multiple", False)}:
        return ""
    tasks = [word for word in stray if _is_task(word) or Path(word).suffix == ".toml"]
    flag, several = ("-t", "tasks") if tasks else ("-e", "encoders")
    words = _words_of(context, given)
    first = next((after for word, after in itertools.pairwise(words) if word in (flag, f"--{several[:-1]}")), "")
    joined = ",".join([first, *stray]) if first else ",".join(stray)
    return f": several {several} are named with commas, {flag} {joined}"
