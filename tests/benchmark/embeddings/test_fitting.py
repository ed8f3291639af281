"""The fit hook: what an encoder is fitted on, whom that concerns, and when it is not needed again."""

import copy
import json
import shutil
import time

import numpy as np
import pytest

import benchmark
from benchmark.audio.decode import AudioRule, load
from benchmark.audio.index import AudioIndex
from benchmark.audio.windows import cut
from benchmark.cli.main import main
from benchmark.embeddings.fitting import training_split
from benchmark.embeddings.precheck import check_before
from benchmark.embeddings.space import space_of
from benchmark.encoders import time_limit
from benchmark.encoders.base import Encoder, copy_of
from benchmark.encoders.check.check import check, measure_speed
from benchmark.encoders.windowing import window_rule
from benchmark.errors import UserError
from benchmark.jobs.embed import embed
from benchmark.jobs.items import prepare
from benchmark.jobs.options import Options
from benchmark.jobs.plan import plan_jobs
from benchmark.system.machine import threads_for
from benchmark.system.progress import Silent
from tasks import registry
from tests.benchmark.conftest import RATE, Bands

FAST = {"trials": 1, "seeds": 1, "workers": 0}

HEARD: list[np.ndarray] = []
FITS: list[str] = []


class Standardised(Bands):
    """Energies of bands, standardised with statistics of the training split."""

    name = "standardised"
    fitted = True
    not_in_fingerprint = ("device",)

    def __init__(self, noise: float = 0.0) -> None:
        self.mean: np.ndarray | None = None
        self.deviation: np.ndarray | None = None
        self.noise = noise

    def fit(self, waveforms):
        assert self.mean is None, "fitted twice"
        FITS.append(self.name)
        rows = []
        for window in waveforms:
            HEARD.append(window.copy())
            rows.append(super().embed(window[None])[0])
            window[:] = 9  # it is ours
        self.mean, self.deviation = np.mean(rows, axis=0), np.std(rows, axis=0)
        if self.noise:
            self.mean = self.mean + self.noise * np.random.default_rng().normal(size=self.dim)

    def embed(self, waveforms):
        assert self.mean is not None, "not fitted"
        return ((super().embed(waveforms) - self.mean) / self.deviation).astype(np.float32)


@pytest.fixture(autouse=True)
def nothing_heard():
    HEARD.clear()
    FITS.clear()


@pytest.fixture
def places(tmp_path):
    return {"home": tmp_path / "home", "results": tmp_path / "results"}


@pytest.fixture
def two_cards(make_task):
    """Two tasks on the same audio and splits, the second under another id."""
    card = make_task(per_class=10)
    other = card.with_name("other.toml")
    other.write_text(card.read_text().replace('id = "tones"', 'id = "tones_again"'), "utf-8")
    return card, other


def jobs_of(encoder, cards, home, **chosen):
    options = Options(home=home, results=home / "results", workers=0, **chosen)
    data = prepare(registry.find([str(card) for card in cards], home, ()), options, Silent())
    return plan_jobs([encoder], data, options), options


def embed_alone(encoder, cards, home, **chosen):
    jobs, options = jobs_of(encoder, cards, home, **chosen)
    embed(jobs, options.embedding, Silent())
    return jobs


def split_of(card, name):
    rows = [line.split(",") for line in card.with_name("manifest.csv").read_text().splitlines()[1:]]
    return [card.parent / row[1] for row in rows if row[2] == name]


