# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""scored: each distribution against torch.distributions, its masks and its gradients."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Normal, TanhTransform, TransformedDistribution
from torch.distributions import kl_divergence as torch_kl

from gr00t_rl_ext.policy.scored import (
    CategoricalScored,
    GaussianScored,
    Scored,
    SquashedGaussianScored,
    mode,
    sample_categorical,
)

B, H, A = 5, 4, 3
CHOICES = (3, 2, 5)
VALID = torch.arange(H) < torch.tensor([4, 1, 2, 0, 4]).unsqueeze(1)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def by_step(components: Tensor, valid: Tensor = VALID) -> Tensor:
    """The sum of each valid step with loops, to compare with."""
    sums = torch.zeros(valid.shape, dtype=components.dtype)
    for b, h in valid.nonzero().tolist():
        sums[b, h] = components[b, h].sum()
    return sums


def gaussians() -> tuple[GaussianScored, GaussianScored]:
    """Two policies bound to the same decisions."""
    source = generator()
    outcome, mean, other = (torch.randn(B, H, A, generator=source) for _ in range(3))
    std, other_std = (0.1 + torch.rand(B, H, A, generator=source) for _ in range(2))
    return GaussianScored(outcome, mean, std, VALID), GaussianScored(outcome, other, other_std, VALID)


def squashed_gaussians() -> tuple[SquashedGaussianScored, SquashedGaussianScored]:
    """Two policies bound to the same decisions, which the second one drew."""
    new, old = gaussians()
    noise = torch.randn(B, H, A, generator=generator(1))
    raw = old.mean + old.std * noise
    return (
        SquashedGaussianScored(raw, new.mean, new.std, VALID, noise),
        SquashedGaussianScored(raw, old.mean, old.std, VALID, noise),
    )


def categoricals(scale: float = 1.0) -> tuple[CategoricalScored, CategoricalScored]:
    """Two policies bound to the same decisions."""
    source = generator()
    logits, other = (scale * torch.randn(B, H, sum(CHOICES), generator=source) for _ in range(2))
    outcome = sample_categorical(other, CHOICES, source)
    return CategoricalScored(outcome, logits, VALID, CHOICES), CategoricalScored(outcome, other, VALID, CHOICES)


PAIRS = {"Gaussian": gaussians, "squashed": squashed_gaussians, "categorical": categoricals}
each_distribution = pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)


def values(new: Any, old: Any) -> list[Tensor]:
    """All that an objective may ask for."""
    return [new.log_prob(), new.log_ratio(old), new.entropy(), new.kl_divergence(old)]


@each_distribution
def test_values_of_all_distributions_are_those_of_control_steps(pair: Callable[[], tuple[Any, Any]]) -> None:
    new, old = pair()
    scored: Scored = new
    for value in values(new, old):
        assert value.shape == (B, H)
        assert value.dtype == torch.float32
        assert torch.equal(value == 0.0, ~scored.valid)
    torch.testing.assert_close(new.log_ratio(old), new.log_prob() - old.log_prob(), rtol=1e-5, atol=1e-5)
    assert (new.kl_divergence(old)[VALID] > 0.0).all()


@each_distribution
def test_a_policy_compared_with_itself_has_ratio_exactly_1(pair: Callable[[], tuple[Any, Any]]) -> None:
    new, _ = pair()
    same = dataclasses.replace(new)
    assert (new.log_ratio(same) == 0.0).all()
    assert (new.kl_divergence(same) == 0.0).all()


