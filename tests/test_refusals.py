"""Every error that ends with exit code 2 says what to do next, and the commands and options that it names are there."""

from __future__ import annotations

import ast
import pickle
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from benchmark.cli.main import app, main
from benchmark.encoders.registry import UnknownEncoderError
from benchmark.errors import UserError
from benchmark.jobs.runner import UnfinishedError
from probes.errors import ProbeError
from probes.protocol import ProtocolError
from results.record import RecordError
from tasks.errors import NoAnnotationsError, TaskError
from tasks.spelling import AmbiguousNameError

ROOT = Path(__file__).parents[1]
PACKAGES = ("benchmark", "tasks", "probes", "results")
BASES = {"UserError", "TaskError", "RecordError", "ProbeError"}
#: Words that say nothing of what to do.
FILLER = re.compile(r"check (the|your) (input|message|log)|try something|see above|contact", re.IGNORECASE)
#: A command of this package in a text; what other programs' commands need is theirs.
COMMAND = re.compile(r"\bbench ((?:-[^\s']+ )*[a-z][a-z-]*(?: [a-z][a-z-]*)?)([^'`\n.;:()]*)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
OTHERS = re.compile(r"\b(?:pip|hf|git|gh) (?:[a-z]+ )+[^'\n:;]*")


@cache
def trees() -> dict[Path, ast.Module]:
    """Return the syntax of every module of the four packages."""
    paths = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in paths}


def called(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


@cache
def refusals() -> frozenset[str]:
    """Return the names of the errors for users: the four, and all classes that are made of them."""
    names = set(BASES)
    while True:
        more = {
            node.name
            for tree in trees().values()
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef) and names & {called(base) for base in node.bases}
        }
        if more <= names:
            return frozenset(names)
        names |= more


def constructions() -> Iterator[tuple[str, ast.Call]]:
    for path, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and called(node.func) in refusals():
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node