class TestFit:
    def test_one_that_hangs_is_ended(self, make_task, tmp_path, monkeypatch):
        class Hanging(Standardised):
            def fit(self, waveforms):
                for _ in waveforms:
                    time.sleep(0.01)
                time.sleep(60)

        monkeypatch.setattr(time_limit, "FITTING", 1.0)
        started = time.monotonic()
        with pytest.raises(UserError, match=r"cannot be fitted on .*took no window for 1 s and did not come back"):
            embed_alone(Hanging(), [make_task(per_class=10)], tmp_path)
        assert time.monotonic() - started < 50

    def test_hears_every_window_of_train_in_order_and_nothing_else(self, make_task, tmp_path):
        card = make_task(per_class=10)
        embed_alone(Standardised(), [card], tmp_path)
        encoder = Standardised()
        windows = [
            window
            for path in split_of(card, "train")
            for window in cut(load(path, AudioRule(RATE)).samples, window_rule(encoder, None, None))
        ]
        assert len(HEARD) == len(windows)
        for heard, window in zip(HEARD, windows, strict=True):
            np.testing.assert_array_equal(heard, window)  # also where windows overlap and the encoder writes

    def test_embeds_with_what_it_took_and_leaves_the_users_encoder_alone(self, make_task, tmp_path):
        card, mine = make_task(per_class=10), Standardised()
        (job,) = embed_alone(mine, [card], tmp_path)
        assert mine.mean is None
        fitted = Standardised()
        fitted.fit(iter([window.copy() for window in HEARD]))
        path = split_of(card, "test")[0]
        windows = cut(load(path, AudioRule(RATE)).samples, job.store.space.windows)
        expected = fitted.embed(np.stack(windows)).mean(axis=0, dtype=np.float64).astype(np.float32)
        key = AudioIndex(tmp_path).key(path)
        np.testing.assert_allclose(job.store.read([key])[0], expected, rtol=1e-5, atol=1e-6)

    def test_tasks_share_nothing_though_their_audio_is_the_same(self, two_cards, tmp_path):
        first, second = embed_alone(Standardised(), two_cards, tmp_path)
        assert len(FITS) == 2
        assert first.store.space.key != second.store.space.key
        assert first.store.space.fingerprint != second.store.space.fingerprint
        assert len(first.store.places()) == len(second.store.places()) == 30

    def test_what_is_not_train_does_not_matter_and_all_of_train_does(self, two_cards, tmp_path):
        card = two_cards[0]
        key = jobs_of(Standardised(), [card], tmp_path)[0][0].store.space.key
        train, test = split_of(card, "train"), split_of(card, "test")
        shutil.copy(train[0], test[0])
        assert jobs_of(Standardised(), [card], tmp_path)[0][0].store.space.key == key
        assert jobs_of(Standardised(), [card], tmp_path, limit=12)[0][0].store.space.key != key
        shutil.copy(train[1], train[0])
        assert jobs_of(Standardised(), [card], tmp_path)[0][0].store.space.key != key

    def test_an_encoder_that_is_not_fitted_has_the_keys_it_had(self, bands, make_task, tmp_path):
        (job,) = jobs_of(bands, [make_task(per_class=10)], tmp_path)[0]
        assert job.store.space.fingerprint == bands.fingerprint()
        assert job.store.space == space_of(bands, None, None)
        assert "fitted_on" not in job.store.space.describe()
        assert AudioIndex(tmp_path).key(split_of(make_task("b", 5), "train")[0]) is None  # and nothing was hashed

    def test_workers_give_the_same_state(self, make_task, tmp_path):
        card = make_task(per_class=5)
        states = []
        for workers in (0, 1):
            jobs, _ = jobs_of(Standardised(), [card], tmp_path / f"{workers}")
            options = Options(home=tmp_path / f"{workers}", results=tmp_path, workers=workers)
            embed(jobs, options.embedding, Silent())
            states.append(json.loads((jobs[0].store.folder / "fitted.json").read_text()))
        assert states[0] == states[1]

    def test_with_the_robustness_view_it_is_fitted_once_on_clean_audio(self, make_task, tmp_path):
        card = make_task(per_class=10)
        embed_alone(Standardised(), [card], tmp_path, deform="gain=-20,shift=50ms")
        assert len(FITS) == 1
        heard = len(HEARD)
        embed_alone(Standardised(), [card], tmp_path, deform="gain=-20,noise=3")
        assert len(FITS) == 2  # what is embedded anew needs the state
        assert len(HEARD) == 2 * heard
        for one, again in zip(HEARD[:heard], HEARD[heard:], strict=True):
            np.testing.assert_array_equal(one, again)

    def test_damaged_training_tracks_are_left_out_and_named_by_the_run(self, make_task, tmp_path):
        card = make_task(per_class=10)
        split_of(card, "train")[0].write_bytes(b"")
        whole = len(split_of(card, "train"))
        with pytest.raises(UserError, match="1 damaged"):
            embed_alone(Standardised(), [card], tmp_path)
        (job,) = embed_alone(Standardised(), [card], tmp_path, allow_damaged=1)
        assert len(job.store.places()) == 29
        assert whole == 15


