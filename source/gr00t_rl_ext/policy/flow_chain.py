# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A flow-matching policy as a chain of Gaussian steps, whose probability reinforcement learning can score.

A flow turns noise into an action chunk x (B, H, A) by K Euler steps of length d = 1/K along a velocity v(x, t), from
time t = 0 (noise) to t = 1 (actions), deterministically: its actions have no density that could be computed cheaply.
Noise inside the steps makes the chain one of Gaussians ``x_{t+d} ~ N(mean(x_t), std)``. Two ways:

* ``sde``, Flow-SDE (Flow-GRPO, arXiv 2505.05470; pi_RL, arXiv 2510.25889): ``std = sigma_t sqrt(d)`` with
  ``sigma_t = a sqrt((1 - t) / t)``, t_1 in the denominator at t = 0, and a drift that keeps the marginals of the flow:
  ``mean = [1 - t - d - sigma_t^2 d / (2 (1 - t))] x0 + (t + d) x1`` with ``x0 = x - t v`` and ``x1 = x + (1 - t) v``.
* ``learned``, Flow-Noise (ReinFlow, arXiv 2505.22094): the flow's own step as the mean, and a std that the network
  says, bounded from both sides.

Noise may be correlated over the control steps of a chunk (``noise_correlation``): the chunk then moves as a whole,
which independent noise of the same std hardly does. It is a stationary autoregressive process of order 1 along the
chunk, of covariance ``std_h std_k rho^|h - k|``; on temporally correlated exploration see Eberhard et al. (ICLR 2023,
"Pink noise is all you need"). Flow-SDE's drift then has ``C (x - t v)`` in place of ``x - t v``, with
``C_hk = rho^|h - k|``, without which the marginals would change.

Everything outside the network is computed in float32 at least. Nothing here knows of GR00T: a policy gives its network
as a :data:`VelocityField`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from gr00t_rl_ext.policy.scored import GaussianScored, bounded_std, where_valid

_WHERE = "agent.actor.flow"

VelocityField = Callable[[Tensor, Tensor], Tensor | tuple[Tensor, Tensor]]
"""``field(x, t)``: points (B, H, A) and their times in [0, 1) (B,), both in float32, to velocities (B, H, A); with
learned noise to a pair of velocities and raw stds (B, H, A), which may be any number. It is called with the whole batch
of decisions, in their order, so that it may hold what they were conditioned on."""


