"""Planted records of each kind beside published scores."""

from __future__ import annotations

import pytest

from results.record import RecordError
from results.sections.inputs import LeftOut
from results.sources import read, sources
from results.status import base_id, statuses

PUBLISHED = 0.667
"""Of musicset-ularge on gs_key, in Table 3."""


@pytest.fixture
def measured(make_record):
    """Return the function that makes a record of musicset-ularge on gs_key, and its only status."""

    def status_of(value: float, low: float | None, high: float | None, *, score=(), data=(), encoder=(), **changes):
        record = make_record("gs_key", "musicset-ularge", {"weighted_accuracy": value})
        test = record.scores.test["weighted_accuracy"].model_copy(update={"low": low, "high": high, **dict(score)})
        changes = {
            "scores": record.scores.model_copy(update={"test": {"weighted_accuracy": test}}),
            "data": record.data.model_copy(update=dict(data)),
            "encoder": record.encoder.model_copy(update=dict(encoder)),
            **changes,
        }
        (status,) = statuses(record.model_copy(update=changes))
        return status

    return status_of


@pytest.mark.parametrize(
    ("value", "low", "high", "word", "reason"),
    [
        (0.667, 0.647, 0.687, "reproduced", ""),
        (0.690, 0.660, 0.720, "reproduced", ""),  # inside, and exactly ±0.03
        (0.677, 0.670, 0.684, "reproduced", ""),  # outside by a hair, but within 0.01
        (0.657, 0.650, 0.664, "reproduced", ""),
        (0.690, 0.6595, 0.7205, "undecided", "the interval is ±0.031, wider than ±0.03"),
        (0.667, 0.567, 0.767, "undecided", "the interval is ±0.100, wider than ±0.03"),
        (0.672, 0.669, 0.769, "undecided", "the interval is ±0.050, wider than ±0.03"),
        (0.678, 0.670, 0.686, "off", "0.011 above what was published"),
        (0.500, 0.450, 0.550, "off", "0.167 below what was published"),
        (0.900, 0.700, 1.000, "off", "0.233 above what was published"),
    ],
)
def test_what_was_measured_in_the_same_way(measured, value, low, high, word, reason) -> None:
    status = measured(value, low, high)
    assert (status.word, status.reason) == (word, reason)
    assert (status.task, status.encoder, status.metric) == ("gs_key", "musicset-ularge", "weighted_accuracy")
    assert (status.measured, status.low, status.high, status.published) == (value, low, high, PUBLISHED)
    assert status.difference == value - PUBLISHED
    assert status.source == "McCallum et al. 2022, Table 3"


LEFT = LeftOut(
    of={"train": 923, "valid": 236, "test": 604},
    missing_by_split={"train": 0, "valid": 0, "test": 4},
    missing_by_class={},
    damaged_by_split={"train": 0, "valid": 0, "test": 0},
    damaged_by_class={},
    emptied={},
)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"limit": 40}, "limited to 40 items"),
        (
            {"curve": {"fraction": 0.1, "repeat": 0, "seed": 0, "items": 92, "lost": []}},
            "a point of a learning curve: 0.1 of train",
        ),
        ({"protocol": "quick"}, "other protocol: quick, not paper"),
        ({"variant": "bf16"}, "a variant: +bf16"),
        (
            {"data": {"missing": ["a", "b", "c", "d"], "left_out": LEFT}},
            "data missing: left out: 4 of 604 test items (4 missing)",
        ),
        ({"data": {"missing": ["(2 fewer items of test than the card)"]}}, "data missing: counts differ"),
        ({"data": {"missing": ["(2 more items of test than the card)"]}}, "counts of items differ from the card's"),
        ({"data": {"audio_seconds": None}}, "embeddings that were given: of which audio is not known"),
        ({"encoder": {"own_windows": True}}, "other windows: the encoder's own in place of the task's"),
        ({"encoder": {"window_seconds": 10.0}}, "other windows: 10 s every 2 s, not 3 s every 2 s"),
        ({"encoder": {"hop_seconds": 3.0}}, "other windows: 3 s every 3 s, not 3 s every 2 s"),
        ({"encoder": {"id": "musicset-ularge?layer=3"}}, "other settings of the encoder: ?layer=3"),
        ({"score": {"seeds": [0.667]}}, "a single probe"),
        ({"score": {"question": "items"}}, "its interval is over items alone"),
        (
            {"score": {"question": "items"}, "schema_version": 2},
            "the record is of schema 2: its interval is over items",
        ),
    ],
)
def test_what_is_not_comparable_is_never_reproduced(measured, changes: dict, reason: str) -> None:
    if isinstance(changes.get("curve"), dict):
        from results.sections.inputs import CurvePoint

        changes = {"curve": CurvePoint(**changes["curve"])}
    assert measured(0.667, 0.657, 0.677).word == "reproduced"
    status = measured(0.667, 0.657, 0.677, **changes)
    assert status.word == "not comparable"
    assert reason in status.reason


def test_a_score_without_an_interval_is_not_comparable(measured) -> None:
    status = measured(0.667, None, None)
    assert (status.word, status.low, status.high) == ("not comparable", None, None)
    assert status.reason == "no interval: the metric is undefined without some one item or group of test"


