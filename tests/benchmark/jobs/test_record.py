"""The sections of a record, from what a run was made of."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from benchmark.embeddings.space import space_of
from benchmark.embeddings.store import RowLocation
from benchmark.jobs import record
from benchmark.jobs.job import SearchPlan
from benchmark.jobs.options import TrainSubset
from benchmark.jobs.splits import JobData
from probes.protocol import Settings
from probes.search.trials import SearchResult, TrialResult
from tasks.card import TaskCard
from tasks.items import Items


@pytest.fixture
def plan():
    return SearchPlan(
        trials=3, seeds=2, seed=5, sampler="tpe", pruner="halving", precision="fp32", layer=None, device="cpu",
        storage=None, fresh=False,
    )  # fmt: skip


def trial(number, state="complete", score=0.5, steps_run=100):
    return TrialResult(number, Settings(1e-3, 0.0, 100, True), state, score, 50, steps_run, 1.23456)


class TestSearch:
    @pytest.fixture
    def section(self, plan):
        found = SearchResult(
            (trial(0), trial(1, "pruned", 0.4, 8), trial(2, "diverged", -np.inf, 3)), selected=0, operations=1e9
        )
        selection = SimpleNamespace(result=found, floor_seconds=0.12345, layers={"low": 0.25, "high": 0.5})
        card = SimpleNamespace(metrics=("r2_valence", "r2_arousal"), kind="regression")
        protocol = SimpleNamespace(section="emo", version=3, pruner="halving")
        job = SimpleNamespace(data=SimpleNamespace(protocol=protocol), card=card, search=plan)
        return record.search_section(job, selection)

    def test_a_trial_that_diverged_has_no_score(self, section):
        assert [each.state for each in section.trials] == ["complete", "pruned", "diverged"]
        assert [each.score for each in section.trials] == [0.5, 0.4, None]

    def test_the_budget_is_that_of_all_trials(self, section):
        assert (section.steps_run, section.steps_asked, section.operations) == (111, 300, 1e9)
        assert section.floor_seconds == 0.123
        assert section.trials[0].seconds == 1.235

    def test_says_by_what_it_was_decided(self, section):
        assert (section.section, section.sampler, section.pruner) == ("emo", "tpe", "halving")
        assert section.protocol_version == 3
        assert section.objective == "mean(r2_valence, r2_arousal)"
        assert section.layers == {"low": 0.25, "high": 0.5}


class TestProbe:
    def test_names_every_seed(self, plan):
        probes = [
            SimpleNamespace(parameters=7, best_step=step, steps_run=100, mixing=mixing)
            for step, mixing in ((40, (0.25, 0.75)), (50, (0.5, 0.5)))
        ]
        settings = replace(trial(0).settings, hidden=(16, 8), warm_rate=1e-2)
        selection = SimpleNamespace(
            result=SimpleNamespace(settings=settings), probes=probes, layer="mix",
            spec=SimpleNamespace(dropout_place="logits", loss="cross_entropy"),
        )  # fmt: skip
        section = record.probe_section(SimpleNamespace(search=replace(plan, precision="bf16")), selection)
        assert (section.best_steps, section.steps_run) == ([40, 50], [100, 100])
        assert (section.layer, section.mixing) == ("mix", [[0.25, 0.75], [0.5, 0.5]])
        assert (section.hidden, section.warm_rate, section.precision) == ([16, 8], 1e-2, "bf16")
        selection.probes = [SimpleNamespace(parameters=7, best_step=1, steps_run=2, mixing=None)]
        assert record.probe_section(SimpleNamespace(search=plan), selection).mixing is None


class TestEncoder:
    def test_how_it_was_fed(self, bands):
        space = space_of(bands, None, None)
        job = SimpleNamespace(encoder=bands, source=SimpleNamespace(space=space), own_windows=True)
        section = record.encoder_section(job)
        assert (section.id, section.dim, section.sample_rate, section.channels) == ("bands", 16, 8000, 1)
        assert (section.window_seconds, section.hop_seconds, section.own_windows) == (1.0, 0.5, True)
        assert (section.space, section.fingerprint) == (space.key, bands.fingerprint())

    def test_the_environment_of_another_interpreter(self, bands):
        from benchmark.encoders.remote import RemoteEncoder, Software

        class Far(RemoteEncoder):
            software = Software("old", "3.9.18", 3, "ab" * 32, {"numpy": "2.0.2"})

        assert record.environment_section(bands) is None
        section = record.environment_section(Far())
        assert section.model_dump() == {
            "name": "old", "python": "3.9.18", "packages": 3, "digest": "ab" * 32, "main": {"numpy": "2.0.2"},
        }  # fmt: skip
        assert str(section) == f"old: Python 3.9.18, numpy 2.0.2; 3 packages, list {'ab' * 32}"

    def test_of_layers_all_numbers_count(self, layered):
        source = SimpleNamespace(space=space_of(layered, None, None))
        job = SimpleNamespace(encoder=layered, source=source, own_windows=False)
        assert record.encoder_section(job).dim == 32


@pytest.fixture
def data(tmp_path, plan):
    """Nine items in four groups. Of test, one is in train and one in valid too, each by its bytes and by its group.

    Train and valid share a group and a file as well, which is no leak of test.
    """
    splits = ("train", "train", "valid", "valid", "test", "test", "test", "test", "train")
    groups = ("a", "b", "b", "d", "a", "c", "d", "c", "b")
    items = Items(
        tuple(f"t{i}" for i in range(9)), splits, (tmp_path / "x.wav",) * 9, groups, np.arange(9) % 2, ("x", "y")
    )
    keys = ("k0", "k1", "k2", "k3", "k0", "k5", "k3", "k7", "k2")
    places = {key: RowLocation("shard", i, 1.5, key == "k2") for i, key in enumerate(dict.fromkeys(keys))}
    card = TaskCard(id="t", title="T", kind="multiclass", metrics=("accuracy",), collection="c", outputs=("o",))
    gone = replace(items.take(np.array([1])), track_ids=("gone",))
    whole = Items(
        (*items.track_ids, *gone.track_ids), (*splits, "test"), (tmp_path / "x.wav",) * 10, None,
        np.array([*items.targets, 2]), ("x", "y", "z"),
    )  # fmt: skip
    store = SimpleNamespace(places=lambda: places, reads_audio=True)
    job = SimpleNamespace(
        card=card, data=SimpleNamespace(items=items, whole=whole, missing=("gone",)), source=store, store=store,
        search=plan, subset=None, allow_missing=2, allow_damaged=0,
    )  # fmt: skip
    return JobData(job, items, keys, (), tmp_path, lost=("y",))


class TestData:
    def test_what_splits_share_and_what_was_clipped_is_named(self, data):
        section = record.data_section(data)
        assert section.counts == {"train": 3, "valid": 2, "test": 4}
        assert (section.groups, section.shared_groups) == (4, ["a", "d"])
        assert (section.shared_audio, section.clipped) == (["t4", "t6"], ["t2", "t8"])
        assert section.audio_seconds == 13.5
        assert (section.missing, section.allow_missing) == (["gone"], 2)
        assert section.left_out.missing_by_class == {"test": {"z": 1}}
        assert section.left_out.emptied == {"test": ["z"]}

    def test_of_given_embeddings_no_audio_is_known(self, data):
        data.job.source.reads_audio = False
        section = record.data_section(data)
        assert (section.shared_audio, section.clipped, section.audio_seconds) == (None, None, None)
        assert section.fingerprint == record.content_of(data)

    def test_the_content_is_of_the_items_in_their_order(self, data):
        turned = replace(data, keys=data.keys[::-1])
        assert record.content_of(turned) != record.content_of(data)
        assert len(record.content_of(data)) == 64


def test_a_point_of_a_curve(data):
    assert record.curve_point(data) is None
    data.job.subset = TrainSubset(0.1, 2)
    point = record.curve_point(data)
    assert (point.fraction, point.repeat, point.seed, point.items, point.lost) == (0.1, 2, 7, 3, ["y"])