@dataclass
class FlowOptions:
    """How GR00T's flow becomes a stochastic policy (``agent.actor.flow``)."""

    noise: str = "sde"
    """``sde``: noise of a given level that keeps the flow's marginals. ``learned``: a network outputs how much."""

    score: str = "one_step"
    """``one_step``: one step per decision is random and scored, drawn for each environment; the others are the flow's.
    Its log-probability costs one call of the network. ``all_steps``: all of the random steps are, one call each."""

    num_steps: int = 4
    """Euler steps K of a decision while training."""

    num_eval_steps: int = 4
    """Euler steps of a deterministic decision."""

    noise_level: float = 0.5
    """Level a of the noise ``sde``: the std of the first step, in units of the normalised actions."""

    final_noise_level: float | None = None
    """Level that the noise ``sde`` has reached after ``noise_level_iterations``, linearly. None: it is constant."""

    noise_level_iterations: int | None = None
    """Iterations until ``final_noise_level``."""

    std_range: tuple[float, float] = (0.08, 0.16)
    """Smallest and largest std of the noise ``learned``."""

    noise_hidden_dims: list[int] = field(default_factory=lambda: [256])
    """Widths of the hidden layers of the network that outputs the std of the noise ``learned``."""

    deterministic_last_step: bool = False
    """Add no noise in the last step, which would reach the actions as it is. Only with ``score: one_step``."""

    random_steps: int | None = None
    """How many steps may be random, the last ones of those that can be: K' of DPPO (arXiv 2409.00588, section 4.3).
    None: all. With 1, all randomness that is scored reaches the actions as it is; what earlier steps add passes through
    the flow, which takes a part of it away."""

    noise_correlation: float = 0.0
    """Correlation rho of the noise of neighbouring control steps, in [0, 1)."""

    def validate_config(self) -> None:
        """Raise a :class:`ValueError` where an option has an impossible value, or two contradict each other."""
        for name, known in (("noise", ("sde", "learned")), ("score", ("one_step", "all_steps"))):
            value = getattr(self, name)
            if value not in known:
                raise ValueError(f"`{_WHERE}.{name}` is {value!r}; expected one of {', '.join(known)}.")
        for name in ("num_steps", "num_eval_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{_WHERE}.{name}` is {getattr(self, name)}; expected at least 1 Euler step.")
        for name in ("noise_level", "final_noise_level"):
            value = getattr(self, name)
            if value is not None and not 0.0 < value < math.inf:
                raise ValueError(
                    f"`{_WHERE}.{name}` is {value}; expected a positive number: without noise there is no"
                    " log-probability and no policy gradient."
                )
        if (self.final_noise_level is None) != (self.noise_level_iterations is None):
            raise ValueError(
                f"`{_WHERE}.final_noise_level` is {self.final_noise_level} and `{_WHERE}.noise_level_iterations`"
                f" {self.noise_level_iterations}; a schedule needs both, a constant level neither."
            )
        if self.final_noise_level is not None and self.noise == "learned":
            raise ValueError(
                f"`{_WHERE}.final_noise_level` is {self.final_noise_level}, but `{_WHERE}.noise` is 'learned', whose"
                " level the network says. Leave it unset, or set noise to 'sde'."
            )
        if self.noise_level_iterations is not None and self.noise_level_iterations < 1:
            raise ValueError(
                f"`{_WHERE}.noise_level_iterations` is {self.noise_level_iterations}; expected at least 1 iteration."
            )
        if not 0.0 <= self.noise_correlation < 1.0:
            raise ValueError(
                f"`{_WHERE}.noise_correlation` is {self.noise_correlation}; expected a number in [0, 1): with 1 the"
                " noise of a chunk would be one number, of which no density of its control steps exists."
            )
        low, high = self.std_range
        if not 0.0 < low < high < math.inf:
            raise ValueError(
                f"`{_WHERE}.std_range` is ({low}, {high}); expected 0 < low < high: a std of 0 has no gradient, and"
                " between equal bounds there is nothing to learn."
            )
        if self.deterministic_last_step and self.score == "all_steps":
            raise ValueError(
                f"`{_WHERE}.score` is 'all_steps', which scores the last step too, but"
                f" `{_WHERE}.deterministic_last_step` is set: a step without noise has no density. Set score to"
                " 'one_step', which then draws among the steps before it, or deterministic_last_step to false."
            )
        if self.deterministic_last_step and self.num_steps == 1:
            raise ValueError(
                f"`{_WHERE}.num_steps` is 1 and `{_WHERE}.deterministic_last_step` is set, so that no step has noise."
                " Set num_steps to 2 or more, or deterministic_last_step to false."
            )
        possible = self.num_steps - self.deterministic_last_step
        if self.random_steps is not None and not 1 <= self.random_steps <= possible:
            raise ValueError(
                f"`{_WHERE}.random_steps` is {self.random_steps}; expected 1 to {possible}, as many as there are steps"
                f" that may have noise (`{_WHERE}.num_steps` {self.num_steps}"
                + (", of which the last is deterministic" if self.deterministic_last_step else "")
                + "), or null for all of them."
            )

    def noise_level_at(self, iteration: int) -> float:
        """Level a of the noise ``sde`` in an iteration, counted from 0."""
        if self.final_noise_level is None or self.noise_level_iterations is None:
            return self.noise_level
        done = min(iteration / self.noise_level_iterations, 1.0)
        return (1.0 - done) * self.noise_level + done * self.final_noise_level

    @property
    def random_window(self) -> range:
        """Steps that may have noise."""
        end = self.num_steps - self.deterministic_last_step
        return range(0 if self.random_steps is None else end - self.random_steps, end)

    @property
    def num_scored(self) -> int:
        """Scored steps S of a decision."""
        return 1 if self.score == "one_step" else len(self.random_window)


class FlowChain(NamedTuple):
    """The scored steps of decisions, S = 1 or up to K of them: what an update needs to score them again.

    A tuple of tensors in one floating-point type with the decisions as their first axis, as which storages keep it:
    ``FlowChain(*stored)``.
    """

    points: Tensor
    """x before the first scored step, then x after each, (B, S + 1, H, A)."""

    t: Tensor
    """Times of the scored steps, (B, S)."""

    mean: Tensor
    """Means of the scored steps when they were drawn, (B, S, H, A)."""

    std: Tensor
    """Stds of the scored steps when they were drawn, (B, S, H, A)."""


def sde_std(step: int, num_steps: int, noise_level: float) -> float:
    """Std ``sigma_t sqrt(d)`` of a Flow-SDE step at t = step / num_steps.

    With K = num_steps and k = step it is ``a sqrt((K - k) / (K max(k, 1)))``: a in the first step, and in the last
    ``a / sqrt(K (K - 1))``, which is not 0.
    """
    return noise_level * math.sqrt((num_steps - step) / (num_steps * max(step, 1)))


