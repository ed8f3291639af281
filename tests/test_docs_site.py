"""The site of the documentation: links that hold, every page in its contents, and nothing that is fetched."""

import importlib
import importlib.util
import re
from pathlib import Path
from types import SimpleNamespace

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
        ("docs/protocol.md", "in [probes/published.csv](../probes/published.csv)", "in `probes/published.csv`"),
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
    page = SimpleNamespace(file=SimpleNamespace(src_uri="api.md"))
    assert hooks.on_page_content(html, page, None, None) == expected


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
    assert all(row.count("|") == 6 for row in rows)
    (sampler,) = [row for row in rows if row.startswith("| `sampler`")]
    assert "| `--sampler` | `tpe or random or grid` | `'tpe'` |" in sampler


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


PAGES = ["README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_every_module_and_file_that_a_page_names_is_there(page):
    """Names in code style: ``benchmark.jobs.plan``, ``probes.search.search``, ``tests/perf/commands.py``."""
    text = (ROOT / page).read_text(encoding="utf-8")
    missing = []
    for name in set(re.findall(r"`((?:benchmark|tasks|probes|results)(?:\.\w+)+)(?:\(.*?\))?`", text)):
        if name.rpartition(".")[2] not in ("json", "md", "csv", "npz", "toml", "parquet") and not is_there(name):
            missing.append(name)
    for path in set(re.findall(r"`(?:python )?((?:benchmark|tasks|probes|results|tests|docs)/[\w./-]+)", text)):
        if "NAME" not in path and not path.startswith("results/") and not (ROOT / path).exists():
            missing.append(path)
    assert missing == []


def test_a_name_that_is_not_there_is_noticed():
    assert is_there("benchmark.jobs.plan.plan_jobs")
    assert is_there("results.frames")
    assert not is_there("benchmark.jobs.plans")
    assert not is_there("benchmark.jobs.plan.plan_job")


def is_there(name):
    """Say whether a dotted name is a module, or what a module holds."""
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        module = ".".join(parts[:i])
        if _found(module):
            value = importlib.import_module(module)
            for part in parts[i:]:
                if not hasattr(value, part):
                    return False
                value = getattr(value, part)
            return True
    return False


def _found(module):
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
