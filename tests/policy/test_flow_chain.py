# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""flow_chain: the marginals of the noisy chain, its log-probability and gradients, what is scored, and its options."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal
from torch.distributions import kl_divergence as torch_kl
from torch.func import functional_call

from gr00t_rl_ext.policy.encoder import Gr00tEncoder
from gr00t_rl_ext.policy.flow_chain import (
    FlowChain,
    FlowOptions,
    VelocityField,
    integrate,
    rollout_steps,
    sample_chain,
    scored_steps,
    sde_std,
)
from gr00t_rl_ext.policy.scored import bounded_std

B, H, A = 6, 3, 4
DIMS = torch.tensor([2, 0])
VARIANTS = [
    FlowOptions(noise, score, deterministic_last_step=last, random_steps=steps, noise_correlation=correlation)
    for noise in ("sde", "learned")
    for score, last, steps, correlation in (
        ("one_step", False, None, 0.0),
        ("one_step", True, None, 0.0),
        ("one_step", False, 1, 0.0),
        ("one_step", False, None, 0.6),
        ("all_steps", False, None, 0.0),
        ("all_steps", False, 2, 0.6),
    )
]


def label(options: FlowOptions) -> str:
    return (
        f"{options.noise}-{options.score}"
        + ("-deterministic_last" if options.deterministic_last_step else "")
        + ("" if options.random_steps is None else f"-last_{options.random_steps}")
        + ("-correlated" if options.noise_correlation else "")
    )