@each_distribution
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e30])
def test_what_was_not_executed_reaches_neither_values_nor_gradients(
    pair: Callable[[], tuple[Any, Any]], bad: float
) -> None:
    """In any stored tensor and any output of the network."""

    def evaluate(new: Any, old: Any) -> tuple[list[Tensor], list[Tensor]]:
        policies, leaves = [], []
        for scored in (new, old):
            tensors = {f.name: getattr(scored, f.name) for f in dataclasses.fields(scored) if f.name != "choices"}
            own = {name: t.clone().requires_grad_() for name, t in tensors.items() if t.is_floating_point()}
            policies.append(dataclasses.replace(scored, **own))
            leaves.extend(own.values())
        results = values(*policies)
        gradients = torch.autograd.grad(sum(r.sum() for r in results), leaves, allow_unused=True)
        return results, [gradient for gradient in gradients if gradient is not None]

    def spoilt(scored: Any) -> Any:
        changes = {}
        for field in dataclasses.fields(scored):
            value = getattr(scored, field.name)
            if field.name in ("valid", "choices"):
                continue
            other = bad if value.is_floating_point() else -100
            changes[field.name] = torch.where(VALID.unsqueeze(-1), value, other)
        return dataclasses.replace(scored, **changes)

    new, old = pair()
    clean, clean_gradients = evaluate(new, old)
    results, gradients = evaluate(spoilt(new), spoilt(old))
    assert len(gradients) >= 2
    for actual, expected in zip(results + gradients, clean + clean_gradients, strict=True):
        assert torch.equal(actual, expected)
    for gradient in gradients:
        assert (gradient[~VALID] == 0.0).all()
        assert (gradient[VALID] != 0.0).any()


# Gaussian


def test_a_gaussian_equals_torch_distributions() -> None:
    new, old = gaussians()
    current, before = Normal(new.mean, new.std), Normal(old.mean, old.std)
    density, other = current.log_prob(new.outcome), before.log_prob(new.outcome)
    torch.testing.assert_close(new.log_prob(), by_step(density))
    torch.testing.assert_close(new.log_ratio(old), by_step(density - other))
    torch.testing.assert_close(new.entropy(), by_step(current.entropy()))
    torch.testing.assert_close(new.kl_divergence(old), by_step(torch_kl(current, before)))
    torch.testing.assert_close(old.kl_divergence(new), by_step(torch_kl(before, current)))


def test_a_gaussian_log_ratio_of_a_large_chunk_is_exact_where_a_difference_of_sums_is_not() -> None:
    """4 steps of 16 x 32 entries with means that differ in their last bits: log-densities of about 2,000."""
    source = generator()
    mean = torch.randn(64, 16, 128, generator=source)
    std, valid = torch.full_like(mean, 0.1), torch.ones(64, 16, dtype=torch.bool)
    new = GaussianScored(mean + std * torch.randn(mean.shape, generator=source), mean, std, valid)
    old = dataclasses.replace(new, mean=mean * (1.0 + 1e-7))
    exact_new, exact_old = (
        GaussianScored(scored.outcome.double(), scored.mean.double(), std.double(), valid) for scored in (new, old)
    )
    exact = exact_new.log_ratio(exact_old).sum(1).float()
    torch.testing.assert_close(new.log_ratio(old).sum(1), exact, rtol=0, atol=2e-5)
    assert (new.log_prob().sum(1) - old.log_prob().sum(1) - exact).abs().max() > 1e-4


def test_a_std_without_batch_is_the_same_for_every_decision() -> None:
    narrow = [dataclasses.replace(scored, std=scored.std[0]) for scored in gaussians()]
    wide = [dataclasses.replace(scored, std=scored.std[0].expand(B, H, A)) for scored in gaussians()]
    for actual, expected in zip(values(*narrow), values(*wide), strict=True):
        assert torch.equal(actual, expected)


def test_hand_values_of_gaussians() -> None:
    """One dimension, one step: the standard normal at 0 and 2, KL for a shift, for a scale."""

    def scored(outcome: float, mean: float, std: float) -> GaussianScored:
        tensors = (torch.full((1, 1, 1), value) for value in (outcome, mean, std))
        return GaussianScored(*tensors, torch.ones(1, 1, dtype=torch.bool))

    assert scored(0.0, 0.0, 1.0).log_prob().item() == pytest.approx(-0.918938533)
    assert scored(2.0, 0.0, 1.0).log_prob().item() == pytest.approx(-2.918938533)
    assert scored(1.0, 0.0, 0.5).log_prob().item() == pytest.approx(math.log(2) - 2.0 - 0.918938533)
    assert scored(1.0, 1.0, 1.0).log_ratio(scored(1.0, 0.0, 1.0)).item() == pytest.approx(0.5)
    assert scored(0.0, 1.0, 1.0).kl_divergence(scored(0.0, 0.0, 1.0)).item() == pytest.approx(0.5)
    assert scored(0.0, 0.0, 2.0).kl_divergence(scored(0.0, 0.0, 1.0)).item() == pytest.approx(1.5 - math.log(2))
    assert scored(0.0, 0.0, 1.0).entropy().item() == pytest.approx(1.418938533)


