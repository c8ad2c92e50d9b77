# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""objectives: losses and diagnostics against values computed by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

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


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss"),
    [
        (1.25, 2.0, -2.5),  # between 1 + clip and 1 + clip_high
        (1.5, 2.0, -2.56),  # beyond clip_high
        (0.5, -2.0, 1.8),  # the lower bound is that of clip
        (1.5, -2.0, 3.0),
    ],
)
def test_the_upper_bound_may_be_higher(ratio: float, advantage: float, loss: float) -> None:
    value = objectives.clipped_surrogate_loss(logs(ratio), torch.tensor([advantage]), 0.1, clip_high=0.28)
    assert value.item() == pytest.approx(loss)


@pytest.mark.parametrize("advantage", [2.0, -2.0, 0.0])
@pytest.mark.parametrize("log_ratio", [21.0, 89.0, 1e30, math.inf, -21.0, -200.0, -1e30, -math.inf])
def test_extreme_ratios_give_finite_losses_and_gradients(log_ratio: float, advantage: float) -> None:
    logs = torch.tensor([log_ratio, 0.0], requires_grad=True)
    loss = objectives.clipped_surrogate_loss(logs, torch.tensor([advantage, 1.0]), 0.1)
    loss.backward()
    assert loss.isfinite()
    assert logs.grad[0].item() == pytest.approx(0.0, abs=1e-8)
    assert logs.grad[1].item() == pytest.approx(-0.5), "the other sample learns as ever"


def test_a_bad_action_made_far_more_likely_is_a_large_loss() -> None:
    loss = objectives.clipped_surrogate_loss(torch.tensor([50.0]), torch.tensor([-1.0]), 0.1)
    assert loss.item() == pytest.approx(math.exp(20.0))


def test_a_log_ratio_that_is_no_number_is_not_hidden() -> None:
    log_ratio = torch.tensor([math.nan])
    assert objectives.clipped_surrogate_loss(log_ratio, torch.ones(1), 0.1).isnan()
    assert objectives.approximate_kl(log_ratio).isnan()


VALID = torch.tensor([[True, True, False], [True, False, False]])
"""Three executed control steps of two chunks."""


@pytest.mark.parametrize("rest", [0.0, 700.0, math.nan, math.inf])
def test_a_mask_is_the_mean_over_the_executed_steps(rest: float) -> None:
    def spread(*executed: float) -> torch.Tensor:
        chunks = torch.full((2, 3), rest)
        chunks[VALID] = torch.tensor(executed)
        return chunks.requires_grad_()

    def both(function: Callable[..., torch.Tensor], *executed: tuple[float, ...], **settings: Any) -> None:
        masked_arguments = [spread(*values) for values in executed]
        arguments = [torch.tensor(values, requires_grad=True) for values in executed]
        actual, expected = function(*masked_arguments, **settings, valid=VALID), function(*arguments, **settings)
        assert actual.item() == pytest.approx(expected.item())
        if expected.requires_grad:
            actual.backward()
            expected.backward()
            gradient = masked_arguments[0].grad
            torch.testing.assert_close(gradient[VALID], arguments[0].grad)
            assert (gradient[~VALID] == 0.0).all()

    ratios, advantages, values = (0.3, -0.2, 0.04), (1.0, -2.0, 3.0), (5.0, 1.0, 2.0)
    both(objectives.masked_mean, values)
    both(objectives.clipped_surrogate_loss, ratios, advantages, clip=0.1)
    both(objectives.clipped_surrogate_loss, ratios, advantages, clip=0.1, clip_high=0.5)
    both(objectives.approximate_kl, ratios)
    both(objectives.low_variance_kl, ratios)
    both(objectives.clip_fraction, ratios, clip=0.1)
    both(objectives.clip_fraction, ratios, clip=0.1, clip_high=0.5)
    both(objectives.value_loss, values, advantages, ratios, clip=None)
    both(objectives.value_loss, values, advantages, ratios, clip=0.2)
    both(objectives.value_loss, values, advantages, ratios, clip=0.2, huber_delta=0.5)


def test_the_mean_of_one_executed_step() -> None:
    assert objectives.masked_mean(torch.tensor([3.0, math.nan]), torch.tensor([True, False])).item() == 3.0


def test_the_mean_of_nothing_is_zero() -> None:
    values = torch.full((2, 3), math.nan, requires_grad=True)
    mean = objectives.masked_mean(values, torch.zeros(2, 3, dtype=torch.bool))
    mean.backward()
    assert mean.item() == 0.0
    assert (values.grad == 0.0).all()


