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
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor
from torch.nn.functional import softplus

from gr00t_rl_ext.policy import gaussian


class Scored(Protocol):
    """The distribution of stored decisions under some policy, bound to what was drawn.

    To compare two policies, both are bound to the same decisions.
    """

    @property
    def valid(self) -> Tensor:
        """Control steps that were executed, (B, H) bool."""
        ...

    def log_prob(self) -> Tensor:
        """Log-density (or log-probability) of what was drawn, (B, H)."""
        ...

    def log_ratio(self, other: Self) -> Tensor:
        """``self.log_prob() - other.log_prob()``, (B, H), subtracted entry by entry and so without its rounding."""
        ...

    def entropy(self) -> Tensor:
        """(Differential) entropy, (B, H)."""
        ...

    def kl_divergence(self, other: Self) -> Tensor:
        """KL(self || other), (B, H)."""
        ...


@dataclass(frozen=True)
class GaussianScored:
    """Independent Gaussians."""

    outcome: Tensor
    """What was drawn, (B, H, A)."""

    mean: Tensor
    """(B, H, A)."""

    std: Tensor
    """(B, H, A) or (H, A)."""

    valid: Tensor
    """Control steps that were executed, (B, H) bool."""

    def log_prob(self) -> Tensor:
        """Log-density of what was drawn, (B, H)."""
        return gaussian.log_prob(self.outcome, self.mean, self.std, self.valid)

    def log_ratio(self, other: GaussianScored) -> Tensor:
        """``self.log_prob() - other.log_prob()`` of the same outcome, without its rounding, (B, H)."""
        return gaussian.log_ratio(self.outcome, self.mean, self.std, other.mean, other.std, self.valid)

    def entropy(self) -> Tensor:
        """Differential entropy, (B, H)."""
        return gaussian.entropy(self.std, self.valid)

    def kl_divergence(self, other: GaussianScored) -> Tensor:
        """KL(self || other), (B, H)."""
        return gaussian.kl_divergence(self.mean, self.std, other.mean, other.std, self.valid)


@dataclass(frozen=True)
class SquashedGaussianScored:
    """Actions ``a = tanh(u)`` of independent Gaussians ``u ~ N(mean, std)``.

    Bound to u and not to a, which in fp32 is exactly 1 from about u = 9 on: tanh could not be inverted there.
    """

    raw: Tensor
    """u, (B, H, A)."""

    mean: Tensor
    """Mean of u, (B, H, A)."""

    std: Tensor
    """Std of u, (B, H, A) or (H, A)."""

    valid: Tensor
    """Control steps that were executed, (B, H) bool."""

    noise: Tensor
    """``(u - mean) / std`` under the policy that drew u, (B, H, A): standard normal."""

    def log_prob(self) -> Tensor:
        """Log-density of a, ``log N(u) - log |da/du|``, (B, H)."""
        raw = gaussian.where_valid(self.raw, self.valid, 0.0)
        slope = gaussian.sum_of_valid(_log_slope_of_tanh(raw), self.valid)
        return gaussian.log_prob(self.raw, self.mean, self.std, self.valid) - slope

    def log_ratio(self, other: SquashedGaussianScored) -> Tensor:
        """``self.log_prob() - other.log_prob()`` of the same u, in which the slope of tanh cancels, (B, H)."""
        return gaussian.log_ratio(self.raw, self.mean, self.std, other.mean, other.std, self.valid)

    def entropy(self) -> Tensor:
        """Unbiased estimate of the differential entropy of a, (B, H).

        The expectation in ``H(a) = H(u) + E[log |da/du|]`` has no closed form. It is taken over one sample, ``mean +
        std * noise``, which moves with mean and std: so the gradient is unbiased as well. Nothing is drawn here, so
        that a decision has the same estimate whenever it is scored.
        """
        mean, std, noise = (
            gaussian.where_valid(values, self.valid, 0.0) for values in (self.mean, self.std, self.noise)
        )
        slope = gaussian.sum_of_valid(_log_slope_of_tanh(mean + std * noise), self.valid)
        return gaussian.entropy(self.std, self.valid) + slope

    def kl_divergence(self, other: SquashedGaussianScored) -> Tensor:
        """KL(self || other), (B, H): that of the Gaussians, as a bijection does not change it."""
        return gaussian.kl_divergence(self.mean, self.std, other.mean, other.std, self.valid)


def _log_slope_of_tanh(u: Tensor) -> Tensor:
    """``log(1 - tanh(u)^2)``, which as written is -inf in fp32 from about ``|u| = 9`` on. Same shape."""
    return 2.0 * (math.log(2.0) - u - softplus(-2.0 * u))


@dataclass(frozen=True)
class CategoricalScored:
    """Independent choices, one for each of A components of a control step."""

    outcome: Tensor
    """What was chosen, from 0, (B, H, A) int64."""

    logits: Tensor
    """(B, H, sum(choices)) in float32 at least: those of the first component, then of the second, and so on."""

    valid: Tensor
    """Control steps that were executed, (B, H) bool."""

    choices: tuple[int, ...]
    """How many choices each component has, A numbers."""

    def log_prob(self) -> Tensor:
        """Log-probability of what was chosen, (B, H)."""
        return gaussian.sum_of_valid(self._log_prob_of(self.outcome), self.valid)

    def log_ratio(self, other: CategoricalScored) -> Tensor:
        """``self.log_prob() - other.log_prob()`` of the same outcome, subtracted component by component, (B, H)."""
        difference = self._log_prob_of(self.outcome) - other._log_prob_of(self.outcome)
        return gaussian.sum_of_valid(difference, self.valid)

    def entropy(self) -> Tensor:
        """Entropy in nats, (B, H)."""
        log_probs = self._log_probs()
        components = [-(log_prob.exp() * log_prob).sum(-1) for log_prob in log_probs]
        return gaussian.sum_of_valid(torch.stack(components, dim=-1), self.valid)

    def kl_divergence(self, other: CategoricalScored) -> Tensor:
        """KL(self || other), (B, H)."""
        pairs = zip(self._log_probs(), other._log_probs(), strict=True)
        components = [(log_prob.exp() * (log_prob - log_other)).sum(-1) for log_prob, log_other in pairs]
        return gaussian.sum_of_valid(torch.stack(components, dim=-1), self.valid)

    def _log_probs(self) -> list[Tensor]:
        """Log-probabilities of each component's choices, finite where not valid, (B, H, number of choices) each."""
        logits = gaussian.where_valid(self.logits, self.valid, 0.0)
        return [component.log_softmax(dim=-1) for component in logits.split(self.choices, dim=-1)]

    def _log_prob_of(self, outcome: Tensor) -> Tensor:
        """Log-probability of each component's outcome, (B, H, A)."""
        # what is stored where not valid may be no index
        chosen = torch.where(self.valid.unsqueeze(-1), outcome, 0).split(1, dim=-1)
        pairs = zip(self._log_probs(), chosen, strict=True)
        return torch.cat([log_prob.gather(-1, index) for log_prob, index in pairs], dim=-1)


def sample_categorical(logits: Tensor, choices: Sequence[int], generator: torch.Generator | None = None) -> Tensor:
    """Draw a choice for each component.

    Args:
        logits: (B, H, sum(choices)).
        choices: How many choices each of A components has.
        generator: Source of randomness, on the device of ``logits``.

    Returns:
        (B, H, A) int64.
    """
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
