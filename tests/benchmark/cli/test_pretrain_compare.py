"""``bench pretrain compare`` on the command line: what it takes, what it prints, and how it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmark.cli.main import main
from benchmark.pretraining.comparison import compare as module
from benchmark.pretraining.comparison.compare import Choices, Compared


def bench(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["pretrain", "compare", *map(str, words)])
    told = capsys.readouterr()
    return ended.value.code, told.out, told.err


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Choices]:
    """Keep what is asked for; one seed alone is said to have been stopped."""
    kept: list[Choices] = []

    def compare(choices: Choices, train: Any, report: Any) -> Compared:
        kept.append(choices)
        problems = ("a-seed-0 was stopped: it collapsed",) if choices.seeds == 1 else ()
        return Compared("# The table\n", choices.out / "comparison.md", problems)

    monkeypatch.setattr(module, "compare", compare)
    return kept


def test_the_table_is_printed_and_options_are_taken(
    tmp_path: Path, asked: list[Choices], capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("tiny-simclr", "tiny-sup", "batch=8", "--data", "store", "--tasks", "a,b", "--out", tmp_path, "--budget",
             "minutes=5", "--seeds", 4, "--curve-seeds", 2, "--probe-seeds", 3, "--protocol", "quick", "--trials", 6,
             "--data-root", "x=y", "--workers", 1)  # fmt: skip
    code, out, err = bench(capsys, *words)
    assert (code, out) == (0, "# The table\n")
    assert f"bench report {tmp_path}" in err
    (found,) = asked
    assert (list(found.words), found.data, list(found.tasks)) == (
        ["tiny-simclr", "tiny-sup", "batch=8"],
        "store",
        ["a,b"],
    )
    assert (found.budget, found.seeds, found.curve_seeds, found.probe_seeds) == ("minutes=5", 4, 2, 3)
    run = {name: found.run[name] for name in ("protocol", "trials", "data_roots", "workers")}
    assert run == {"protocol": "quick", "trials": 6, "data_roots": ["x=y"], "workers": 1}


def test_a_run_that_was_stopped_is_status_1(
    tmp_path: Path, asked: list[Choices], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = bench(
        capsys, "tiny-sup", "--data", "store", "-t", "a", "--out", tmp_path, "--budget", "steps=5", "--seeds", 1
    )
    assert (code, out) == (1, "# The table\n"), "what there is is shown nevertheless"
    assert "a-seed-0 was stopped: it collapsed" in err
    assert len(asked) == 1


def test_a_bad_budget_is_status_2_with_a_good_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = bench(
        capsys, "tiny-sup", "--data", "store", "-t", "demo_key", "--out", tmp_path / "out", "--budget", "5"
    )
    assert (code, out) == (2, "")
    assert "give --budget steps=500" in err
    assert not (tmp_path / "out").exists()
