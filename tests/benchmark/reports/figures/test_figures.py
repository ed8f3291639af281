"""Every kind of picture: a specification that Vega-Lite takes, and a sentence where there is nothing to draw."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest

from benchmark.errors import UserError
from benchmark.reports.figures import FIGURES, figures_of, theme
from benchmark.reports.figures.outputs import Outputs
from benchmark.reports.figures.specs import sized
from results import store
from results.together import Together, read_together

altair = pytest.importorskip("altair", reason="needs altair, of the extra dev")
vl_convert = pytest.importorskip("vl_convert", reason="needs the extra report")

planted = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
plant, plant_curve, plant_comparison = planted["plant"], planted["plant_curve"], planted["plant_comparison"]

ALL = sorted(FIGURES)


def every_figure(kind, board, tmp_path, **choices):
    return figures_of(kind, board, home=tmp_path / "home", metric="all", **choices)


@pytest.fixture
def whole(results):
    """The board with a learning curve and a comparison."""
    first = store.read(results / "runs" / "keys" / "strong.json")
    for fraction, score in ((0.1, 0.4), (1.0, 0.8)):
        for repeat in (0, 1):
            plant_curve(results, first, fraction, repeat, score + repeat / 16)
    plant_comparison(results, ["strong", "fair"], ["keys", "tags"])
    return read_together([results], curves=True)


@pytest.mark.parametrize("kind", ALL)
def test_specifications_are_valid_and_drawn_in_both_themes(kind, whole, tmp_path):
    drawn = every_figure(kind, whole, tmp_path)
    assert drawn.figures
    assert len({figure.name for figure in drawn.figures}) == len(drawn.figures)
    for figure in drawn.figures:
        assert figure.kind == kind
        assert figure.name.startswith(f"{kind}-")
        altair.Chart.from_dict(dict(figure.spec))  # against Altair's copy of the schema
        for dark in (False, True):
            spec = sized(figure.spec, 360) | {"config": theme.config(dark=dark, ground=True)}
            svg = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
            assert 'role="graphics-symbol"' in svg or "<path" in svg
        assert "null" not in json.dumps(figure.spec["data"]), "what is not known is left out of its row"


@pytest.mark.parametrize("kind", ALL)
def test_no_colour_and_no_width_is_in_a_specification(kind, whole, tmp_path):
    """The theme has the colours, the page the width: else dark pages and phones were drawn wrongly."""
    for figure in every_figure(kind, whole, tmp_path).figures:
        text = json.dumps({key: value for key, value in figure.spec.items() if key != "data"})
        assert "#0072b2" not in text.lower()
        assert '"width"' not in text
        assert "config" not in figure.spec


@pytest.mark.parametrize("kind", ALL)
def test_data_have_five_digits_and_rows_have_all(kind, whole, tmp_path):
    for figure in every_figure(kind, whole, tmp_path).figures:
        for row in figure.spec["data"]["values"]:
            for value in row.values():
                assert isinstance(value, str | bool | int) or len(f"{value:.12g}".lstrip("-0.").replace(".", "")) <= 9
                assert not isinstance(value, float) or float(f"{value:.5g}") == value


@pytest.mark.parametrize("kind", ALL)
def test_labels_and_names_of_others_stay_text(kind, tmp_path):
    """No terminal's sequence of a name gets into a picture, and what looks like HTML is text there."""
    folder = tmp_path / "r"
    name = "bad\x1b[31m</script>\u202e"
    for encoder, skill in ((name, 0.9), ("other", 0.3)):
        for task in ("keys", "tags"):
            record = plant(folder, task, encoder, skill, planted["with_everything"])
    plant_curve(folder, record, 0.5, 0, 0.5)
    plant_comparison(folder, [name, "other"], ["keys", "tags"])
    drawn = every_figure(kind, read_together([folder], curves=True), tmp_path)
    assert drawn.figures
    for figure in drawn.figures:
        text = "".join(json.dumps(each, ensure_ascii=False) for each in (figure.spec, figure.title, figure.description))
        assert "\x1b" not in text
        assert "\\u001b[" not in text.replace("\\\\u001b[", "")
        assert "\u202e" not in text
        vl_convert.vegalite_to_svg(sized(figure.spec, 360), allowed_base_urls=[])
    assert "\x1b" not in "".join(drawn.notes)


@pytest.mark.parametrize("kind", ALL)
def test_no_records_are_a_sentence_with_the_next_command(kind, tmp_path):
    drawn = figures_of(kind, read_together([tmp_path / "nothing"]), home=tmp_path)
    assert drawn.figures == ()
    assert "There are no records in" in drawn.notes[0]
    assert "bench run" in drawn.notes[0]