def each_variant(test: Callable[..., None]) -> Callable[..., None]:
    return pytest.mark.parametrize("options", VARIANTS, ids=label)(test)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class TinyField(nn.Module):
    """An MLP over the whole chunk and the time: velocity, and raw std where the noise is learned."""

    def __init__(self, noise: str, chunk_length: int = H, action_dim: int = A, width: int = 8, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.learned, self.shape = noise == "learned", (chunk_length, action_dim)
        size = chunk_length * action_dim
        self.mlp = nn.Sequential(nn.Linear(size + 1, width), nn.Tanh(), nn.Linear(width, size * (1 + self.learned)))

    def forward(self, x: Tensor, t: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        output = self.mlp(torch.cat((x.flatten(1), t[:, None]), dim=1))
        if not self.learned:
            return output.view(-1, *self.shape)
        velocity, raw_std = output.chunk(2, dim=1)
        return velocity.view(-1, *self.shape), raw_std.view(-1, *self.shape)


def decide(field: VelocityField, options: FlowOptions, dtype: torch.dtype = torch.float32, batch: int = B) -> FlowChain:
    noise = torch.randn(batch, H, A, generator=generator(1), dtype=dtype)
    return sample_chain(field, noise, options, 0.5, generator(2))[1]


def executed(*steps: int) -> Tensor:
    return torch.arange(H) < torch.tensor(steps)[:, None]


VALID = executed(3, 1, 2, 3, 3, 2)


# The noise


def test_stds_of_flow_sde_are_those_that_the_papers_use() -> None:
    assert [round(sde_std(step, 4, 0.5), 2) for step in range(4)] == [0.50, 0.43, 0.25, 0.14]


@pytest.mark.parametrize("steps", [1, 2, 4, 10])
def test_stds_of_flow_sde_follow_the_definition_and_the_last_step_has_noise(steps: int) -> None:
    d = 1 / steps
    for step in range(steps):
        t = step * d
        sigma = 0.7 * math.sqrt((1 - t) / max(t, d))
        assert sde_std(step, steps, 0.7) == pytest.approx(sigma * math.sqrt(d), rel=1e-12)
    assert sde_std(steps - 1, steps, 0.7) > 0.0


def test_learned_std_is_bounded_and_smooth() -> None:
    raw = torch.tensor([-1e4, -8.0, -1.0, 0.0, 1.0, 8.0, 1e4, -math.inf, math.inf]).requires_grad_()
    std = bounded_std(raw, 0.08, 0.16)
    torch.testing.assert_close(std[[0, 3, 6]], torch.tensor([0.08, math.sqrt(0.08 * 0.16), 0.16]))
    assert ((std > 0.0799) & (std < 0.1601)).all()
    (gradient,) = torch.autograd.grad(std.sum(), raw)
    assert gradient.isfinite().all()
    assert (gradient[1:6] > 0.0).all()


def test_learned_std_is_that_of_the_network() -> None:
    """Mistake of others: an option `learned` whose std is 0, so that nothing is learned."""
    options = FlowOptions("learned", "all_steps", std_range=(0.2, 0.9))
    raw = torch.linspace(-3.0, 3.0, H * A).view(1, H, A).expand(B, -1, -1)
    chain = decide(lambda x, t: (-x, raw), options)
    torch.testing.assert_close(chain.std, bounded_std(raw, 0.2, 0.9)[:, None].expand(-1, 4, -1, -1))
    assert chain.std.min() > 0.2
    torch.testing.assert_close(chain.mean, chain.points[:, :-1] * 0.75)


def test_noise_level_falls_linearly_and_stays() -> None:
    options = FlowOptions(noise_level=0.6, final_noise_level=0.2, noise_level_iterations=4)
    assert [options.noise_level_at(n) for n in (0, 1, 2, 4, 9)] == pytest.approx([0.6, 0.5, 0.4, 0.2, 0.2])
    assert [FlowOptions(noise_level=0.6).noise_level_at(n) for n in (0, 100)] == [0.6, 0.6]


@pytest.mark.parametrize("level", [0.1, 0.5])
def test_mean_of_a_flow_sde_step_is_that_of_the_papers(level: float) -> None:
    """The equation as it is printed, with the noise's and the data's estimate, step by step."""
    field = TinyField("sde").double()
    options = FlowOptions(score="all_steps", num_steps=5)
    noise = torch.randn(B, H, A, generator=generator(), dtype=torch.float64)
    chain = sample_chain(field, noise, options, level, generator())[1]
    d = 0.2
    for step in range(5):
        t, x = step * d, chain.points[:, step]
        velocity = field(x, torch.full((B,), t, dtype=torch.float64))
        x0, x1 = x - t * velocity, x + (1 - t) * velocity
        sigma = level * math.sqrt((1 - t) / max(t, d))
        mean = (1 - t - d - sigma**2 * d / (2 * (1 - t))) * x0 + (t + d) * x1
        torch.testing.assert_close(chain.mean[:, step], mean, rtol=0, atol=1e-12)
        torch.testing.assert_close(chain.std[:, step], torch.full_like(x, sigma * math.sqrt(d)))


# Marginals: from N(0, 1) to N(MEAN, SPREAD^2), for which the velocity is known

MEAN, SPREAD = 1.5, 0.5


def gaussian_flow(x: Tensor, t: Tensor) -> Tensor:
    """E[x1 - x0 | x_t = x] for independent x0 ~ N(0, 1) and x1 ~ N(MEAN, SPREAD^2)."""
    t = t[:, None, None]
    variance = (1 - t) ** 2 + (t * SPREAD) ** 2
    return MEAN + (t * SPREAD**2 - (1 - t)) / variance * (x - t * MEAN)


def marginals(options: FlowOptions, level: float) -> tuple[Tensor, Tensor]:
    """Exact means and variances (K + 1,) of the chain at every time.

    With this velocity a step is ``x' = A x + b + std eps``; A and b are read off the means at two points.
    """
    noise = torch.tensor([-1.0, 1.0], dtype=torch.float64).view(2, 1, 1)
    chain = sample_chain(gaussian_flow, noise, options, level, generator())[1]
    x, means, stds = chain.points[..., 0, 0], chain.mean[..., 0, 0], chain.std[0, :, 0, 0]
    mean, variance = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
    history = [(mean, variance)]
    for step in range(options.num_steps):
        slope = (means[1, step] - means[0, step]) / (x[1, step] - x[0, step])
        mean = means[0, step] + slope * (mean - x[0, step])
        variance = slope**2 * variance + stds[step] ** 2
        history.append((mean, variance))
    all_means, all_variances = zip(*history, strict=True)
    return torch.stack(all_means), torch.stack(all_variances)


@pytest.mark.parametrize("level", [0.1, 0.3, 0.5, 0.7, 1.0])
def test_flow_sde_keeps_the_marginals_of_the_flow(level: float) -> None:
    """At every time, with many steps. The mean is exact.

    Allowed for the variance: 4 / K for Euler's steps, and ``a^4 / 4 (1 + zeta(2 - a^2)) K^(-a^2)`` for those near
    t = 0, where one step's noise ``sigma^2 d = a^2 / k`` does not shrink with K: the k-th step leaves ``a^4 / 4 k^2``,
    which the drift forgets as ``(k / K)^(a^2)``. At the end that is less than 1.2% for all levels; the noise without
    the drift would leave 5% and more.
    """
    steps = 256
    means, variances = marginals(FlowOptions(score="all_steps", num_steps=steps), level)
    t = torch.linspace(0.0, 1.0, steps + 1, dtype=torch.float64)
    torch.testing.assert_close(means, t * MEAN, rtol=0, atol=1e-10)
    expected = (1 - t) ** 2 + (t * SPREAD) ** 2
    near_zero = level**4 / 4 * (1 + sum(k ** -(2 - level**2) for k in range(1, steps))) * steps ** -(level**2)
    error = (variances / expected - 1.0).abs()
    assert error[-1] < 4 / steps + near_zero
    assert error[-1] < 0.012
    # the first steps' share, before it is forgotten
    assert error.max() < 4 / steps + 3 * level**4 / 4


@pytest.mark.parametrize("level", [0.1, 0.3, 0.5, 0.7])
def test_flow_sde_converges_in_the_number_of_steps(level: float) -> None:
    """Euler's error is of first order: with 4 times the steps, down to 0.45 of it or less."""
    errors = []
    for steps in (4, 16, 64):
        means, variances = marginals(FlowOptions(score="all_steps", num_steps=steps), level)
        assert means[-1].item() == pytest.approx(MEAN, abs=1e-10)
        errors.append(abs(variances[-1].item() / SPREAD**2 - 1.0))
    assert errors[0] < 0.55
    assert errors[1] < 0.45 * errors[0]
    assert errors[2] < 0.45 * errors[1]


@pytest.mark.parametrize(("steps", "level"), [(1, 0.5), (4, 0.5), (4, 1.0), (16, 0.3)])
def test_samples_have_the_chain_s_moments(steps: int, level: float) -> None:
    """100,000 chains at every time, within 5 standard errors of the exact moments."""
    number = 100_000
    options = FlowOptions(score="all_steps", num_steps=steps)
    noise = torch.randn(number, 1, 1, generator=generator())
    actions, chain = sample_chain(gaussian_flow, noise, options, level, generator(1))
    assert torch.equal(actions, chain.points[:, -1])
    points = chain.points[..., 0, 0].double()
    means, variances = marginals(options, level)
    assert ((points.mean(dim=0) - means).abs() < 5 * (variances / number).sqrt()).all()
    assert ((points.var(dim=0) / variances - 1.0).abs() < 5 * math.sqrt(2 / number)).all()


def test_the_first_step_by_hand() -> None:
    """At t = 0 the noise's estimate is x: ``x' = (1 - d - a^2 / 2) x + d (x + v) + a eps``."""
    _, variances = marginals(FlowOptions(score="all_steps", num_steps=4), 0.5)
    # v = MEAN - x, so that the slope is 1 - 0.25 - 0.125
    assert variances[1].item() == pytest.approx(0.625**2 + 0.25)


# Deterministic decisions


def test_a_deterministic_decision_is_that_of_the_action_head(encoder: Gr00tEncoder) -> None:
    head = encoder.model.action_head
    context = head.condition(torch.randn(2, 5, head.config.feature_dim, generator=generator()))
    state = torch.randn(2, 1, head.config.max_state_dim, generator=generator())
    noise = torch.randn(2, head.config.action_horizon, head.config.max_action_dim, generator=generator())

    def field(x: Tensor, t: Tensor) -> Tensor:
        return head.velocity(context, state, x, (t * head.config.num_timestep_buckets).long())

    for steps in (1, 4, 7, 10):
        assert torch.equal(integrate(field, noise, steps), head.sample(context, state, noise, steps))


@pytest.mark.parametrize("noise", ["sde", "learned"])
def test_steps_that_are_not_drawn_are_those_of_the_flow(noise: str) -> None:
    """Before its random step a decision is the flow's, and from after it on again."""
    field, steps = TinyField(noise), 4
    start = torch.randn(50, H, A, generator=generator())
    actions, chain = sample_chain(field, start, FlowOptions(noise), 0.5, generator(3))
    before = start
    reached = chain.points[:, 1]
    for step in range(steps):
        t = torch.full((50,), step / steps)
        is_random = (chain.t[:, 0] == step / steps)[:, None, None]
        assert torch.equal(torch.where(is_random, before, 0.0), torch.where(is_random, chain.points[:, 0], 0.0))

        def euler(x: Tensor, t: Tensor = t) -> Tensor:
            output = field(x, t)
            return x + (output[0] if isinstance(output, tuple) else output) / steps

        before = euler(before)
        is_later = (step / steps > chain.t[:, 0])[:, None, None]
        reached = torch.where(is_later, euler(reached), reached)
    assert torch.equal(actions, reached)
    assert (chain.std > 0.0).all()


# What is drawn and recorded


def test_the_random_step_is_drawn_per_environment_and_uniform() -> None:
    chain = decide(lambda x, t: x, FlowOptions(), batch=4000)
    counts = torch.bincount((chain.t[:, 0] * 4).long(), minlength=4)
    # 5 standard deviations of a binomial with p = 1/4
    assert ((counts - 1000).abs() < 5 * math.sqrt(4000 * 0.25 * 0.75)).all()


def test_a_deterministic_last_step_is_never_scored() -> None:
    options = FlowOptions(deterministic_last_step=True, num_steps=3)
    chain = decide(lambda x, t: x, options, batch=1000)
    assert set((chain.t[:, 0] * 3).round().int().tolist()) == {0, 1}
    assert (chain.std > 0.0).all()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (FlowOptions(random_steps=1), {3}),
        (FlowOptions(random_steps=3), {1, 2, 3}),
        (FlowOptions(random_steps=2, deterministic_last_step=True), {1, 2}),
        (FlowOptions(random_steps=2, score="all_steps"), {2, 3}),
    ],
)
def test_only_the_last_steps_are_random(options: FlowOptions, expected: set[int]) -> None:
    chain = decide(lambda x, t: x, options, batch=1000)
    assert set((chain.t * 4).round().int().flatten().tolist()) == expected
    assert (chain.std > 0.0).all()


