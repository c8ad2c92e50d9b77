# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The rollout storage: rsl_rl's, with what action chunks need beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.policy.actor import Decisions, Parameters

EXECUTED = "executed"
"""Key of the mask of executed control steps (num_envs, H) in stored observations."""


@dataclass(frozen=True)
class Batch:
    """Some stored decisions. W is 1, or H with a critic of control steps."""

    observations: TensorDict
    """As they were kept, (B,)."""

    decisions: Decisions
    """What was decided."""

    values: Tensor
    """Values at the time of the rollout, (B, W)."""

    returns: Tensor
    """Targets of the values, (B, W)."""

    advantages: Tensor
    """(B, W)."""

    old: Parameters | None
    """Parameters of the policy's distribution before the first step of the update; None: as they were recorded."""

    base: Parameters | None
    """Those of the policy at step 0; None where they are not kept."""


class DecisionStorage(RolloutStorage):
    """Decisions of T steps in N environments, each of up to H control steps.

    Args:
        num_envs: N.
        num_steps: T.
        observations: An example of what is kept of the observations, (N,).
        chunk_length: H.
        action_dim: Action dimensions per control step.
        num_values: W, values per decision: 1 or H.
        kept_distributions: Which distributions are kept beside the recorded one, ``old`` and ``base``.
        distribution_shapes: Shapes of the parameters of a distribution, for one decision.
        device: Where it lives.
    """

    def __init__(
        self,
        num_envs: int,
        num_steps: int,
        observations: TensorDict,
        chunk_length: int,
        action_dim: int,
        num_values: int,
        kept_distributions: tuple[str, ...],
        distribution_shapes: tuple[tuple[int, ...], ...],
        device: str,
    ) -> None:
        super().__init__("rl", num_envs, num_steps, observations, [chunk_length * action_dim], device)
        self.chunk_length = chunk_length
        self.num_values = num_values

        def zeros(*shape: int) -> Tensor:
            return torch.zeros(num_steps, num_envs, *shape, device=device)

        if num_values > 1:
            self.values, self.returns, self.advantages = (zeros(num_values) for _ in range(3))
        self.step_rewards = zeros(chunk_length) if num_values > 1 else None
        """Reward of each control step, (T, N, H); only for values of control steps."""

        self.final_values = zeros()
        """Value of what follows an episode that ended: of the final observation at a time-out, 0 else. (T, N)."""

        self.kept = {name: tuple(zeros(*shape) for shape in distribution_shapes) for name in kept_distributions}
        """Parameters of further distributions, (T, N, ...) each."""

    @property
    def executed(self) -> Tensor:
        """Executed control steps, (T, N) int."""
        return self.observations[EXECUTED].sum(-1)

    @property
    def num_decisions(self) -> int:
        """T * N."""
        return self.num_envs * self.num_transitions_per_env

    def shuffled(self, num_mini_batches: int) -> Iterator[Tensor]:
        """Indices of mini-batches of equal size: every decision once, in an order that is drawn anew."""
        order = torch.randperm(self.num_decisions, device=self.device)
        yield from order.split(self.num_decisions // num_mini_batches)

    def in_order(self, size: int) -> Iterator[slice]:
        """All decisions in parts of a size."""
        for start in range(0, self.num_decisions, size):
            yield slice(start, min(start + size, self.num_decisions))

    def batch(self, which: Tensor | slice) -> Batch:
        """Some decisions, by their indices in the flattened (T * N) storage."""

        def take(tensor: Tensor) -> Tensor:
            return tensor.flatten(0, 1)[which]

        assert self.distribution_params is not None, "the storage holds no decision"
        observations = self.observations.flatten(0, 1)[which]
        decisions = Decisions(
            take(self.actions), tuple(take(p) for p in self.distribution_params), observations[EXECUTED]
        )
        kept = {name: tuple(take(parameter) for parameter in values) for name, values in self.kept.items()}
        return Batch(
            observations,
            decisions,
            take(self.values),
            take(self.returns),
            take(self.advantages),
            old=kept.get("old"),
            base=kept.get("base"),
        )

    def keep(self, name: str, which: slice, parameters: Parameters) -> None:
        """Keep parameters of a distribution over some decisions."""
        for stored, values in zip(self.kept[name], parameters, strict=True):
            stored.flatten(0, 1)[which] = values

    def tensors(self) -> dict[str, list[Tensor]]:
        """All that it holds, by what it is."""
        kept = [parameter for parameters in self.kept.values() for parameter in parameters]
        steps = [] if self.step_rewards is None else [self.step_rewards]
        observations: dict[str, Any] = dict(self.observations.items())
        return {
            **{name: [value] for name, value in observations.items()},
            "actions and distribution": [self.actions, *(self.distribution_params or ()), *kept],
            "rewards and values": [
                *(self.rewards, self.dones, self.values, self.actions_log_prob, self.returns, self.advantages),
                *(self.final_values, *steps),
            ],
        }
