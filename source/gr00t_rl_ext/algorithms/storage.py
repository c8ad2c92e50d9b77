# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Rollout storages: what was decided, and what PPO keeps beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.policy.actor import Actor, Decisions, Parameters

EXECUTED = "executed"
"""Key of the mask of executed control steps (num_envs, H) in stored observations."""


@dataclass(frozen=True)
class Batch:
    """Some stored decisions."""

    observations: TensorDict
    """As they were kept, (B,)."""

    decisions: Decisions
    """What was decided."""

    old: Parameters | None
    """Parameters of the policy's distribution before the first step of the update; None: as they were recorded."""

    base: Parameters | None
    """Those of the policy at step 0; None where they are not kept."""


class DecisionStorage:
    """Decisions of T steps in N environments, each of up to H control steps.

    Args:
        observations: An example of what the environments observe, (N,).
        num_steps: T.
        actor: The policy, which tells what is kept of its observations, decisions and distributions.
        kept_distributions: Which distributions are kept beside the recorded one, ``old`` and ``base``.
        device: Where it lives.
    """

    def __init__(
        self, observations: TensorDict, num_steps: int, actor: Actor, kept_distributions: tuple[str, ...], device: str
    ) -> None:
        self.num_envs, self.num_steps, self.device = observations.batch_size[0], num_steps, device
        self.chunk_length = actor.chunk_length
        example = actor.encoder.encoded_example(observations)
        example[EXECUTED] = torch.zeros(self.num_envs, self.chunk_length, dtype=torch.bool, device=device)
        self.observations = TensorDict(
            {
                key: torch.zeros(num_steps, *value.shape, dtype=value.dtype, device=device)
                for key, value in example.items()
            },
            batch_size=[num_steps, self.num_envs],
            device=device,
        )
        """What is kept of the observations, and :data:`EXECUTED`. (T, N)."""

        self.actions = self._zeros(self.chunk_length * actor.encoder.spec.action_dim)
        """(T, N, H * A)."""

        self.recorded: Parameters | None = None
        """What the policy recorded of the decisions, (T, N, ...) each. Allocated with the first decision."""

        shapes = actor.distribution_shapes
        self.kept = {name: tuple(self._zeros(*shape) for shape in shapes) for name in kept_distributions}
        """Parameters of further distributions, (T, N, ...) each."""

        self.step = 0
        """Steps that are filled."""

    def _zeros(self, *shape: int) -> Tensor:
        return torch.zeros(self.num_steps, self.num_envs, *shape, device=self.device)

    def record(
        self, observations: TensorDict, actions: Tensor, recorded: Parameters, envs: Tensor | slice = slice(None)
    ) -> None:
        """Put the decisions of some environments into the current step.

        Args:
            observations: What is kept of them, without :data:`EXECUTED`, (B,). What an update does not need of it is
                left out.
            actions: (B, H * A).
            recorded: (B, ...) each.
            envs: The environments, as B indices.
        """
        if self.recorded is None:
            self.recorded = tuple(self._zeros(*values.shape[1:]) for values in recorded)
        for key, stored in self.observations.items():
            if key != EXECUTED:
                stored[self.step, envs] = observations[key]
        self.actions[self.step, envs] = actions
        for stored, values in zip(self.recorded, recorded, strict=True):
            stored[self.step, envs] = values

    def clear(self) -> None:
        """Begin with the first step again."""
        self.step = 0

    @property
    def executed(self) -> Tensor:
        """Executed control steps, (T, N) int."""
        return self.observations[EXECUTED].sum(-1)

    @property
    def num_decisions(self) -> int:
        """Decisions to learn from: T * N."""
        return self.num_envs * self.num_steps

    def shuffled(self, num_mini_batches: int) -> Iterator[Tensor]:
        """Indices of mini-batches of equal size: every decision once, in an order that is drawn anew."""
        order = torch.randperm(self.num_decisions, device=self.device)
        yield from order.split(self.num_decisions // num_mini_batches)

    def in_order(self, size: int) -> Iterator[Tensor | slice]:
        """All decisions in parts of a size."""
        for start in range(0, self.num_decisions, size):
            yield slice(start, min(start + size, self.num_decisions))

    def batch(self, which: Tensor | slice) -> Batch:
        """Some decisions, by their indices in the flattened (T * N) storage."""
        return Batch(*self._parts(which))

    def _parts(self, which: Tensor | slice) -> tuple[TensorDict, Decisions, Parameters | None, Parameters | None]:
        assert self.recorded is not None, "the storage holds no decision"
        observations = self.observations.flatten(0, 1)[which]
        decisions = Decisions(
            self._take(self.actions, which),
            tuple(self._take(values, which) for values in self.recorded),
            observations[EXECUTED],
        )
        kept = {name: tuple(self._take(values, which) for values in held) for name, held in self.kept.items()}
        return observations, decisions, kept.get("old"), kept.get("base")

    @staticmethod
    def _take(tensor: Tensor, which: Tensor | slice) -> Tensor:
        return tensor.flatten(0, 1)[which]

    def keep(self, name: str, which: Tensor | slice, parameters: Parameters) -> None:
        """Keep parameters of a distribution over some decisions."""
        for stored, values in zip(self.kept[name], parameters, strict=True):
            stored.flatten(0, 1)[which] = values

    def tensors(self) -> dict[str, list[Tensor]]:
        """All that it holds, by what it is."""
        kept = [parameter for parameters in self.kept.values() for parameter in parameters]
        observations: dict[str, Any] = dict(self.observations.items())
        return {
            **{name: [value] for name, value in observations.items()},
            "actions and distribution": [self.actions, *(self.recorded or ()), *kept],
        }


@dataclass(frozen=True)
class ValuedBatch(Batch):
    """Some decisions with values. W is 1, or H with a critic of control steps."""

    values: Tensor
    """Values at the time of the rollout, (B, W)."""

    returns: Tensor
    """Targets of the values, (B, W)."""

    advantages: Tensor
    """(B, W)."""


class ValueStorage(DecisionStorage):
    """Decisions, their rewards, and the values of a critic.

    Args:
        *args: As of :class:`DecisionStorage`.
        num_values: W, values per decision: 1 or H.
    """

    def __init__(self, *args: Any, num_values: int) -> None:
        super().__init__(*args)
        self.rewards = self._zeros()
        """(T, N)."""

        self.dones = self._zeros().bool()
        """Whether the episode ended in the decision, (T, N)."""

        self.values, self.returns, self.advantages = (self._zeros(num_values) for _ in range(3))

        self.step_rewards = self._zeros(self.chunk_length) if num_values > 1 else None
        """Reward of each control step, (T, N, H); only for values of control steps."""

        self.final_values = self._zeros()
        """Value of what follows an episode that ended: of the final observation at a time-out, 0 else. (T, N)."""

    def batch(self, which: Tensor | slice) -> ValuedBatch:
        """Some decisions, by their indices in the flattened (T * N) storage."""
        valued = (self._take(tensor, which) for tensor in (self.values, self.returns, self.advantages))
        return ValuedBatch(*self._parts(which), *valued)

    def tensors(self) -> dict[str, list[Tensor]]:
        """All that it holds, by what it is."""
        steps = [] if self.step_rewards is None else [self.step_rewards]
        valued = [self.rewards, self.dones, self.values, self.returns, self.advantages, self.final_values, *steps]
        return super().tensors() | {"rewards and values": valued}
