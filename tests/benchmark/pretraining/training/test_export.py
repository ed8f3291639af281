"""A run as an encoder: its export, its checkpoints, its name and its fingerprint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.encoders.published.mule import frontend
from benchmark.encoders.registry import resolve_one
from benchmark.errors import UserError
from benchmark.pretraining.encoder import Pretrained
from benchmark.pretraining.networks import table
from benchmark.pretraining.networks.files import weights_digest
from benchmark.pretraining.runs import CARD, DATA, RECIPE, WEIGHTS, runs
from benchmark.pretraining.strategies.contract import Data, make_strategy
from benchmark.pretraining.strategies.simclr import Simclr
from benchmark.pretraining.training import checkpoint
from benchmark.pretraining.training.export import export, network_of
from benchmark.pretraining.training.recipes import as_toml, recipe_of


def make_run(folder: Path, steps: tuple[int, ...] = (2, 4), *, exported: bool = True) -> Path:
    """Write a run as a training leaves it; the weights of each step differ."""
    for step in steps:
        recipe = recipe_of(
            {
                "objective": "simclr",
                "network": "sf-nfnet-tiny",
                "batch": 4,
                "steps": 4,
                "warmup_steps": 1,
                "projector_width": 8,
                "projector_layers": 1,
                "projection": 4,
                "seed": step,
                "title": "Small",
                "licence": "CC0-1.0",
            }
        )  # fmt: skip
        model = make_strategy(Simclr, recipe, Data()).model
        for name, parameter in model.named_parameters():
            if name.endswith("skip_gain"):
                torch.nn.init.constant_(parameter, 0.5)
        state: dict[str, Any] = {"model": model.state_dict(), "recipe": recipe.model_dump_json(), "loss": 1.5}
        checkpoint.save(folder, {**state, "step": step, "data": "d", "world": 1}, best=step == steps[0], keep=True)
    (folder / RECIPE).write_text(as_toml(recipe), encoding="utf-8")
    (folder / DATA).write_text(json.dumps({"fingerprint": "d", "tracks": 7, "seconds": 70.0}), encoding="utf-8")
    if exported:
        export(folder)
    return folder


def embedding(encoder: Any, seconds: float = 4.0) -> np.ndarray:
    samples = np.random.default_rng(0).normal(0, 0.1, (1, 1, round(16_000 * seconds))).astype(np.float32)
    return np.asarray(encoder.embed(torch.from_numpy(samples)))


def test_the_card_says_what_was_trained(tmp_path: Path) -> None:
    run = make_run(tmp_path / "mine")
    card = json.loads((run / CARD).read_text(encoding="utf-8"))
    assert (card["steps"], card["of_steps"], card["examples_seen"]) == (4, 4, 16)
    assert (card["licence"], card["data"]["tracks"], card["recipe"]["seed"]) == ("CC0-1.0", 7, 4)
    assert (card["dim"], card["parameters"]) == (216, 403_488)
    assert card["software"]["benchmark"]


def test_an_export_is_the_encoder_of_its_last_step(tmp_path: Path) -> None:
    run = make_run(tmp_path / "mine")
    exported, last, earlier = (resolve_one(f"pretrained:{run}{at}", tmp_path) for at in ("", "@4", "@2"))
    assert [encoder.name for encoder in (exported, last, earlier)] == ["mine", "mine@4", "mine@2"]
    np.testing.assert_array_equal(embedding(exported), embedding(last))
    assert np.abs(embedding(exported) - embedding(earlier)).max() > 1e-3
    assert exported.version == last.version != earlier.version
    digest = json.loads((run / CARD).read_text(encoding="utf-8"))["weights_sha256"]
    assert exported.version == f"1-{digest[:12]}"


def test_embeddings_are_those_of_the_network_behind_the_published_front_end(tmp_path: Path) -> None:
    run = make_run(tmp_path / "mine")
    _, network = network_of(checkpoint.load(checkpoint.path_of(run, "last")))
    samples = np.random.default_rng(0).normal(0, 0.1, (1, 96_000)).astype(np.float32)
    slices = frontend.track_inputs(torch.from_numpy(samples))
    with torch.no_grad():
        expected = network(slices[0]).numpy()
    found = embedding(resolve_one(f"pretrained:{run}", tmp_path), 6.0)[0]
    assert found.shape == expected.shape == (3, 216)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_last_and_best_are_named_by_their_steps(tmp_path: Path) -> None:
    run = make_run(tmp_path / "mine")
    assert resolve_one(f"pretrained:{run}@best", tmp_path).name == "mine@2"
    assert resolve_one(f"pretrained:{run}@last", tmp_path).name == "mine@4"


def test_the_fingerprint_covers_the_weights_and_not_their_file(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a" / "mine")
    shutil.copytree(run, tmp_path / "b" / "mine")
    one, copied = (resolve_one(f"pretrained:{tmp_path / name / 'mine'}", tmp_path) for name in "ab")
    assert one.fingerprint() == copied.fingerprint()
    before = one.fingerprint()
    one.to("cpu")
    assert one.fingerprint() == before
    assert one.with_precision("bf16").fingerprint() != before
    other = make_run(tmp_path / "c" / "mine", (3,))
    assert resolve_one(f"pretrained:{other}", tmp_path).fingerprint() != before


def test_any_weight_changes_the_digest() -> None:
    network: Any = table.build("sf-nfnet-tiny")
    before = weights_digest(network)
    with torch.no_grad():
        network.fusions[0].time.bias[0] += 1e-6
    assert weights_digest(network) != before


def test_a_run_below_the_home_goes_by_its_name(tmp_path: Path) -> None:
    make_run(tmp_path / "pretrained" / "mine")
    make_run(tmp_path / "pretrained" / "other", exported=False)
    assert isinstance(resolve_one("pretrained:mine", tmp_path), Pretrained)
    assert [(run.name, run.step, run.title) for run in runs(tmp_path)] == [
        ("mine", 4, "Small"), ("other", None, "not exported yet"),
    ]  # fmt: skip
    with pytest.raises(UserError, match="there is no run nothing: name its folder, or one of mine, other in"):
        resolve_one("pretrained:nothing", tmp_path)


def test_what_cannot_be_opened_says_what_to_do(tmp_path: Path) -> None:
    run = make_run(tmp_path / "mine", exported=False)
    with pytest.raises(UserError, match=r"not finished.*pretrained:.*mine@last"):
        resolve_one(f"pretrained:{run}", tmp_path)
    with pytest.raises(UserError, match="no checkpoint '9': name one that it has: last, best, 2, 4"):
        resolve_one(f"pretrained:{run}@9", tmp_path)
    with pytest.raises(UserError, match="no option 'layer'"):
        resolve_one(f"pretrained:{run}@4?layer=3", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is no run of bench pretrain"):
        resolve_one(f"pretrained:{tmp_path / 'empty'}", tmp_path)
    (run / WEIGHTS).write_bytes(b"torn")
    with pytest.raises(UserError, match="not a whole safetensors file"):
        resolve_one(f"pretrained:{run}", tmp_path)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    run = make_run(tmp_path / "mine")
    state = checkpoint.load(checkpoint.path_of(run, "last"))
    state["recipe"] = state["recipe"].replace("sf-nfnet-tiny", "sf-nfnet-f0")
    with pytest.raises(UserError, match="not of the network sf-nfnet-f0"):
        network_of(state)
