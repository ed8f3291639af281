"""benchmark.run and run_many: one record or several, progress by a function, what matters as warnings."""

import inspect
import warnings

import pytest

import benchmark
from benchmark.jobs.runner import UnfinishedError

FAST = {"trials": 2, "seeds": 2, "workers": 0}
CURVE = {"train_fraction": (0.1, 1)}


@pytest.fixture
def places(tmp_path):
    return {"home": tmp_path / "home", "results": tmp_path / "results"}


class TestWarnings:
    def test_what_the_command_line_says_below_the_table_is_a_warning(self, make_vectors, places):
        encoder, card = make_vectors(group=True, apart=1.5)
        manifest = card.parent / "manifest.csv"
        manifest.write_text(manifest.read_text().replace("artist4\n", "artist1\n"))  # of train and test
        with pytest.warns(benchmark.BenchmarkWarning) as told:
            benchmark.run(encoder, card, **places, **FAST)
        texts = [str(warning.message) for warning in told]
        assert any("given on vectors: 1 group(s) of test are also in train or valid: a leak" in text for text in texts)
        assert {warning.filename for warning in told} == {__file__}  # the line of the caller

    def test_a_kept_record_says_it_again(self, make_vectors, places):
        encoder, card = make_vectors()
        for _ in range(2):
            with pytest.warns(benchmark.BenchmarkWarning, match="limited to 40 items"):
                benchmark.run(encoder, card, **places, **FAST, limit=40)

    def test_they_can_be_made_errors(self, make_vectors, places):
        encoder, card = make_vectors()
        with warnings.catch_warnings():
            warnings.simplefilter("error", benchmark.BenchmarkWarning)
            with pytest.raises(benchmark.BenchmarkWarning, match="intervals of fewer than 30 are rough"):
                benchmark.run(encoder, card, **places, **FAST)


class TestProgress:
    def test_the_function_hears_of_every_stage_up_to_its_end(self, bands, make_task, places):
        heard = []
        benchmark.run(bands, make_task(), **places, **FAST, progress=lambda *step: heard.append(step))
        last = {title: (done, total) for title, done, total in heard}
        assert last["Probing bands on tones"] == (5, 5)
        assert any("mbed" in title for title in last)
        assert all(done <= total for _, done, total in heard)


class TestSeveral:
    def test_every_encoder_on_every_task_in_order(self, bands, layered, make_task, places):
        first, second = make_task("one"), make_task("two")
        records = benchmark.run_many([bands, layered], [first, second], **places, **FAST)
        assert [(record.encoder.id, record.task.id) for record in records] == [
            ("bands", "one"), ("bands", "two"), ("layered", "one"), ("layered", "two"),
        ]  # fmt: skip

    def test_of_pairs_that_fail_the_others_are_finished(self, make_vectors, places):
        encoder, card = make_vectors()
        other, _ = make_vectors("others", dim=4)
        bad = card.parent / "bad.toml"
        bad.write_text(card.read_text().replace('id = "vectors"', 'id = "bad"').replace("[16]", "[1]"))
        with pytest.raises((UnfinishedError, benchmark.UserError)):
            benchmark.run_many([encoder, "emb:nowhere.npz"], card, **places, **FAST)
        assert len(benchmark.run_many([encoder, other], [card, bad], **places, **FAST)) == 4

    @pytest.mark.parametrize(
        ("encoder", "task", "chosen"),
        [("logmel,chroma", "demo_key", {}), ("logmel", "demo_key,demo_tags", {}), ("logmel", "demo_key", CURVE)],
    )
    def test_run_refuses_several_before_anything_is_done(self, places, encoder, task, chosen):
        with pytest.raises(
            benchmark.UserError, match=r"benchmark.run gives one record, .* are 2: call benchmark.run_many"
        ):
            benchmark.run(encoder, task, **places, **chosen)
        assert not places["home"].exists()


class TestLooks:
    def test_a_record_is_one_line(self, make_vectors, places):
        record = benchmark.run(*make_vectors(), **places, **FAST)
        score = record.scores.test["accuracy"]
        assert (
            repr(record)
            == str(record)
            == (f"<Record given on vectors: accuracy {score.value:.3f} ({score.low:.3f}–{score.high:.3f})>")
        )

    def test_both_have_the_options_in_their_signature_and_help(self):
        for function in (benchmark.run, benchmark.run_many):
            assert "trials" in inspect.signature(function).parameters
            assert "        trials: Probe settings to try" in function.__doc__
