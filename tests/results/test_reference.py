"""The page of a record's keys names every key of every section."""

from pathlib import Path

import pytest

from results import sections
from results.record import Record
from results.reference import models, render

PAGE = Path(__file__).resolve().parents[2] / "docs" / "records.md"


def test_the_page_in_the_docs_is_current():
    assert PAGE.read_text(encoding="utf-8") == render(), "run: bench results keys -o docs/records.md"


def test_every_section_that_there_is_is_described():
    def below(kind):
        return {kind, *(each for sub in kind.__subclasses__() for each in below(sub))}

    described = set(models())
    assert Record in described
    assert {each for each in below(sections.Section) if each.__module__.startswith("results.")} - described <= {
        sections.Section,
        *(each for each in below(sections.Section) if each.__module__.startswith("results.comparison")),
    }


@pytest.mark.parametrize("model", models(), ids=lambda model: model.__name__)
def test_every_key_stands_in_the_table_of_its_section(model):
    title = "## The record" if model is Record else f"## `{model.__name__}`"
    _, _, rest = render().partition(f"{title}\n")
    section = rest.partition("\n## ")[0]
    for name in model.model_fields:
        assert f"| `{name}` | " in section