def _step_mean(x: Tensor, velocity: Tensor, std: Tensor, t: Tensor, options: FlowOptions) -> Tensor:
    """Mean of a step. The module's equation of Flow-SDE, rearranged around Euler's step, which it is where std = 0.

    Args:
        x: (B, H, A).
        velocity: (B, H, A).
        std: (B, H, A).
        t: (B,).
        options: Of the policy.
    """
    euler = x + velocity / options.num_steps
    if options.noise == "learned":
        return euler
    time = t[:, None, None]
    pull = x - time * velocity
    if options.noise_correlation:
        pull = _correlations(pull, options.noise_correlation) @ pull
    return euler - std.square() / (2.0 * (1.0 - time)) * pull


def _correlations(x: Tensor, correlation: float) -> Tensor:
    """C, the correlations between the control steps of chunks like x (B, H, A): (H, H)."""
    steps = torch.arange(x.shape[1], device=x.device)
    return correlation ** (steps[:, None] - steps).abs().to(x.dtype)


def _correlated(noise: Tensor, correlation: float) -> Tensor:
    """Independent standard normal numbers (B, H, A) to ones that are correlated along the chunk."""
    if not correlation:
        return noise
    factors = torch.tril(_correlations(noise, correlation))
    # e_0 = n_0, e_h = rho e_{h-1} + sqrt(1 - rho^2) n_h: a variance of 1 throughout
    factors[:, 1:] *= math.sqrt(1.0 - correlation**2)
    return factors @ noise


def _in_order(outcome: Tensor, mean: Tensor, std: Tensor, valid: Tensor, correlation: float) -> GaussianScored:
    """Scores of control steps, each given the control steps before it. (B, H', n) each; ``valid`` (B, H').

    The product of these densities over the first control steps is the density of these, so that what was not executed
    does not count.
    """
    if not correlation:
        return GaussianScored(outcome, mean, std, valid)
    before = std[:, :-1]
    # of steps that were not executed it may be 0
    scale = torch.where(before > 0.0, std[:, 1:] / torch.where(before > 0.0, before, 1.0), 0.0)
    shift = correlation * scale * where_valid(outcome - mean, valid, 0.0)[:, :-1]
    given_mean = torch.cat((mean[:, :1], mean[:, 1:] + shift), dim=1)
    given_std = torch.cat((std[:, :1], std[:, 1:] * math.sqrt(1.0 - correlation**2)), dim=1)
    return GaussianScored(outcome, given_mean, given_std, valid)


