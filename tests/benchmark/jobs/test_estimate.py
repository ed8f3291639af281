"""What a run would take: lengths that are known, read, or guessed and said to be; windows that overlap; time; disk."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from benchmark.audio.decode import AudioRule
from benchmark.audio.windows import WindowRule, cut
from benchmark.embeddings.space import space_of
from benchmark.embeddings.tracks import Track
from benchmark.encoders.check.speed import Speed
from benchmark.jobs import estimate
from benchmark.jobs.embed import embed
from benchmark.jobs.estimate import Lengths, embedding_seconds, handed_over, known_seconds, lengths_of
from benchmark.jobs.items import prepare
from benchmark.jobs.options import Options
from benchmark.jobs.plan import plan_jobs
from benchmark.reports.plan import format_estimates
from benchmark.system.progress import Silent
from tasks import registry

RATE = 1000


def song(path: Path, seconds: float) -> Track:
    soundfile.write(path, np.zeros(int(seconds * RATE)), RATE)
    return Track(path.stem, "songs", path)


class TestLengths:
    def test_known_ones_are_not_read(self, tmp_path):
        tracks = [Track("a", "songs", tmp_path / "gone.wav"), song(tmp_path / "b.wav", 2.0)]
        lengths = lengths_of(tracks, ["key-a", None], {"key-a": 7.0})
        np.testing.assert_allclose(lengths.seconds, [7.0, 2.0])
        assert lengths.describe() == "1 known from earlier runs, 1 from their headers"
        assert lengths.hours == pytest.approx(9 / 3600)

    def test_a_sample_speaks_for_the_others_and_that_is_said(self, tmp_path, monkeypatch):
        monkeypatch.setattr(estimate, "SAMPLE", 3)
        tracks = [song(tmp_path / f"{i}.wav", 1.0 + i) for i in range(5)]
        lengths = lengths_of(tracks, [None] * 5, {})
        np.testing.assert_allclose(lengths.seconds, [1.0, 3.0, 3.0, 3.0, 5.0])
        assert (lengths.read, lengths.guessed) == (3, 2)
        assert lengths.describe() == "3 from their headers, 2 taken to be as long as those"

    def test_what_cannot_be_read_is_said(self, tmp_path):
        tracks = [song(tmp_path / "a.wav", 4.0), Track("b", "songs", tmp_path / "b.wav")]
        (tmp_path / "b.wav").write_bytes(b"no audio")
        lengths = lengths_of(tracks, [None, None], {})
        np.testing.assert_allclose(lengths.seconds, [4.0, 4.0])
        assert "1 of a sample cannot be read" in lengths.describe()

    def test_of_nothing(self):
        assert lengths_of([], [], {}).hours == 0.0


@pytest.mark.parametrize("seconds", [0.05, 0.5, 1.0, 1.4, 2.0, 7.3])
@pytest.mark.parametrize("rule", [WindowRule(1000, 500, 100, "repeat"), WindowRule(None, 0, 100, "repeat")])
def test_windows_overlap_as_the_cut_does(seconds, rule):
    windows = cut(np.zeros((1, int(seconds * RATE))), rule)
    expected = sum(window.shape[1] for window in windows) / RATE
    assert handed_over(np.array([seconds]), rule, RATE) == pytest.approx(expected)


def job_of(arrays="torch", rate=RATE):
    space = SimpleNamespace(windows=WindowRule(None, 0, 0, "repeat"), audio=AudioRule(rate))
    return SimpleNamespace(store=SimpleNamespace(space=space), encoder=SimpleNamespace(sample_rate=rate, arrays=arrays))


@pytest.mark.parametrize(
    ("arrays", "device", "workers", "expected"),
    [("torch", "cuda", 2, 50), ("torch", "cpu", 2, 55), ("numpy", "cpu", 2, 50), ("numpy", "cpu", 0, 60)],
)
def test_time_is_that_of_the_slower_where_both_go_on_at_once(arrays, device, workers, expected):
    speed, lengths = Speed(1, 1.0, 0.5, 0), Lengths(np.array([60.0, 40.0]), 0, 2, 0)
    assert embedding_seconds(speed, 0.1, lengths, job_of(arrays), device, workers) == pytest.approx(expected)


def test_time_is_decodings_where_that_is_slower():
    lengths = Lengths(np.array([60.0, 40.0]), 0, 2, 0)
    assert embedding_seconds(Speed(1, 1.0, 0.01, 0), 0.1, lengths, job_of(), "cuda", 2) == pytest.approx(5)
    assert embedding_seconds(Speed(1, 1.0, 0.01, 0), None, lengths, job_of(), "cuda", 2) == pytest.approx(1)


class TestPlan:
    @pytest.fixture
    def options(self, tmp_path):
        return Options(home=tmp_path / "home", results=tmp_path / "results", workers=0, trials=1, seeds=1)

    def jobs(self, encoder, card, options):
        data = prepare(registry.find([str(card)], options.home, ()), options, Silent())
        return plan_jobs([encoder], data, options)

    def of(self, encoder, card, options):
        return estimate.estimates(self.jobs(encoder, card, options), options.embedding)

    def embed(self, encoder, card, options):
        assert embed(self.jobs(encoder, card, options), options.embedding, Silent()).damaged

    def test_before_and_after_a_run(self, bands, make_task, options, capsys):
        card = make_task()
        (before,) = self.of(bands, card, options)
        assert (before.tracks, before.to_embed) == (60, 60)
        assert before.lengths.hours == pytest.approx(60 * 1.5 / 3600, rel=0.2)
        assert before.seconds > 0
        assert before.disk == 60 * (16 * 4 + estimate.ROW_BYTES)
        print(format_estimates([before]))
        out = capsys.readouterr().out
        assert "1 s every 0.5 s" in out
        assert "lengths of 60 tracks: 60 from their headers." in out
        self.embed(bands, card, options)
        (after,) = self.of(bands, card, options)
        assert (after.tracks, after.to_embed, after.seconds, after.disk) == (60, 0, 0.0, 0)
        assert len(known_seconds(options.home)) == 60

        class Other(type(bands)):
            name, version = "other", "2"

        (other,) = self.of(Other(), card, options)
        assert other.to_embed == 60
        assert other.lengths.describe() == "60 known from earlier runs"

    def test_a_torn_shard_is_left_to_the_run(self, bands, make_task, options):
        card = make_task()
        self.embed(bands, card, options)
        (shard,) = options.home.glob("embeddings/*/*.parquet")
        shard.write_bytes(b"torn")
        assert known_seconds(options.home) == {}
        assert shard.exists()

    def test_an_encoder_that_does_not_run(self, bands, make_task, options, capsys):
        class Broken(type(bands)):
            name = "broken"

            def embed(self, waveforms):
                raise RuntimeError("no")

        (found,) = self.of(Broken(), make_task(), options)
        assert found.seconds is None
        print(format_estimates([found]))
        assert "Time unknown: broken does not run" in capsys.readouterr().out

    def test_two_tasks_of_one_collection_count_once(self, bands, make_task, options):
        card = make_task()
        data = prepare(registry.find([str(card)], options.home, ()), options, Silent())
        jobs = plan_jobs([bands], [*data, *data], options)
        (found,) = estimate.estimates(jobs, options.embedding)
        assert (found.tracks, found.to_embed) == (60, 60)


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (0.2, "under 1 s"), (40, "40 s"), (720, "12 min"), (3.4 * 3600, "3.4 h")]
)
def test_times(seconds, words):
    assert estimate.format_time(seconds) == words


class TestWholeTracks:
    def tracks(self, folder, seconds):
        paths = [folder / f"{i}.flac" for i, _ in enumerate(seconds)]
        for path, length in zip(paths, seconds, strict=True):
            soundfile.write(path, np.zeros(int(8000 * length), np.int16), 8000)
        (folder / "x.raw").write_bytes(b"no header")
        return [Track(path.stem, "c", path) for path in [*paths, folder / "x.raw"]]

    def test_the_longest_is_told_before(self, tmp_path, bands, monkeypatch):
        monkeypatch.setattr(estimate, "SAID_FROM", 5e6)
        bands.window_seconds = bands.hop_seconds = None
        tracks = self.tracks(tmp_path, (1, 90, 30))
        said = estimate.whole_track_memory(tracks, space_of(bands, None, None))
        assert said.startswith("bands takes whole tracks, and the longest of them (1.flac, 0.0 h) about 5.8 MB")
        assert estimate.whole_track_memory(tracks[:1], space_of(bands, None, None)) == ""

    def test_windows_take_no_more_for_a_long_track(self, tmp_path, bands, monkeypatch):
        monkeypatch.setattr(estimate, "SAID_FROM", 1.0)
        assert estimate.whole_track_memory(self.tracks(tmp_path, (90,)), space_of(bands, None, None)) == ""
