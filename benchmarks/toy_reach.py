# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A toy task with a sparse success, as an environment of rsl_rl: reach a point on a plane. No simulator.

A dot starts somewhere in [-1, 1]^2, the goal lies elsewhere. A control step moves the dot by a tenth of the action,
clipped to [-1, 1]. An episode succeeds, with a reward of 1, when the dot comes within 0.1 of the goal; its time is over
after 32 control steps, in which it can move 3.2. Nothing else is rewarded. Deterministic, but for where it starts.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.envs.decision import Outcome

RADIUS = 0.1
SPEED = 0.1


class ToyReach:
    """What the chunked environments offer, over tensors.

    Args:
        num_envs: Environments.
        seed: Of initial positions and goals.
    """

    num_actions = 2
    control_action_dim = 2
    max_episode_length = 32
    device = "cpu"

    def __init__(self, num_envs: int, seed: int = 0) -> None:
        self.num_envs = num_envs
        self.unwrapped = self
        self.cfg = SimpleNamespace()
        self.generator = torch.Generator().manual_seed(seed)
        self.positions, self.goals = torch.zeros(num_envs, 2), torch.zeros(num_envs, 2)
        self.episode_length_buf = torch.zeros(num_envs, dtype=torch.long)
        self.returns = torch.zeros(num_envs)
        self.parked = torch.zeros(num_envs, dtype=torch.bool)
        self.chunk_length, self.step_discount, self.group_size = 1, 1.0, 0
        self.steps = 0
        """Control steps that were simulated, of all environments."""

        self._reset(torch.arange(num_envs))

    def configure_decisions(self, chunk_length: int, *, step_discount: float = 1.0, **_: Any) -> None:
        """Set what a decision is."""
        self.chunk_length, self.step_discount = chunk_length, step_discount

    def configure_groups(self, group_size: int) -> None:
        """Set how many environments make a group."""
        if self.num_envs % group_size:
            raise ValueError(f"{self.num_envs} environments do not divide into groups of {group_size}.")
        self.group_size = group_size

    def start_groups(self, groups: Sequence[int]) -> None:
        """Begin new episodes in groups, from one state each."""
        leaders = torch.tensor(list(groups)) * self.group_size
        self._reset(leaders)
        self.share_states(leaders.tolist())

    def share_states(self, leaders: Sequence[int]) -> None:
        """Let groups go on from the states of their leaders."""
        for leader in leaders:
            first = leader // self.group_size * self.group_size
            members = slice(first, first + self.group_size)
            for tensor in (self.positions, self.goals, self.episode_length_buf, self.returns):
                tensor[members] = tensor[leader].clone()
            self.parked[members] = False

    def park(self, parked: Tensor) -> None:
        """Let environments rest."""
        self.parked = parked.clone()

    def _reset(self, envs: Tensor) -> None:
        places = 2.0 * torch.rand(2, len(envs), 2, generator=self.generator) - 1.0
        self.positions[envs], self.goals[envs] = places
        self.episode_length_buf[envs] = 0
        self.returns[envs] = 0.0

    def get_observations(self) -> TensorDict:
        """Position, goal, and where the goal lies from there."""
        state = torch.cat([self.positions, self.goals, self.goals - self.positions], dim=1)
        return TensorDict({"state": state}, batch_size=[self.num_envs])

    def step(self, actions: Tensor) -> tuple[TensorDict, Tensor, Tensor, dict[str, Any]]:
        """Execute action chunks (num_envs, H * 2)."""
        chunks = actions.view(self.num_envs, self.chunk_length, 2).clamp(-1.0, 1.0)
        going = ~self.parked
        rewards, executed = torch.zeros(self.num_envs), torch.zeros(self.num_envs, dtype=torch.long)
        success = torch.zeros(self.num_envs, dtype=torch.bool)
        step_rewards = torch.zeros(self.num_envs, self.chunk_length)
        for index in range(self.chunk_length):
            self.positions = torch.where(going[:, None], self.positions + SPEED * chunks[:, index], self.positions)
            self.episode_length_buf = self.episode_length_buf + going
            executed += going
            reached = going & ((self.positions - self.goals).norm(dim=1) < RADIUS)
            step_rewards[:, index] = reached.float()
            rewards += self.step_discount**index * reached
            success |= reached
            going = going & ~reached & (self.episode_length_buf < self.max_episode_length)
        self.steps += int(executed.sum())
        self.returns = self.returns + step_rewards.sum(1)
        dones = ~self.parked & ~going
        time_outs = dones & ~success
        outcome = Outcome(
            executed_steps=executed,
            step_rewards=step_rewards,
            success=success,
            episode_return=torch.where(dones, self.returns, 0.0),
            episode_steps=torch.where(dones, self.episode_length_buf, 0),
            time_outs=time_outs,
            final_observations=self.get_observations() if bool(time_outs.any()) else None,
        )
        self._reset(dones.nonzero().flatten())
        return self.get_observations(), rewards, dones.long(), outcome.to_extras()
