# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Densities of action chunks under diagonal Gaussians. Pure functions, fp32.

An action chunk has the shape (B, H, A): batch, control steps, action dimensions. ``valid`` (B, H) marks the control
steps that were executed; what came after the end of the episode changed nothing and must not count.
"""

from __future__ import annotations

import math

import torch

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


def _sum_over_valid(per_dimension: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """(B, H, A) and (B, H) -> (B,)."""
    # where, not a product: an invalid entry may be infinite
    return torch.where(valid.unsqueeze(-1), per_dimension, 0.0).sum(dim=(1, 2))


def log_prob(
    actions: torch.Tensor, mean: torch.Tensor, std: torch.Tensor, valid: torch.Tensor
) -> torch.Tensor:
    """Log-density of a chunk under a diagonal Gaussian, over the executed steps.

    Args:
        actions: (B, H, A).
        mean: (B, H, A).
        std: (B, H, A) or (H, A).
        valid: (B, H) bool.

    Returns:
        (B,).
    """
    density = -0.5 * ((actions - mean) / std).square() - std.log() - _HALF_LOG_TWO_PI
    return _sum_over_valid(density, valid)


def kl_divergence(
    mean: torch.Tensor, std: torch.Tensor, other_mean: torch.Tensor, other_std: torch.Tensor, valid: torch.Tensor
) -> torch.Tensor:
    """KL(N(mean, std) || N(other_mean, other_std)) of a chunk, over the executed steps. (B, H, A) -> (B,)."""
    divergence = (
        other_std.log() - std.log() + (std.square() + (mean - other_mean).square()) / (2.0 * other_std.square()) - 0.5
    )
    return _sum_over_valid(divergence.expand(mean.shape), valid)


def entropy(std: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
    """Differential entropy of a chunk, over the executed steps. std (B, H, A) -> (B,)."""
    return _sum_over_valid(std.log() + _HALF_LOG_TWO_PI + 0.5, valid)
