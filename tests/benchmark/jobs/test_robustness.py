"""The robustness view: what is embedded again, what is compared, what is kept, and what is refused."""

import json
import os
import signal
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import t

import benchmark
from benchmark.audio import pool
from benchmark.audio.deformations import VERSIONS, parse
from benchmark.cli.main import main
from benchmark.embeddings.space import space_of
from benchmark.embeddings.store import EmbeddingStore
from benchmark.errors import UserError
from benchmark.jobs import select
from benchmark.jobs.embed import embed
from benchmark.jobs.items import prepare
from benchmark.jobs.options import Options
from benchmark.jobs.plan import plan_jobs
from benchmark.jobs.robustness import deformed_job, robustness
from benchmark.jobs.runner import Outcome
from benchmark.jobs.scoring import leave_out, score_split
from benchmark.reports import scores
from benchmark.reports.robustness import format_deformations, format_robustness
from benchmark.system.progress import Silent
from probes.data import SplitArrays
from tasks import registry
from tests.benchmark.conftest import RATE, Bands

FAST = {"trials": 1, "seeds": 1, "workers": 0}
NOTHING = "gain=0,shift=0ms"


class Levelled(Bands):
    """Hears no level: each window is brought to one first."""

    name = "levelled"

    def embed(self, waveforms):
        return super().embed(waveforms / np.abs(waveforms).max(axis=(1, 2), keepdims=True))


class Fragile(Bands):
    """Hears only what is above a fixed level."""

    name = "fragile"

    def embed(self, waveforms):
        return (super().embed(waveforms) > 4.5).astype(np.float32)


@pytest.fixture
def places(tmp_path):
    return {"home": tmp_path / "home", "results": tmp_path / "results"}


@pytest.fixture
def decoded(monkeypatch):
    """The names of the files that are decoded from now on, with what is done to them."""
    found = []
    one = pool.decode_one

    def told(path, rule, deformation=None, folder=None):
        found.append((path.stem, deformation and deformation.text))
        return one(path, rule, deformation, folder)

    monkeypatch.setattr(pool, "decode_one", told)
    return found