def test_normalized_advantages_by_hand() -> None:
    # mean 2, unbiased variance (1 + 1 + 0) / 2 = 1
    expected = torch.tensor([-1.0, 1.0, 0.0])
    torch.testing.assert_close(objectives.normalize_advantages(torch.tensor([1.0, 3.0, 2.0])), expected)
    chunks = torch.tensor([[1.0, 3.0, math.nan], [2.0, 900.0, math.inf]])
    normalized = objectives.normalize_advantages(chunks, VALID)
    torch.testing.assert_close(normalized, torch.tensor([[-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]))


def test_equal_advantages_normalize_to_zero() -> None:
    assert (objectives.normalize_advantages(torch.full((8,), 3.0)) == 0.0).all()
    assert (objectives.normalize_advantages(torch.full((2, 3), 3.0), VALID) == 0.0).all()


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


@pytest.mark.parametrize(
    ("error", "loss"),
    [(0.1, 0.01), (-0.5, 0.25), (0.5001, 0.2501), (2.0, 2 * 0.5 * 2.0 - 0.25), (-10.0, 2 * 0.5 * 10.0 - 0.25)],
)
def test_huber_is_the_squared_error_of_small_errors_and_linear_beyond(error: float, loss: float) -> None:
    values, returns = torch.tensor([3.0 + error]), torch.tensor([3.0])
    actual = objectives.value_loss(values, values, returns, None, huber_delta=0.5)
    assert actual.item() == pytest.approx(loss, abs=1e-6)


def test_huber_bounds_the_gradient() -> None:
    values = torch.tensor([100.0], requires_grad=True)
    objectives.value_loss(values, torch.zeros(1), torch.zeros(1), None, huber_delta=0.5).backward()
    assert values.grad.item() == pytest.approx(2 * 0.5)


def test_huber_of_the_clipped_change() -> None:
    # moved 1.0 towards the return 2, of which 0.2 counts: an error of 1.8 beyond delta 0.5
    actual = objectives.value_loss(torch.tensor([1.0]), torch.tensor([0.0]), torch.tensor([2.0]), 0.2, huber_delta=0.5)
    assert actual.item() == pytest.approx(2 * 0.5 * 1.8 - 0.25)


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


def test_low_variance_kl_by_hand() -> None:
    # the base makes the actions twice and half as likely: d = log 2 and -log 2
    d = torch.tensor([math.log(2.0), -math.log(2.0)])
    first, second = 2.0 - math.log(2.0) - 1.0, 0.5 + math.log(2.0) - 1.0
    assert objectives.low_variance_kl(d).item() == pytest.approx((first + second) / 2)
    weighted = objectives.low_variance_kl(d, log_ratio=logs(3.0, 0.25))
    assert weighted.item() == pytest.approx((3.0 * first + 0.25 * second) / 2)
    to_base, ratio = torch.tensor([[d[0], math.nan]]), torch.tensor([[math.log(3.0), math.inf]])
    to_base.requires_grad_()
    ratio.requires_grad_()
    masked = objectives.low_variance_kl(to_base, torch.tensor([[True, False]]), ratio)
    masked.backward()
    assert masked.item() == pytest.approx(3.0 * first)
    assert to_base.grad.flatten().tolist() == pytest.approx([3.0 * (2.0 - 1.0), 0.0])
    assert ratio.grad.flatten().tolist() == pytest.approx([3.0 * first, 0.0])


def test_low_variance_kl_has_its_minimum_at_the_base() -> None:
    d = torch.zeros(3, requires_grad=True)
    value = objectives.low_variance_kl(d)
    value.backward()
    assert value.item() == 0.0
    assert (d.grad == 0.0).all()


@pytest.mark.parametrize("weight", [None, -200.0, 0.0, 5.0, 1e4])
@pytest.mark.parametrize("d", [1e30, math.inf, 89.0, 21.0, 19.0, -5.0, -200.0, -1e4])
def test_a_base_far_away_gives_a_finite_penalty_and_gradient(d: float, weight: float | None) -> None:
    to_base = torch.tensor([d, 0.5], requires_grad=True)
    ratio = None if weight is None else torch.tensor([weight, 0.0], requires_grad=True)
    value = objectives.low_variance_kl(to_base, log_ratio=ratio)
    value.backward()
    for tensor in (value, to_base.grad) if ratio is None else (value, to_base.grad, ratio.grad):
        assert tensor.isfinite().all()
    assert to_base.grad[1].item() == pytest.approx((math.exp(0.5) - 1.0) / 2), "the other sample is penalised as ever"


def categorical_gradients(
    penalty: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor], logits: torch.Tensor
) -> torch.Tensor:
    """Gradient in the logits of a penalty of (probabilities of the current policy, its logs, logs of the base)."""
    logits = logits.clone().requires_grad_()
    logs = logits.log_softmax(0)
    penalty(logs.exp(), logs, torch.tensor([0.2, 0.5, 0.3]).log()).backward()
    return logits.grad