# Squashed Gaussian


def squash(mean: Tensor, std: Tensor) -> TransformedDistribution:
    # the cache gives u back for its own tanh(u), whose inverse is infinite where it is rounded to 1
    return TransformedDistribution(Normal(mean, std), TanhTransform(cache_size=1))


@pytest.mark.parametrize("size", [1.0, 5.0, 30.0, 300.0])
def test_a_squashed_log_prob_equals_torch_distributions(size: float) -> None:
    new, _ = squashed_gaussians()
    raw = size * new.outcome
    distribution = squash(new.mean, new.std)
    expected = distribution.log_prob(distribution.transforms[0](raw))
    actual = dataclasses.replace(new, outcome=raw).log_prob()
    assert actual.isfinite().all()
    torch.testing.assert_close(actual, by_step(expected))


def test_a_squashed_log_prob_integrates_to_1_over_the_actions() -> None:
    """By the midpoint rule over a in (-1, 1), for one wide and two shifted Gaussians."""
    edges = torch.linspace(-1.0, 1.0, 100_001, dtype=torch.float64)
    actions = (edges[1:] + edges[:-1])[:, None, None] / 2
    for mean, std in ((0.0, 0.8), (0.5, 0.3), (-1.0, 0.5)):
        valid = torch.ones(actions.shape[:2], dtype=torch.bool)
        loc, scale = torch.full_like(actions, mean), torch.full_like(actions, std)
        scored = SquashedGaussianScored(actions.atanh(), loc, scale, valid, torch.zeros_like(actions))
        assert scored.log_prob().exp().sum().item() * 2e-5 == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("u", [12.0, -12.0, 40.0, -1e4])
def test_a_squashed_log_prob_follows_its_asymptote(u: float) -> None:
    """For large |u| the slope of tanh is 4 exp(-2|u|), far below what 1 - tanh^2 can hold."""
    raw = torch.full((1, 1, 1), u, requires_grad=True)
    std = torch.ones(1, 1, 1)
    scored = SquashedGaussianScored(raw, raw.detach(), std, torch.ones(1, 1, dtype=torch.bool), std)
    expected = -0.918938533 - (math.log(4.0) - 2.0 * abs(u))
    assert scored.log_prob().item() == pytest.approx(expected, rel=1e-6)
    (slope,) = torch.autograd.grad(scored.log_prob().sum(), raw)
    assert slope.item() == pytest.approx(math.copysign(2.0, u), rel=1e-6)


def test_a_squashed_log_ratio_is_free_of_the_slope_of_tanh() -> None:
    """Log-densities of 4,000 per step, of which the last bit is 5e-4, and a log-ratio of 0.02."""
    valid = torch.ones(1, 1, dtype=torch.bool)
    raw, std = torch.full((1, 1, A), 700.0), torch.full((1, 1, A), 0.13)
    new = SquashedGaussianScored(raw, raw, std, valid, torch.zeros_like(raw))
    old = dataclasses.replace(new, mean=raw + 2.0**-6)
    exact = A * (2.0**-6 / 0.13) ** 2 / 2
    assert new.log_prob().item() > 4_000.0
    assert new.log_ratio(old).item() == pytest.approx(exact, abs=1e-6)
    assert abs((new.log_prob() - old.log_prob()).item() - exact) > 1e-5


