# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Pure tensor maths of policy optimisation: losses and diagnostics of a batch of decisions. No state; fp32.

The log-ratio of a decision is the log-density of its action chunk under the current policy minus that under the
rollout's policy, see :mod:`gr00t_rl_ext.policy.scored`. Where each control step of a chunk has a ratio or a value of
its own, the arguments are (B, H) and ``valid`` (B, H) bool marks the executed steps. Each of them weighs the same, so
that the parts of a mini-batch weigh by their executed steps. The other entries may hold anything, NaN included.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from gr00t_rl_ext.algorithms.ranks import Total, on_one_rank

MAX_LOG_RATIO = 20.0
"""Log-ratios above this count as this, a ratio of 4.9e8, and have no gradient.

exp() overflows at 88. PPO's minimum picks the clipped term for a positive advantage, but 0 * inf makes the gradient of
the other one NaN; for a negative advantage loss and gradient are infinite. Clipping the gradient's norm would turn even
a finite one into a step for that sample alone, so the sample is left to the early stop at the target KL. Below -20
nothing is needed: the ratio and its gradient go to 0.
"""


def _masked(values: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
    """0 in place of the invalid entries. Before any function: masking its result leaves 0 * NaN in the gradient."""
    return values if valid is None else torch.where(valid, values, 0.0)


def _bounded(log_ratio: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
    return _masked(log_ratio, valid).clamp(max=MAX_LOG_RATIO)


def masked_mean(values: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
    """Mean of the valid entries; of all without a mask. 0 if there are none. (...) -> ()."""
    if valid is None:
        return values.mean()
    return _masked(values, valid).sum() / valid.sum().clamp(min=1)


def mean_and_std(values: torch.Tensor, valid: torch.Tensor | None, total: Total) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and unbiased standard deviation of the valid entries of all ranks, () each.

    They need two valid entries; for one the standard deviation is NaN.

    Args:
        values: Any shape.
        valid: Like ``values``, bool; None: all are.
        total: Sums a tensor over the ranks.
    """
    valid = torch.ones_like(values, dtype=torch.bool) if valid is None else valid
    count, added = total(torch.stack((valid.sum().to(values.dtype), _masked(values, valid).sum())))
    mean = added / count
    squares = total(_masked(values - mean, valid).square().sum())
    return mean, (squares / (count - 1)).sqrt()


def normalize_advantages(
    advantages: torch.Tensor, valid: torch.Tensor | None = None, total: Total = on_one_rank
) -> torch.Tensor:
    """Mean 0 and standard deviation 1 over the valid entries, 0 in the others; same shape.

    As rsl_rl: the unbiased standard deviation, plus 1e-8; but over all ranks. See :func:`mean_and_std`.
    """
    mean, std = mean_and_std(advantages, valid, total)
    deviations = advantages - mean
    return (deviations if valid is None else _masked(deviations, valid)) / (std + 1e-8)


LEAST_SPREAD = 0.01
"""Of a task's advantages, as a share of that of all tasks."""


def normalize_advantages_of_tasks(
    advantages: torch.Tensor,
    tasks: torch.Tensor,
    num_tasks: int,
    valid: torch.Tensor | None = None,
    total: Total = on_one_rank,
) -> torch.Tensor:
    """:func:`normalize_advantages` of the decisions of each task alone, so that none is drowned by another's returns.

    A task with one entry gets the advantage 0. A task that hardly differs is not blown up: its standard deviation
    counts as at least :data:`LEAST_SPREAD` of that over all tasks.

    Args:
        advantages: (..., W).
        tasks: The task of each decision, (...) int.
        num_tasks: K.
        valid: Like ``advantages``, bool; None: all are.
        total: Sums a tensor over the ranks.
    """
    valid = torch.ones_like(advantages, dtype=torch.bool) if valid is None else valid
    index, counted = tasks.unsqueeze(-1).expand_as(advantages), valid.to(advantages.dtype)

    def per_task(values: torch.Tensor) -> torch.Tensor:
        zeros = torch.zeros(num_tasks, dtype=values.dtype, device=values.device)
        return zeros.index_add(0, index.flatten(), values.flatten())

    count, added = total(torch.stack((per_task(counted), per_task(_masked(advantages, valid)))))
    deviations = _masked(advantages - (added / count.clamp(min=1))[index], valid)
    squares = total(per_task(deviations.square()))
    std = (squares / (count - 1).clamp(min=1)).sqrt()
    least = LEAST_SPREAD * (squares.sum() / (count.sum() - 1).clamp(min=1)).sqrt()
    return deviations / (torch.maximum(std, least)[index] + 1e-8)


def clipped_surrogate_loss(
    log_ratio: torch.Tensor,
    advantages: torch.Tensor,
    clip: float,
    valid: torch.Tensor | None = None,
    clip_high: float | None = None,
) -> torch.Tensor:
    """PPO's pessimistic surrogate, to be minimised (Schulman et al. 2017, arXiv 1707.06347, eq. 7).

    Finite, with a finite gradient, for any log-ratio that is a number, see :data:`MAX_LOG_RATIO`.

    Args:
        log_ratio: (B,), or (B, H) with ``valid``.
        advantages: Like ``log_ratio``.
        clip: A ratio below 1 - clip gains nothing.
        valid: (B, H) bool.
        clip_high: A ratio above 1 + clip_high gains nothing ("clip-higher", DAPO, arXiv 2503.14476, eq. 10). None:
            ``clip``.

    Returns:
        The mean, ().
    """
    ratio, advantages = _bounded(log_ratio, valid).exp(), _masked(advantages, valid)
    clipped = ratio.clamp(1.0 - clip, 1.0 + (clip if clip_high is None else clip_high))
    return -masked_mean(torch.minimum(ratio * advantages, clipped * advantages), valid)


def value_loss(
    values: torch.Tensor,
    old_values: torch.Tensor,
    returns: torch.Tensor,
    clip: float | None,
    huber_delta: float | None = None,
    valid: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean squared error of the values; with ``clip``, of the worse of the value and its clipped change.

    Args:
        values: (B,), or (B, H) with ``valid``.
        old_values: Values at the time of the rollout, like ``values``.
        returns: Like ``values``.
        clip: Largest change that counts (the 37 implementation details of PPO, no. 9). None: no clipping.
        huber_delta: Errors beyond this count linearly: 2 delta |e| - delta^2 in place of e^2. It is twice Huber's loss,
            so that the loss of a small error, and what its coefficient means, stay the same. None: never.
        valid: (B, H) bool.

    Returns:
        The mean, ().
    """
    values, old_values, returns = (_masked(tensor, valid) for tensor in (values, old_values, returns))

    def loss(predicted: torch.Tensor) -> torch.Tensor:
        if huber_delta is None:
            return (predicted - returns).square()
        return 2.0 * F.huber_loss(predicted, returns, reduction="none", delta=huber_delta)

    if clip is None:
        return masked_mean(loss(values), valid)
    clipped = old_values + (values - old_values).clamp(-clip, clip)
    return masked_mean(torch.maximum(loss(values), loss(clipped)), valid)


def _k3(log_ratio: torch.Tensor, valid: torch.Tensor | None) -> torch.Tensor:
    """r - 1 - log r: Schulman 2020, "Approximating KL divergence", estimator k3. Never negative, 0 at r = 1."""
    log_ratio = _bounded(log_ratio, valid)
    return log_ratio.exp() - 1.0 - log_ratio


def approximate_kl(log_ratio: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
    """Estimate of KL(old || new) from samples of the old policy: mean of (r - 1) - log r.

    Unbiased, never negative, of low variance (Schulman 2020, "Approximating KL divergence", estimator k3). Log-ratios
    above :data:`MAX_LOG_RATIO` count as that. (B,), or (B, H) with ``valid`` (B, H) -> ().
    """
    return masked_mean(_k3(log_ratio, valid), valid)


def low_variance_kl(
    log_ratio_to_base: torch.Tensor, valid: torch.Tensor | None = None, log_ratio: torch.Tensor | None = None
) -> torch.Tensor:
    """Estimate of KL(current || base), as a penalty, for policies whose KL has no closed form.

    The mean of exp(d) - d - 1 (GRPO, arXiv 2402.03300, eq. 4), which is never negative and has gradient 0 at d = 0. It
    is unbiased for samples of the current policy; an update has those of the rollout's, to which the current one is
    equal in the first mini-batch only. Even there its gradient is that of KL(base || current), because the gradient
    does not see that the samples move with the policy. With ``log_ratio`` the estimate is weighted by pi_current /
    pi_rollout (DeepSeek-V3.2, arXiv 2512.02556): value and gradient are then both unbiased for
    KL(current || base), with the variance of the weights.

    Finite with a finite gradient for any d from -1e4 on; above :data:`MAX_LOG_RATIO` d and ``log_ratio`` count as that
    and have no gradient.

    Args:
        log_ratio_to_base: d = log pi_base - log pi_current of the sampled actions, (B,), or (B, H) with ``valid``.
        valid: (B, H) bool.
        log_ratio: log pi_current - log pi_rollout, like ``log_ratio_to_base``. None: no weights.

    Returns:
        The mean, ().
    """
    divergences = _k3(log_ratio_to_base, valid)
    if log_ratio is not None:
        divergences = _bounded(log_ratio, valid).exp() * divergences
    return masked_mean(divergences, valid)


def clip_fraction(
    log_ratio: torch.Tensor, clip: float, valid: torch.Tensor | None = None, clip_high: float | None = None
) -> torch.Tensor:
    """Fraction of the samples whose ratio lies outside the clip range. Arguments of the surrogate. (...) -> ()."""
    change = _bounded(log_ratio, valid).exp() - 1.0
    outside = (change < -clip) | (change > (clip if clip_high is None else clip_high))
    return masked_mean(outside.float(), valid)


def explained_variance(values: torch.Tensor, returns: torch.Tensor) -> torch.Tensor:
    """1 - Var(returns - values) / Var(returns): 1 is perfect, 0 no better than the mean. NaN for constant returns."""
    variance = returns.var()
    return torch.where(variance > 0.0, 1.0 - (returns - values).var() / variance, torch.nan)