def test_with_a_random_last_step_the_actions_are_gaussian_around_the_flow() -> None:
    options = FlowOptions(noise="learned", random_steps=1)
    field, noise = TinyField("learned"), torch.randn(B, H, A, generator=generator())
    actions, chain = sample_chain(field, noise, options, noise_level=0.5, generator=generator(1))
    flow = integrate(lambda x, t: field(x, t)[0], noise, num_steps=4)
    torch.testing.assert_close(chain.mean[:, 0], flow)
    torch.testing.assert_close(chain.points[:, 1], actions)


@each_variant
def test_the_record_fits_a_tensordict_and_a_tuple_of_floats(options: FlowOptions) -> None:
    chain = decide(TinyField(options.noise), options)
    scored = 1 if options.score == "one_step" else options.random_steps or 4
    assert [tuple(values.shape) for values in chain] == [
        (B, scored + 1, H, A),
        (B, scored),
        (B, scored, H, A),
        (B, scored, H, A),
    ]
    assert all(values.dtype == torch.float32 for values in chain)
    assert not any(values.requires_grad for values in chain)
    stored = TensorDict(chain._asdict(), batch_size=[B])
    part = FlowChain(**stored[torch.tensor([4, 1])])
    assert torch.equal(part.points, chain.points[[4, 1]])
    if options.score == "all_steps":
        assert chain.t.tolist() == [[0.0, 0.25, 0.5, 0.75][-scored:]] * B