def names_of_test(per_class=20):
    return [f"t{i:03d}" for i in range(per_class * 3) if (i // 3) % 5 == 4]


def embed_alone(encoder, card, home, deform, workers=0):
    """Embed a task, its test split also under each deformation, and return the bytes of that by space and key."""
    options = Options(
        home=home, results=home / "results", workers=workers, batch_size=1, seeds=1, deform=deform
    )  # fmt: skip
    (job,) = plan_jobs([encoder], prepare(registry.find(str(card), home, ()), options, Silent()), options)
    embed([job], options.embedding, Silent())
    stores = [deformed_job(job, each).store for each in options.deformations]
    return {store.space.key: {key: store.read([key]).tobytes() for key in store.places()} for store in stores}


class TestScores:
    def test_deformations_that_change_nothing_give_the_clean_embeddings_and_no_drop(self, bands, make_task, places):
        record = benchmark.run(bands, make_task(group=True), **places, **FAST, deform=NOTHING)
        assert [each.spec for each in record.robustness] == ["gain=0dB", "shift=0ms"]
        clean = record.scores.test["accuracy"]
        for each in record.robustness:
            drop = each.metrics["accuracy"]
            assert (drop.value, drop.low, drop.high) == (clean.value, clean.low, clean.high)
            assert (drop.drop, drop.drop_low, drop.drop_high) == (0, 0, 0)
            assert each.clipped == 0

    def test_their_embeddings_are_those_of_clean_audio_in_spaces_of_their_own(self, bands, make_task, tmp_path):
        deformed = embed_alone(bands, make_task(), tmp_path, NOTHING)
        clean = EmbeddingStore(tmp_path, space_of(bands, None, None))
        rows = {key: clean.read([key]).tobytes() for key in clean.places()}
        assert len(rows) == 60
        assert len(deformed) == 2
        for part in deformed.values():
            assert len(part) == 12
            assert part.items() <= rows.items()
        described = [json.loads(file.read_text()) for file in (tmp_path / "embeddings").glob("*/space.json")]
        assert {each["key"]: each.get("deformation") for each in described} == {
            clean.space.key: None,
            **dict(
                zip(
                    deformed,
                    [
                        {"kind": "gain", "amount": 0.0, "version": VERSIONS["gain"]},
                        {"kind": "shift", "amount": 0.0, "version": VERSIONS["shift"]},
                    ],
                    strict=True,
                )
            ),
        }

    def test_an_encoder_that_hears_no_level_keeps_its_score_and_one_that_does_falls(self, make_task, places):
        card = make_task(group=True)
        (steady,) = benchmark.run(Levelled(), card, **places, **FAST, deform="gain=-40").robustness
        drop = steady.metrics["accuracy"]
        assert (drop.drop, drop.drop_low, drop.drop_high) == (0, 0, 0)
        record = benchmark.run(Fragile(), card, **places, **FAST, deform="gain=-40")
        drop = record.robustness[0].metrics["accuracy"]
        assert record.scores.test["accuracy"].value > 0.9
        assert drop.value <= 0.5  # no more than one class
        assert drop.drop == drop.value - record.scores.test["accuracy"].value
        assert drop.drop_low <= drop.drop <= drop.drop_high < 0  # of twelve items

    def test_the_rest_of_the_record_is_what_it_is_without(self, bands, make_task, places):
        card = make_task()
        plain = benchmark.run(bands, card, **places, **FAST)
        deformed = benchmark.run(bands, card, **places, **FAST, overwrite="always", deform="noise=0,mp3=64k")
        assert plain.robustness == []
        assert deformed.scores == plain.scores
        assert deformed.floors == plain.floors
        assert deformed.probe == plain.probe
        assert deformed.encoder == plain.encoder

    def test_what_a_gain_clips_is_counted(self, bands, make_task, places):
        (loud,) = benchmark.run(bands, make_task(), **places, **FAST, deform="gain=40").robustness
        assert loud.clipped == 12

    def test_the_interval_is_that_of_the_paired_difference_over_groups(self, bands):
        rng = np.random.default_rng(3)
        n, groups = 60, [f"g{i // 5}" for i in range(60)]
        targets = rng.integers(0, 3, n)
        outputs = {name: rng.normal(size=(n, 3)).astype(np.float32) for name in ("clean", "deformed")}
        outputs["clean"][np.arange(n), targets] += 2
        outputs["deformed"] = (outputs["clean"] + outputs["deformed"]).astype(np.float32)
        card = SimpleNamespace(id="tones", kind="multiclass", metrics=("accuracy",))
        labels = ("a", "b", "c")
        resampled = leave_out(card, targets, [outputs["clean"]], labels, groups, seed=1)
        clean = score_split(card, targets, [outputs["clean"]], labels, groups, seed=1, split="test")
        space = SimpleNamespace(deformation=parse("noise=0")[0], key="deadbeef")
        store = SimpleNamespace(places=lambda: {"k": SimpleNamespace(clipped=False)}, space=space)
        splits = SimpleNamespace(
            job=SimpleNamespace(card=card, store=store),
            items=SimpleNamespace(labels=labels, rows=lambda _: range(n)), keys=["k"] * n, groups=lambda _: groups,
        )  # fmt: skip
        test = SplitArrays(tuple(map(str, range(n))), np.zeros((n, 1), np.float32), targets)
        probe = SimpleNamespace(predict=lambda _: outputs["deformed"])
        found = robustness(splits, test, [probe], clean, resampled, 1).metrics["accuracy"]

        moved = np.array([each.argmax(1) == targets for each in (outputs["deformed"], outputs["clean"])], float)
        by_group = (moved[0] - moved[1]).reshape(12, 5).mean(1)  # groups of one size: a t interval of their means
        half = t.ppf(0.975, 11) * by_group.std(ddof=1) / np.sqrt(12)
        assert (found.drop_low, found.drop_high) == pytest.approx((found.drop - half, found.drop + half), abs=1e-6)
        assert found.question == "items"  # of one probe
        infinite = SimpleNamespace(predict=lambda _: np.full((n, 3), np.inf, np.float32))
        with pytest.raises(UserError, match=r"outputs on the test \(noise=0dB\) split of 'tones' are not finite"):
            robustness(splits, test, [infinite], clean, resampled, 1)


class TestEmbedding:
    def test_only_test_is_embedded_again_and_only_once(self, bands, make_task, places, decoded):
        card = make_task()
        benchmark.run(bands, card, **places, **FAST)
        decoded.clear()
        benchmark.run(bands, card, **places, **FAST, deform="gain=-20,noise=20dB")
        assert decoded == [(name, text) for text in ("gain=-20dB", "noise=20dB") for name in names_of_test()]
        decoded.clear()
        benchmark.run(bands, card, **places, **FAST, deform="noise=20,shift=50ms", seed=1)
        assert decoded == [(name, "shift=50ms") for name in names_of_test()]

    def test_workers_give_the_same_bytes(self, bands, make_task, tmp_path):
        card = make_task(per_class=5)
        here, there = (embed_alone(bands, card, tmp_path / f"{n}", "noise=3,mp3=32k", workers=n) for n in (0, 1))
        assert here == there
        assert len(here) == 2

    def test_spaces_differ_by_amount_and_version_and_clean_keys_are_what_they_were(self, bands, monkeypatch):
        clean = space_of(bands, None, None)
        described = clean.describe()
        assert list(described) == [
            "key", "encoder", "version", "fingerprint", "pipeline", "audio", "windows", "pooling", "dim", "layers",
        ]  # fmt: skip
        keys = {clean.key}
        for text in ("gain=0", "gain=-20", "noise=-20", "shift=0ms"):
            keys.add(type(clean)(**{**vars(clean), "deformation": parse(text)[0]}).key)
        monkeypatch.setitem(VERSIONS, "gain", 2)
        keys.add(type(clean)(**{**vars(clean), "deformation": parse("gain=0")[0]}).key)
        assert len(keys) == 6

    def test_a_track_that_a_shift_uses_up_is_named_before_a_probe_is_trained(
        self, bands, make_task, places, monkeypatch
    ):
        card = make_task()
        monkeypatch.setattr(select, "search", lambda *a, **k: pytest.fail("a probe was trained"))
        with pytest.raises(UserError) as caught:
            benchmark.run(bands, card, **places, **FAST, deform="gain=-3,shift=2s")
        message = str(caught.value)
        assert "test track(s) cannot be embedded with bands under --deform shift=2000ms" in message
        named = [line.split()[0] for line in message.splitlines() if "leaves nothing of it" in line]
        assert named
        assert set(named) < set(names_of_test())

    def test_a_track_too_short_for_the_encoder_is_named(self, bands, make_task, places):
        bands.padding, bands.minimum_seconds = "refuse", 0.5
        with pytest.raises(UserError, match=r"(?s)shift=1000ms:.*t\d+ \(.*\): too short: .* samples, but"):
            benchmark.run(bands, make_task(), **places, **FAST, deform="shift=1s")

    def test_damaged_test_tracks_that_are_left_out_stay_out(self, bands, make_task, places, decoded):
        card = make_task()
        (card.parent / "audio" / f"{names_of_test()[0]}.flac").write_bytes(b"")
        with pytest.raises(UserError, match="1 damaged"):
            benchmark.run(bands, card, **places, **FAST, deform="gain=-3")
        assert not [text for _, text in decoded if text]
        record = benchmark.run(bands, card, **places, **FAST, deform="gain=-3", allow_damaged=1)
        assert [name for name, text in decoded if text] == names_of_test()[1:]
        assert record.data.counts["test"] == 11


class TestReuse:
    def test_a_record_without_the_deformations_is_not_enough_and_its_search_goes_on(
        self, bands, make_task, places, monkeypatch
    ):
        card = make_task()
        plain = benchmark.run(bands, card, **places, **FAST)
        deformed = benchmark.run(bands, card, **places, **FAST, deform="gain=-20,shift=50ms")
        assert deformed.run_key != plain.run_key
        assert [trial.model_dump() for trial in deformed.search.trials] == [
            trial.model_dump() for trial in plain.search.trials
        ]  # with the very seconds: none was run again
        monkeypatch.setattr(select, "search", lambda *a, **k: pytest.fail("a probe was trained"))
        for fewer in (None, "gain=-20", "shift=50ms,gain=-20dB"):
            assert benchmark.run(bands, card, **places, **FAST, deform=fewer) == deformed
        with pytest.raises(pytest.fail.Exception, match="a probe was trained"):
            benchmark.run(bands, card, **places, **FAST, deform="gain=-20,noise=3")

    def test_a_new_version_of_a_deformation_is_another(self, bands, make_task, places, monkeypatch):
        card = make_task()
        first = benchmark.run(bands, card, **places, **FAST, deform="gain=-20")
        monkeypatch.setitem(VERSIONS, "gain", 2)
        assert benchmark.run(bands, card, **places, **FAST) == first
        second = benchmark.run(bands, card, **places, **FAST, deform="gain=-20")
        assert second.run_key != first.run_key
        assert second.robustness[0].space != first.robustness[0].space

    def test_never_replaces_a_record_that_lacks_them(self, bands, make_task, places):
        card = make_task()
        benchmark.run(bands, card, **places, **FAST)
        with pytest.raises(UserError, match="different run"):
            benchmark.run(bands, card, **places, **FAST, deform="gain=-20", overwrite="never")

    def test_interrupted_it_goes_on_where_it_was(self, bands, make_task, tmp_path, decoded, monkeypatch):
        card, embed, calls = make_task(), Bands.embed, []
        embed_alone(bands, card, tmp_path / "stopped", "gain=0")  # clean audio is there

        def interrupted(self, waveforms):
            calls.append(1)
            if len(calls) == 12:
                raise KeyboardInterrupt
            return embed(self, waveforms)

        with monkeypatch.context() as patch:
            patch.setattr(Bands, "embed", interrupted)
            with pytest.raises(KeyboardInterrupt):
                embed_alone(bands, card, tmp_path / "stopped", "noise=3")
        decoded.clear()
        resumed = embed_alone(bands, card, tmp_path / "stopped", "noise=3")
        assert 0 < len(decoded) < 12
        assert resumed == embed_alone(bands, card, tmp_path / "whole", "noise=3")


KILLED = """
import os, signal, sys
from pathlib import Path
from benchmark.jobs.embed import embed
from benchmark.embeddings import extract, store
from benchmark.jobs.items import prepare
from benchmark.jobs.plan import plan_jobs
from benchmark.jobs.options import Options
from benchmark.system.progress import Silent
from tasks import registry
from tests.benchmark.conftest import Bands
extract.SHARD_SECONDS = 0
append = store.EmbeddingStore.append
def once(self, rows):
    append(self, rows)
    if self.space.deformation is not None:
        os.kill(os.getpid(), signal.SIGKILL)
store.EmbeddingStore.append = once
home = Path(sys.argv[2])
options = Options(home=home, results=home, workers=0, batch_size=1, deform="noise=3")
data = prepare(registry.find(sys.argv[1], home, ()), options, Silent())
embed(plan_jobs([Bands()], data, options), options.embedding, Silent())
"""


def test_killed_it_goes_on_where_it_was(bands, make_task, tmp_path, decoded):
    card = make_task()
    command = [sys.executable, "-c", KILLED, str(card), str(tmp_path / "killed")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=dict(os.environ))
    assert done.returncode == -signal.SIGKILL, done.stderr
    resumed = embed_alone(bands, card, tmp_path / "killed", "noise=3")
    assert 0 < len(decoded) < 12
    assert {text for _, text in decoded} == {"noise=3dB"}
    assert resumed == embed_alone(bands, card, tmp_path / "whole", "noise=3")


class TestAsked:
    def test_embeddings_without_audio_cannot_be_deformed(self, make_task, places, tmp_path):
        np.savez(tmp_path / "theirs.npz", ids=[f"t{i:03d}" for i in range(60)], embeddings=np.eye(60, dtype="f4"))
        with pytest.raises(
            UserError, match=r"--deform gain=-20dB: the embeddings in .*theirs.npz were computed elsewh"
        ):
            benchmark.run(f"emb:{tmp_path / 'theirs.npz'}", make_task(), **places, **FAST, deform="gain=-20")

    @pytest.mark.parametrize(
        ("text", "message"), [("gian=-20", "did you mean 'gain'?"), ("shift=50", "ms or s"), ("mp3=1k", "8 to 320")]
    )
    def test_mistakes_are_one_message_and_status_2(self, make_task, places, capsys, text, message):
        with pytest.raises(SystemExit) as end:
            main(["run", "-e", "chroma", "-t", str(make_task()), "--home", str(places["home"]), "--deform", text])
        assert end.value.code == 2
        told = capsys.readouterr().err
        assert told.startswith("bench: --deform")
        assert message in told
        assert not places["home"].exists()

    def test_the_command_prints_a_table(self, make_task, places, capsys):
        arguments = [
            "run", "-e", "chroma", "-t", str(make_task()), "--deform", "gain=-20,gain=40", "--trials", "1", "--seeds",
            "1", "--workers", "0", "--home", str(places["home"]), "--results", str(places["results"]),
        ]  # fmt: skip
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 0
        lines = capsys.readouterr().out.splitlines()
        (head,) = [line for line in lines if "deformation" in line]
        assert head.split() == [
            "encoder", "task", "deformation", "metric", "clean", "deformed", "drop", "95", "%", "interval",
        ]  # fmt: skip
        (row,) = [line.split() for line in lines if "gain=-20dB" in line]
        assert row[:4] == ["chroma", "tones", "gain=-20dB", "accuracy"]
        assert any("12 of 12 test track(s) were clipped under gain=40dB" in line for line in lines)

    def test_without_deformations_nothing_is_printed_of_them(self, bands, make_task, places, capsys):
        record = benchmark.run(bands, make_task(), **places, **FAST)
        assert format_robustness([record]) == ""
        outcome = Outcome(record, places["results"] / "runs" / "tones" / "bands.json", kept=True)
        print(scores.format_outcomes([outcome]))
        assert "drop" not in capsys.readouterr().out

    def test_the_plan_counts_what_would_be_embedded_again(self, bands, make_task, tmp_path, capsys):
        card = make_task()
        embed_alone(bands, card, tmp_path, "noise=3")
        options = Options(home=tmp_path, results=tmp_path / "results", deform="noise=3,gain=-20")
        data = prepare(registry.find(str(card), tmp_path, ()), options, Silent())
        print("\n".join(format_deformations(plan_jobs([bands], data, options))))
        assert capsys.readouterr().out.splitlines() == [
            "bands: 0 test track(s) to embed again under noise=3dB",
            "bands: 12 test track(s) to embed again under gain=-20dB",
        ]
        assert format_deformations(plan_jobs([bands], data, Options(home=tmp_path, results=tmp_path))) == []

    def test_options_hold_them_in_the_order_they_were_named(self, tmp_path):
        options = Options(home=tmp_path, results=tmp_path, deform="shift=1s,gain=3")
        assert [each.kind for each in options.deformations] == ["shift", "gain"]


assert RATE == 8000  # the shifts above are written for it