def shown(node: ast.expr) -> str:
    """Return a text as far as it is written in the code, with X for what is computed."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(shown(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return shown(node.left) + shown(node.right)
    return "X"


def do_of(call: ast.Call) -> ast.expr | None:
    """Return what is given as the instruction."""
    if any(isinstance(argument, ast.Starred) for argument in call.args[:2]):
        return None
    return next((keyword.value for keyword in call.keywords if keyword.arg == "do"), [*call.args, None, None][1])


# It makes its two parts itself, from what it is given.
OWN_ARGUMENTS = {"NoAnnotationsError"}


def test_there_are_hundreds_and_all_kinds_are_found():
    assert len(list(constructions())) > 600
    assert {"WindowError", "HungError", "ProtocolError", "LeakError", "UnfinishedError"} <= refusals()


def test_every_construction_says_what_to_do():
    lacking = []
    for where, call in constructions():
        do = do_of(call)
        if called(call.func) in OWN_ARGUMENTS:
            continue
        if do is None or not shown(do).strip() or FILLER.search(shown(do)):
            lacking.append(where)
    assert lacking == []


def test_nothing_is_thrown_into_one_text_with_its_instruction():
    """An error that is made of another takes its parts: its whole text would hold an instruction in the first half."""
    wrapped = []
    for path, tree in trees().items():
        for handler in ast.walk(tree):
            if not isinstance(handler, ast.ExceptHandler) or handler.name is None or handler.type is None:
                continue
            caught = {called(kind) for kind in getattr(handler.type, "elts", [handler.type])}
            if not caught <= refusals():
                continue
            for call in (node for part in handler.body for node in ast.walk(part) if isinstance(node, ast.Call)):
                if called(call.func) not in refusals() or not call.args:
                    continue
                names = [n for n in ast.walk(call.args[0]) if isinstance(n, ast.Name) and n.id == handler.name]
                parts = [n.value for n in ast.walk(call.args[0]) if isinstance(n, ast.Attribute)]
                if any(name not in parts for name in names):
                    wrapped.append(f"{path.relative_to(ROOT)}:{call.lineno}")
    assert wrapped == []


def commands() -> dict[str, Any]:
    """Return every command of the command line by its words; groups too, with the options they take themselves."""
    found: dict[str, Any] = {}

    def walk(command: Any, words: tuple[str, ...]) -> None:
        found[" ".join(words)] = command
        for name, each in getattr(command, "commands", {}).items():
            walk(each, (*words, name))

    walk(typer.main.get_command(app), ())
    return found


def options_of(command: Any) -> set[str]:
    return {name for each in command.params for name in (*each.opts, *each.secondary_opts)} | {"--help"}


def texts() -> Iterator[tuple[str, str]]:
    """Yield every text of the packages that is not a docstring, with its place."""
    for path, tree in trees().items():
        docs = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            is_text = isinstance(node, ast.JoinedStr) or (
                isinstance(node, ast.Constant) and isinstance(node.value, str)
            )
            if is_text and id(node) not in docs and id(node) not in inside:
                yield f"{path.relative_to(ROOT)}:{node.lineno}", shown(node)


def unknown_in(text: str, known: dict[str, Any]) -> list[str]:
    """Return the commands of this package that a text names and that are not there, and options that they lack.

    >>> unknown_in("see 'bench cash ls', or bench run --trails 3", commands())
    ['bench cash ls', 'bench run --trails']
    """
    wrong = []
    for match in COMMAND.finditer(text):
        words = [word for word in match[1].split() if not word.startswith("-")]
        root = known[""]
        if words[0] not in root.commands:
            wrong.append(f"bench {' '.join(words)}")
            continue
        group = known[words[0]]
        inner = len(words) > 1 and words[1] in getattr(group, "commands", {})
        if hasattr(group, "commands") and len(words) > 1 and not inner and group.commands and words[1].islower():
            others = options_of(group)  # words that follow a group are a command of it, or an argument of its own
            if words[0] in STRICT and words[1] not in PROSE:
                wrong.append(f"bench {' '.join(words)}")
                continue
        command = known[f"{words[0]} {words[1]}"] if inner else group
        others = options_of(command) | options_of(group) | options_of(root)
        if hasattr(command, "commands") and not inner:  # an option of one of its commands
            others |= {name for each in command.commands.values() for name in options_of(each)}
        wrong += [f"bench {' '.join(words)} {name}" for name in OPTION.findall(match[2]) if name not in others]
    return wrong


#: Groups whose next word is always one of their commands.
STRICT = {"data", "cache", "results"}
PROSE = {
    "and",
    "or",
    "names",
    "lists",
    "lines",
    "with",
    "it",
    "to",
    "gives",
    "writes",
    "for",
    "is",
    "look",
    "looks",
    "takes",
}


def test_the_commands_that_texts_name_exist():
    known = commands()
    assert unknown_in("see 'bench cash ls', or bench run --trails 3", known) == ["bench cash ls", "bench run --trails"]
    assert unknown_in("bench data fech gtzan", known) == ["bench data fech"]
    wrong = {where: found for where, text in texts() if (found := unknown_in(text, known))}
    assert wrong == {}


#: Options of other programs, and of modules that are run in a process of their own.
ELSEWHERE = {"--revision", "--no-deps", "--only-binary", "--ignore-requires-python", "--no-input", "--progress-bar"}
#: Of srun.
ELSEWHERE |= {"--gpus-per-node", "--gpus-per-task", "--ntasks-per-node"}


def test_the_options_that_errors_name_exist():
    known = {name for command in commands().values() for name in options_of(command)} | ELSEWHERE
    wrong = {}
    for where, call in constructions():
        text = OTHERS.sub("", " ".join(shown(part) for part in call.args))
        unknown = [name for name in OPTION.findall(text) if name not in known and name + "-" not in text]
        if unknown:
            wrong[where] = unknown
    assert wrong == {}


PARTS = [
    ("no file x", "check the path", (), "no file x: check the path"),
    ("no file x", "Check the path", (), "no file x. Check the path"),
    ("was x cut?", "Fetch it again", (), "was x cut? Fetch it again"),
    ("a, b, …", "Name one", (), "a, b, … Name one"),
]
WITH_ROWS = [
    ("2 rows of x are bad", "mend them", ("  row 1", "  row 2"), "2 rows of x are bad: mend them:\n  row 1\n  row 2"),
    ("x is bad", "Mend it.", ("  row 1",), "x is bad. Mend it.\n  row 1"),
]


@pytest.mark.parametrize("kind", [UserError, TaskError, RecordError])
@pytest.mark.parametrize(("what", "do", "rows", "text"), PARTS + WITH_ROWS)
def test_the_parts_make_one_text_which_is_the_same_in_every_package(kind, what, do, rows, text):
    assert str(kind(what, do, rows)) == text


@pytest.mark.parametrize(("what", "do", "rows", "text"), PARTS)
def test_those_of_probes_are_joined_alike(what, do, rows, text):
    assert (rows, str(ProbeError(what, do))) == ((), text)


@pytest.mark.parametrize("kind", [UserError, TaskError, RecordError, ProbeError])
def test_an_instruction_is_required(kind):
    with pytest.raises(TypeError, match="do"):
        kind("something happened")


@pytest.mark.parametrize(
    "error",
    [
        UserError("a", "b", ["c"]),
        TaskError("a", "b", ["c"]),
        RecordError("a", "b", ["c"]),
        ProtocolError("a", "b"),
        UnknownEncoderError("a", do="b"),
        UnfinishedError("a", "b", ["c"], ()),
        NoAnnotationsError(Path("x.csv"), "put it there"),
        AmbiguousNameError(Path("x"), "é.wav", ["é.wav", "e.wav"]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_whole_out_of_another_process(error):
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize("words", sorted(commands()), ids=lambda words: words or "bench")
def test_every_command_answers_words_that_it_cannot_take_with_what_to_do(words, capsys):
    for wrong in (["--no-such-option"], ["--home"], []):
        command = commands()[words]
        needs = any(each.required for each in command.params) or hasattr(command, "commands")
        if not wrong and not needs:  # it would run
            continue
        with pytest.raises(SystemExit) as ended:
            main([*words.split(), *wrong])
        said = capsys.readouterr()
        if not wrong and ended.value.code == 0:  # a group that does something of its own
            continue
        first = said.err.splitlines()[0]
        assert ended.value.code == 2, (words, wrong)
        assert re.search(r"See '(bench[a-z -]*) --help'|did you mean|such as: bench|For example: bench", first), first