def test_folds_are_another_split(make_record) -> None:
    from results.record import FoldSection

    record = make_record("gs_key", "musicset-ularge", {"weighted_accuracy": 0.667})
    fold = FoldSection(
        name="1", valid="2", counts={}, scores=record.scores, probe=record.probe, search=record.search,
        seeds=record.seeds,
    )  # fmt: skip
    (status,) = statuses(record.model_copy(update={"folds": [fold] * 3}))
    assert (status.word, status.reason) == ("not comparable", "other splits: 3 folds")


def test_all_reasons_are_told(measured) -> None:
    status = measured(0.667, 0.657, 0.677, limit=40, variant="quick", protocol="quick")
    assert status.reason == "a variant: +quick; other protocol: quick, not paper; limited to 40 items"


def test_an_encoder_of_whole_tracks_is_what_the_paper_has(measured) -> None:
    status = measured(0.667, 0.657, 0.677, encoder={"window_seconds": None, "hop_seconds": None})
    assert status.word == "reproduced"


def test_windows_are_those_of_the_task(make_record) -> None:
    record = make_record("nsynth_p", "musicset-ularge", {"accuracy": 0.892})
    assert "3 s every 2 s, not 1 s every 1 s" in statuses(record)[0].reason
    encoder = record.encoder.model_copy(update={"window_seconds": 1.0, "hop_seconds": None})
    assert statuses(record.model_copy(update={"encoder": encoder}))[0].word == "undecided"


def test_a_number_that_the_paper_has_from_elsewhere_is_of_another_protocol(make_record) -> None:
    (status,) = statuses(make_record("gs_key", "jukebox", {"weighted_accuracy": 0.667}))
    assert status.word == "not comparable"
    assert status.reason == "other protocol: the source has it from its reference [23]"


@pytest.mark.parametrize(
    ("task", "reason"), [("msd500", "the split of the source is not published"), ("amm", "the ground truth")]
)
def test_tasks_that_are_not_those_of_the_paper(make_record, task: str, reason: str) -> None:
    for status in statuses(make_record(task, "musicset-ularge", {"map": 0.152, "roc_auc": 0.891})):
        assert status.word == "not comparable"
        assert status.reason.startswith(reason)


@pytest.mark.parametrize("encoder", ["hf:m-a-p/MERT-v1-330M", "hf:m-a-p/MERT-v1-330M@0e3a3e2?layer=7"])
def test_scores_of_marble_are_shown_and_never_compared(make_record, encoder: str) -> None:
    found = statuses(make_record("mtt", encoder, {"map": 0.379, "roc_auc": 0.906}))
    assert [(each.metric, each.published) for each in found] == [("map", 0.379), ("roc_auc", 0.906)]
    for status in found:
        assert status.word == "not comparable"
        assert status.reason.startswith("other protocol: MARBLE")
        assert status.source == "model card of MERT-v2, MARBLE"


@pytest.mark.parametrize(
    ("task", "encoder", "metric"),
    [("gs_key", "logmel", "weighted_accuracy"), ("own", "musicset-ularge", "accuracy"), ("mtt", "jukebox", "other")],
)
def test_what_is_not_published_has_no_status(make_record, task: str, encoder: str, metric: str) -> None:
    assert statuses(make_record(task, encoder, {metric: 0.7})) == ()


def test_ids_without_revision_and_options() -> None:
    assert base_id("musicset-ularge") == "musicset-ularge"
    assert base_id("musicnn-msd?layer=pool") == "musicnn-msd"
    assert base_id("hf:a/b@main") == "hf:a/b"


# sources


def test_every_source_says_its_protocol_and_where_it_stands() -> None:
    assert [source.name for source in sources()] == ["mccallum2022", "marble"]
    for source in sources():
        assert source.title
        assert "@inproceedings" in source.citation
        assert bool(source.protocol) != bool(source.other)


def test_published_scores_of_marble_are_those_of_the_sheet() -> None:
    marble = sources()[1]
    cells = {column: value.value for column, (value, _) in marble.cells_of("hf:m-a-p/MERT-v1-330M").items()}
    assert cells == {
        ("mtt", "roc_auc"): 0.906, ("mtt", "map"): 0.379, ("gs_key", "weighted_accuracy"): 0.641,
        ("gtzan", "accuracy"): 0.776, ("emo", "r2_valence"): 0.567, ("emo", "r2_arousal"): 0.761,
        ("jam_50", "roc_auc"): 0.826, ("jam_50", "map"): 0.291, ("jam_mt", "roc_auc"): 0.753,
        ("jam_mt", "map"): 0.135,
    }  # fmt: skip
    assert len(marble.tables["MARBLE"].cells) == 70
    assert marble.model_of("musicset-ularge") is None


SOURCE = 'title = "t"\ncitation = "c"\nfiles = { "T" = "published/marble.csv" }\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[a", "not a list of published sources"),
        ("a = 1", "not a list of published sources"),
        (f"[a]\n{SOURCE}", "neither protocol nor other"),
        (f'[a]\n{SOURCE}other = "x"\nunknown = 1', "unknown"),
        ('[a]\ntitle = "t"\ncitation = "c"\nother = "x"', "files"),
        (f'[a]\n{SOURCE}other = "x"\nencoders = {{ "B" = ["b"] }}', "models without scores: B"),
        (f'[a]\n{SOURCE}other = "x"\nwindows = {{ "" = [3.0] }}', "not a list of published sources"),
    ],
)
def test_a_malformed_list_of_sources_is_refused(text: str, words: str) -> None:
    with pytest.raises(RecordError, match=words):
        read(text, "sources.toml")
