from pathlib import Path
from runpy import run_path

import numpy as np
import pytest

from benchmark.jobs.probe_page import page_of
from probes.export.card import MeanPart
from probes.export.decisions import calibration_of, thresholds_of

MADE = run_path(str(Path(__file__).parents[2] / "probes" / "stored_probes.py"))


@pytest.fixture
def card():
    return MADE["card_of"](MADE["probe_of"]())


def decided(card, labels=None):
    rng = np.random.default_rng(0)
    labels = labels or card.labels
    targets = np.arange(60) % 3
    outputs = rng.dirichlet((1, 1, 1), 60).astype(np.float32)
    splits = {"valid": (targets, outputs), "test": (targets, outputs[::-1].copy())}
    part = calibration_of("multiclass", "softmax", labels, splits)
    return card.model_copy(
        update={
            "labels": labels, "calibration": part, "items": {"valid": 60, "test": 60}, "licence": "CC BY 4.0",
            "means": {"test": {"accuracy": MeanPart(value=0.41, low=0.3, high=0.5, seeds=5)}},
            "thresholds": thresholds_of("multiclass", "softmax", labels, part, splits),
        }
    )  # fmt: skip


def test_it_tells_score_data_calibration_thresholds_use_and_licence(card):
    page = page_of(decided(card))
    for words in (
        "# Tönes: a probe on bands", "| test | accuracy | 0.400 | 0.410 (5) | 0.300 to 0.500 |",
        "on the 60 items of valid", "## Calibration", "## Thresholds", "| precision>=0.9 | threshold | valid | test |",
        "$ bench predict --probe", "benchmark.predict(", "CC BY 4.0",
    ):  # fmt: skip
        assert words in page


def test_it_is_the_same_for_the_same_probe_and_an_older_one_has_one_too(card):
    assert page_of(decided(card)) == page_of(decided(card))
    page = page_of(card)
    assert "## Calibration" not in page
    assert "| test | accuracy | 0.400 | - | - |" in page


def test_labels_and_titles_of_strangers_are_inert(card):
    odd = decided(card, ("<img src=x>", "a|b\n## c", "\x1b[31m`x`"))
    odd = odd.model_copy(
        update={
            "task": odd.task.model_copy(update={"title": "# A\n<b>", "id": "x`\n# y"}),
            "encoder": odd.encoder.model_copy(update={"text": "mine.py'; rm\n```"}),
        }
    )
    page = page_of(odd)
    assert "<img" not in page.replace("\\<img", "")
    assert "\x1b" not in page
    assert "\n## c" not in page
    assert "\n# y" not in page
    assert page.count("```") == 4