def test_what_the_gradient_of_the_low_variance_kl_estimates() -> None:
    """Exact expectations over three actions, by one sample of each with its probability as weight."""
    logits, rollout = torch.tensor([0.3, -0.4, 1.0]), torch.tensor([0.25, 0.35, 0.4])

    def expected(samples: torch.Tensor, to_base: torch.Tensor, log_ratio: torch.Tensor | None) -> torch.Tensor:
        ratios = None if log_ratio is None else log_ratio.split(1)
        return sum(
            weight * objectives.low_variance_kl(d, log_ratio=None if ratios is None else ratios[action])
            for action, (weight, d) in enumerate(zip(samples.detach(), to_base.split(1), strict=True))
        )

    current_to_base = categorical_gradients(lambda p, logs, base: (p * (logs - base)).sum(), logits)
    base_to_current = categorical_gradients(lambda p, logs, base: (base.exp() * (base - logs)).sum(), logits)
    plain = categorical_gradients(lambda p, logs, base: expected(p, base - logs, None), logits)
    weighted = categorical_gradients(lambda p, logs, base: expected(rollout, base - logs, logs - rollout.log()), logits)
    torch.testing.assert_close(plain, base_to_current)
    torch.testing.assert_close(weighted, current_to_base)
    assert (plain - weighted).abs().max() > 0.05, "the two differ here"


def test_low_variance_kl_estimates_the_kl_between_current_policy_and_base() -> None:
    torch.manual_seed(0)
    rollout, current, base = (torch.distributions.Normal(mean, std) for mean, std in ((0, 1), (0.1, 0.9), (0.4, 1.1)))
    exact = torch.distributions.kl_divergence(current, base).item()
    actions = current.sample((200_000,))
    plain = objectives.low_variance_kl(base.log_prob(actions) - current.log_prob(actions))
    assert plain.item() == pytest.approx(exact, rel=0.02)
    actions = rollout.sample((200_000,))
    to_base, ratio = (
        base.log_prob(actions) - current.log_prob(actions),
        current.log_prob(actions) - rollout.log_prob(actions),
    )
    assert objectives.low_variance_kl(to_base, log_ratio=ratio).item() == pytest.approx(exact, rel=0.02)


def test_clip_fraction() -> None:
    ratios = logs(1.0, 1.05, 1.2, 0.8, 0.95)
    assert objectives.clip_fraction(ratios, 0.1).item() == pytest.approx(0.4)
    assert objectives.clip_fraction(ratios, 0.1, clip_high=0.3).item() == pytest.approx(0.2)


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


# Several tasks


def test_advantages_of_each_task_are_normalised_alone() -> None:
    advantages = torch.tensor([[1.0], [100.0], [3.0], [300.0], [7.0], [5.0]])
    tasks = torch.tensor([0, 1, 0, 1, 2, 0])
    found = objectives.normalize_advantages_of_tasks(advantages, tasks, 4)
    for task in (0, 1):
        own = objectives.normalize_advantages(advantages[tasks == task])
        torch.testing.assert_close(found[tasks == task], own)
    assert found[4] == 0.0, "one alone tells nothing"


def test_advantages_of_tasks_leave_out_what_was_not_executed() -> None:
    advantages = torch.tensor([[1.0, float("nan")], [3.0, 5.0], [9.0, 2.0]])
    valid = torch.tensor([[True, False], [True, True], [True, True]])
    tasks = torch.tensor([0, 0, 1])
    found = objectives.normalize_advantages_of_tasks(advantages, tasks, 2, valid)
    torch.testing.assert_close(found[:2], objectives.normalize_advantages(advantages[:2], valid[:2]))
    torch.testing.assert_close(found[2:], objectives.normalize_advantages(advantages[2:]))
