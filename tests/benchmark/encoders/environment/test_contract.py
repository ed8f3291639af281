"""What an environment without this program has of it."""

import ast
from pathlib import Path

import pytest

from benchmark.encoders.environment import contract
from benchmark.errors import UserError
from tasks.errors import TaskError


def test_the_shared_modules_are_of_python_3_9():
    """Files that other interpreters run: their syntax, and unions of types where Python evaluates them."""
    root = Path(contract.__file__).parents[3]
    files = [root.joinpath(*name.split(".")).with_suffix(".py") for name in contract.SHARED]
    files += [Path(contract.__file__).with_name(name) for name in ("contract.py", "frames.py", "worker.py")]
    for file in files:
        tree = ast.parse(file.read_text(), feature_version=(3, 9))
        assert any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body), file
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "isinstance":
                assert not isinstance(node.args[1], ast.BinOp), (file, node.lineno)
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "zip":
                assert not node.keywords, (file, node.lineno)
            assert type(node).__name__ != "Match", (file, node.lineno)


def test_a_plug_in_finds_the_contract_and_no_more(opened):
    module = """
    import benchmark.encoders.base
    from benchmark import UserError
    assert Encoder is benchmark.encoders.base.Encoder
    import sys
    assert not {"tasks", "tasks.files", "results", "pydantic"} & set(sys.modules)
    """
    assert opened(module=module).dim == 4
    for absent in ("benchmark.jobs", "benchmark.encoders.handcrafted.logmel"):
        with pytest.raises(UserError, match=rf"No module named '{absent}'|of this benchmark an environment"):
            opened(module=f"import {absent}")


def test_stand_ins_do_what_they_stand_for(tmp_path):
    from benchmark.system.files import content_hash
    from benchmark.system.terminal import said_by
    from tasks.files import expanded, read_bytes, resolved
    from tasks.spelling import did_you_mean

    file = tmp_path / "some.bin"
    file.write_bytes(bytes(range(256)) * 9000)
    assert contract.content_hash(file) == content_hash(file)
    assert contract.read_bytes(file, 10**7) == read_bytes(file, 10**7)
    assert (contract.expanded("~/a"), contract.resolved(file)) == (expanded("~/a"), resolved(file))
    assert contract.said_by(ValueError("two\nlines")) == said_by(ValueError("two lines"))
    assert contract.did_you_mean("scael", ["scale"], "") == did_you_mean("scael", ["scale"], "")
    assert contract.did_you_mean("x", ["scale"], "no") == did_you_mean("x", ["scale"], "no")
    for own, theirs, error in (
        (contract.content_hash, content_hash, OSError),
        (contract.read_bytes, read_bytes, TaskError),
    ):
        more = () if own is contract.content_hash else (10,)
        with pytest.raises(OSError):
            own(tmp_path if not more else file, *more)
        with pytest.raises(error):
            theirs(tmp_path if not more else file, *more)


def test_nothing_is_written_beside_this_program(opened):
    folder = Path(contract.__file__).parent
    before = sorted(folder.rglob("*"))
    assert opened().dim == 4
    assert sorted(folder.rglob("*")) == before