def test_a_generator_repeats_a_decision() -> None:
    field, noise = TinyField("sde"), torch.randn(B, H, A, generator=generator())
    first, second = (sample_chain(field, noise, FlowOptions(), 0.5, generator(7))[0] for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, sample_chain(field, noise, FlowOptions(), 0.5, generator(8))[0])


@pytest.mark.parametrize("noise", ["sde", "learned"])
def test_a_network_in_half_precision_is_scored_in_single_precision(noise: str) -> None:
    field, options = TinyField(noise), FlowOptions(noise, "all_steps")
    dtypes = set()

    def half(x: Tensor, t: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        assert x.dtype == t.dtype == torch.float32
        with torch.autocast("cpu", torch.bfloat16):
            output = field(x, t)
        dtypes.update(values.dtype for values in (output if isinstance(output, tuple) else (output,)))
        return output

    chain = decide(half, options)
    assert all(values.dtype == torch.float32 for values in chain)
    new = scored_steps(half, chain, options, VALID, DIMS)
    assert new.mean.dtype == new.std.dtype == torch.float32
    assert torch.equal(new.log_prob(), rollout_steps(chain, options, VALID, DIMS).log_prob())
    assert dtypes == {torch.bfloat16}


def test_steps_are_not_rounded_to_half_precision() -> None:
    """A third of a velocity has other bits in bf16 than in fp32."""
    velocity, x = (torch.randn(B, H, A, generator=generator(seed)) for seed in (0, 1))
    half = velocity.bfloat16()
    steps = integrate(lambda x, t: torch.where(t[:, None, None] == 0.0, half, 0.0), x, 3)
    assert torch.equal(steps, x + half.float() / 3)
    assert not torch.equal(steps, x + half / 3)


# Log-probability, entropy, KL


def summed(values: Tensor) -> Tensor:
    """(B, S, H, A) -> (B, H) over the flow's steps and the dimensions that count, of executed control steps."""
    sums = torch.zeros(B, H)
    for b, h in VALID.nonzero().tolist():
        sums[b, h] = values[b, :, h, DIMS].sum()
    return sums


@pytest.mark.parametrize("options", [each for each in VARIANTS if not each.noise_correlation], ids=label)
def test_log_prob_entropy_and_kl_equal_torch_distributions_on_the_same_chain(options: FlowOptions) -> None:
    drew, other = TinyField(options.noise), TinyField(options.noise, seed=1)
    chain = decide(drew, options)
    wide = FlowOptions(options.noise, options.score, std_range=(0.3, 0.9))
    new, old = scored_steps(other, chain, wide, VALID, DIMS), rollout_steps(chain, options, VALID, DIMS)
    # the same steps by the network, without masks: every step of the record on its own
    distributions = []
    for index in range(chain.t.shape[1]):
        x, t = chain.points[:, index], chain.t[:, index]
        output = other(x, t)
        time = t[:, None, None]
        if isinstance(output, tuple):
            distributions.append(Normal(x + output[0] / 4, bounded_std(output[1], 0.3, 0.9)))
            continue
        std = chain.std[:, index]
        x0, x1 = x - time * output, x + (1 - time) * output
        mean = (1 - time - 0.25 - std**2 / (2 * (1 - time))) * x0 + (time + 0.25) * x1
        distributions.append(Normal(mean, std))
    current = Normal(*(torch.stack([getattr(d, n) for d in distributions], dim=1) for n in ("loc", "scale")))
    before, outcome = Normal(chain.mean, chain.std), chain.points[:, 1:]
    tolerance = {"rtol": 1e-5, "atol": 1e-4}
    torch.testing.assert_close(new.log_prob(), summed(current.log_prob(outcome)), **tolerance)
    torch.testing.assert_close(old.log_prob(), summed(before.log_prob(outcome)), **tolerance)
    torch.testing.assert_close(new.log_ratio(old), new.log_prob() - old.log_prob(), **tolerance)
    torch.testing.assert_close(new.entropy(), summed(current.entropy()), **tolerance)
    torch.testing.assert_close(new.kl_divergence(old), summed(torch_kl(current, before)), **tolerance)
    torch.testing.assert_close(old.kl_divergence(new), summed(torch_kl(before, current)), **tolerance)
    assert torch.equal(old.kl_divergence(new) > 0.0, VALID)


@pytest.mark.parametrize("options", [each for each in VARIANTS if each.noise_correlation], ids=label)
def test_correlated_noise_equals_torch_s_multivariate_normal(options: FlowOptions) -> None:
    """Of the executed control steps of a chunk, per flow step and dimension."""
    drew, other = TinyField(options.noise).double(), TinyField(options.noise, seed=1).double()
    chain = decide(drew, options, torch.float64)
    steps = torch.arange(H)
    correlations = 0.6 ** (steps[:, None] - steps).abs().double()

    def along_the_chunk(mean: Tensor, std: Tensor, executed_steps: int) -> MultivariateNormal:
        mean, std = mean[:executed_steps], std[:executed_steps]
        return MultivariateNormal(mean, std[:, None] * correlations[:executed_steps, :executed_steps] * std)

    log_probs, divergences = torch.zeros(2, B, dtype=torch.float64), torch.zeros(B, dtype=torch.float64)
    for index in range(chain.t.shape[1]):
        x, t, outcome = chain.points[:, index], chain.t[:, index], chain.points[:, index + 1]
        output = other(x, t)
        if isinstance(output, tuple):
            mean, std = x + output[0] / 4, bounded_std(output[1], *options.std_range)
        else:
            std, time = chain.std[:, index], t[:, None, None]
            pull = torch.einsum("hk,bka->bha", correlations, x - time * output)
            mean = x + output / 4 - std**2 / (2 * (1 - time)) * pull
        for b, a in itertools.product(range(B), DIMS.tolist()):
            n = int(VALID[b].sum())
            current = along_the_chunk(mean[b, :, a], std[b, :, a], n)
            before = along_the_chunk(chain.mean[b, index, :, a], chain.std[b, index, :, a], n)
            log_probs[0, b] += current.log_prob(outcome[b, :n, a])
            log_probs[1, b] += before.log_prob(outcome[b, :n, a])
            divergences[b] += torch_kl(before, current)
    new, old = scored_steps(other, chain, options, VALID, DIMS), rollout_steps(chain, options, VALID, DIMS)
    torch.testing.assert_close(new.log_prob().sum(1), log_probs[0])
    torch.testing.assert_close(old.log_prob().sum(1), log_probs[1])
    if options.noise == "sde":
        # with equal stds it does not depend on what was drawn
        torch.testing.assert_close(old.kl_divergence(new).sum(1), divergences)


@pytest.mark.parametrize("noise", ["sde", "learned"])
def test_drawn_noise_has_the_correlation_that_is_scored(noise: str) -> None:
    options = FlowOptions(noise, "all_steps", num_steps=1, noise_correlation=0.6)
    start = torch.zeros(100_000, 4, 1, dtype=torch.float64)
    _, chain = sample_chain(lambda x, t: (x, x) if noise == "learned" else x, start, options, 0.5, generator())
    deviations = ((chain.points[:, 1] - chain.mean[:, 0]) / chain.std[:, 0])[..., 0]
    steps = torch.arange(4)
    expected = 0.6 ** (steps[:, None] - steps).abs().double()
    # 5 standard errors
    torch.testing.assert_close(torch.cov(deviations.T), expected, rtol=0, atol=5 * math.sqrt(2 / 100_000))


def test_correlated_flow_sde_keeps_the_marginals_of_the_flow() -> None:
    """Data whose control steps are independent: so they stay, each with its variance, whatever the noise's correlation.

    Without the correlation in the drift, the chunk's sum would have more than three times the variance that it has.
    """
    options = FlowOptions(score="all_steps", num_steps=128, noise_correlation=0.9)
    start = torch.randn(20_000, 6, 1, generator=generator(), dtype=torch.float64)
    actions, _ = sample_chain(gaussian_flow, start, options, 0.3, generator(1))
    covariance = torch.cov(actions[..., 0].T) / SPREAD**2
    torch.testing.assert_close(covariance, torch.eye(6, dtype=torch.float64), rtol=0, atol=0.08)


@each_variant
def test_the_ratio_is_exactly_1_for_the_same_network(options: FlowOptions) -> None:
    field = TinyField(options.noise, width=64)
    chain = decide(field, options)
    new, old = scored_steps(field, chain, options, VALID, DIMS), rollout_steps(chain, options, VALID, DIMS)
    # a std divided by another one is rounded as the layout in memory wants it
    tolerance = 1e-6 if options.noise_correlation and options.noise == "learned" else 0.0
    for actual, expected in (
        (new.log_ratio(old).exp(), torch.ones(B, H)),
        (new.log_prob(), old.log_prob()),
        (new.kl_divergence(old), torch.zeros(B, H)),
    ):
        torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance)


