# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""objectives: losses and diagnostics against values computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from gr00t_rl_ext.algorithms import objectives


def logs(*ratios: float) -> torch.Tensor:
    return torch.tensor(ratios).log()


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"),
    [
        (1.0, 2.0, -2.0),
        (1.05, 2.0, -2.1),  # inside the range
        (1.5, 2.0, -2.2),  # a gain beyond the range does not count
        (0.5, 2.0, -1.0),  # a loss counts in full
        (0.5, -2.0, 1.8),  # a gain beyond the range does not count
        (1.5, -2.0, 3.0),  # a loss counts in full
    ],
)
def test_clipped_surrogate(ratio: float, advantage: float, loss: float) -> None:
    value = objectives.clipped_surrogate_loss(logs(ratio), torch.tensor([advantage]), 0.1)
    assert value.item() == pytest.approx(loss)


def test_clipped_surrogate_is_a_mean_over_decisions() -> None:
    value = objectives.clipped_surrogate_loss(logs(1.5, 1.5), torch.tensor([2.0, -2.0]), 0.1)
    assert value.item() == pytest.approx((-2.2 + 3.0) / 2)


@pytest.mark.parametrize(
    ("ratio", "advantage", "slope"),
    [(1.0, 2.0, -2.0), (1.5, 2.0, 0.0), (0.5, 2.0, -1.0), (0.5, -2.0, 0.0), (1.5, -2.0, 3.0)],
)
def test_the_gradient_vanishes_only_beyond_the_gain_that_counts(ratio: float, advantage: float, slope: float) -> None:
    log_ratio = logs(ratio).requires_grad_()
    objectives.clipped_surrogate_loss(log_ratio, torch.tensor([advantage]), 0.1).backward()
    assert log_ratio.grad.item() == pytest.approx(slope)


def test_value_loss_without_clipping_is_the_mean_squared_error() -> None:
    values, old, returns = torch.tensor([1.0, 5.0]), torch.tensor([9.0, 9.0]), torch.tensor([3.0, 2.0])
    assert objectives.value_loss(values, old, returns, None).item() == pytest.approx((4.0 + 9.0) / 2)


@pytest.mark.parametrize(
    ("value", "old", "loss"),
    [
        (1.0, 0.0, 3.24),  # moved 1.0 towards the return 2: only 0.2 counts, (2 - 0.2)^2
        (0.1, 0.0, 3.61),  # inside the range
        (-1.0, 0.0, 9.0),  # moved away: counts in full
        (2.0, 0.0, 3.24),  # even when it hits the return
    ],
)
def test_clipped_value_loss_takes_the_worse_of_both(value: float, old: float, loss: float) -> None:
    actual = objectives.value_loss(torch.tensor([value]), torch.tensor([old]), torch.tensor([2.0]), 0.2)
    assert actual.item() == pytest.approx(loss)


def test_approximate_kl() -> None:
    assert objectives.approximate_kl(logs(1.0, 1.0)).item() == 0.0
    expected = ((2.0 - 1.0 - math.log(2.0)) + (0.5 - 1.0 + math.log(2.0))) / 2
    assert objectives.approximate_kl(logs(2.0, 0.5)).item() == pytest.approx(expected)
    assert (objectives.approximate_kl(torch.linspace(-3.0, 3.0, 50).unsqueeze(1).T) > 0).all()


def test_approximate_kl_estimates_the_kl_between_old_and_new_policy() -> None:
    torch.manual_seed(0)
    old, new = torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(0.3, 1.2)
    actions = old.sample((200_000,))
    estimate = objectives.approximate_kl(new.log_prob(actions) - old.log_prob(actions))
    assert estimate.item() == pytest.approx(torch.distributions.kl_divergence(old, new).item(), rel=0.02)


def test_clip_fraction() -> None:
    assert objectives.clip_fraction(logs(1.0, 1.05, 1.2, 0.8, 0.95), 0.1).item() == pytest.approx(0.4)


def test_explained_variance() -> None:
    returns = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert objectives.explained_variance(returns, returns).item() == pytest.approx(1.0)
    assert objectives.explained_variance(torch.full((4,), 2.5), returns).item() == pytest.approx(0.0)
    assert objectives.explained_variance(returns + 7.0, returns).item() == pytest.approx(1.0), (
        "an offset is no variance"
    )
    assert objectives.explained_variance(-returns, returns).item() == pytest.approx(-3.0)
    assert objectives.explained_variance(0.5 * returns, returns).item() == pytest.approx(0.75)


def test_explained_variance_of_constant_returns_is_not_a_number() -> None:
    assert math.isnan(objectives.explained_variance(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 3.0])).item())
    assert math.isnan(objectives.explained_variance(torch.tensor([3.0, 3.0]), torch.tensor([3.0, 3.0])).item())
