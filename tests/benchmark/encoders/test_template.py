import ast

import pytest

from benchmark.encoders.check.check import check
from benchmark.encoders.registry import resolve_one
from benchmark.encoders.template import source, write
from benchmark.errors import UserError


@pytest.mark.parametrize(
    ("stem", "cls", "name"),
    [
        ("my_encoder", "MyEncoder", "my-encoder"),
        ("MERT", "MERT", "mert"),
        ("2nd try", "NdTry", "2nd-try"),
        ("a.b-c", "ABC", "a-b-c"),
    ],
)
def test_class_and_name_come_from_the_file(stem, cls, name):
    tree = ast.parse(source(stem))
    assert [node.name for node in tree.body if isinstance(node, ast.ClassDef)] == [cls]
    assert f'"{name}", "1", 16000' in source(stem)


def test_it_is_ten_lines():
    assert len([line for line in source("mine").splitlines() if line.strip()]) <= 10


def test_what_is_written_keeps_the_contract(tmp_path):
    path = tmp_path / "with a blank.py"
    write(path)
    assert check(resolve_one(str(path))).failures == ()


def test_nothing_is_overwritten(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("work of a year")
    with pytest.raises(UserError, match="is there already"):
        write(path)
    assert path.read_text() == "work of a year"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("mine", "no Python file"),
        ("mine.txt", "no Python file"),
        ("1.py", "no class"),
        ("no/such/a.py", "cannot write"),
    ],
)
def test_names_that_will_not_do(tmp_path, name, problem):
    with pytest.raises(UserError, match=problem):
        write(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
