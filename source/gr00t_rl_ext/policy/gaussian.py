# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Densities of action chunks under diagonal Gaussians. Pure functions, fp32.

An action chunk has the shape (B, H, A): batch, control steps, action dimensions. ``valid`` (B, H) marks the control
steps that were executed; what came after the end of the episode changed nothing and must not count. Values are those of
control steps (B, H), 0 where not executed: their sum over the steps is that of the chunk.
"""

from __future__ import annotations

import math

import torch

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


def where_valid(values: torch.Tensor, valid: torch.Tensor, other: float) -> torch.Tensor:
    """``other`` in place of the invalid entries: (B, H, A) or (H, A), and (B, H) -> (B, H, A).

    To be applied before a function whose derivative may be infinite or NaN there: masking only its result leaves
    ``0 * inf = NaN`` in the gradient.
    """
    return torch.where(valid.unsqueeze(-1), values, other)


def sum_of_valid(per_dimension: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Sum over the action dimensions, 0 where not executed: (B, H, A) and (B, H) -> (B, H)."""
    return where_valid(per_dimension, valid, 0.0).sum(dim=-1)


def bounded_std(raw: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Any number to a standard deviation in [low, high], 0 to their geometric mean; same shape.

    A sigmoid in log space, so that its gradient never vanishes abruptly as with clamping.
    """
    return torch.exp(math.log(low) + (math.log(high) - math.log(low)) * torch.sigmoid(raw))


def _log_density(actions: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Log-density of each entry, finite in the invalid ones. (B, H, A)."""
    deviation, std = where_valid(actions - mean, valid, 0.0), where_valid(std, valid, 1.0)
    return -0.5 * (deviation / std).square() - std.log() - _HALF_LOG_TWO_PI


def log_prob(actions: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Log-density of each control step under a diagonal Gaussian.

    Args:
        actions: (B, H, A).
        mean: (B, H, A).
        std: (B, H, A) or (H, A).
        valid: (B, H) bool.

    Returns:
        (B, H).
    """
    return sum_of_valid(_log_density(actions, mean, std, valid), valid)


def log_ratio(
    actions: torch.Tensor,
    mean: torch.Tensor,
    std: torch.Tensor,
    other_mean: torch.Tensor,
    other_std: torch.Tensor,
    valid: torch.Tensor,
) -> torch.Tensor:
    """Log of density under N(mean, std) over that under N(other_mean, other_std). Shapes as in :func:`log_prob`.

    Subtracted entry by entry: the density of a chunk with hundreds of entries is a number of hundreds, whose last bit
    in fp32 is more than a ratio near 1 may be off.
    """
    density, other = _log_density(actions, mean, std, valid), _log_density(actions, other_mean, other_std, valid)
    return sum_of_valid(density - other, valid)


def kl_divergence(
    mean: torch.Tensor, std: torch.Tensor, other_mean: torch.Tensor, other_std: torch.Tensor, valid: torch.Tensor
) -> torch.Tensor:
    """KL(N(mean, std) || N(other_mean, other_std)) of each control step. (B, H, A) -> (B, H)."""
    shift = where_valid(mean - other_mean, valid, 0.0)
    std, other_std = where_valid(std, valid, 1.0), where_valid(other_std, valid, 1.0)
    divergence = other_std.log() - std.log() + (std.square() + shift.square()) / (2.0 * other_std.square()) - 0.5
    return sum_of_valid(divergence, valid)


def entropy(std: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Differential entropy of each control step. std (B, H, A) or (H, A) -> (B, H)."""
    return sum_of_valid(where_valid(std, valid, 1.0).log() + _HALF_LOG_TWO_PI + 0.5, valid)
