"""The page holds every number of its records, says what is not there, and takes no text of others for markup."""

import json
import shutil

import pytest

from benchmark.errors import UserError
from benchmark.reports.page.make import write_report
from benchmark.system.progress import Silent
from results import store
from results.record import RecordError
from tests.benchmark.reports.page.conftest import parsed

HOSTILE = "</script><img src=x onerror=alert(1)><!--"


@pytest.fixture(scope="module")
def page(demo_page):
    return parsed(demo_page)


@pytest.fixture(scope="module")
def records(demo_runs):
    return store.read_all(demo_runs)


def shows(cell, value, low=None, high=None):
    """Say whether a cell has a score and its interval, to the last digit, and shows them to three decimals."""
    ends = {} if low is None or high is None else {"l": low, "h": high}
    assert cell.numbers == {"v": value, **ends}
    assert cell.text == f"{value:z.3f}"
    if ends:
        assert all(f"{end:z.3f}" in cell.small for end in (low, high))
    return True


def test_every_score_and_interval_is_the_records(page, records):
    seen = 0
    for record in records:
        rows = page.table(f"Scores on {record.task.id}")
        for metric, test in record.scores.test.items():
            row = next(row for row in rows if (row["encoder"].text, row["metric"].text) == (record.name, metric))
            assert shows(row["test"], test.value, test.low, test.high)
            valid = record.scores.valid[metric]
            assert shows(row["valid"], valid.value, valid.low, valid.high)
            for name in ("constant", "permuted", "ridge"):
                floor = getattr(record.floors, name)[metric]
                assert shows(row[name], floor.value, floor.low, floor.high)
            assert row["std"].numbers == {"v": test.std}
            assert row["items"].numbers == {"v": record.data.counts["test"]}
            seen += 1
    assert seen == sum(len(record.task.metrics) for record in records) == 18


def test_the_board_has_the_primary_metric_of_every_record(page, records):
    rows = {row["encoder"].text: row for row in page.table("Scores on test, one column a task")}
    assert len(rows) == 3
    for record in records:
        score = record.scores.test[record.task.metrics[0]]
        assert shows(rows[record.name][record.task.id], score.value, score.low, score.high)


def test_every_label_has_its_score(page, records):
    seen = 0
    for record in records:
        for metric, score in record.scores.test.items():
            for label, value in (score.labels or {}).items():
                rows = page.table(f"{metric} of each label of {record.task.id}, mean over the probes")
                row = next(row for row in rows if row["label"].text == label)
                assert shows(row[record.name], value)
                seen += 1
    assert seen > 100


def test_pairs_and_ranks_are_those_of_the_ranking(page, demo_runs, page_home):
    from benchmark.jobs.ranking import rankings
    from results.together import read_together

    found = rankings(read_together([demo_runs]), page_home)
    assert len(found) == 3
    for ranking in found:
        rows = page.table(f"Pairs of encoders on {ranking.task}, {ranking.metric}")
        for row, pair in zip(rows, ranking.separations, strict=True):
            assert (row["higher"].text, row["lower"].text) == (pair.first, pair.second)
            assert shows(row["difference"], pair.difference, pair.low, pair.high)
            assert row["p (Holm)"].numbers == {"v": pair.p_holm}
            assert row["separated"].text == ("yes" if pair.separated else "no")
        for row in page.table(f"Scores on {ranking.task}"):
            rank = ranking.ranks[row["encoder"].text] if row["metric"].text == ranking.metric else None
            assert row["rank"].numbers == ({} if rank is None else {"v": rank})


def test_the_records_are_held_whole(page, records):
    assert json.loads(page.scripts["records"]) == [record.model_dump(mode="json") for record in records]


def test_provenance_names_what_made_each_record(page, records):
    for record in records:
        for told in (record.run_key, record.task.fingerprint, record.encoder.fingerprint, record.data.fingerprint,
                     record.predictions_sha256, record.hardware.cpu, record.created):  # fmt: skip
            assert told in page.text
    assert [row["checked"].text for row in page.table("All records")] == ["record and predictions"] * 9


def test_ids_are_unique_and_links_lead_somewhere(page):
    assert len(page.ids) == len(set(page.ids))
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links
    assert [link for link in links if link[1:] not in page.ids] == []


def test_the_same_records_give_the_same_bytes(demo_runs, demo_page, page_home):
    before = demo_page.read_bytes()
    written = write_report([], [demo_runs], demo_page, Silent(), home=page_home)
    assert not written.changed
    assert demo_page.read_bytes() == before