@each_variant
@pytest.mark.parametrize("size", [1, 24])
def test_the_ratio_is_1_in_another_batch(options: FlowOptions, size: int) -> None:
    """A single decision takes other kernels than many do."""
    field = TinyField(options.noise, width=64)
    chain = decide(field, options, batch=64)
    rows = torch.randperm(64, generator=generator())[:size]
    part = FlowChain(*(values[rows] for values in chain))
    valid, dims = torch.ones(size, H, dtype=torch.bool), torch.arange(A)
    ratio = scored_steps(field, part, options, valid, dims).log_ratio(rollout_steps(part, options, valid, dims)).exp()
    torch.testing.assert_close(ratio, torch.ones(size, H), rtol=0, atol=1e-5)


@pytest.mark.parametrize("score", ["one_step", "all_steps"])
def test_the_ratio_of_the_action_head_is_1_in_a_mini_batch(encoder: Gr00tEncoder, score: str) -> None:
    head, options = encoder.model.action_head, FlowOptions(score=score)
    tokens = torch.randn(32, 5, head.config.feature_dim, generator=generator())
    state = torch.randn(32, 1, head.config.max_state_dim, generator=generator())
    noise = torch.randn(32, head.config.action_horizon, head.config.max_action_dim, generator=generator())

    def given(rows: Tensor) -> VelocityField:
        context = head.cache_key_values(head.condition(tokens[rows]))
        buckets = head.config.num_timestep_buckets
        return lambda x, t: head.velocity(context, state[rows], x, (t * buckets).long())

    with torch.no_grad():
        _, chain = sample_chain(given(torch.arange(32)), noise, options, 0.5, generator())
    rows = torch.randperm(32, generator=generator())[:8]
    part = FlowChain(*(values[rows] for values in chain))
    valid, dims = torch.ones(8, 8, dtype=torch.bool), torch.arange(8)
    ratio = (
        scored_steps(given(rows), part, options, valid, dims).log_ratio(rollout_steps(part, options, valid, dims)).exp()
    )
    torch.testing.assert_close(ratio, torch.ones(8, 8), rtol=0, atol=1e-5)


