# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The policy at step 0, and the distributions of stored decisions that an update compares with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.algorithms.storage import Batch, DecisionStorage
from gr00t_rl_ext.policy.actor import Actor
from gr00t_rl_ext.policy.scored import Scored

RATIO_TOLERANCE = {torch.float32: 0.05, torch.bfloat16: 0.5, torch.float16: 0.5}
"""Largest error of a ratio between rollout and update that rounding explains, by data type."""


class Reference:
    """The policy at step 0: a frozen copy of the actor's own networks, over GR00T as it was loaded.

    Args:
        actor: The actor at step 0.
        autocast: Makes the context that networks run in, here as in the rollout.
    """

    def __init__(self, actor: Actor, autocast: Callable[[], AbstractContextManager]) -> None:
        self._current, self._encoder, self._autocast = actor, actor.encoder, autocast
        self.actor = actor.frozen_copy()
        """Networks that do not train."""

    def distribution(self, obs: TensorDict, batch: Batch) -> tuple[Tensor, ...]:
        """Of the policy at step 0 over stored decisions, whose observations are encoded."""
        # LoRA switched off, trained weights as they were: what they make of the observations is another thing too
        with self._autocast(), self._encoder.freezing.reference():
            obs = self._encoder.complete(self._encoder.kept(obs))
            return self.actor.distribution(obs, batch.decisions)

    def score(self, batch: Batch, with_gradient: bool) -> ScoredBatch:
        """Stored decisions under the policies that an objective compares; with a gradient while the policy trains."""
        actor, decisions = self._current, batch.decisions
        with torch.set_grad_enabled(with_gradient), self._autocast():
            obs = self._encoder.complete(batch.observations)
            distribution = actor.distribution(obs, decisions)
        # densities in fp32: one unit in the last place of bf16 moves a ratio by several percent
        current = actor.scored(distribution, decisions)
        recorded = actor.recorded_distribution(decisions) if batch.old is None else batch.old
        base = None if batch.base is None else actor.scored(batch.base, decisions)
        return ScoredBatch(obs, current, actor.scored(recorded, decisions), base)

    @torch.no_grad()
    def keep_distributions(self, storage: DecisionStorage, part_size: int) -> float | None:
        """Keep with the decisions what the update compares with, as far as the storage has room for it.

        Returns:
            The largest difference to 1 of a ratio between the policy as the update computes it and as the rollout
            recorded it; None where the update takes what the rollout recorded. More than rounding here is a mismatch
            of the two, such as dropout in one of them.
        """
        if not storage.kept:
            return None
        errors = []
        for which in storage.in_order(part_size):
            batch = storage.batch(which)
            with self._autocast():
                obs = self._encoder.complete(batch.observations)
            if "base" in storage.kept:
                storage.keep("base", which, self.distribution(obs, batch))
            if "old" in storage.kept:
                with self._autocast():
                    distribution = self._current.distribution(obs, batch.decisions)
                storage.keep("old", which, distribution)
                recorded = self._current.score_recorded(batch.decisions)
                log_ratio = self._current.scored(distribution, batch.decisions).log_ratio(recorded).sum(1)
                errors.append((log_ratio.exp() - 1.0).abs().max())
        return float(torch.stack(errors).max()) if errors else None

    @torch.no_grad()
    def measure_kl(self, storage: DecisionStorage, part_size: int) -> float:
        """KL of the current policy to the one at step 0 over some decisions, where it is no part of the loss."""
        batch = storage.batch(next(iter(storage.in_order(part_size))))
        with self._autocast():
            obs = self._encoder.complete(batch.observations)
            current = self._current.score(obs, batch.decisions)
        base = self._current.scored(self.distribution(obs, batch), batch.decisions)
        return float(current.kl_divergence(base).sum(1).mean())


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


def ratio_tolerance(*dtypes: torch.dtype) -> float:
    """Largest error of a ratio that rounding explains in networks of some data types."""
    return max(RATIO_TOLERANCE[dtype] for dtype in dtypes)


def warn_of_ratio(iteration: int, error: float, *dtypes: torch.dtype) -> None:
    """Print a warning where the ratio between rollout and update differs from 1 by an ``error`` that rounding in the
    ``dtypes`` of the networks does not explain: then both compute different policies."""
    tolerance = ratio_tolerance(*dtypes)
    if not error <= tolerance:
        print(
            f"WARNING: iteration {iteration}: before the first step, a ratio between the update's policy and the"
            f" rollout's is off by {error:.3g}; rounding explains {tolerance:g}. One of them computes otherwise"
            " (dropout, statistics that moved, another precision), so that the gradients are wrong."
        )