def test_the_kl_of_squashed_gaussians_is_that_of_their_actions() -> None:
    """By Monte Carlo over actions, with densities of torch.distributions; 5 standard errors."""
    new, old = squashed_gaussians()
    current, before = (squash(scored.mean.double(), scored.std.double()) for scored in (new, old))
    torch.manual_seed(0)
    samples = []
    for _ in range(4_000):
        u = current.base_dist.sample()
        # through the inverse, from what the action alone says
        action = u.tanh().clone()
        samples.append(current.log_prob(action) - before.log_prob(action))
    stacked = torch.stack(samples)
    assert stacked.isfinite().all()
    mean, error = stacked.mean(0), stacked.std(0) / math.sqrt(len(samples))
    expected = torch_kl(current.base_dist, before.base_dist)
    assert ((mean - expected).abs() < 5.0 * error).all()
    assert (error < 0.1 * (expected + 1.0)).all()
    torch.testing.assert_close(new.kl_divergence(old), by_step(expected).float())


def entropy_by_integral(mean: float, std: float) -> float:
    """-Integral of p(a) log p(a) over a in (-1, 1), with p from torch.distributions, in the variable u."""
    u = torch.linspace(mean - 12.0 * std, mean + 12.0 * std, 20_001, dtype=torch.float64)
    distribution = squash(torch.tensor(mean, dtype=torch.float64), torch.tensor(std, dtype=torch.float64))
    log_density = distribution.log_prob(distribution.transforms[0](u))
    weight = distribution.base_dist.log_prob(u).exp()
    return float(-torch.trapezoid(weight * log_density, u))


@pytest.mark.parametrize(("mean", "std"), [(0.0, 0.1), (0.3, 0.5), (-1.0, 1.0), (2.0, 0.7)])
def test_the_entropy_of_a_squashed_gaussian_and_its_gradient_are_unbiased(mean: float, std: float) -> None:
    """On average over the stored noise, against an integral and its finite differences; 5 standard errors."""
    number = 200_000
    noise = torch.randn(number, 1, 1, generator=generator(), dtype=torch.float64)
    loc, scale = torch.full_like(noise, mean).requires_grad_(), torch.full_like(noise, std).requires_grad_()
    valid = torch.ones(number, 1, dtype=torch.bool)
    entropy = SquashedGaussianScored(loc.detach() + scale.detach() * noise, loc, scale, valid, noise).entropy()
    gradients = torch.autograd.grad(entropy.sum(), (loc, scale))
    step = 1e-4
    expected = [
        entropy_by_integral(mean, std),
        (entropy_by_integral(mean + step, std) - entropy_by_integral(mean - step, std)) / (2 * step),
        (entropy_by_integral(mean, std + step) - entropy_by_integral(mean, std - step)) / (2 * step),
    ]
    for estimates, value in zip((entropy.detach(), *gradients), expected, strict=True):
        error = estimates.std().item() / math.sqrt(number)
        assert error < 0.01
        assert estimates.mean().item() == pytest.approx(value, abs=5.0 * error)


@each_distribution
def test_gradients_of_scored_decisions_equal_finite_differences(pair: Callable[[], tuple[Any, Any]]) -> None:
    new, old = pair()
    names = ("logits",) if isinstance(new, CategoricalScored) else ("mean", "std")
    tensors = {name: value for name, value in vars(old).items() if isinstance(value, Tensor)}
    before = dataclasses.replace(old, **{name: t.double() for name, t in tensors.items() if t.is_floating_point()})

    def objectives(*leaves: Tensor) -> tuple[Tensor, ...]:
        return tuple(values(dataclasses.replace(before, **dict(zip(names, leaves, strict=True))), before))

    leaves = [getattr(new, name).double().requires_grad_() for name in names]
    assert torch.autograd.gradcheck(objectives, leaves)


# Categorical


def torch_categoricals(scored: CategoricalScored) -> list[Categorical]:
    return [Categorical(logits=part) for part in scored.logits.split(CHOICES, dim=-1)]


