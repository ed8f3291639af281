"""The page in a real browser: nothing is asked of the network, all works by keyboard, all can be read."""

import json
import runpy
from pathlib import Path

import pytest

from benchmark.reports.page.make import write_report
from benchmark.system.progress import Silent
from results import store
from tests.benchmark.reports.page.conftest import Parsed
from tests.browser import WORDS, browser, browser_path, opened

pytestmark = pytest.mark.skipif(browser_path() is None, reason=WORDS)

TABS = [
    "Overview",
    "Tasks",
    "Labels",
    "Layers",
    "Learning curves",
    "Robustness",
    "Search",
    "Errors",
    "Cost",
    "Provenance",
]
BOARD = "Scores on test, one column a task"
#: Rules of axe by their weight: these two keep somebody from reading or using a page.
GRAVE = ("serious", "critical")


@pytest.fixture(scope="module")
def chromium():
    with browser(browser_path()) as program:
        yield program


@pytest.fixture(scope="module")
def light(chromium, demo_page):
    with opened(chromium, demo_page) as watched:
        yield watched


def chosen(page):
    return page.get_by_role("tab", selected=True).inner_text()


def column(page, caption, name):
    """Return the texts of a column of a table, as they stand, without what is smaller."""
    return page.evaluate(
        """([caption, name]) => {
            const table = [...document.querySelectorAll("table")].find((each) => each.caption.textContent === caption);
            const at = [...table.tHead.rows[0].cells].findIndex((each) => each.textContent === name);
            return [...table.tBodies[0].rows].map((row) => row.cells[at].firstChild.textContent);
        }""",
        [caption, name],
    )


def header(page, caption, name):
    return page.get_by_role("table", name=caption).get_by_role("button", name=name, exact=True)


@pytest.mark.parametrize(("width", "dark"), [(1200, False), (1200, True), (390, False)], ids=["light", "dark", "phone"])
def test_every_view_opens_without_a_request_or_a_complaint_and_fits(chromium, demo_page, width, dark):
    from axe_playwright_python.sync_playwright import Axe

    with opened(chromium, demo_page, width=width, dark=dark) as watched:
        page = watched.page
        assert [tab.inner_text() for tab in page.get_by_role("tab").all()] == TABS
        for name in TABS:
            watched.tab(name)
            assert chosen(page) == name
            assert page.locator("[role=tabpanel]:visible").count() == 1
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            assert page.locator(".chart[data-state=failed]").count() == 0
            found = Axe().run(page).response["violations"]
            grave = [(each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] in GRAVE]
            assert grave == [], name
        assert page.locator(".chart svg").count() > 0
        assert watched.requests == []
        assert watched.complaints == []


def test_tabs_work_by_keyboard(light):
    page = light.page
    light.tab("Overview")
    for key, name in [("ArrowRight", "Tasks"), ("ArrowRight", "Labels"), ("ArrowLeft", "Tasks"), ("End", "Provenance"),
                      ("ArrowRight", "Overview"), ("ArrowLeft", "Provenance"), ("Home", "Overview")]:  # fmt: skip
        page.keyboard.press(key)
        assert chosen(page) == name
        assert page.evaluate("document.activeElement.textContent") == name
    page.keyboard.press("Tab")  # the chosen tab is the only one in the order of focus
    assert page.evaluate("document.activeElement.id") == "overview"


def test_tables_are_sorted_by_keyboard_by_all_digits(light, demo_runs):
    page = light.page
    light.tab("Overview")
    records = [record for record in store.read_all(demo_runs) if record.task.id == "demo_key"]
    by_score = sorted(records, key=lambda record: -record.scores.test["weighted_accuracy"].value)
    button = header(page, BOARD, "demo_key")
    button.focus()
    page.keyboard.press("Enter")
    assert column(page, BOARD, "encoder") == [record.name for record in by_score]
    assert page.get_by_role("columnheader", name="demo_key").get_attribute("aria-sort") == "descending"
    page.keyboard.press("Space")
    assert column(page, BOARD, "encoder") == [record.name for record in reversed(by_score)]
    assert page.get_by_role("columnheader", name="demo_key").get_attribute("aria-sort") == "ascending"
    header(page, BOARD, "encoder").press("Enter")
    assert column(page, BOARD, "encoder") == ["chroma", "logmel", "mfcc"]
    assert page.get_by_role("columnheader", name="demo_key").get_attribute("aria-sort") is None


def test_scores_in_the_browser_are_those_of_the_records(light, demo_runs):
    light.tab("Overview")
    header(light.page, BOARD, "encoder").click()
    for record in store.read_all(demo_runs):
        row = column(light.page, BOARD, "encoder").index(record.name)
        shown = column(light.page, BOARD, record.task.id)[row]
        assert shown == f"{record.scores.test[record.task.metrics[0]].value:z.3f}"


def test_a_chart_is_an_image_with_words_and_is_drawn_when_it_is_seen(chromium, demo_page):
    with opened(chromium, demo_page) as watched:
        assert watched.page.locator(".chart svg").count() == 0
        watched.tab("Tasks")
        first = watched.page.locator(".chart:visible").first
        assert first.get_attribute("role") == "img"
        assert first.get_attribute("aria-label") == "demo_emotion: r2 valence"
        described = watched.page.locator(f"#{first.get_attribute('aria-describedby')}")
        assert "95 % intervals" in described.inner_text()
        assert first.locator("svg").count() == 1
        assert watched.page.locator(".chart").count() > watched.page.locator("[data-state=drawn]").count()


