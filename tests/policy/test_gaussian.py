# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""gaussian: densities of chunks against torch.distributions, and masking of steps that were not executed."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal
from torch.distributions import kl_divergence as torch_kl

from gr00t_rl_ext.policy import gaussian

B, H, A = 5, 4, 3


@pytest.fixture
def chunk() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)

    def draw() -> torch.Tensor:
        return torch.randn(B, H, A, generator=generator)

    executed = torch.tensor([4, 1, 2, 3, 4])
    return {
        "actions": draw(),
        "mean": draw(),
        "std": 0.1 + draw().abs(),
        "other_mean": draw(),
        "other_std": 0.1 + draw().abs(),
        "valid": torch.arange(H) < executed.unsqueeze(1),
    }


def by_step(per_dimension: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """The sum of each valid step with loops, to compare with."""
    sums = torch.zeros(B, H)
    for b, h in valid.nonzero().tolist():
        sums[b, h] = per_dimension[b, h].sum()
    return sums


def test_log_prob_equals_torch_distributions_on_executed_steps(chunk: dict[str, torch.Tensor]) -> None:
    expected = by_step(Normal(chunk["mean"], chunk["std"]).log_prob(chunk["actions"]), chunk["valid"])
    actual = gaussian.log_prob(chunk["actions"], chunk["mean"], chunk["std"], chunk["valid"])
    torch.testing.assert_close(actual, expected)


def test_log_ratio_equals_torch_distributions_on_executed_steps(chunk: dict[str, torch.Tensor]) -> None:
    numerator, denominator = Normal(chunk["mean"], chunk["std"]), Normal(chunk["other_mean"], chunk["other_std"])
    expected = numerator.log_prob(chunk["actions"]) - denominator.log_prob(chunk["actions"])
    actual = gaussian.log_ratio(**chunk)
    torch.testing.assert_close(actual, by_step(expected, chunk["valid"]))


def test_log_ratio_of_a_large_chunk_is_exact_where_a_difference_of_sums_is_not() -> None:
    """4 steps of 16 x 32 entries with means that differ in their last bits: log-densities of about 2,000."""
    generator = torch.Generator().manual_seed(0)
    mean = torch.randn(64, 16, 128, generator=generator)
    std, valid = torch.full_like(mean, 0.1), torch.ones(64, 16, dtype=torch.bool)
    actions = mean + std * torch.randn(mean.shape, generator=generator)
    other = mean * (1.0 + 1e-7)
    inputs = (actions, mean, std, other, std)
    exact = gaussian.log_ratio(*(values.double() for values in inputs), valid).sum(1).float()
    torch.testing.assert_close(gaussian.log_ratio(*inputs, valid).sum(1), exact, rtol=0, atol=2e-5)
    densities = [gaussian.log_prob(actions, loc, std, valid).sum(1) for loc in (mean, other)]
    assert (densities[0] - densities[1] - exact).abs().max() > 1e-4


def test_kl_equals_torch_distributions_on_executed_steps(chunk: dict[str, torch.Tensor]) -> None:
    expected = torch_kl(Normal(chunk["mean"], chunk["std"]), Normal(chunk["other_mean"], chunk["other_std"]))
    actual = gaussian.kl_divergence(
        chunk["mean"], chunk["std"], chunk["other_mean"], chunk["other_std"], chunk["valid"]
    )
    torch.testing.assert_close(actual, by_step(expected, chunk["valid"]))


def test_entropy_equals_torch_distributions_on_executed_steps(chunk: dict[str, torch.Tensor]) -> None:
    expected = by_step(Normal(chunk["mean"], chunk["std"]).entropy(), chunk["valid"])
    torch.testing.assert_close(gaussian.entropy(chunk["std"], chunk["valid"]), expected)


def test_a_std_without_batch_is_the_same_for_every_decision(chunk: dict[str, torch.Tensor]) -> None:
    std, other_std = chunk["std"][0], chunk["other_std"][0]
    wide, other_wide, valid = std.expand(B, H, A), other_std.expand(B, H, A), chunk["valid"]
    actions, mean, other = chunk["actions"], chunk["mean"], chunk["other_mean"]
    assert torch.equal(gaussian.log_prob(actions, mean, std, valid), gaussian.log_prob(actions, mean, wide, valid))
    assert torch.equal(
        gaussian.kl_divergence(mean, std, other, other_std, valid),
        gaussian.kl_divergence(mean, wide, other, other_wide, valid),
    )
    assert torch.equal(gaussian.entropy(std, valid), gaussian.entropy(wide, valid))


def test_hand_values() -> None:
    """One dimension, one step: the standard normal at 0 and 2, KL for a shift, for a scale."""
    one, yes = torch.ones(1, 1, 1), torch.ones(1, 1, dtype=torch.bool)
    zero = torch.zeros(1, 1, 1)
    assert gaussian.log_prob(zero, zero, one, yes).item() == pytest.approx(-0.918938533)
    assert gaussian.log_prob(2 * one, zero, one, yes).item() == pytest.approx(-2.918938533)
    assert gaussian.log_prob(one, zero, 0.5 * one, yes).item() == pytest.approx(math.log(2) - 2.0 - 0.918938533)
    assert gaussian.log_ratio(one, one, one, zero, one, yes).item() == pytest.approx(0.5)
    assert gaussian.kl_divergence(one, one, zero, one, yes).item() == pytest.approx(0.5)
    assert gaussian.kl_divergence(zero, 2 * one, zero, one, yes).item() == pytest.approx(1.5 - math.log(2))
    assert gaussian.entropy(one, yes).item() == pytest.approx(1.418938533)


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan, 1e30])
@pytest.mark.parametrize("where", ["actions", "mean", "other_mean", "std", "other_std"])
def test_steps_that_were_not_executed_reach_neither_values_nor_gradients(
    chunk: dict[str, torch.Tensor], bad: float, where: str
) -> None:
    def evaluate(inputs: dict[str, torch.Tensor]) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        valid = inputs["valid"]
        leaves = {name: value.clone().requires_grad_() for name, value in inputs.items() if name != "valid"}
        results = [
            gaussian.log_prob(leaves["actions"], leaves["mean"], leaves["std"], valid),
            gaussian.log_ratio(**leaves, valid=valid),
            gaussian.kl_divergence(leaves["mean"], leaves["std"], leaves["other_mean"], leaves["other_std"], valid),
            gaussian.entropy(leaves["std"], valid),
        ]
        return results, list(torch.autograd.grad(sum(result.sum() for result in results), list(leaves.values())))

    clean, clean_gradients = evaluate(chunk)
    assert all((result[~chunk["valid"]] == 0.0).all() for result in clean)
    spoilt = dict(chunk)
    spoilt[where] = torch.where(chunk["valid"].unsqueeze(-1), chunk[where], bad)
    results, gradients = evaluate(spoilt)
    for actual, expected in zip(results + gradients, clean + clean_gradients, strict=True):
        assert torch.equal(actual, expected)
    for gradient in gradients:
        assert (gradient[~chunk["valid"]] == 0.0).all()


def test_a_decision_without_executed_step_has_density_zero(chunk: dict[str, torch.Tensor]) -> None:
    nothing = torch.zeros(B, H, dtype=torch.bool)
    assert (gaussian.log_prob(chunk["actions"], chunk["mean"], chunk["std"], nothing) == 0.0).all()
