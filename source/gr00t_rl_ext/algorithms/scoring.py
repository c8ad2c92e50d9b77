# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Stored decisions under the policies that an objective compares."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.algorithms.storage import Batch
from gr00t_rl_ext.policy.actor import Actor
from gr00t_rl_ext.policy.scored import Scored


@dataclass(frozen=True)
class ScoredBatch:
    """Some decisions under the policies that an objective compares."""

    observations: TensorDict
    """Encoded, as the layers that train make them now."""

    current: Scored
    """The policy as it is now; differentiable."""

    old: Scored
    """The policy of the rollout."""

    base: Scored | None
    """The policy at step 0; None where it is not kept."""

    def divergences(self, with_exact_kl: bool) -> dict[str, Tensor]:
        """Entropy and KL, means over decisions.

        Args:
            with_exact_kl: Whether to compute the KL of the rollout's policy to the current one, without gradient.
        """
        means = {"entropy": self.current.entropy().sum(1).mean()}
        if self.base is not None:
            means["kl_to_base"] = self.current.kl_divergence(self.base).sum(1).mean()
        if with_exact_kl:
            with torch.no_grad():
                means["exact_kl"] = self.old.kl_divergence(self.current).sum(1).mean()
        return means


def score(
    actor: Actor, batch: Batch, autocast: Callable[[], AbstractContextManager], with_gradient: bool
) -> ScoredBatch:
    """Score decisions.

    Args:
        actor: The policy.
        batch: The decisions.
        autocast: Makes the context that networks run in.
        with_gradient: Whether the policy trains.
    """
    with torch.set_grad_enabled(with_gradient), autocast():
        obs = actor.encoder.complete(batch.observations)
        distribution = actor.distribution(obs, batch.decisions)
    # densities in fp32: one unit in the last place of bf16 moves a ratio by several percent
    current = actor.scored(distribution, batch.decisions)
    recorded = actor.recorded_distribution(batch.decisions) if batch.old is None else batch.old
    base = None if batch.base is None else actor.scored(batch.base, batch.decisions)
    return ScoredBatch(obs, current, actor.scored(recorded, batch.decisions), base)
