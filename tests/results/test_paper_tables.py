from __future__ import annotations

import hashlib
from importlib.resources import files

import pytest

from results import paper_tables
from results.paper_tables import PublishedValue
from results.record import RecordError

HEADER = "model,task,metric,value,reference\n"


def test_columns_stand_in_the_order_of_the_paper() -> None:
    assert paper_tables.table("table3").columns == (
        ("mtt", "map"),
        ("mtt", "roc_auc"),
        ("gtzan", "accuracy"),
        ("nsynth_p", "accuracy"),
        ("nsynth_i", "accuracy"),
        ("emo", "r2_valence"),
        ("emo", "r2_arousal"),
        ("gs_key", "weighted_accuracy"),
        ("jam_50", "map"),
        ("jam_50", "roc_auc"),
        ("jam_all", "map"),
        ("jam_all", "roc_auc"),
    )
    tagging = ("msds", "msd50", "msd100", "msd500", "mumu", "amm", "jam_mt")
    assert paper_tables.table("table4").columns == tuple(
        (task, metric) for task in tagging for metric in ("map", "roc_auc")
    )


def test_rows_stand_in_the_order_of_the_paper() -> None:
    own = tuple(f"{data}-{model}" for model in ("sup", "ularge", "usmall") for data in ("musicset", "audioset"))
    assert paper_tables.table("table3").rows == (*own, "jukebox", "sf-nfnet-f0-prev", "sota")
    assert paper_tables.table("table4").rows == (*own, "sota")


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("table3", "93d23ed40a9f5c37aa616957d63617ae595942ed5888d46a40d28dbc25166f70"),
        ("table4", "0890ca0dc385c4c2562c2695bc56bdb32cc45f2bb6bac2b1c916a50b5a0ee774"),
    ],
)
def test_the_printed_numbers_are_those_that_were_checked_against_the_paper(name: str, digest: str) -> None:
    """Every cell was compared with the paper once; whoever changes one does so again, and writes the new sum here."""
    lines = (files("results") / "paper" / f"{name}.csv").read_text(encoding="utf-8").splitlines()
    assert hashlib.sha256("\n".join([*lines, ""]).encode()).hexdigest() == digest


@pytest.mark.parametrize("name", list(paper_tables.TITLES))
def test_what_must_hold_of_any_table_holds(name: str) -> None:
    """The paper's own numbers have no reference, all others have one; the two metrics of a task are not exchanged."""
    table = paper_tables.table(name)
    for (model, task, metric), found in table.cells.items():
        assert 0 < found.value < 1
        assert (found.reference == "") == model.startswith(("musicset-", "audioset-"))
        if metric == "map" and (model, task, "roc_auc") in table.cells:
            assert found.value + 0.3 < table.cells[model, task, "roc_auc"].value
        if metric == "r2_valence":
            assert found.value < table.cells[model, task, "r2_arousal"].value


@pytest.mark.parametrize(("name", "cells"), [("table3", 90), ("table4", 94)])
def test_every_printed_cell_is_there(name: str, cells: int) -> None:
    table = paper_tables.table(name)
    assert len(table.cells) == cells
    for model in table.rows[:6]:
        assert all((model, task, metric) in table.cells for task, metric in table.columns)
        assert all(table.cells[model, task, metric].reference == "" for task, metric in table.columns)


@pytest.mark.parametrize(
    ("name", "column", "best", "value"),
    [
        ("table3", ("mtt", "map"), "jukebox", 0.414),
        ("table3", ("mtt", "roc_auc"), "sota", 0.92),
        ("table3", ("gtzan", "accuracy"), "musicset-sup", 0.835),
        ("table3", ("nsynth_p", "accuracy"), "musicset-ularge", 0.892),
        ("table3", ("nsynth_i", "accuracy"), "sf-nfnet-f0-prev", 0.782),
        ("table3", ("emo", "r2_valence"), "jukebox", 0.617),
        ("table3", ("emo", "r2_arousal"), "musicset-sup", 0.726),
        ("table3", ("gs_key", "weighted_accuracy"), "sota", 0.796),
        ("table3", ("jam_50", "map"), "musicset-sup", 0.321),
        ("table3", ("jam_all", "roc_auc"), "musicset-sup", 0.839),
        ("table4", ("msds", "map"), "musicset-sup", 0.363),
        ("table4", ("msd50", "roc_auc"), "sota", 0.921),
        ("table4", ("msd500", "roc_auc"), "musicset-sup", 0.898),
        ("table4", ("jam_mt", "map"), "musicset-sup", 0.161),
    ],
)
def test_the_best_of_a_column(name: str, column: tuple[str, str], best: str, value: float) -> None:
    table = paper_tables.table(name)
    values = {model: table.cells[model, *column].value for model in table.rows if (model, *column) in table.cells}
    assert max(values, key=values.__getitem__) == best
    assert values[best] == value


def test_references_keep_their_marks() -> None:
    assert paper_tables.table("table3").cells["sota", "gs_key", "weighted_accuracy"] == PublishedValue(0.796, "46*")
    assert paper_tables.table("table4").cells["sota", "jam_mt", "map"] == PublishedValue(0.161, "49†")
    assert paper_tables.table("table4").cells["sota", "mumu", "roc_auc"] == PublishedValue(0.888, "42*")


def test_cells_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        paper_tables.table("table3").cells["a", "b", "c"] = PublishedValue(1.0, "")  # type: ignore[index]


def test_an_unknown_table_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="table5"):
        paper_tables.table("table5")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "line 1: the columns are"),
        ("model,task,metric,value\n", "line 1: the columns are"),
        (HEADER + "a,mtt,map,0.5\n", "line 2"),
        (HEADER + "a,mtt,,0.5,\n", "line 2"),
        (HEADER + "a,mtt,map,0.5,\na,mtt,roc_auc,high,\n", "line 3: the value 'high'"),
        (HEADER + "a,mtt,map,nan,\n", "line 2: the value"),
        (HEADER + "a,mtt,map,1.5,\n", "line 2: the value"),
        (HEADER + "a,mtt,map,0.5,Won\n", "line 2: the reference 'Won'"),
        (HEADER + "a,mtt,map,0.5,\nb,mtt,map,0.5,\na,mtt,map,0.6,\n", "line 4: a, mtt, map stands in the file twice"),
    ],
)
def test_a_malformed_line_is_named(text: str, problem: str) -> None:
    with pytest.raises(RecordError, match=rf"there\.csv, {problem}"):
        paper_tables.parse(text, "A table", "there.csv")
