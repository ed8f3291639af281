"""The site of the documentation: links that hold, every page in its contents, and nothing that is fetched."""

import importlib.util
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("source", "before", "after"),
    [
        ("README.md", "see [the page](docs/tasks.md)", "see [the page](tasks.md)"),
        ("README.md", "see [a part](docs/protocol.md#afterwards).", "see [a part](protocol.md#afterwards)."),
        ("README.md", "[ours](leaderboard.md), [log](CHANGELOG.md)", "[ours](leaderboard.md), [log](changelog.md)"),
        ("docs/tasks.md", "[ours](../leaderboard.md) and [here](#mtt)", "[ours](leaderboard.md) and [here](#mtt)"),
        ("docs/tasks.md", "[next](encoders.md)", "[next](encoders.md)"),
        ("docs/reliability.md", "[mutants](../tests/campaigns/mutants.toml) hold", "mutants hold"),
        ("docs/tasks.md", "[out](https://example.org/a.md)", "[out](https://example.org/a.md)"),
        ("docs/architecture.md", "![layers](layers.svg)", "![layers](layers.svg)"),
        ("README.md", "```python\na[0](docs/tasks.md)\n```\n", "```python\na[0](docs/tasks.md)\n```\n"),
    ],
)
def test_links_hold_in_the_site(hooks, source, before, after):
    warnings = []
    assert hooks.relink(before, source, ROOT, warnings.append) == after
    assert warnings == []


@pytest.mark.parametrize("target", ["docs/taks.md", "../README.md", "tests/test_nothing.py"])
def test_a_link_to_a_file_that_is_not_there_is_a_warning(hooks, target):
    warnings = []
    text = f"see [this]({target})"
    assert hooks.relink(text, "README.md", ROOT, warnings.append) == text
    (warning,) = warnings
    assert warning.startswith(f"README.md links to {target}")


def test_every_link_of_every_page_leads_to_a_file_of_the_repository(hooks):
    """So strict builds are not the first to notice; ``make docs`` looks at anchors too."""
    warnings = []
    pages = [*hooks.PAGES, *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
    for page in pages:
        hooks.relink((ROOT / page).read_text(encoding="utf-8"), page, ROOT, warnings.append)
    assert warnings == []


def test_roles_of_docstrings_are_code_alone(hooks):
    html = "see :func:<code>results.store.read</code>, :class:<code>~benchmark.Encoder</code>"
    expected = "see <code>results.store.read</code>, <code>benchmark.Encoder</code>"
    assert hooks.on_page_content(html, None, None, None) == expected


def test_every_page_is_in_the_contents(hooks):
    contents = re.findall(r": ([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} | set(hooks.PAGES.values())
    assert len(contents) == len(set(contents))
    assert set(contents) == pages


def test_the_reference_has_every_option(hooks):
    from benchmark.jobs.options import option_list

    assert "\n<!-- options -->\n" in (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    rows = hooks.options_table().splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == [f"| `{option.name}`" for option in option_list()]
    assert all(len(re.split(r"(?<!\\) ?\| ?", row)) == 7 for row in rows)
    (sampler,) = [row for row in rows if row.startswith("| `sampler`")]
    assert r"| `--sampler` | `tpe \| random \| grid` | `'tpe'` |" in sampler


def test_the_reference_has_every_public_name():
    import benchmark

    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert [
        name for name in benchmark.__all__ if name != "__version__" and f"\n::: benchmark.{name}\n" not in page
    ] == []


def test_the_site_asks_no_other_host():
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in settings
    assert "http" not in settings
