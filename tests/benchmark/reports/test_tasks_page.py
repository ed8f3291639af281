import re
from pathlib import Path

import pytest
import typer

from benchmark.cli import tasks as commands
from benchmark.reports import tasks_page
from results.generated import difference, write
from results.record import RecordError
from tasks import registry

DOCUMENT = Path(__file__).parents[3] / "docs" / "tasks.md"


@pytest.fixture(scope="module")
def page():
    return tasks_page.render()


def test_the_document_is_what_the_cards_give():
    assert difference(DOCUMENT, tasks_page.render(), "bench tasks --markdown") == ""


def test_it_is_the_same_bytes_every_time(page):
    assert tasks_page.render() == page
    assert page.endswith("|\n")
    assert not re.search(r"[ \t]$", page, re.M)


def test_every_task_of_the_paper_has_its_lines_and_its_section(page):
    paper = registry.groups()["paper"]
    assert sorted(tasks_page.ORDER) == sorted(paper)
    for name in paper:
        assert len(re.findall(rf"^\| \[{name}\]\(#{name}\) +\|", page, re.M)) == 2
        section = page.split(f"\n### {name}\n")[1].split("\n## ")[0].split("\n### ")[0]
        for fact in ("Split: ", "Labels: ", "Windows: ", "Probe: ", "Audio: ", "Licence: ", "Deviations", "Cite `"):
            assert f"\n- {fact}" in section
    for name in registry.groups()["demo"]:
        assert f"| `{name}`" in page


def test_the_tables_say_what_the_cards_say(page):
    def cells(name):
        return [
            [cell.strip() for cell in line.split("|")[2:-1]] for line in page.splitlines() if f"| [{name}](" in line
        ]

    assert cells("gs_key") == [
        ["GiantSteps: key", "multiclass", "weighted_accuracy, weighted_accuracy_symmetric, accuracy", "24", "3"],
        ["923 / 236 / 604", "2.1k tracks, 116 h, 24 labels", "Beatport previews, copyrighted"],
    ]
    assert cells("nsynth_p")[1][0] == "289,205 / 12,678 / 4,096 \\*"
    assert cells("msd500")[0][3] == "500"
    assert cells("msd500")[1][0] == "*not verified*"
    assert cells("emo")[0][3] == "valence, arousal"


def test_it_reads_well_as_text(page):
    for line in page.splitlines():
        if line.startswith("|"):
            assert max(len(cell.strip()) for cell in line.split("|")) <= 90
        else:
            assert len(line) <= tasks_page.WIDTH


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("a " * 59 + "- b", ["a " * 59 + "-", "b"]),
        ("a " * 60 + "- b", [("a " * 60).strip(), "\\- b"]),
        ("a " * 60 + "1. b", [("a " * 60).strip(), "1\\. b"]),
        ("a " * 60 + "44 b", [("a " * 60).strip(), "44 b"]),
    ],
)
def test_no_wrapped_line_begins_a_list(text, lines):
    assert tasks_page._wrapped(text, "", "") == lines


def test_signs_of_markdown_in_a_card_are_shown_as_they_are():
    assert tasks_page.escaped("a*b  <row> [x] `y` | z") == r"a\*b \<row> \[x\] \`y\` \| z".replace(">", "\\>")


@pytest.mark.parametrize(
    ("name", "probe"),
    [
        ("gtzan", "no hidden layer (linear), batches of 2,560"),
        ("emo", "one hidden layer of 1,024 (or one of 512), dropout 0.5, batches of 512"),
        ("mtt", "one hidden layer of 512 (or none), dropout 0.5 (or 0.25, 0.75), batches of 256 (or 64)"),
        ("jam_all", "two hidden layers of 1,024, dropout 0.5, batches of 256"),
        ("mumu", "no hidden layer (linear), dropout 0.3 on the logits, batches of 256"),
        ("msd500", "three hidden layers of 4,096, dropout 0.5, batches of 256"),
    ],
)
def test_format_probe(name, probe):
    assert tasks_page.format_probe(registry.find(name)[0].card) == probe


def test_a_page_is_written_once_and_differences_are_shown(tmp_path, capsys):
    target = tmp_path / "docs" / "tasks.md"
    assert write(target, tasks_page.render())
    assert not write(target, tasks_page.render())
    commands._show(None, None, markdown=True, output=target, check=True, as_json=False)
    target.write_bytes(target.read_bytes().replace(b"\n", b"\r\n"))
    assert difference(target, tasks_page.render(), "bench tasks --markdown") == ""
    target.write_text(target.read_text().replace("923", "924"))
    capsys.readouterr()
    with pytest.raises(typer.Exit) as end:
        commands._show(None, None, markdown=True, output=target, check=True, as_json=False)
    assert end.value.exit_code == 1
    assert "+| [gs_key](#gs_key)" in capsys.readouterr().out
    with pytest.raises(RecordError, match="cannot write"):
        commands._show(None, None, markdown=True, output=tmp_path, check=False, as_json=False)