class TestRecord:
    def test_says_what_it_was_fitted_on_and_a_second_run_needs_no_fit(self, bands, make_task, places, monkeypatch):
        card = make_task()
        record = benchmark.run(Standardised(), card, **places, **FAST)
        assert record.scores.test["accuracy"].value > 0.6
        assert len(FITS) == 1
        index = AudioIndex(places["home"])
        paths = split_of(card, "train")
        assert record.encoder.fitted_on == training_split("tones", [p.stem for p in paths], paths, index, Silent())
        assert record.encoder.fingerprint != Standardised().fingerprint()
        assert benchmark.run(bands, card, **places, **FAST).encoder.fitted_on is None
        monkeypatch.setattr(Standardised, "fit", lambda *_: pytest.fail("it was fitted"))
        assert benchmark.run(Standardised(), card, **places, **FAST) == record
        assert benchmark.run(Standardised(), card, **places, **FAST, seed=1).seeds.search == 1  # from the cache

    def test_a_learning_curve_shares_one_fit(self, make_task, places):
        jobs, options = jobs_of(Standardised(), [make_task()], places["home"], train_fraction=(0.5, 1.0))
        embed(jobs, options.embedding, Silent())
        assert len(jobs) == 2
        assert len(FITS) == 1


class TestResumed:
    @pytest.fixture
    def stopped(self, make_task, tmp_path, monkeypatch):
        card, embed, calls = make_task(per_class=10), Standardised.embed, []

        def interrupted(self, waveforms):
            calls.append(1)
            if len(calls) == 12:
                raise KeyboardInterrupt
            return embed(self, waveforms)

        def stop(encoder):
            with monkeypatch.context() as patch:
                patch.setattr(Standardised, "embed", interrupted)
                with pytest.raises(KeyboardInterrupt):
                    embed_alone(encoder, [card], tmp_path / "home", batch_size=1)
            return card, tmp_path / "home"

        return stop

    def test_it_is_fitted_to_the_same_state_and_goes_on(self, stopped, tmp_path):
        card, home = stopped(Standardised())
        (begun,) = jobs_of(Standardised(), [card], home)[0]
        assert 0 < len(begun.store.places()) < 30
        (resumed,) = embed_alone(Standardised(), [card], home, batch_size=1)
        (whole,) = embed_alone(Standardised(), [card], tmp_path / "whole", batch_size=1)
        keys = sorted(whole.store.places())
        assert resumed.store.read(keys).tobytes() == whole.store.read(keys).tobytes()

    def test_another_state_is_refused(self, stopped):
        card, home = stopped(Standardised(noise=0.1))
        with pytest.raises(
            UserError, match=r"(?s)fit\(\) left another state .*bench cache prune --encoder standardised"
        ):
            embed_alone(Standardised(noise=0.1), [card], home, batch_size=1)

    def test_another_state_is_no_matter_before_there_are_embeddings(self, make_task, tmp_path, monkeypatch):
        card = make_task(per_class=5)
        with monkeypatch.context() as patch:
            patch.setattr(Standardised, "embed", lambda *_: 1 / 0)
            with pytest.raises(UserError, match="ZeroDivisionError"):
                embed_alone(Standardised(noise=0.1), [card], tmp_path)
        embed_alone(Standardised(noise=0.1), [card], tmp_path)


