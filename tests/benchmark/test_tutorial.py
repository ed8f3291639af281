"""docs/tutorial.ipynb is executed, and what is committed are outputs of an execution that say nothing of a machine."""

import re

import nbformat
import pytest

from tests.tutorial import PAGE, cleaned, executed


@pytest.fixture(scope="module")
def notebook(demo_home, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_HOME", str(demo_home))
        return executed(PAGE, tmp_path_factory.mktemp("tutorial"))


@pytest.fixture(scope="module")
def committed():
    return nbformat.read(PAGE, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(notebook):
    return [output for cell in code(notebook) for output in cell.outputs]


def test_no_cell_fails_or_warns(notebook):
    assert [output for output in outputs(notebook) if output.output_type == "error"] == []
    assert [output.text for output in outputs(notebook) if output.get("name") == "stderr"] == []


def test_progress_is_one_display_a_run(notebook):
    runs = [cell for cell in code(notebook) if "benchmark.run(" in cell.source]
    assert len(runs) == 2
    for cell in runs:
        shown = [output for output in cell.outputs if output.output_type == "display_data"]
        assert len(shown) == 1
        assert "Done in " in shown[0].data["text/plain"]
        assert len(shown[0].data["text/plain"].splitlines()) < 8


def test_every_result_is_a_table_or_a_picture(notebook):
    results = [output.data for output in outputs(notebook) if output.output_type == "execute_result"]
    assert len(results) == 6
    assert all("<table" in data["text/html"] or "<svg" in data["text/html"] for data in results)
    assert sum("<svg" in data["text/html"] for data in results) == 2


def test_what_is_committed_are_the_outputs_of_these_cells(notebook, committed):
    assert [cell.source for cell in committed.cells] == [cell.source for cell in notebook.cells]
    kinds = [[output.output_type for output in cell.outputs] for cell in code(committed)]
    assert kinds == [[output.output_type for output in cell.outputs] for cell in code(notebook)]
    assert [cell.execution_count for cell in code(committed)] == list(range(1, len(code(committed)) + 1))
    assert nbformat.writes(cleaned(nbformat.read(PAGE, as_version=4))).strip() == PAGE.read_text("utf-8").strip()


def test_nothing_committed_tells_of_a_machine():
    text = PAGE.read_text(encoding="utf-8")
    assert re.findall(r"/(?:home|root|tmp|Users|work|mnt)/\S{0,40}", text) == []
    assert "ipykernel_" not in text
    assert len(text) < 200_000


def test_scores_that_are_committed_are_those_of_today(notebook, committed):
    """To two digits: products of other processors round otherwise."""

    def scores(of):
        texts = [o.data["text/plain"] for o in outputs(of) if o.output_type == "execute_result"]
        return [round(float(number), 2) for text in texts[:2] for number in re.findall(r"accuracy (\d\.\d+)", text)]

    assert len(scores(committed)) == 4
    assert scores(notebook) == pytest.approx(scores(committed), abs=0.03)
