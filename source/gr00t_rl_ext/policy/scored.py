# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Stored decisions under a policy: what an objective may ask of them, whatever the distribution.

A decision is a chunk (B, H, A): batch, control steps, entries. ``valid`` (B, H) marks the control steps that were
executed; what came after the end of the episode changed nothing and must not count. Values are those of control steps
(B, H), 0 where not executed, so that an objective may weigh single steps or sum them up to the chunk. What is stored
where not valid reaches neither values nor gradients, whatever it is.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import softplus

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


class Scored(ABC):
    """The distribution of stored decisions under some policy, bound to what was drawn.

    To compare two policies, both are bound to the same decisions.
    """

    valid: Tensor
    """Control steps that were executed, (B, H) bool."""

    def log_prob(self) -> Tensor:
        """Log-density (or log-probability) of what was drawn, (B, H)."""
        return _sum_of_valid(self._log_density(), self.valid)

    def log_ratio(self, other: Self) -> Tensor:
        """``self.log_prob() - other.log_prob()``, (B, H), without its rounding.

        Subtracted entry by entry: the density of a chunk with hundreds of entries is a number of hundreds, whose last
        bit in fp32 is more than a ratio near 1 may be off.
        """
        return _sum_of_valid(self._log_density() - other._log_density(), self.valid)

    @abstractmethod
    def entropy(self) -> Tensor:
        """(Differential) entropy in nats, (B, H)."""

    @abstractmethod
    def kl_divergence(self, other: Self) -> Tensor:
        """KL(self || other), (B, H)."""

    @abstractmethod
    def _log_density(self) -> Tensor:
        """Log-density of each entry, finite in the invalid ones, (B, H, A)."""


@dataclass(frozen=True)
class GaussianScored(Scored):
    """Independent Gaussians."""

    outcome: Tensor
    """What was drawn, (B, H, A)."""

    mean: Tensor
    """(B, H, A)."""

    std: Tensor
    """(B, H, A) or (H, A)."""

    valid: Tensor
    """Control steps that were executed, (B, H) bool."""

    def entropy(self) -> Tensor:
        return _sum_of_valid(where_valid(self.std, self.valid, 1.0).log() + _HALF_LOG_TWO_PI + 0.5, self.valid)

    def kl_divergence(self, other: Self) -> Tensor:
        shift = where_valid(self.mean - other.mean, self.valid, 0.0)
        std, other_std = (where_valid(scored.std, self.valid, 1.0) for scored in (self, other))
        divergence = other_std.log() - std.log() + (std.square() + shift.square()) / (2.0 * other_std.square()) - 0.5
        return _sum_of_valid(divergence, self.valid)

    def _log_density(self) -> Tensor:
        deviation = where_valid(self.outcome - self.mean, self.valid, 0.0)
        std = where_valid(self.std, self.valid, 1.0)
        return -0.5 * (deviation / std).square() - std.log() - _HALF_LOG_TWO_PI


@dataclass(frozen=True)
class SquashedGaussianScored(GaussianScored):
    """Actions ``a = tanh(u)`` of independent Gaussians ``u ~ N(mean, std)``. The outcome is u.

    It is not a, which in fp32 is exactly 1 from about u = 9 on: tanh could not be inverted there. In the ratio the
    slope of tanh cancels, and a bijection does not change the KL divergence: both are those of the Gaussians.
    """

    noise: Tensor
    """``(u - mean) / std`` under the policy that drew u, (B, H, A): standard normal."""

    def log_prob(self) -> Tensor:
        """Log-density of a, ``log N(u) - log |da/du|``, (B, H)."""
        slope = _sum_of_valid(_log_slope_of_tanh(where_valid(self.outcome, self.valid, 0.0)), self.valid)
        return super().log_prob() - slope

    def entropy(self) -> Tensor:
        """Unbiased estimate of the differential entropy of a, (B, H).

        The expectation in ``H(a) = H(u) + E[log |da/du|]`` has no closed form. It is taken over one sample, ``mean +
        std * noise``, which moves with mean and std: so the gradient is unbiased as well. Nothing is drawn here, so
        that a decision has the same estimate whenever it is scored.
        """
        mean, std, noise = (where_valid(values, self.valid, 0.0) for values in (self.mean, self.std, self.noise))
        slope = _sum_of_valid(_log_slope_of_tanh(mean + std * noise), self.valid)
        return super().entropy() + slope


def _log_slope_of_tanh(u: Tensor) -> Tensor:
    """``log(1 - tanh(u)^2)``, which as written is -inf in fp32 from about ``|u| = 9`` on. Same shape."""
    return 2.0 * (math.log(2.0) - u - softplus(-2.0 * u))