class TestRefused:
    def test_fitted_without_a_fit_method(self, make_task, tmp_path):
        class Lacking(Bands):
            fitted = True

        with pytest.raises(UserError, match=r"Lacking declares fitted = True and has no fit\(waveforms\) method"):
            jobs_of(Lacking(), [make_task(per_class=5)], tmp_path)
        with pytest.raises(UserError, match=r"has no fit\(waveforms\) method"):
            Bands().fit(iter(()))

    @pytest.mark.parametrize("fitted", ["yes", 3, None])
    def test_fitted_is_yes_or_no(self, fitted):
        encoder = Standardised()
        encoder.fitted = fitted
        with pytest.raises(UserError, match="declares fitted"):
            space_of(encoder, None, None)

    @pytest.mark.parametrize(
        "error", [ValueError("no variance"), KeyError("mel"), SystemExit(3), UserError("too few", "bring more")]
    )
    def test_a_fit_that_raises_is_named_and_nothing_is_embedded(self, make_task, tmp_path, monkeypatch, error):
        def fails(self, waveforms):
            next(waveforms)
            raise error

        monkeypatch.setattr(Standardised, "fit", fails)
        with pytest.raises(UserError) as caught:
            embed_alone(Standardised(), [make_task(per_class=5)], tmp_path)
        message = str(caught.value)
        assert "the encoder 'standardised' cannot be fitted on the training split of tones" in message
        assert (type(error).__name__ if not isinstance(error, UserError) else "bring more") in message
        assert not list(tmp_path.glob("embeddings/*/*.parquet"))

    def test_on_the_command_line_it_is_one_message_and_status_2(self, make_task, tmp_path, capsys):
        file = tmp_path / "mine.py"
        file.write_text(
            "from benchmark import Encoder\n\n\nclass Mine(Encoder):\n    name, sample_rate, dim = 'mine', 8000, 2\n"
            "    fitted = True\n\n    def fit(self, waveforms):\n        print('fitting')\n"
            "        raise ValueError('no')\n"
        )
        where = ["--home", str(tmp_path / "home"), "--results", str(tmp_path / "results"), "--workers", "0"]
        with pytest.raises(SystemExit) as end:
            main(["run", "-e", str(file), "-t", str(make_task(per_class=5)), *where])
        assert end.value.code == 2
        told = capsys.readouterr()
        assert "bench: the encoder 'mine' cannot be fitted on the training split of tones" in told.err
        assert "fit() raised ValueError: no" in told.err
        assert told.out == ""

    def test_audio_that_changes_between_plan_and_fit(self, make_task, tmp_path):
        card = make_task(per_class=5)
        jobs, options = jobs_of(Standardised(), [card], tmp_path)
        shutil.copy(split_of(card, "train")[1], split_of(card, "train")[0])
        with pytest.raises(UserError, match="its audio changed while the run was under way"):
            embed(jobs, options.embedding, Silent())

    def test_what_cannot_be_copied(self):
        encoder = Standardised()
        encoder.session = (each for each in ())  # generators cannot be copied
        with pytest.raises(UserError, match=r"cannot be copied \(TypeError"):
            copy_of(encoder)

    def test_an_export(self, make_task, tmp_path):
        with pytest.raises(UserError, match="--export: the encoder 'standardised' is fitted on each task"):
            jobs_of(Standardised(), [make_task(per_class=5)], tmp_path, export=tmp_path / "probe")


class TestCheck:
    def failed(self, encoder):
        return {finding.rule: finding.numbers for finding in check(encoder).failures}

    def test_fits_a_copy_before_it_checks(self):
        encoder = Standardised()
        found = check(encoder)
        assert not found.failures
        (fit,) = [finding for finding in found.findings if finding.rule == "fit"]
        assert "twice" in fit.numbers
        assert encoder.mean is None
        assert "fit" not in {finding.rule for finding in check(Bands()).findings}

    def test_names_a_fit_that_raises_or_does_not_repeat_itself(self, monkeypatch):
        assert "must be deterministic" in self.failed(Standardised(noise=0.1))["fit"]
        monkeypatch.setattr(Standardised, "fit", lambda *_: 1 / 0)
        assert self.failed(Standardised()) == {"fit": "fit() raised ZeroDivisionError: division by zero"}

    def test_before_an_extraction_it_takes_the_encoder_as_fitted(self):
        encoder = Standardised()
        space = space_of(encoder, None, None, "a training split")
        fitted = copy.deepcopy(encoder)
        fitted.fit(iter(np.random.default_rng(0).normal(size=(4, 1, RATE)).astype(np.float32)))
        with threads_for(fitted.arrays):
            check_before(fitted, space, 10_000, "cpu")
        assert len(FITS) == 1

    def test_the_estimate_times_it_fitted(self):
        encoder = Standardised()
        assert measure_speed(encoder, "cpu", window_rule(encoder, None, None), 4, 60.0) is not None
        assert encoder.mean is None


def test_the_contract_has_a_default():
    assert Encoder.fitted is False
    assert not Bands().fitted
