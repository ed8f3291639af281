"""Supervised pre-training: cross-entropy against its formula, and labels that are not known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from benchmark.pretraining.strategies.supervised import share_known, supervised_loss


def test_cross_entropy_is_the_formula() -> None:
    torch.manual_seed(0)
    logits, labels = 3 * torch.randn(7, 5, dtype=torch.float64), torch.rand(7, 5, dtype=torch.float64)
    share = 1 / (1 + np.exp(-logits.numpy()))
    reference = -(labels.numpy() * np.log(share) + (1 - labels.numpy()) * np.log(1 - share)).mean()
    assert abs(float(supervised_loss(logits, labels)) - reference) < 1e-10


def test_logits_of_zero_cost_ln_2_whatever_the_labels() -> None:
    assert float(supervised_loss(torch.zeros(3, 4).double(), torch.rand(3, 4))) == pytest.approx(math.log(2), abs=1e-10)


class TestLabelsThatAreNotKnown:
    LOGITS = torch.tensor([[0.0, 2.0, -1.0], [1.0, 0.0, 3.0]], dtype=torch.float64)
    LABELS = torch.tensor([[1.0, float("nan"), 0.0], [float("nan"), float("nan"), 1.0]], dtype=torch.float64)

    def test_the_loss_is_the_mean_over_those_that_are_known(self) -> None:
        known = ~torch.isnan(self.LABELS)
        expected = supervised_loss(self.LOGITS[known][None], self.LABELS[known][None])
        found = supervised_loss(self.LOGITS, self.LABELS, share_known(self.LABELS))
        assert float(found) == pytest.approx(float(expected), abs=1e-7)

    def test_they_have_no_gradient(self) -> None:
        logits = self.LOGITS.clone().requires_grad_()
        supervised_loss(logits, self.LABELS, share_known(self.LABELS)).backward()
        assert logits.grad is not None
        assert torch.equal(logits.grad == 0, torch.isnan(self.LABELS))

    def test_where_none_is_known_the_loss_is_0_and_so_is_its_gradient(self) -> None:
        labels, logits = torch.full((2, 3), float("nan")), self.LOGITS.clone().requires_grad_()
        loss = supervised_loss(logits, labels, share_known(labels))
        loss.backward()
        assert float(loss.detach()) == 0
        assert torch.equal(logits.grad, torch.zeros_like(logits))

    def test_where_all_are_known_it_is_the_plain_loss(self) -> None:
        labels = torch.rand(2, 3, dtype=torch.float64)
        assert float(share_known(labels)) == 1
        assert float(supervised_loss(self.LOGITS, labels, share_known(labels))) == pytest.approx(
            float(supervised_loss(self.LOGITS, labels)), abs=1e-12
        )
