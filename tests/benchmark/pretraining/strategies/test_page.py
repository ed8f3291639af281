"""docs/pretraining.md: the strategy that it shows is one."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from benchmark.pretraining.data.sampling import Batch
from benchmark.pretraining.strategies import table
from benchmark.pretraining.strategies.barlow import barlow_loss
from benchmark.pretraining.training.recipes import load

PAGE = (Path(__file__).parents[4] / "docs" / "pretraining.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Adding a strategy")[2].partition("\n## ")[0]


def test_the_strategy_of_the_page_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lightning_fabric")
    from benchmark.pretraining.pretrain import make_fabric
    from benchmark.pretraining.training.trainer import Trainer

    code, recipe = (re.search(rf"```{kind}\n(.*?)```", SECTION, re.DOTALL)[1] for kind in ("python", "toml"))
    assert len((code + recipe).splitlines()) < 80
    module: Any = ModuleType("twins_of_the_page")
    exec(compile(code, "docs/pretraining.md", "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(table.STRATEGIES, "twins", f"{module.__name__}:Twins")
    (tmp_path / "mine.toml").write_text(recipe, encoding="utf-8")
    small = ["batch=4", "frames=32", "off_diagonal=0.01", "projector_width=16", "projection=8"]
    trainer = Trainer(made := load(str(tmp_path / "mine.toml"), small), make_fabric(made, "cpu"))
    rng = np.random.default_rng(0)
    losses = []
    for step in range(3):
        first, second = rng.random((2, 4, 96, 32), dtype=np.float32)
        losses.append(trainer.gradients(Batch(step, np.arange(4), first, second, None)).loss)
        trainer.update(step)
    assert all(np.isfinite(losses))
    views = torch.randn(6, 8), torch.randn(6, 8)
    strategy: Any = trainer.strategy
    rows = module.Rows(torch.empty(12, 1), torch.cat(views))
    found = strategy.loss(rows, None, None, trainer.context)
    torch.testing.assert_close(found, barlow_loss(*views, 0.01)[0])
