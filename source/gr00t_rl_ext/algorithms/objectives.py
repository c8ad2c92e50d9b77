# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Pure tensor maths of policy optimisation: losses and diagnostics of a batch of decisions. No state; fp32.

The log-ratio of a decision is the log-density of its action chunk under the current policy minus that under the
rollout's policy, see :mod:`gr00t_rl_ext.policy.gaussian`.
"""

from __future__ import annotations

import torch


def clipped_surrogate_loss(log_ratio: torch.Tensor, advantages: torch.Tensor, clip: float) -> torch.Tensor:
    """PPO's pessimistic surrogate, to be minimised (Schulman et al. 2017, arXiv 1707.06347, eq. 7). (B,) -> ()."""
    ratio = log_ratio.exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(1.0 - clip, 1.0 + clip) * advantages).mean()


def value_loss(
    values: torch.Tensor, old_values: torch.Tensor, returns: torch.Tensor, clip: float | None
) -> torch.Tensor:
    """Mean squared error of the values; with ``clip``, of the worse of the value and its clipped change.

    Args:
        values: (B,).
        old_values: Values at the time of the rollout, (B,).
        returns: (B,).
        clip: Largest change that counts (the 37 implementation details of PPO, no. 9). None: no clipping.
    """
    error = (values - returns).square()
    if clip is None:
        return error.mean()
    clipped = old_values + (values - old_values).clamp(-clip, clip)
    return torch.maximum(error, (clipped - returns).square()).mean()


def approximate_kl(log_ratio: torch.Tensor) -> torch.Tensor:
    """Estimate of KL(old || new) from samples of the old policy: mean of (r - 1) - log r.

    Unbiased, never negative, of low variance (Schulman 2020, "Approximating KL divergence", estimator k3). (B,) -> ().
    """
    return (log_ratio.exp() - 1.0 - log_ratio).mean()


def clip_fraction(log_ratio: torch.Tensor, clip: float) -> torch.Tensor:
    """Fraction of the samples whose ratio lies outside the clip range. (B,) -> ()."""
    return ((log_ratio.exp() - 1.0).abs() > clip).float().mean()


def explained_variance(values: torch.Tensor, returns: torch.Tensor) -> torch.Tensor:
    """1 - Var(returns - values) / Var(returns): 1 is perfect, 0 no better than the mean. NaN for constant returns."""
    variance = returns.var()
    return torch.where(variance > 0.0, 1.0 - (returns - values).var() / variance, torch.nan)