def _full_precision(x: Tensor) -> Tensor:
    """``x`` in float32, or as it is where it has more bits."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _evaluate(field: VelocityField, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor | None]:
    """Velocity and, where the field says it, raw std; (B, H, A) each, in float32 at least."""
    output = field(x, t)
    if isinstance(output, tuple):
        return _full_precision(output[0]), _full_precision(output[1])
    return _full_precision(output), None


def _learned_std(raw: Tensor | None, options: FlowOptions) -> Tensor:
    assert raw is not None, "with learned noise, the field returns a pair of velocity and raw std"
    return bounded_std(raw, *options.std_range)


def integrate(field: VelocityField, noise: Tensor, num_steps: int) -> Tensor:
    """The deterministic decision: the flow from ``noise`` (B, H, A) by Euler's steps ``x += v / num_steps``.

    Returns:
        Actions (B, H, A).
    """
    x = _full_precision(noise)
    for step in range(num_steps):
        velocity, _ = _evaluate(field, x, torch.full_like(x[:, 0, 0], step / num_steps))
        x = x + velocity / num_steps
    return x


@torch.no_grad()  # the chain is data: a gradient through how it was drawn would be a wrong one of its log-probability
def sample_chain(
    field: VelocityField,
    noise: Tensor,
    options: FlowOptions,
    noise_level: float,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, FlowChain]:
    """Decide at random.

    All entries of the chunk get noise, also those that do not count: the network was trained on points of which every
    entry is noisy.

    Args:
        field: The policy's network.
        noise: Where the flow starts, (B, H, A).
        options: Of the policy.
        noise_level: Level a of the noise ``sde``, from :meth:`FlowOptions.noise_level_at`.
        generator: Source of the steps' noise and of which step is random, on the device of ``noise``.

    Returns:
        Actions (B, H, A), and the scored steps.
    """
    x = _full_precision(noise)
    batch, steps, window = x.shape[0], options.num_steps, options.random_window
    if options.score == "one_step":
        chosen = torch.randint(window.start, window.stop, (batch, 1), generator=generator, device=x.device)
    else:
        chosen = torch.arange(window.start, window.stop, device=x.device).expand(batch, -1)
    points, times, means, stds = [x], [], [], []
    for step in range(steps):
        t = torch.full_like(x[:, 0, 0], step / steps)
        velocity, raw_std = _evaluate(field, x, t)
        if options.noise == "sde":
            std = torch.full_like(x, sde_std(step, steps, noise_level))
        else:
            std = _learned_std(raw_std, options)
        is_random = (chosen == step).any(dim=1)[:, None, None]
        std = torch.where(is_random, std, 0.0)
        mean = _step_mean(x, velocity, std, t, options)
        drawn = torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        x = mean + std * _correlated(drawn, options.noise_correlation)
        for record, value in zip((points, times, means, stds), (x, t, mean, std), strict=True):
            record.append(value)
    row = torch.arange(batch, device=x.device)[:, None]
    before_and_after = torch.cat((chosen, chosen[:, -1:] + 1), dim=1)
    scored = (torch.stack(record, dim=1)[row, chosen] for record in (times, means, stds))
    return x, FlowChain(torch.stack(points, dim=1)[row, before_and_after], *scored)


def rollout_steps(chain: FlowChain, options: FlowOptions, valid: Tensor, action_dims: Tensor) -> GaussianScored:
    """The scored steps under the policy that drew them, as :func:`scored_steps` lays them out.

    Args:
        chain: From :func:`sample_chain`.
        options: Those that the chain was drawn with.
        valid: Control steps that were executed, (B, H') bool; H' may be less than H where later steps never are.
        action_dims: Numbers of the dimensions that reach the robot, (n,) integers; the others are padding.
    """
    outcome, mean, std = (
        _entries(values, valid, action_dims) for values in (chain.points[:, 1:], chain.mean, chain.std)
    )
    return _in_order(outcome, mean, std, valid, options.noise_correlation)


def scored_steps(
    field: VelocityField, chain: FlowChain, options: FlowOptions, valid: Tensor, action_dims: Tensor
) -> GaussianScored:
    """The scored steps of chains under a network, differentiable in its parameters.

    S steps of a chunk with n action dimensions that count are laid out like one step with S * n of them: control step h
    has (B, H', S * n). Its KL divergence is that of the steps, each at the point that the chain visited; over chains
    that the policy drew itself, the mean of it is the KL of the chains' scored steps (chain rule).

    The network is called once per scored step with the batch of decisions, not once with S x B points: what it is
    conditioned on need not be repeated, and the same batch gives the same bits as it did in :func:`sample_chain`.
    The std of ``sde`` is the chain's: it does not depend on the network, so a chain can be scored after the noise level
    has changed.

    Args:
        field: The policy's network, or that of another policy to compare it with.
        chain, options, valid, action_dims: As in :func:`rollout_steps`.
    """
    outcome = _entries(chain.points[:, 1:], valid, action_dims)

    def counted(values: Tensor) -> Tensor:
        # before the maths and not only after it, or what is NaN there gets into the gradients as 0 * NaN
        return executed(values.index_select(-1, action_dims))

    def executed(values: Tensor) -> Tensor:
        return where_valid(values[:, : valid.shape[1]], valid, 0.0)

    means, stds = [], []
    for index in range(chain.t.shape[1]):
        x, t = chain.points[:, index], chain.t[:, index]
        velocity, raw_std = _evaluate(field, x, t)
        if options.noise == "learned":
            std = _learned_std(None if raw_std is None else counted(raw_std), options)
        else:
            std = counted(chain.std[:, index])
        if options.noise == "sde" and options.noise_correlation:
            # the drift mixes the control steps: whole chunks before the mask
            x, velocity, drawn_std = (v.index_select(-1, action_dims) for v in (x, velocity, chain.std[:, index]))
            means.append(executed(_step_mean(x, velocity, drawn_std, t, options)))
        else:
            means.append(_step_mean(counted(x), counted(velocity), std, t, options))
        stds.append(std)
    mean, std = torch.cat(means, dim=-1), torch.cat(stds, dim=-1)
    return _in_order(outcome, mean, std, valid, options.noise_correlation)


def _entries(values: Tensor, valid: Tensor, action_dims: Tensor) -> Tensor:
    """The steps that may be executed and the dimensions that count: (B, S, H, A) -> (B, H', S * n)."""
    return values[:, :, : valid.shape[1]].index_select(-1, action_dims).transpose(1, 2).flatten(2)