def test_nothing_is_named_that_a_browser_would_fetch(page, demo_page):
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base")
        for name in ("src", "href", "srcset", "poster", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:")), (tag, attributes)
    policy = next(given["content"] for tag, given in page.tags if given.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    assert "script-src 'sha256-" in policy
    assert "url(" not in demo_page.read_text(encoding="utf-8").partition("</style>")[0]


def test_a_label_that_is_markup_stays_text(small_runs, make_page, change_record):
    nasty = "a\u202eb\u2028c\x1b[31m"

    def edit(content):
        content["task"]["title"] = HOSTILE
        content["encoder"]["version"] = nasty
        content["versions"][HOSTILE] = HOSTILE
        content["data"]["labels"] = [HOSTILE, *content["data"]["labels"][1:]]
        for split in content["scores"].values():
            for score in split.values():
                score["labels"] = {
                    HOSTILE if name == "C major" else name: value for name, value in score["labels"].items()
                }

    for name in ("chroma", "logmel", "mfcc"):
        change_record(small_runs / "runs" / "demo_key" / f"{name}.json", edit)
    written, page = make_page(small_runs)
    assert written.problems == ()
    assert [attributes for tag, attributes in page.tags if tag == "img"] == []
    assert HOSTILE in page.text
    assert not {"\u202e", "\u2028", "\x1b"} & set(written.output.read_text(encoding="utf-8"))
    assert "a\\u202eb\\u2028c\\u001b[31m" in page.text
    assert json.loads(page.scripts["records"])[0]["task"]["title"] == HOSTILE
    assert [name for name in page.scripts if name.startswith("script")] == ["script-2", "script-3"]


def test_a_damaged_record_is_named_and_left_out(small_runs, make_page, change_record):
    path = small_runs / "runs" / "demo_key" / "mfcc.json"
    change_record(path, lambda content: content["scores"]["test"]["accuracy"].update(value=0.99), sign=False)
    written, page = make_page(small_runs)
    assert written.records == 2
    assert len(written.problems) == 1
    assert str(path) in written.problems[0]
    assert "is not as it was written" in page.text
    assert [row["encoder"].text for row in page.table("Scores on demo_key")[::2]] == ["chroma", "logmel"]


def test_a_record_of_a_newer_schema_is_named_and_left_out(small_runs, make_page, change_record):
    path = small_runs / "runs" / "demo_key" / "mfcc.json"
    change_record(path, lambda content: content.update(schema_version=9), sign=False)
    written, page = make_page(small_runs)
    assert written.records == 2
    assert "field schema_version is 9" in page.text
    assert "Install the version that wrote it" in page.text


def test_text_that_is_no_record_is_named_and_left_out(small_runs, make_page):
    (small_runs / "runs" / "demo_key" / "odd.json").write_text("{", encoding="utf-8")
    written, page = make_page(small_runs)
    assert written.records == 3
    assert "odd.json is not whole JSON" in page.text


def test_where_every_record_is_damaged_the_page_says_so(small_runs, make_page):
    for path in (small_runs / "runs" / "demo_key").glob("*.json"):
        path.write_text("[]", encoding="utf-8")
    written, page = make_page(small_runs)
    assert written.records == 0
    assert "None of those that were found could be read." in page.text


def test_a_record_without_predictions_says_so(small_runs, make_page):
    for path in (small_runs / "runs" / "demo_key").glob("mfcc.*.parquet"):
        path.unlink()
    written, page = make_page(small_runs)
    assert written.records == 3
    assert "are not beside the record" in next(
        row["checked"].text for row in page.table("All records") if row["encoder"].text == "mfcc"
    )
    assert "no rank: mfcc (" in page.text


def test_predictions_of_another_run_are_not_called_checked(small_runs, make_page):
    path = next((small_runs / "runs" / "demo_key").glob("mfcc.*.parquet"))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    _, page = make_page(small_runs)
    assert "are not those that the record was written with" in page.text


def test_one_encoder_alone_is_not_ranked(small_runs, make_page):
    for path in (small_runs / "runs" / "demo_key").glob("[lm]*"):
        path.unlink()
    written, page = make_page(small_runs)
    assert written.records == 1
    assert "There is one encoder, so nothing is ranked" in page.text


def test_a_folder_without_records_gives_a_page_that_says_so(tmp_path, make_page):
    (tmp_path / "results").mkdir()
    written, page = make_page(tmp_path / "results")
    assert written.records == 0
    assert "bench run -e logmel -t demo_key" in page.text
    assert "No record is on this page" in page.text


def test_a_results_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"there is no results folder .*bench run"):
        write_report([], [tmp_path / "nothing"], tmp_path / "a.html", Silent())
    assert not (tmp_path / "a.html").exists()


def test_a_record_that_is_named_and_not_there_is_refused(tmp_path):
    with pytest.raises(RecordError, match="is not there"):
        write_report([tmp_path / "nothing.json"], [], tmp_path / "a.html", Silent())


def test_another_format_is_refused_by_its_name(tmp_path, small_runs):
    with pytest.raises(UserError, match=r"give a name that ends in \.html"):
        write_report([], [small_runs], tmp_path / "report.pdf", Silent())


def test_records_that_are_named_are_those_of_the_page(small_runs, make_page):
    folder = small_runs / "runs" / "demo_key"
    written, page = make_page(named=(folder / "chroma.json", folder / "mfcc.json"))
    assert written.records == 2
    assert [row["encoder"].text for row in page.table("Scores on demo_key")[::2]] == ["chroma", "mfcc"]


def test_a_limited_record_is_told_apart_and_decides_no_bold(small_runs, make_page, change_record):
    folder = small_runs / "runs" / "demo_key"
    shutil.copy(folder / "chroma.json", folder / "copy.json")
    change_record(folder / "copy.json", lambda content: content.update(limit=40))
    written, page = make_page(small_runs)
    assert written.records == 4
    assert "chroma · 40 items" in {row["encoder"].text for row in page.table("Scores on test, one column a task")}


def test_without_a_script_there_is_none_and_all_tables_are_there(demo_runs, make_page, page):
    written, still = make_page(demo_runs, script=False)
    assert still.scripts == {}
    assert [tag for tag, _ in still.tags if tag == "button"] == []
    assert still.tables.keys() == page.tables.keys()
    assert written.size < 1_500_000