@dataclass(frozen=True)
class CategoricalScored(Scored):
    """Independent choices, one for each of A components of a control step."""

    outcome: Tensor
    """What was chosen, from 0, (B, H, A) int64."""

    logits: Tensor
    """(B, H, sum(choices)) in float32 at least: those of the first component, then of the second, and so on."""

    valid: Tensor
    """Control steps that were executed, (B, H) bool."""

    choices: tuple[int, ...]
    """How many choices each component has, A numbers."""

    def entropy(self) -> Tensor:
        components = [-(log_prob.exp() * log_prob).sum(-1) for log_prob in self._log_probs()]
        return _sum_of_valid(torch.stack(components, dim=-1), self.valid)

    def kl_divergence(self, other: Self) -> Tensor:
        pairs = zip(self._log_probs(), other._log_probs(), strict=True)
        components = [(log_prob.exp() * (log_prob - log_other)).sum(-1) for log_prob, log_other in pairs]
        return _sum_of_valid(torch.stack(components, dim=-1), self.valid)

    def _log_probs(self) -> list[Tensor]:
        """Log-probabilities of each component's choices, finite where not valid, (B, H, number of choices) each."""
        logits = where_valid(self.logits, self.valid, 0.0)
        return [component.log_softmax(dim=-1) for component in logits.split(self.choices, dim=-1)]

    def _log_density(self) -> Tensor:
        # what is stored where not valid may be no index
        chosen = torch.where(self.valid.unsqueeze(-1), self.outcome, 0).split(1, dim=-1)
        pairs = zip(self._log_probs(), chosen, strict=True)
        return torch.cat([log_prob.gather(-1, index) for log_prob, index in pairs], dim=-1)


def where_valid(values: Tensor, valid: Tensor, other: float) -> Tensor:
    """``other`` in place of the invalid entries: (B, H, A) or (H, A), and (B, H) -> (B, H, A).

    To be applied before a function whose derivative may be infinite or NaN there: masking only its result leaves
    ``0 * inf = NaN`` in the gradient.
    """
    return torch.where(valid.unsqueeze(-1), values, other)


def _sum_of_valid(per_dimension: Tensor, valid: Tensor) -> Tensor:
    """Sum over the action dimensions, 0 where not executed: (B, H, A) and (B, H) -> (B, H)."""
    return where_valid(per_dimension, valid, 0.0).sum(dim=-1)


def bounded_std(raw: Tensor, low: float, high: float) -> Tensor:
    """Any number to a standard deviation in [low, high], 0 to their geometric mean; same shape.

    A sigmoid in log space, so that its gradient never vanishes abruptly as with clamping.
    """
    return torch.exp(math.log(low) + (math.log(high) - math.log(low)) * torch.sigmoid(raw))


def raw_std(std: float, low: float, high: float) -> float:
    """The inverse of :func:`bounded_std`, for a standard deviation between the bounds."""
    fraction = math.log(std / low) / math.log(high / low)
    return math.log(fraction / (1.0 - fraction))


def sample_categorical(logits: Tensor, choices: Sequence[int], generator: torch.Generator | None = None) -> Tensor:
    """Draw a choice for each of A components: (B, H, sum(choices)) -> (B, H, A) int64."""
    components = logits.split(list(choices), dim=-1)
    drawn = [
        torch.multinomial(component.softmax(dim=-1).flatten(0, 1), 1, generator=generator) for component in components
    ]
    return torch.cat(drawn, dim=-1).unflatten(0, logits.shape[:2])


def mode(logits: Tensor, choices: list[int]) -> Tensor:
    """The likeliest choice of each component: (B, H, sum(choices)) -> (B, H, A) int64. Can be scripted."""
    return torch.stack([component.argmax(dim=-1) for component in logits.split(choices, dim=-1)], dim=-1)


def choose(logits: Tensor, choices: Sequence[int], stochastic: bool) -> Tensor:
    """Choices as an environment takes them, drawn or the likeliest: (B, H, sum(choices)) -> (B, H, A), as floats."""
    chosen = sample_categorical(logits, choices) if stochastic else mode(logits, list(choices))
    return chosen.float()


def score_choices(actions: Tensor, logits: Tensor, valid: Tensor, choices: tuple[int, ...]) -> CategoricalScored:
    """The categoricals of decisions from :func:`choose`, flattened (B, H * A)."""
    outcome = actions.long().view(*logits.shape[:2], len(choices))
    return CategoricalScored(outcome, logits, valid, choices)


def uncertainty(logits: Tensor, choices: Sequence[int]) -> Tensor:
    """Probability of another choice than the likeliest one: (B, H, sum(choices)) -> (B, H, A)."""
    components = logits.split(list(choices), dim=-1)
    return torch.stack([1.0 - component.softmax(-1).amax(-1) for component in components], dim=-1)