@pytest.mark.parametrize("kind", ["labels", "confusion", "calibration", "hardest", "significance"])
@pytest.mark.parametrize("harm", ["missing", "damaged", "cut"])
def test_predictions_that_cannot_be_read_are_a_sentence(kind, harm, results, tmp_path):
    """The other records are drawn, and the one is named."""
    path = store.predictions_path(results, store.read(results / "runs" / "keys" / "strong.json"))
    content = path.read_bytes()
    path.unlink()
    if harm != "missing":
        path.write_bytes(content[:200] if harm == "cut" else bytes([*content[:99], content[99] ^ 1, *content[100:]]))
    board = read_together([results])
    drawn = figures_of(kind, board, tasks=["keys"], home=tmp_path)
    assert any("strong" in note for note in drawn.notes)
    names = " ".join(figure.description for figure in drawn.figures)
    assert "fair" in names
    assert ("strong on keys" in names) == (kind == "labels"), "labels have their scores in the record"


@pytest.mark.parametrize("kind", ALL)
def test_one_encoder_alone_is_drawn_or_explained(kind, whole, tmp_path):
    drawn = every_figure(kind, whole, tmp_path, encoders=["fair"], tasks=["keys"])
    assert drawn.figures or drawn.notes
    explained = {"significance", "layers", "curve", "robustness"}
    assert bool(drawn.figures) == (kind not in explained)


def test_unknown_names_are_refused_with_what_is_near(board):
    with pytest.raises(UserError, match="no picture is called 'forrest': did you mean forest"):
        figures_of("forrest", board)
    with pytest.raises(UserError, match="no picture is called 'x': name one of forest, significance"):
        figures_of("x", board)
    with pytest.raises(UserError, match=r"no record of an encoder 'strng'.*did you mean strong"):
        figures_of("forest", board, encoders=["strng"])
    with pytest.raises(UserError, match="none of these records has a metric 'mapp': did you mean map"):
        figures_of("forest", board, metric="mapp")
    with pytest.raises(UserError, match="none of these records has a metric 'map'"):
        figures_of("forest", board, tasks=["keys"], metric="map")


def test_encoders_and_tasks_are_chosen_by_globs(board):
    drawn = figures_of("forest", board, encoders=["f*"], tasks=["k*,mood"])
    assert [figure.name for figure in drawn.figures] == ["forest-keys", "forest-mood"]
    assert set(drawn.figures[0].rows.encoder) == {"fair"}


def test_limited_runs_are_in_pictures_of_their_own(results):
    plant(results, "keys", "strong", 0.9, limit=40)
    names = [figure.name for figure in figures_of("forest", read_together([results]), tasks=["keys"]).figures]
    assert names == ["forest-keys", "forest-keys.limit-40"]


def test_the_metrics_that_are_not_drawn_are_named(board):
    notes = figures_of("forest", board).notes
    assert "tags: map is drawn; for roc_auc give --metric NAME, or --metric all." in notes
    assert figures_of("forest", board, metric="roc_auc").notes[:2] == (
        "keys has no roc_auc, and is not drawn.",
        "mood has no roc_auc, and is not drawn.",
    )


def test_predictions_are_read_once_for_several_kinds(board, tmp_path, monkeypatch):
    read, outputs = [], Outputs()
    real = store.read_predictions
    monkeypatch.setattr(store, "read_predictions", lambda *given: read.append(given) or real(*given))
    for kind in ("confusion", "calibration", "hardest"):
        figures_of(kind, board, tasks=["keys"], home=tmp_path, outputs=outputs)
    assert len(read) == 3
    figures_of("confusion", board, tasks=["keys"], home=tmp_path, outputs=Outputs(0))
    assert len(read) == 6


def test_a_record_without_interval_is_drawn_and_named(results):
    path = results / "runs" / "keys" / "fair.json"
    record = store.read(path)
    score = record.scores.test["weighted_accuracy"].model_copy(update={"low": None, "high": None})
    test = record.scores.test | {"weighted_accuracy": score}
    store.write(results, record.model_copy(update={"scores": record.scores.model_copy(update={"test": test})}))
    drawn = figures_of("forest", read_together([results]), tasks=["keys"])
    assert any(note.startswith("No interval of fair on keys") for note in drawn.notes)
    values = drawn.figures[0].spec["data"]["values"]
    assert next(row for row in values if row["encoder"] == "fair" and row["what"] == "measured").keys() == {
        "encoder", "what", "score",
    }  # fmt: skip


def test_records_of_other_items_in_one_column_are_said_so(results):
    record = store.read(results / "runs" / "keys" / "fair.json")
    task = record.task.model_copy(update={"fingerprint": "0" * 64})
    strong = store.read(results / "runs" / "keys" / "strong.json")
    notes = figures_of("forest", Together((record.model_copy(update={"task": task}), strong), {})).notes
    assert "The records of keys are of different items or versions of the task: do not compare." in notes
    alike = figures_of("forest", Together((record, strong), {})).notes
    assert not any("different items" in note for note in alike)