def test_a_chain_keeps_its_noise_level() -> None:
    """The level of the next iteration does not change how a chain of this one is scored."""
    field, noise = TinyField("sde"), torch.randn(B, H, A, generator=generator())
    options = FlowOptions(noise_level=0.9, final_noise_level=0.1, noise_level_iterations=5)
    for iteration in (0, 4):
        chain = sample_chain(field, noise, options, options.noise_level_at(iteration), generator())[1]
        new, old = scored_steps(field, chain, options, VALID, DIMS), rollout_steps(chain, options, VALID, DIMS)
        assert torch.equal(new.log_prob(), old.log_prob())


@each_variant
def test_gradients_equal_finite_differences(options: FlowOptions) -> None:
    field = TinyField(options.noise, width=3).double()
    chain = decide(TinyField(options.noise, width=3, seed=1).double(), options, torch.float64)
    base = rollout_steps(chain, options, VALID, DIMS)
    names = [name for name, _ in field.named_parameters()]

    def objectives(*parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        def with_parameters(x: Tensor, t: Tensor) -> Any:
            return functional_call(field, dict(zip(names, parameters, strict=True)), (x, t))

        new = scored_steps(with_parameters, chain, options, VALID, DIMS)
        return new.log_prob(), new.log_ratio(base), new.entropy(), new.kl_divergence(base)

    assert torch.autograd.gradcheck(objectives, tuple(field.parameters()))
    gradients = torch.autograd.grad(objectives(*field.parameters())[0].sum(), list(field.parameters()))
    assert all((gradient != 0.0).any() for gradient in gradients)


@each_variant
@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e30])
def test_what_does_not_count_reaches_neither_values_nor_gradients(options: FlowOptions, bad: float) -> None:
    """Control steps after the end of an episode and padded dimensions, in the network's output and in the record.

    With correlated noise, Flow-SDE's drift mixes all control steps of a chunk: there, only the padding does not count.
    """
    mixes = options.noise == "sde" and options.noise_correlation > 0.0
    counts = torch.zeros(B, H, A, dtype=torch.bool)
    counts[:, :, DIMS] = True
    if not mixes:
        counts &= VALID.unsqueeze(-1)
    chain = decide(TinyField(options.noise), options)
    size = 2 if options.noise == "learned" else 1
    outputs = [torch.randn(B, H, A, generator=generator(5)) for _ in range(size)]

    def evaluate(chain: FlowChain, outputs: list[Tensor]) -> list[Tensor]:
        leaves = [output.clone().requires_grad_() for output in outputs]
        given = tuple(leaves) if size == 2 else leaves[0]
        new = scored_steps(lambda x, t: given, chain, options, VALID, DIMS)
        old = rollout_steps(chain, options, VALID, DIMS)
        results = [new.log_prob(), new.log_ratio(old), new.entropy(), new.kl_divergence(old), old.log_prob()]
        return results + list(torch.autograd.grad(sum(result.sum() for result in results), leaves))

    clean = evaluate(chain, outputs)
    spoilt_outputs = [torch.where(counts, output, bad) for output in outputs]
    spoilt_chain = FlowChain(
        *(torch.where(counts[:, None], values, bad) if values.dim() == 4 else values for values in chain)
    )
    spoilt = evaluate(spoilt_chain, spoilt_outputs)
    for actual, expected in zip(spoilt, clean, strict=True):
        assert torch.equal(actual, expected)
    for gradient in spoilt[5:]:
        assert (gradient[~counts] == 0.0).all()
    assert (spoilt[5][counts & VALID.unsqueeze(-1)] != 0.0).all()