def test_choices_equal_torch_distributions() -> None:
    new, old = categoricals()
    current, before = torch_categoricals(new), torch_categoricals(old)
    drawn = [c.log_prob(new.outcome[..., i]) for i, c in enumerate(current)]
    torch.testing.assert_close(new.log_prob(), by_step(torch.stack(drawn, dim=-1)))
    torch.testing.assert_close(new.entropy(), by_step(torch.stack([c.entropy() for c in current], dim=-1)))
    for left, right, actual in (
        (current, before, new.kl_divergence(old)),
        (before, current, old.kl_divergence(new)),
    ):
        divergences = [torch_kl(p, q) for p, q in zip(left, right, strict=True)]
        torch.testing.assert_close(actual, by_step(torch.stack(divergences, dim=-1)))


def test_hand_values_of_choices() -> None:
    """Two choices with probabilities 1/4 and 3/4 against equal ones, beside a component with a single choice."""
    valid, choices = torch.ones(1, 1, dtype=torch.bool), (2, 1)
    outcome = torch.tensor([[[1, 0]]])
    uneven = CategoricalScored(outcome, torch.tensor([[[0.0, math.log(3.0), 7.0]]]), valid, choices)
    even = CategoricalScored(outcome, torch.tensor([[[5.0, 5.0, -7.0]]]), valid, choices)
    assert uneven.log_prob().item() == pytest.approx(math.log(0.75))
    assert uneven.log_ratio(even).item() == pytest.approx(math.log(1.5))
    assert even.entropy().item() == pytest.approx(math.log(2.0))
    assert uneven.entropy().item() == pytest.approx(0.562335145)
    assert uneven.kl_divergence(even).item() == pytest.approx(math.log(2.0) - 0.562335145)


def test_choices_are_stable_where_logits_are_large() -> None:
    """At +-1e4 most probabilities are 0 in fp32: exact differences of logits, and no NaN."""
    valid, choices = torch.ones(1, 1, dtype=torch.bool), (2, 2)
    outcome = torch.tensor([[[0, 1]]])
    logits = torch.tensor([[[-1e4, 1e4, 1e4, 1e4]]], requires_grad=True)
    other = torch.tensor([[[1e4, -1e4, -1e4, -1e4]]], requires_grad=True)
    new, old = (CategoricalScored(outcome, values, valid, choices) for values in (logits, other))
    assert new.log_prob().item() == pytest.approx(-2e4 - math.log(2.0))
    assert new.log_ratio(old).item() == pytest.approx(-2e4)
    assert new.entropy().item() == pytest.approx(math.log(2.0))
    assert new.kl_divergence(old).item() == pytest.approx(2e4)
    for gradient in torch.autograd.grad(sum(value.sum() for value in values(new, old)), (logits, other)):
        assert gradient.isfinite().all()


def test_drawn_choices_have_their_probabilities() -> None:
    """Of 100,000 decisions: within 5 standard errors; the components are drawn independently."""
    number = 100_000
    logits = torch.randn(1, 2, sum(CHOICES), generator=generator(3))
    drawn = sample_categorical(logits.expand(number, -1, -1), CHOICES, generator())
    assert drawn.shape == (number, 2, A)
    assert drawn.dtype == torch.int64
    for index, part in enumerate(logits[0].split(CHOICES, dim=-1)):
        expected = part.softmax(dim=-1)
        for h in range(2):
            frequency = drawn[:, h, index].bincount(minlength=CHOICES[index]) / number
            error = (expected[h] * (1.0 - expected[h]) / number).sqrt()
            assert ((frequency - expected[h]).abs() < 5.0 * error).all()
    correlation = torch.corrcoef(drawn.flatten(1).T.double()) - torch.eye(2 * A)
    assert correlation.abs().max() < 5.0 / math.sqrt(number)


def test_choices_can_be_drawn_again_and_are_certain_where_logits_are_large() -> None:
    logits = torch.randn(B, H, sum(CHOICES), generator=generator())
    first, second, other = (sample_categorical(logits, CHOICES, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(sample_categorical(1e4 * logits, CHOICES, generator()), mode(logits, list(CHOICES)))


def test_the_mode_is_the_likeliest_choice_of_each_component() -> None:
    logits = torch.tensor([[[0.0, 2.0, 1.0, 3.0, -1.0, 5.0, 6.0, 7.0, 9.0, 8.0]]])
    assert mode(logits, list(CHOICES)).tolist() == [[[1, 0, 3]]]
