"""The campaign of planted errors itself: that it plants what it says, and what it counts as noticed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.campaigns.mutants import MUTANTS, TREE, Verdict, judge, table
from tests.campaigns.outcomes import kinds
from tests.campaigns.planting import Mutant, StaleError, find_tests, plant, read_mutants

CODE = """
LIMIT = 3


class Halving:
    keep = 0.5

    def survive(self, scores):
        return sorted(
            scores,
            reverse=True,
        )[:LIMIT]


def survive(scores):
    return sorted(scores)
"""
BEST = Mutant(
    "the worst survive", "search", "Halving.survive", (("sorted(scores, reverse=True)", "sorted(scores)"),), ()
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "probes" / "deep").mkdir(parents=True)
    (tmp_path / "probes" / "deep" / "halving.py").write_text(CODE, encoding="utf-8")
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "paper.csv").write_text("a,0.5\nb,0.6\n", encoding="utf-8")
    (tmp_path / "tests" / "probes").mkdir(parents=True)
    (tmp_path / "tests" / "probes" / "test_halving.py").write_text(
        "class TestHalving:\n    def test_best(self): ...\n\ndef test_best_of_all(): ...\n", encoding="utf-8"
    )
    return tmp_path


class TestPlant:
    def test_changes_the_named_function_alone_wherever_it_lies_and_however_it_is_wrapped(self, tree: Path) -> None:
        found = plant(tree, BEST)
        assert found.path == tree / "probes" / "deep" / "halving.py"
        assert found.before == CODE
        assert "return sorted(scores)[:LIMIT]" in found.after
        assert found.after.count("return sorted(scores)") == 2

    @pytest.mark.parametrize(
        ("where", "old", "new", "line"),
        [
            ("LIMIT", "3", "2", "LIMIT = 2"),
            ("Halving.keep", "0.5", "0.25", "    keep = 0.25"),
            ("paper.csv", "b,0.6", "b,0.5", "b,0.5"),
        ],
    )
    def test_changes_constants_and_files_of_data(self, tree: Path, where: str, old: str, new: str, line: str) -> None:
        found = plant(tree, replace(BEST, where=where, edits=((old, new),)))
        assert [after for after in found.after.splitlines() if after not in found.before.splitlines()] == (
            [] if where == "paper.csv" else [line]
        ) or found.after.splitlines()[1] == line
        assert found.after != found.before

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"where": "Halving.gone"}, "0 of this name"),
            ({"edits": (("sorted(rows)", "rows"),)}, "1 of this name in the packages, 0 with the text"),
            ({"where": "survive", "edits": (("scores", "rows"),)}, "2 of this name"),
            ({"edits": (("sorted(scores, reverse=True)", "sorted(scores"),)}, "does not parse"),
            ({"edits": (("sorted(scores, reverse=True)", "sorted(scores, reverse=True)"),)}, "changes nothing"),
        ],
    )
    def test_what_cannot_be_planted_is_stale(self, tree: Path, change: dict[str, object], words: str) -> None:
        with pytest.raises(StaleError, match=words):
            plant(tree, replace(BEST, **change))  # type: ignore[arg-type]


class TestFindTests:
    def test_by_name_with_its_class_or_without(self, tree: Path) -> None:
        path = "tests/probes/test_halving.py"
        assert find_tests(tree, ["TestHalving.test_best"]) == [f"{path}::TestHalving::test_best"]
        assert find_tests(tree, ["test_best"]) == [f"{path}::TestHalving::test_best"]

    def test_one_that_is_not_there_or_twice_is_stale(self, tree: Path) -> None:
        with pytest.raises(StaleError, match="test_worst is in 0 test modules"):
            find_tests(tree, ["test_worst"])
        more = tree / "tests" / "probes" / "test_halving.py"
        more.write_text("class TestHalving:\n    def test_best(self): ...\n\ndef test_best(): ...\n", encoding="utf-8")
        with pytest.raises(StaleError, match="test_best is in 2 test modules"):
            find_tests(tree, ["test_best"])


def ended(outcome: str, error: BaseException | None = None, when: str = "call", test: str = "t") -> dict[str, object]:
    message = f"{type(error).__name__}: {error}"
    return {"test": test, "when": when, "outcome": outcome, "kinds": kinds(error) if error else [], "message": message}


class TestJudge:
    @pytest.mark.parametrize(
        ("outcomes", "state", "why"),
        [
            ([ended("failed", AssertionError("1 == 2"))], "killed", ""),
            ([ended("passed"), ended("failed", AssertionError("1 == 2"))], "killed", ""),
            ([ended("failed", ExceptionGroup("two", [AssertionError("a"), AssertionError("b")]))], "killed", ""),
            ([ended("failed", pytest.fail.Exception("DID NOT RAISE"))], "killed", ""),
            ([ended("passed")], "survived", "t passes"),
            ([], "survived", "cannot be imported"),
            ([ended("failed", ImportError("no module"))], "survived", "by something else"),
            ([ended("failed", ExceptionGroup("two", [AssertionError("a"), TypeError("b")]))], "survived", "else"),
            ([ended("failed", KeyError("x"))], "survived", "by something else"),
            ([ended("failed", pytest.fail.Exception("Timeout (>300.0s) from pytest-timeout."))], "survived", "else"),
            ([ended("failed", AssertionError("in a fixture"), when="setup")], "survived", "by something else"),
            ([ended("failed", AssertionError("of another"), test="u")], "survived", "t passes"),
        ],
    )
    def test_only_a_failed_assertion_of_the_named_test_counts(
        self, outcomes: list[dict[str, object]], state: str, why: str
    ) -> None:
        found = judge(BEST, ["t"], outcomes)
        assert found[0] == state
        assert why in found[1]

    def test_every_named_test_must_fail(self) -> None:
        failed = [ended("failed", AssertionError("x")), ended("passed", test="u")]
        assert judge(BEST, ["t", "u"], failed) == ("survived", "u passes")

    def test_the_products_own_error_counts_where_the_mutant_names_it(self) -> None:
        class LeakError(ValueError):
            pass

        outcomes = [ended("failed", LeakError("2 test items in train"))]
        assert judge(BEST, ["t"], outcomes)[0] == "survived"
        assert judge(replace(BEST, error="LeakError"), ["t"], outcomes)[0] == "killed"


def test_the_table_counts_by_area() -> None:
    verdicts = [Verdict(BEST, "killed", "", 3.2), Verdict(replace(BEST, name="b"), "survived", "t passes", 4.0)]
    text = table(verdicts)
    assert "| the worst survive | `Halving.survive` |  | killed | 3 |" in text
    assert "| search | 2 | 1 | 1 | 0 |" in text
    assert text.endswith("| all | 2 | 1 | 1 | 0 |")


def test_the_mutants_are_many_and_of_every_part_of_the_protocol() -> None:
    mutants = read_mutants(MUTANTS)
    assert len(mutants) >= 80
    areas = {mutant.area for mutant in mutants}
    assert areas >= {
        "splits",
        "training",
        "search",
        "floors",
        "statistics",
        "metrics",
        "tables",
        "keys",
        "pre-training",
    }
    assert all(mutant.tests for mutant in mutants)
    assert len({(mutant.where, mutant.edits) for mutant in mutants}) == len(mutants)


@pytest.mark.parametrize("mutant", read_mutants(MUTANTS), ids=lambda mutant: mutant.name)
def test_every_mutant_can_be_planted_and_its_tests_are_there(mutant: Mutant) -> None:
    """Whoever moves or renames what a mutant changes, or a test that notices it, mends mutants.toml with it."""
    plant(TREE, mutant)
    find_tests(TREE, mutant.tests)