def test_a_link_to_a_record_opens_its_view(chromium, demo_page):
    with opened(chromium, demo_page) as watched:
        watched.page.goto(f"{watched.address}#record-demo_key.mfcc")
        assert chosen(watched.page) == "Provenance"
        assert watched.page.locator("details[open] summary").inner_text() == "mfcc on demo_key"


def test_the_theme_is_switched_and_kept(chromium, demo_page):
    with opened(chromium, demo_page) as watched:
        page = watched.page
        ground = "getComputedStyle(document.body).backgroundColor"
        before = page.evaluate(ground)
        page.get_by_role("button", name="Switch to dark colours").press("Enter")
        assert page.evaluate(ground) != before
        page.reload()
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"
        assert watched.complaints == []


def test_the_records_are_saved_as_they_are(chromium, demo_page, demo_runs):
    with opened(chromium, demo_page) as watched:
        with watched.page.expect_download() as download:
            watched.page.get_by_role("button", name="Save records").click()
        saved = json.loads(download.value.path().read_text(encoding="utf-8"))
        assert saved == [record.model_dump(mode="json") for record in store.read_all(demo_runs)]
        assert watched.requests == []


def test_a_label_that_is_a_script_is_never_run(chromium, small_runs, make_page, change_record):
    hostile = "</script><img src=x onerror=document.title='gone'>"

    def edit(content):
        content["task"]["title"] = hostile
        for split in content["scores"].values():
            for score in split.values():
                score["labels"] = {
                    hostile if key == "C major" else key: value for key, value in score["labels"].items()
                }

    for name in ("chroma", "logmel", "mfcc"):
        change_record(small_runs / "runs" / "demo_key" / f"{name}.json", edit)
    written, _ = make_page(small_runs)
    with opened(chromium, written.output) as watched:
        for name in TABS:
            watched.tab(name)
        assert watched.page.title() == "Probe evaluation"
        assert watched.page.locator("main img[src=x]").count() == 0
        assert watched.page.get_by_text(hostile).count() > 0
        assert watched.complaints == []
        assert watched.requests == []


def test_no_script_is_run_but_the_pages_own(chromium, demo_page, tmp_path):
    """What slipped through all escapes would still not run: the page names the digests of its scripts."""
    changed = tmp_path / "changed.html"
    text = demo_page.read_text(encoding="utf-8")
    changed.write_text(text.replace("</header>", "</header><script>document.title = 'gone'</script>"), encoding="utf-8")
    with opened(chromium, changed) as watched:
        assert watched.page.title() == "Probe evaluation"
        assert any("Content Security Policy" in told for told in watched.complaints)


@pytest.mark.parametrize("width", [1200, 390])
def test_the_page_without_a_script_shows_all_views(chromium, demo_runs, make_page, width):
    written, still = make_page(demo_runs, script=False)
    assert isinstance(still, Parsed)
    with opened(chromium, written.output, width=width, java_script_enabled=False) as watched:
        assert watched.page.locator("section.view:visible").count() == len(TABS)
        assert watched.page.locator("img.picture").count() > 0
    with opened(chromium, written.output, width=width) as watched:
        assert watched.page.evaluate("[...document.images].every((each) => each.naturalWidth > 0)")
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= width
        assert watched.complaints == []


def test_on_paper_every_view_is_there(chromium, demo_page):
    with opened(chromium, demo_page) as watched:
        watched.page.emulate_media(media="print")
        assert watched.page.locator("section.view:visible").count() == len(TABS)
        assert watched.page.locator("#tabs:visible").count() == 0


@pytest.fixture(scope="module")
def page_of_everything(tmp_path_factory, page_home):
    """Records with layers, mixtures, deformations, learning curves, and some whose encoders have published scores."""
    planting = runpy.run_path(str(Path(__file__).parents[1] / "figures" / "conftest.py"))
    results = tmp_path_factory.mktemp("everything") / "results"
    for encoder, skill in (("strong", 0.9), ("fair", 0.5)):
        record = planting["plant"](results, "keys", encoder, skill, planting["with_everything"])
        for repeat, score in enumerate((0.25, 0.375)):
            planting["plant_curve"](results, record, 0.5, repeat, score)
    for task, metric, value in (("gs_key", "weighted_accuracy", 0.66), ("gtzan", "accuracy", 0.5)):
        store.write(results, planting["build_record"](task, "musicset-ularge", {metric: value}))
    write_report([], [results], results.parent / "report.html", Silent(), home=page_home)
    return results.parent / "report.html"


@pytest.mark.parametrize("width", [1200, 390])
def test_layers_curves_robustness_and_status_are_drawn_too(chromium, page_of_everything, width):
    with opened(chromium, page_of_everything, width=width) as watched:
        page = watched.page
        words = page.locator("[role=tabpanel]:visible").inner_text()
        assert "undecided" in words
        assert "0.235 below what was published" in words
        for name in ("Layers", "Learning curves", "Robustness", "Tasks", "Cost"):
            watched.tab(name)
            page.locator("[role=tabpanel]:visible .chart svg").first.wait_for(timeout=20_000)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, name
            assert page.locator(".chart[data-state=failed]").count() == 0
        assert watched.requests == []
        assert watched.complaints == []