@each_variant
def test_a_shorter_chunk_than_the_horizon_is_the_same_as_masked_steps(options: FlowOptions) -> None:
    field = TinyField(options.noise)
    chain = decide(field, options)
    short = scored_steps(field, chain, options, VALID[:, :2], DIMS)
    masked = scored_steps(field, chain, options, VALID & executed(*[2] * B), DIMS)
    torch.testing.assert_close(short.log_prob(), masked.log_prob()[:, :2])
    assert (masked.log_prob()[:, 2:] == 0.0).all()
    old = rollout_steps(chain, options, VALID[:, :2], DIMS)
    torch.testing.assert_close(old.log_prob(), short.log_prob())


# Policy gradient


def test_the_score_function_s_gradient_is_that_of_the_expected_reward() -> None:
    """With v = theta and the reward x, the expected reward is known, and so is its derivative.

    A step is ``x' = (1 - c) x + (d + c t) theta + std eps`` with ``c = std^2 / (2 (1 - t))``. All steps scored give the
    whole derivative; one random step gives, in expectation, the mean over the steps of what each contributes when
    the others are the flow's.
    """
    number, steps, level = 200_000, 4, 0.7
    d = 1 / steps
    times = [step * d for step in range(steps)]
    drift = [sde_std(step, steps, level) ** 2 / (2 * (1 - t)) for step, t in enumerate(times)]
    direct = [d + c * t for c, t in zip(drift, times, strict=True)]
    whole = 0.0
    for c, own in zip(drift, direct, strict=True):
        whole = (1 - c) * whole + own
    expected = {"all_steps": whole, "one_step": sum(direct) / steps}
    theta = torch.tensor(0.3, requires_grad=True)

    def field(x: Tensor, t: Tensor) -> Tensor:
        return theta.expand_as(x)

    for score, derivative in expected.items():
        options = FlowOptions(score=score)
        noise = torch.randn(number, 1, 1, generator=generator())
        actions, chain = sample_chain(field, noise, options, level, generator(1))
        reward = actions[:, 0, 0] - actions.mean()
        new = scored_steps(field, chain, options, torch.ones(number, 1, dtype=torch.bool), torch.tensor([0]))
        (gradient,) = torch.autograd.grad((reward * new.log_prob().sum(1)).mean(), theta)
        # the standard error from the spread over 100 parts
        parts = (reward * new_log_prob_slope(chain, direct)).view(100, -1).mean(dim=1)
        error = parts.std().item() / 10
        assert error < 0.02 * derivative
        assert gradient.item() == pytest.approx(derivative, abs=4 * error)


def new_log_prob_slope(chain: FlowChain, direct: list[float]) -> Tensor:
    """d log p / d theta by hand, (B,): deviation / std^2 times what theta adds to the mean."""
    own = torch.tensor(direct)[(chain.t * 4).long()]
    deviation = chain.points[:, 1:, 0, 0] - chain.mean[..., 0, 0]
    return (deviation / chain.std[..., 0, 0] ** 2 * own).sum(dim=1)


TARGETS = torch.tensor([[0.6, -0.5], [-0.4, 0.8]])
"""The best action of each of two situations, (2, 2 control steps)."""


class ConditionedField(nn.Module):
    """Velocity (and raw std) of a chunk (B, 2, 1) for the situations (B,)."""

    def __init__(self, noise: str) -> None:
        super().__init__()
        self.learned = noise == "learned"
        self.mlp = nn.Sequential(nn.Linear(5, 32), nn.Tanh(), nn.Linear(32, 2 * (1 + self.learned)))

    def given(self, situation: Tensor) -> VelocityField:
        shown = nn.functional.one_hot(situation, 2).float()

        def field(x: Tensor, t: Tensor) -> Tensor | tuple[Tensor, Tensor]:
            output = self.mlp(torch.cat((x.flatten(1), t[:, None], shown), dim=1))
            if not self.learned:
                return output.unsqueeze(-1)
            return output[:, :2].unsqueeze(-1), output[:, 2:].unsqueeze(-1)

        return field


@pytest.mark.parametrize(
    ("noise", "score"), [("sde", "one_step"), ("sde", "all_steps"), ("learned", "one_step"), ("learned", "all_steps")]
)
def test_policy_gradient_solves_a_problem_with_a_known_optimum(noise: str, score: str) -> None:
    """A reward of minus the squared distance from the situation's best action, by PPO without a critic.

    At the start the actions are nearly the noise that the flow begins with: reward -2.3 to -3.1 over seeds. Solved:
    above -0.05, where it is within 25 iterations.
    """
    torch.manual_seed(0)
    policy = ConditionedField(noise)
    options = FlowOptions(noise, score, noise_level=0.5, std_range=(0.08, 0.3))
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
    number, dims = 512, torch.tensor([0])
    valid = torch.ones(number, 2, dtype=torch.bool)
    source = generator(1)

    def reward(actions: Tensor, situation: Tensor) -> Tensor:
        return -(actions[..., 0] - TARGETS[situation]).square().sum(dim=1)

    def evaluate() -> float:
        situation = torch.arange(1000) % 2
        noise = torch.randn(1000, 2, 1, generator=generator(2))
        with torch.no_grad():
            actions = integrate(policy.given(situation), noise, options.num_eval_steps)
        return reward(actions, situation).mean().item()

    assert evaluate() < -1.0
    for _ in range(60):
        situation = torch.randint(2, (number,), generator=source)
        start = torch.randn(number, 2, 1, generator=source)
        field = policy.given(situation)
        actions, chain = sample_chain(field, start, options, options.noise_level, source)
        old = rollout_steps(chain, options, valid, dims)
        advantage = reward(actions, situation)
        advantage = (advantage - advantage.mean()) / advantage.std()
        for _ in range(3):
            ratio = scored_steps(field, chain, options, valid, dims).log_ratio(old).sum(1).exp()
            loss = -torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert evaluate() > -0.05


