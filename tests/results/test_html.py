"""Tables in notebooks: texts of others stay text, whatever they are made of."""

from html.parser import HTMLParser

import pytest

import results.html as html
from results.comparison import Comparison, MetricDifference
from results.frames import frame_of
from tests.results.conftest import build_record

HOSTILE = "</script><img src=x onerror=alert(1)>"
TAGS = {"table", "caption", "thead", "tbody", "tr", "th", "td", "ul", "li"}


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.found, self.text = [], set(), ""

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.found.add(tag)
        assert {name for name, _ in attrs} <= {"scope", "style"}

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += f"{data}\n"


def read(text):
    tags = Tags()
    tags.feed(text)
    tags.close()
    assert tags.open == []
    assert tags.found <= TAGS
    return tags.text


@pytest.mark.parametrize("name", [HOSTILE, "a&b", '"><b>', "a\x1b[31mb", "{{ x }}"])
def test_a_record_shows_its_scores_and_names_stay_text(name):
    record = build_record(encoder=name, scores={"weighted_accuracy": 0.7, "accuracy": 0.6}, loses=["accuracy"])
    record = record.model_copy(update={"task": record.task.model_copy(update={"title": name})})
    text = read(record._repr_html_())
    assert f"{name} on {name} (gs_key)".replace("\x1b", "\\u001b") in text
    assert "0.700\n0.650–0.750\n0.010\n" in text
    assert "Means over 2 probes, 604 test items." in text
    assert "Below a ridge on the same embeddings in accuracy." in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"limit": 40}, "A part of the task: --limit 40."),
        ({"damaged": 2}, "Partial: items of the task are missing or damaged."),
        ({"curve": {"fraction": 0.1, "repeat": 2}}, "A point of a learning curve: 0.1 of train, repeat 2."),
    ],
)
def test_a_record_of_a_part_says_so(changes, said):
    assert said in read(build_record(**changes)._repr_html_())
    assert said not in read(build_record()._repr_html_())


def test_a_comparison_shows_its_differences():
    row = MetricDifference(
        task=HOSTILE, metric="map", first=0.7, second=0.5, difference=0.2, question="items", low=0.1, high=None, p=0.01,
        p_holm=None, items_low=None, items_high=None, items_p=None, probes=(1, 1), permutations=1, exact=False, items=9,
        clusters=9, clustered=False, limit=None,
    )  # fmt: skip
    found = Comparison(first=HOSTILE, second="b", family="of one task", seed=0, rows=[row], notes=[HOSTILE])
    text = read(found._repr_html_())
    assert text.count(HOSTILE) == 4
    assert "+0.200\n-\n0.0100\n-\n" in text
    assert "of one task" in text
    assert repr(found).splitlines()[1].endswith("map: 0.700 and 0.500, +0.200 (-), p 0.0100, p (Holm) -")


def test_a_frame_escapes_too(tmp_path):
    assert "<img" not in frame_of([(build_record(encoder=HOSTILE), tmp_path)])._repr_html_()


def test_an_empty_table_is_a_table():
    assert read(html.table(("a", "b"), [])) == "a\nb\n"
