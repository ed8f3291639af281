"""The file of ``bench run --config``: encoders, tasks and options of a run, under the names that the options have.

A key is a field of :class:`benchmark.jobs.options.Options`; ``encoder`` and ``task`` (or ``encoders``, ``tasks``) are
one name or a list. Relative paths are relative to the file, so that it may lie beside the cards and encoders that it
names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from benchmark.encoders.options import text_of
from benchmark.encoders.spec import split, with_paths
from benchmark.errors import UserError
from benchmark.jobs.options import Option, Options, check, option_list
from results.markdown import folded
from tasks.errors import TaskError
from tasks.files import SETTINGS, expanded, parse_toml, read_text
from tasks.spelling import did_you_mean

#: Keys that are no options, but what is run on what.
NAMES: Mapping[str, str] = {"encoder": "encoders", "encoders": "encoders", "task": "tasks", "tasks": "tasks"}
#: Kinds of encoders whose target is a path, and those whose target may be one.
PATHS, PERHAPS = ("file", "keras", "onnx", "torchscript", "emb"), ("hf", "pretrained", "env")
LONGEST = 60  # characters of a value in a message
#: Where one writes such a file, in a message.
WRITTEN = "'bench reproduce RECORD --print-config' prints one of a record"
SQLITE = re.compile(r"(sqlite(?:\+\w+)?:///)(?!/|:memory:)(.+)", re.DOTALL)


@dataclass(frozen=True)
class Configuration:
    """What a file chooses.

    Attributes:
        path: The file.
        encoders: What names the encoders, paths absolute; nothing where the file names none.
        tasks: The same of the tasks.
        chosen: Values of :class:`~benchmark.jobs.options.Options`, in the form that the command line has too.
    """

    path: Path
    encoders: tuple[str, ...]
    tasks: tuple[str, ...]
    chosen: Mapping[str, Any]


def read_configuration(path: Path | str) -> Configuration:
    """Read the file of a run.

    Raises:
        UserError: It cannot be read, or a key or value is none; each is named with what it takes.
    """
    path = Path(path)
    values, folder = _read(path), expanded(path).absolute().parent
    known = {option.name: option for option in option_list()}
    problems: list[UserError | TaskError] = []
    chosen: dict[str, Any] = {}
    for key, value in values.items():
        try:
            taken = _named(key, value, values, folder) if key in NAMES else _option(key, value, known, folder)
        except (UserError, TaskError) as error:
            problems.append(error)
        else:
            if taken not in ("", []):
                chosen[NAMES.get(key, key)] = taken
    encoders, tasks = tuple(chosen.pop("encoders", ())), tuple(chosen.pop("tasks", ()))
    if not problems:
        try:
            Options(**chosen)
        except (UserError, TaskError) as error:
            problems.append(error)
    if len(problems) == 1:
        raise UserError(f"{path}: {problems[0].what}", problems[0].do, problems[0].rows)
    if problems:
        raise UserError(
            f"{path} has {len(problems)} keys or values that are none", "mend these",
            [f"  {problem}" for problem in problems],
        )  # fmt: skip
    return Configuration(path, encoders, tasks, chosen)


def _read(path: Path) -> dict[str, Any]:
    what = f"A configuration is a TOML file with lines such as trials = 20; {WRITTEN}"
    try:
        return parse_toml(read_text(expanded(path), SETTINGS), path)
    except FileNotFoundError:
        raise UserError(f"there is no file {path}", f"Check the path of --config. {what}") from None
    except OSError as error:
        raise UserError(
            f"cannot read {path} ({error.strerror or error})", f"let it be read, or name another. {what}"
        ) from None
    except TaskError as error:
        raise UserError(error.what, f"{error.do}. {what}" if error.do else what, error.rows) from None


def _named(key: str, value: object, values: Mapping[str, object], folder: Path) -> list[str]:
    """Return the encoders or the tasks that a key names.

    Raises:
        UserError: It names none, or another key names them too.
    """
    if key != NAMES[key] and NAMES[key] in values:
        raise UserError(f"{key} says again what {NAMES[key]} says", "leave one out")
    names = [value] if isinstance(value, str) else value
    of_text, example = (_encoders, "logmel") if NAMES[key] == "encoders" else (_tasks, "demo_key")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise UserError(f"{key} takes a name, or a list of names, not {_shown(value)}", f'write {key} = "{example}"')
    return [each for name in names for each in of_text(name, folder, alone=isinstance(value, str))]


def _option(key: str, value: object, known: Mapping[str, Option], folder: Path) -> Any:
    """Return the value of a key as the option takes it.

    Raises:
        UserError: There is no such option, or it takes no such value.
    """
    if key not in known:
        keys = [*NAMES, *known]
        near = "" if len(key) > LONGEST else key.replace("-", "_")
        hint = did_you_mean(near, keys, f"the keys are {', '.join(keys)}")
        raise UserError(f"there is no option {_shown(key)}", hint)
    taken = _taken(known[key], value, folder)
    check(known[key], taken)
    return taken


def _taken(option: Option, value: object, folder: Path) -> Any:
    """Return a value of the file as the option takes it.

    Raises:
        UserError: It is of another type.
    """
    members = get_args(option.type) or (option.type,)
    if Sequence[float] in members:
        if isinstance(value, list) and all(_is_number(each) for each in value):
            return ",".join(repr(each) for each in value)
        return _expect(option, value, isinstance(value, str), "a list of numbers", "[0.1, 1]")
    if option.type == Sequence[str] or Sequence[str] in members:
        if option.type != Sequence[str] and isinstance(value, dict) and all(map(_is_plain, value.values())):
            value = [f"{key}={text_of(each)}" for key, each in value.items()]
        return _texts(option, value, folder)
    if bool in members:
        return _expect(option, value, isinstance(value, bool), "true or false", "true")
    if int in members:
        return _expect(option, value, isinstance(value, int) and not isinstance(value, bool), "a whole number", "20")
    what = f"one of {', '.join(option.choices)}" if option.choices else "a text"
    example = option.choices[0] if option.choices else str(value) if _is_number(value) else "..."
    text = _expect(option, value, isinstance(value, str), what, f'"{example}"')
    if Path in members:
        return str(_at(text, folder))
    found = SQLITE.fullmatch(text) if option.name == "storage" else None
    return f"{found[1]}{_at(found[2], folder)}" if found else text


def _expect(option: Option, value: object, holds: bool, what: str, example: str) -> Any:
    if not holds:
        raise UserError(f"{option.name} takes {what}, not {_shown(value)}", f"write {option.name} = {example}")
    return value


def _texts(option: Option, value: object, folder: Path) -> list[str]:
    """Return texts, paths in ``KEY=PATH`` absolute."""
    texts = [value] if isinstance(value, str) else value
    holds = isinstance(texts, list) and all(isinstance(each, str) for each in texts)
    if option.type != Sequence[str]:
        _expect(option, value, holds, 'a table, or a list of texts "KEY=VALUE"', "{ layer = 7 }")
    found: list[str] = _expect(option, texts, holds, "a list of texts", f'["{option.flag.metavar}"]')
    return [_with_value(each, folder, always=option.name == "data_roots") for each in found]


def _is_plain(value: object) -> bool:
    return isinstance(value, str | int | float)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: object) -> str:
    """Return a value of a file in a message: short, and in one line."""
    text = {True: "true", False: "false"}[value] if isinstance(value, bool) else repr(value)
    text = folded(text)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _at(path: str, folder: Path) -> Path:
    """Return a path of the file in ``folder``; what is absolute stays."""
    return folder / expanded(path)


def _with_value(pair: str, folder: Path, *, always: bool = False) -> str:
    """Return ``KEY=PATH`` with an absolute path, where it is one: if ``always``, or if there is such a file."""
    key, equal, value = pair.partition("=")
    return f"{key}{equal}{_at(value, folder)}" if equal and value and (always or _is_there(value, folder)) else pair


def _is_there(value: str, folder: Path) -> bool:
    try:
        return ("/" in value or "\\" in value or "." in value) and _at(value, folder).exists()
    except (OSError, ValueError, TaskError):  # a text that is no path
        return False


def _tasks(text: str, folder: Path, *, alone: bool) -> Iterator[str]:
    """Yield the tasks that a text names; it may hold several where it is no list."""
    parts = [text] if not alone or _is_there(text, folder) else text.split(",")
    for part in filter(None, map(str.strip, parts)):
        is_path = part.endswith(".toml") or ("/" in part and not part.startswith("mirdata:"))
        yield str(_at(part, folder)) if is_path else part


def _encoders(text: str, folder: Path, *, alone: bool) -> Iterator[str]:
    """Yield the encoders that a text names, with absolute paths; it may hold several where it is no list."""
    for part in split(text) if alone else [text.strip()]:
        yield _encoder(part, folder)


def _encoder(text: str, folder: Path) -> str:
    def of_target(kind: str, target: str) -> str:
        return (
            str(_at(target, folder))
            if kind in PATHS or (kind in PERHAPS and _is_there(f"./{target}", folder))
            else target
        )

    return with_paths(text, of_target, lambda value: str(_at(value, folder)) if _is_there(value, folder) else value)
