"""A record says how it was asked for, without a path of the machine."""

from pathlib import Path

import pytest

import benchmark
from benchmark.encoders.registry import resolve
from benchmark.errors import UserError
from benchmark.jobs.options import Options
from benchmark.jobs.provenance import encoder_text, portable, task_text
from benchmark.jobs.reproduce import reproduce
from results import store
from tasks import registry

PLUGIN = """
from benchmark import Encoder


class Mean(Encoder):
    name, version, sample_rate, dim, arrays = "mean", "1", 8000, 1, "numpy"

    def embed(self, waveforms):
        return waveforms.mean(2)
"""


class TestAsked:
    def test_what_is_the_default_is_not_said(self):
        assert Options().asked == ()

    def test_places_and_budgets_of_the_machine_are_not_said(self, tmp_path):
        options = Options(
            home=tmp_path, results=tmp_path, device="cpu", workers=1, batch_size=3, overwrite="always",
            storage="sqlite:////x/y.db", export=tmp_path, data_roots=(f"gtzan={tmp_path}",), track=("wandb",),
        track_project="thesis",
        )  # fmt: skip
        assert options.asked == ()

    def test_everything_else_is(self):
        options = Options(
            limit=60, own_windows=True, protocol="quick", trials=3, seeds=2, train_fraction=(0.1, 1), deform="gain=-20"
        )
        assert " ".join(options.asked) == (
            "--limit 60 --deform gain=-20 --own-windows --protocol quick --trials 3 --seeds 2 --train-fraction 0.1,1"
        )


class TestNames:
    @pytest.mark.parametrize(
        ("path", "expected"),
        [("/home/ada/x/mine.py", "mine.py"), ("~/mine.py", "mine.py"), ("/h/data/a.npz", "data/a.npz")],
    )
    def test_a_path_is_relative_to_the_home_or_its_base_name(self, path, expected):
        assert portable(path, Path("/h")) == expected

    def test_an_encoder_keeps_its_class_and_options_and_loses_its_folder(self, tmp_path):
        (tmp_path / "mine.py").write_text(PLUGIN)
        (encoder,) = resolve(f"{tmp_path}/mine.py:Mean", tmp_path)
        assert encoder_text(encoder, Path("/elsewhere")) == "mine.py:Mean"
        encoder.text = f"onnx:{tmp_path}/model.onnx?sample_rate=16000&window=3"
        assert encoder_text(encoder, Path("/elsewhere")) == "onnx:model.onnx?sample_rate=16000&window=3"
        encoder.text = f"hear:some.module@{tmp_path}/weights.pt"
        assert encoder_text(encoder, Path("/elsewhere")) == "hear:some.module@weights.pt"
        encoder.text = "hf:facebook/hubert-base-ls960?layer=7"
        assert encoder_text(encoder, Path("/elsewhere")) == "hf:facebook/hubert-base-ls960?layer=7"
        (tmp_path / ".venv-old" / "bin").mkdir(parents=True)
        (tmp_path / ".venv-old" / "pyvenv.cfg").touch()
        for program, label in (
            (".venv-old/bin/python", ".venv-old"),
            (".venv-old", ".venv-old"),
            ("any/python3", "python3"),
        ):
            encoder.text = f"env:{tmp_path}/{program}::{tmp_path}/mine.py:Mean?weights={tmp_path}/w.pt"
            assert encoder_text(encoder, Path("/elsewhere")) == f"env:{label}::mine.py:Mean?weights=w.pt"
        encoder.text = "env:old::hf:a/b@main?layer=7"
        assert encoder_text(encoder, Path("/elsewhere")) == "env:old::hf:a/b@main?layer=7"
        encoder.text = ""
        assert encoder_text(encoder, Path("/elsewhere")) == "mean"

    def test_a_task_is_an_id_or_the_name_of_its_card(self, make_task):
        (own,) = registry.find(str(make_task()))
        assert task_text(own, Path("/elsewhere")) == "card.toml"
        (built_in,) = registry.find("demo_key")
        assert task_text(built_in, Path("/elsewhere")) == "demo_key"


def test_a_record_holds_the_command_and_reproduce_asks_for_the_file(make_vectors, tmp_path):
    encoder, card = make_vectors()
    places = {"home": tmp_path / "home", "results": tmp_path / "results"}
    record = benchmark.run(encoder, card, trials=1, seeds=1, protocol="quick", device="cpu", **places)
    made = record.provenance
    assert made is not None
    assert made.command == f"bench run --encoder {made.encoder} --task card.toml --protocol quick --trials 1 --seeds 1"
    assert str(tmp_path) not in made.model_dump_json()
    assert made.version == benchmark.__version__
    path = store.path_of(tmp_path / "results", record)
    assert store.read(path).provenance == made
    with pytest.raises(UserError, match=f"names its encoder {made.encoder!r}: .*give it with --encoder"):
        reproduce(path, home=places["home"])
    code = made.model_copy(update={"encoder": "mine.py:Mean"})
    store.write(tmp_path / "results", record.model_copy(update={"provenance": code}))
    with pytest.raises(UserError, match=r"the Python file mine\.py.*bench reproduce \S+ --encoder mine\.py:Mean"):
        reproduce(path, home=places["home"])
