# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Stored decisions under a policy: what an objective may ask of them, whatever the distribution.

A decision is a chunk (B, H, A): batch, control steps, entries. ``valid`` (B, H) marks the control steps that were
executed; what came after the end of the episode changed nothing and must not count. Values are those of control steps
(B, H), 0 where not executed, so that an objective may weigh single steps or sum them up to the chunk. What is stored
where not valid reaches neither values nor gradients, whatever it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

from torch import Tensor

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
