"""Random weights: of their seed, written once, and an encoder like any other."""

from __future__ import annotations

from pathlib import Path

import torch

from benchmark.encoders.registry import resolve_one
from benchmark.pretraining.comparison.random_weights import write_random


def test_weights_are_those_of_the_seed_and_are_kept(tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    runs = [write_random(tmp_path / folder, "sf-nfnet-tiny", seed) for folder, seed in (("a", 0), ("b", 0), ("b", 1))]
    assert torch.equal(torch.get_rng_state(), before), "nobody else's draws change"
    assert [run.name for run in runs] == [f"random-sf-nfnet-tiny-seed-{seed}" for seed in (0, 0, 1)]
    first, again, other = ((run / "encoder.safetensors").read_bytes() for run in runs)
    assert first == again
    assert first != other
    stamp = (runs[0] / "encoder.safetensors").stat().st_mtime_ns
    write_random(tmp_path / "a", "sf-nfnet-tiny", 0)
    assert (runs[0] / "encoder.safetensors").stat().st_mtime_ns == stamp
    encoder = resolve_one(f"pretrained:{runs[0]}", tmp_path)
    assert (encoder.name, encoder.dim) == ("random-sf-nfnet-tiny-seed-0", 216)
