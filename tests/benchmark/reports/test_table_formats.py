"""Tables of scores in every format: what LaTeX, Markdown, CSV and JSON hold, and that hostile names stay text."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.errors import UserError
from benchmark.reports.score_table import score_table
from benchmark.reports.table_formats import render
from benchmark.reports.table_look import Look, format_of, look_of
from results.together import Together
from tests.results.conftest import build_record

COMMANDS = {
    "begin", "end", "centering", "caption", "label", "toprule", "midrule", "bottomrule", "multicolumn", "textbf",
    "textsuperscript", "par", "smallskip", "footnotesize", "pm", "textbackslash", "textasciitilde", "textasciicircum",
    "textless", "textgreater", "textbar", "textasciigrave", "symbol", "textendash", "textemdash", "textquoteleft",
    "textquoteright", "textquotedblleft", "textquotedblright", "textexclamdown", "textquestiondown", "ldots", "dag",
    "ddag", "S", "P", "copyright", "pounds", "ss", "ae", "AE", "oe", "OE", "o", "O", "l", "L", "i", "times", "div",
    "cdot", "circ", "mu", "sharp", "flat", "natural", "rightarrow", "leftarrow", "leq", "geq", "neq", "approx", "infty",
    "\\", "_", "&", "%", "#", "$", "{", "}", "'", '"', "`", "~", "^", "=", ".", "c", "v", "u", "r", "H", "d", "b",
}  # fmt: skip
HOSTILE = [
    "</script><img onerror=x>",
    "a|b",
    "50% & more_#1 ~^",
    r"\input{x}",
    "$x$",
    "[37]",
    "=1+1",
    "a\x1b[31mb",
    "é",
]


def table_of(*records, **asked):
    points = tuple(record for record in records if record.curve is not None)
    whole = tuple(record for record in records if record.curve is None)
    return score_table(Together(whole, {}, frozenset(), "results", points), **asked)


def of(encoder="example", **scores):
    return build_record(encoder=encoder, scores=scores or {"weighted_accuracy": 0.7, "accuracy": 0.6123})


def checked(text):
    """Return the rows of the tabular of a LaTeX text as lists of cells; fail on whatever LaTeX would stumble over."""
    assert text.splitlines()[0].startswith("% ")
    body = "\n".join(text.splitlines()[1:])
    tokens = re.findall(r"\\[A-Za-z]+|\\.|[{}$&%#_~^]|[^\\{}$&%#_~^]+", body)
    assert "".join(tokens) == body
    depth, math, environments, previous = 0, False, [], ""
    for i, token in enumerate(tokens):
        if token.startswith("\\"):
            assert token[1:] in COMMANDS, token
        if token in ("\\begin", "\\end"):
            name = tokens[i + 2]
            if token == "\\begin":
                environments.append(name)
            else:
                assert environments.pop() == name
        depth += (token == "{") - (token == "}")
        assert depth >= 0
        if token == "$":
            math = not math
        elif token in ("^", "_"):
            assert math, f"{token} outside of math behind {previous}"
        elif token == "&":
            assert depth == 0, "a cell ends inside braces"
            assert environments[-1] == "tabular"
        assert token not in ("%", "#", "~"), f"bare {token}"
        if previous == "\\\\":
            assert not token.lstrip().startswith(("[", "*")), "taken for an argument of the end of the row"
        previous = token
    assert (depth, math, environments) == (0, False, [])
    width = len(re.search(r"\\begin\{tabular\}\{([lcr]+)\}", body)[1])
    inside = re.search(r"\\toprule\n(.*)\\bottomrule", body, re.DOTALL)[1]
    rows = []
    for line in inside.splitlines():
        if line.strip() in ("", r"\midrule"):
            continue
        assert line.endswith(r" \\")
        cells = [cell.strip() for cell in re.split(r"(?<!\\)&", line.removesuffix(r" \\"))]
        spans = [int(found[1]) if (found := re.match(r"\\multicolumn\{(\d+)\}", cell)) else 1 for cell in cells]
        assert sum(spans) == width, line
        rows.append(cells)
    return rows


class TestLatex:
    def test_bold_and_both_ends(self):
        rows = checked(render(table_of(of(), of("other", weighted_accuracy=-0.2, accuracy=0.5)), "latex", Look()))
        assert rows == [
            ["", r"gs\_key"],
            ["encoder", r"weighted\_accuracy"],
            ["example", r"\textbf{0.700} (0.650--0.750)"],
            ["other", "$-$0.200 ($-$0.250--$-$0.150)"],
        ]

    def test_half_the_width_and_digits(self):
        text = render(table_of(of()), "latex", Look(intervals="plus-minus", digits=1))
        assert checked(text)[-1] == ["example", r"\textbf{0.7} $\pm$ 0.1"]
        assert r"Behind $\pm$ half the width" in text

    def test_no_intervals(self):
        text = render(table_of(of(), bold="none"), "latex", Look(intervals="none"))
        assert checked(text)[-1] == ["example", "0.700"]
        assert "Intervals are not shown." in text

    def test_a_task_of_several_metrics_spans_its_columns(self):
        rows = checked(render(table_of(of(), all_metrics=True), "latex", Look()))
        assert rows[0] == ["", r"\multicolumn{2}{c}{gs\_key}"]
        assert rows[1] == ["encoder", r"weighted\_accuracy", "accuracy"]

    def test_encoders_as_columns(self):
        text = render(table_of(of(), of("other"), all_metrics=True), "latex", Look(transpose=True, intervals="none"))
        assert checked(text) == [
            ["task", "metric", "example", "other"],
            [r"gs\_key", r"weighted\_accuracy", r"\textbf{0.700}", r"\textbf{0.700}"],
            [r"gs\_key", "accuracy", r"\textbf{0.612}", r"\textbf{0.612}"],
        ]

    def test_notes_stand_below(self):
        limited = build_record(encoder="some", damaged=2)
        text = render(table_of(of(), limited), "latex", Look(intervals="none"))
        assert checked(text)[-1][0] == "some (partial)"
        assert r"  \textsuperscript{1} 2 damaged tracks left out." in text
        assert text.count(r"\midrule") == 2  # below the head, and before what is partial

    def test_a_published_reference_is_no_argument_of_a_row(self):
        text = render(table_of(of(), published=True), "latex", Look())
        assert any("{[}" in cell for row in checked(text) for cell in row)

    @pytest.mark.parametrize("name", HOSTILE)
    def test_a_hostile_name_stays_text(self, name):
        checked(render(table_of(of(name)), "latex", Look()))

    @settings(max_examples=60, deadline=None)
    @given(st.text(min_size=1, max_size=12).filter(str.strip))
    def test_any_name_gives_a_table(self, name):
        checked(render(table_of(of(name)), "latex", Look()))

    def test_letters_that_pdflatex_lacks_are_told(self):
        assert "XeLaTeX" not in render(table_of(of("é")), "latex", Look())
        assert render(table_of(of("音")), "latex", Look()).splitlines()[0].endswith("that has: 音")


class TestMarkdown:
    def test_a_table_with_its_notes(self):
        text = render(table_of(of(), build_record(encoder="some", damaged=2)), "markdown", Look())
        lines = text.splitlines()
        assert lines[0].split("|")[1:-1] == [" encoder        ", " gs_key weighted_accuracy   "]
        assert "**0.700** (0.650–0.750)" in lines[2]
        assert "0.700 (0.650–0.750)¹" in lines[3]
        assert "- ¹ 2 damaged tracks left out" in lines
        assert "probes (seeds 8, 9)" in lines[-1]

    def test_encoders_as_columns(self):
        text = render(table_of(of(), all_metrics=True), "markdown", Look(transpose=True, intervals="none"))
        assert [cell.strip() for cell in text.splitlines()[3].split("|")[1:-1]] == ["gs_key", "accuracy", "**0.612**"]

    def test_a_hostile_name_stays_text(self):
        text = render(table_of(of("</script><img onerror=x>|")), "markdown", Look())
        assert r"\</script\>\<img onerror=x\>\|" in text
        assert "<img" not in text.replace(r"\<img", "")


class TestData:
    def test_csv_has_all_digits_and_both_ends(self):
        (first, second) = csv.DictReader(io.StringIO(render(table_of(of(), all_metrics=True), "csv", Look())))
        assert (first["task"], first["metric"], first["encoder"]) == ("gs_key", "weighted_accuracy", "example")
        assert (float(second["value"]), float(second["low"]), float(second["high"])) == (0.6123, 0.6123 - 0.05, 0.6623)
        assert (first["probes"], first["items"], first["bold"], first["kind"]) == ("2", "604", "true", "run")

    @pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x", "a,b", 'a"b', "a\nb"])
    def test_csv_of_a_hostile_name(self, name):
        (row,) = csv.DictReader(io.StringIO(render(table_of(of(name)), "csv", Look())))
        assert row["encoder"] == ("'" + name if name[0] in "=+-@" else " ".join(name.split()))

    def test_json_is_whole(self):
        point = build_record(curve={"fraction": 0.1, "repeat": 2, "seed": 5, "items": 92, "lost": []})
        found = json.loads(render(table_of(of(), point, published=True), "json", Look()))
        assert list(found) == ["schema_version", "split", "bold", "columns", "rows", "notes"]
        by_kind = {row["kind"]: row for row in found["rows"]}
        assert set(by_kind) == {"published", "other protocol", "run", "curve"}
        (cell,) = by_kind["run"]["cells"]
        assert (cell["value"], cell["low"], cell["high"], cell["std"]) == (0.7, 0.7 - 0.05, 0.75, 0.01)
        assert cell["seeds"] == [0.7 - 0.007, 0.707]
        assert by_kind["curve"]["part"] == "0.1 of train, repeat 2"
        assert by_kind["published"]["cells"][0]["low"] is None

    def test_an_interval_that_is_undefined_is_missing(self):
        record = of(accuracy=0.5)
        score = record.scores.test["accuracy"].model_copy(update={"low": None, "high": None})
        record = record.model_copy(update={"scores": record.scores.model_copy(update={"test": {"accuracy": score}})})
        (row,) = csv.DictReader(io.StringIO(render(table_of(record), "csv", Look())))
        assert (row["low"], row["high"]) == ("", "")
        assert "no interval of accuracy" in row["notes"]
        assert checked(render(table_of(record), "latex", Look()))[-1][1].startswith(
            r"\textbf{0.500}\textsuperscript{1}"
        )


@pytest.mark.parametrize("form", ["latex", "markdown", "csv", "json"])
def test_the_same_records_give_the_same_bytes(form):
    records = [of(), of("other"), build_record(encoder="some", damaged=2)]
    later = [record.model_copy(update={"created": "2031-01-01T00:00:00+00:00"}) for record in reversed(records)]
    assert render(table_of(*records), form, Look()) == render(table_of(*later), form, Look())


class TestLook:
    @pytest.mark.parametrize(
        ("name", "form"), [("t.tex", "latex"), ("t.md", "markdown"), ("T.CSV", "csv"), ("t.json", "json")]
    )
    def test_the_format_is_that_of_the_file(self, name, form):
        assert format_of(None, Path(name)) == form
        assert format_of(form, Path(name)) == form

    def test_a_name_of_another_format_is_refused(self):
        with pytest.raises(UserError, match=r"t\.csv is a name for csv, and --format says latex: give -o t\.tex"):
            format_of("latex", Path("t.csv"))
        with pytest.raises(UserError, match=r"ends in \.tex \(latex\)"):
            format_of("latex", Path("table"))

    def test_without_a_file_it_is_markdown(self):
        assert format_of(None, None) == "markdown"

    def test_formats_for_programs_have_no_look(self):
        with pytest.raises(UserError, match=r"csv has a line a score.* leave --intervals, --transpose out"):
            look_of("csv", "none", None, transpose=True)
        assert look_of("json", None, None, transpose=False) == Look()
        assert look_of("latex", "none", 2, transpose=True) == Look("none", 2, True)
