import json
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest

from probes.export.decisions import calibrated, calibration_of, scores_for_thresholds, thresholds_of
from probes.export.files import ProbeFileError, changed_files, export, load, read_card
from probes.statistics.calibration import sigmoid, softmax

MADE = run_path(str(Path(__file__).parents[1].joinpath("stored_probes.py")))
LABELS = MADE["LABELS"]


def splits_of(kind, seed=0, sharp=3.0):
    rng = np.random.default_rng(seed)
    found = {}
    for split, n in (("valid", 400), ("test", 300)):
        z = rng.normal(size=(n, 3)) * 1.5
        if kind == "multiclass":
            targets = np.array([rng.choice(3, p=row) for row in softmax(z)])
            found[split] = targets, softmax(sharp * z).astype(np.float32)
        else:
            targets = (rng.random((n, 3)) < sigmoid(z)).astype(np.float32)
            found[split] = targets, sigmoid(sharp * z).astype(np.float32)
    return found


@pytest.mark.parametrize(("kind", "activation"), [("multiclass", "softmax"), ("multilabel", "sigmoid")])
def test_valid_alone_decides_and_test_is_measured(kind, activation):
    splits = splits_of(kind)
    part = calibration_of(kind, activation, LABELS, splits)
    assert part.after["valid"].ece < part.before["valid"].ece / 2
    assert part.after["test"].ece < part.before["test"].ece / 2
    assert part.after["test"].nll < part.before["test"].nll
    found = thresholds_of(kind, activation, LABELS, part, splits)
    other = {**splits, "test": (splits["test"][0][::-1].copy(), splits["test"][1] ** 2)}
    again = calibration_of(kind, activation, LABELS, other)
    assert (again.temperature, again.slopes, again.offsets) == (part.temperature, part.slopes, part.offsets)
    assert again.before["test"] != part.before["test"]
    rules = thresholds_of(kind, activation, LABELS, again, other).rules
    for name, rule in found.rules.items():
        assert rules[name].thresholds == rule.thresholds
        assert rules[name].valid == rule.valid
    kept = found.rules["precision>=0.6"]
    assert all(one.precision >= 0.6 for one in kept.valid if one is not None)
    assert found.positives["valid"] == tuple(
        int((splits["valid"][0] == i).sum() if kind == "multiclass" else splits["valid"][0][:, i].sum())
        for i in range(3)
    )


@pytest.mark.parametrize(("kind", "activation"), [("multiclass", "softmax"), ("multilabel", "sigmoid")])
def test_thresholds_are_of_calibrated_probabilities(kind, activation):
    splits = splits_of(kind)
    part = calibration_of(kind, activation, LABELS, splits)
    found = thresholds_of(kind, activation, LABELS, part, splits)
    for split, (targets, outputs) in splits.items():
        scores = scores_for_thresholds(kind, calibrated(part, activation, outputs))
        positive = targets[:, None] == np.arange(3) if kind == "multiclass" else targets > 0
        for name in ("f1", "precision>=0.6"):
            rule = found.rules[name]
            for i, (threshold, told) in enumerate(zip(rule.thresholds, getattr(rule, split), strict=True)):
                assert told.recall == (scores[:, i] >= threshold)[positive[:, i]].mean()


def test_classes_that_were_learned_one_by_one_become_shares_of_one():
    splits = splits_of("multiclass")
    one_by_one = {
        split: (targets, sigmoid(np.log(np.maximum(p, 1e-9)) + 1).astype(np.float32))
        for split, (targets, p) in splits.items()
    }
    part = calibration_of("multiclass", "sigmoid", LABELS, one_by_one)
    p = calibrated(part, "sigmoid", one_by_one["test"][1])
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert (p.argmax(axis=1) == one_by_one["test"][1].argmax(axis=1)).all()


def test_regressions_have_neither():
    splits = {"valid": (np.zeros((30, 2)), np.zeros((30, 2))), "test": (np.zeros((30, 2)), np.zeros((30, 2)))}
    assert calibration_of("regression", "identity", ("a", "b"), splits) is None
    assert thresholds_of("regression", "identity", ("a", "b"), None, splits) is None
    np.testing.assert_array_equal(calibrated(None, "identity", np.array([[-3.0, 7.0]])), [[-3.0, 7.0]])


def test_labels_that_stay_are_named_and_keep_their_outputs():
    splits = splits_of("multilabel")
    splits["valid"][0][:, 1] = 0
    splits["valid"][0][:3, 1] = 1
    part = calibration_of("multilabel", "sigmoid", LABELS, splits)
    assert list(part.unchanged) == [LABELS[1]]
    outputs = splits["test"][1]
    np.testing.assert_array_equal(calibrated(part, "sigmoid", outputs)[:, 1], outputs[:, 1])
    few = {split: (targets[:10], outputs[:10]) for split, (targets, outputs) in splits_of("multiclass").items()}
    part = calibration_of("multiclass", "softmax", LABELS, few)
    assert list(part.unchanged) == [""]
    assert part.before == part.after


def test_of_classes_the_most_probable_one_alone_can_be_taken():
    p = np.array([[0.5, 0.3, 0.2]])
    assert scores_for_thresholds("multiclass", p).tolist() == [[0.5, -1, -1]]
    assert scores_for_thresholds("multilabel", p).tolist() == p.tolist()


@pytest.fixture
def written(tmp_path):
    probe, splits = MADE["probe_of"](), splits_of("multiclass")
    part = calibration_of("multiclass", "softmax", LABELS, splits)
    thresholds = thresholds_of("multiclass", "softmax", LABELS, part, splits)
    card = MADE["card_of"](probe).model_copy(update={"calibration": part, "thresholds": thresholds})
    return export(probe, card, tmp_path / "probe", "# A page\n")


def test_a_card_gives_its_decisions_again_and_the_page_is_signed(written):
    _, card = load(written)
    splits = splits_of("multiclass")
    assert card.calibration == calibration_of("multiclass", "softmax", LABELS, splits)
    assert card.thresholds == thresholds_of("multiclass", "softmax", LABELS, card.calibration, splits)
    assert changed_files(written) == []
    (written / "README.md").write_text("# Another page\n")
    assert changed_files(written) == ["README.md"]
    load(written)


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card["calibration"].update(temperature=0),
        lambda card: card["calibration"].update(temperature=None),
        lambda card: card["calibration"].update(slopes=[1.0]),
        lambda card: card["calibration"].update(method="platt", temperature=None),
        lambda card: card["calibration"].update(surplus=1),
        lambda card: card["thresholds"]["rules"]["f1"].update(thresholds=[0.5]),
    ],
)
def test_decisions_that_do_not_fit_the_labels_are_refused(written, change):
    data = json.loads((written / "probe.json").read_text(encoding="utf-8"))
    change(data)
    (written / "probe.json").write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(ProbeFileError, match="no card of a probe: "):
        read_card(written)
