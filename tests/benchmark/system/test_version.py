"""The commit of a checkout, read without git."""

import pytest
from typer.testing import CliRunner

import benchmark
from benchmark.cli.main import app
from benchmark.system.version import commit_of, format_version

COMMIT, OTHER = "0123456789abcdef0123456789abcdef01234567", "f" * 40


@pytest.fixture
def checkout(tmp_path):
    folder = tmp_path / ".git"
    (folder / "refs" / "heads").mkdir(parents=True)
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    return folder


def test_a_branch(checkout):
    (checkout / "refs" / "heads" / "main").write_text(f"{COMMIT}\n")
    assert commit_of(checkout.parent) == COMMIT
    assert format_version(checkout.parent) == f"{benchmark.__version__} (commit 0123456)"


def test_a_branch_that_was_packed(checkout):
    (checkout / "packed-refs").write_text(f"# pack-refs\n{OTHER} refs/heads/other\n{COMMIT} refs/heads/main\n")
    assert commit_of(checkout.parent) == COMMIT


def test_a_detached_head(checkout):
    (checkout / "HEAD").write_text(f"{COMMIT}\n")
    assert commit_of(checkout.parent) == COMMIT


def test_a_second_working_tree(checkout, tmp_path):
    own = checkout / "worktrees" / "second"
    own.mkdir(parents=True)
    (own / "HEAD").write_text("ref: refs/heads/side\n")
    (own / "commondir").write_text("../..\n")
    (checkout / "refs" / "heads" / "side").write_text(COMMIT)
    second = tmp_path / "second"
    second.mkdir()
    (second / ".git").write_text(f"gitdir: {own}\n")
    assert commit_of(second) == COMMIT


@pytest.mark.parametrize("head", ["ref: refs/heads/none", "garbage", ""])
def test_what_is_no_checkout_has_no_commit(checkout, tmp_path, head):
    (checkout / "HEAD").write_text(head)
    assert commit_of(checkout.parent) is None
    assert commit_of(tmp_path / "nowhere") is None
    assert format_version(tmp_path / "nowhere") == benchmark.__version__


def test_the_command_prints_it():
    assert CliRunner().invoke(app, ["--version"]).output == f"bench {format_version()}\n"