# Options


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise": "ode"}, "`agent.actor.flow.noise` is 'ode'; expected one of sde, learned."),
        ({"score": "joint"}, "`agent.actor.flow.score` is 'joint'; expected one of one_step, all_steps."),
        ({"num_steps": 0}, "`agent.actor.flow.num_steps` is 0; expected at least 1 Euler step."),
        ({"num_eval_steps": 0}, "`agent.actor.flow.num_eval_steps` is 0; expected at least 1 Euler step."),
        (
            {"noise_level": 0.0},
            "`agent.actor.flow.noise_level` is 0.0; expected a positive number: without noise there is no"
            " log-probability and no policy gradient.",
        ),
        ({"noise_level": -0.5}, "`agent.actor.flow.noise_level` is -0.5; expected a positive number"),
        ({"noise_level": math.nan}, "`agent.actor.flow.noise_level` is nan; expected a positive number"),
        (
            {"final_noise_level": 0.0, "noise_level_iterations": 5},
            "`agent.actor.flow.final_noise_level` is 0.0; expected a positive number",
        ),
        (
            {"final_noise_level": 0.1},
            "`agent.actor.flow.final_noise_level` is 0.1 and `agent.actor.flow.noise_level_iterations` None; a schedule"
            " needs both, a constant level neither.",
        ),
        (
            {"noise_level_iterations": 5},
            "`agent.actor.flow.final_noise_level` is None and `agent.actor.flow.noise_level_iterations` 5; a schedule",
        ),
        (
            {"final_noise_level": 0.1, "noise_level_iterations": 0},
            "`agent.actor.flow.noise_level_iterations` is 0; expected at least 1 iteration.",
        ),
        (
            {"noise": "learned", "final_noise_level": 0.1, "noise_level_iterations": 5},
            "`agent.actor.flow.final_noise_level` is 0.1, but `agent.actor.flow.noise` is 'learned', whose level the"
            " network says. Leave it unset, or set noise to 'sde'.",
        ),
        (
            {"std_range": (0.16, 0.08)},
            "`agent.actor.flow.std_range` is (0.16, 0.08); expected 0 < low < high: a std of 0 has no gradient, and"
            " between equal bounds there is nothing to learn.",
        ),
        ({"std_range": (0.0, 0.1)}, "`agent.actor.flow.std_range` is (0.0, 0.1); expected 0 < low < high"),
        ({"std_range": (0.1, 0.1)}, "`agent.actor.flow.std_range` is (0.1, 0.1); expected 0 < low < high"),
        (
            {"score": "all_steps", "deterministic_last_step": True},
            "`agent.actor.flow.score` is 'all_steps', which scores the last step too, but"
            " `agent.actor.flow.deterministic_last_step` is set: a step without noise has no density. Set score to"
            " 'one_step', which then draws among the steps before it, or deterministic_last_step to false.",
        ),
        (
            {"num_steps": 1, "deterministic_last_step": True},
            "`agent.actor.flow.num_steps` is 1 and `agent.actor.flow.deterministic_last_step` is set, so that no step"
            " has noise. Set num_steps to 2 or more, or deterministic_last_step to false.",
        ),
        (
            {"random_steps": 5},
            "`agent.actor.flow.random_steps` is 5; expected 1 to 4, as many as there are steps that may have noise"
            " (`agent.actor.flow.num_steps` 4), or null for all of them.",
        ),
        (
            {"random_steps": 4, "deterministic_last_step": True},
            "`agent.actor.flow.random_steps` is 4; expected 1 to 3, as many as there are steps that may have noise"
            " (`agent.actor.flow.num_steps` 4, of which the last is deterministic), or null for all of them.",
        ),
        ({"random_steps": 0}, "`agent.actor.flow.random_steps` is 0; expected 1 to 4"),
        ({"noise_correlation": 1.0}, "`agent.actor.flow.noise_correlation` is 1.0; expected a number in [0, 1)"),
        ({"noise_correlation": -0.5}, "`agent.actor.flow.noise_correlation` is -0.5; expected a number in [0, 1)"),
    ],
)
def test_impossible_options_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 the whole message is compared
        FlowOptions(**changes).validate_config()
    assert str(error.value).startswith(message)
