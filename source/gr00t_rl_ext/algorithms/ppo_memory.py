# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Gr00tPPO as the estimate of memory runs it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from tensordict import TensorDict

from gr00t_rl_ext.algorithms.storage import DecisionStorage
from gr00t_rl_ext.policy.memory import MemoryModel

if TYPE_CHECKING:
    from gr00t_rl_ext.algorithms.ppo import Gr00tPPO


def ppo_memory(build: Callable[[TensorDict, int, int], Gr00tPPO], obs: TensorDict, device: str) -> MemoryModel:
    """The memory of PPO.

    Args:
        build: (observations, decisions per environment, parts of a mini-batch) -> the algorithm with one mini-batch and
            one epoch. Called on fake tensors: it must load the model itself, and use no tensor that exists.
        obs: Observations of any number of environments, for their shapes.
        device: Where the agent lives.
    """
    shapes = {name: (value.shape[1:], value.dtype) for name, value in obs.items()}

    def observe(num_envs: int) -> TensorDict:
        return TensorDict(
            {
                str(name): torch.empty(num_envs, *shape, dtype=dtype, device=device)
                for name, (shape, dtype) in shapes.items()
            },
            batch_size=[num_envs],
        )

    def agent(num_envs: int, num_steps: int, num_parts: int) -> _TracedPPO:
        with contextlib.redirect_stdout(io.StringIO()):
            return _TracedPPO(build(observe(num_envs), num_steps, num_parts), lambda: observe(num_envs))

    return MemoryModel(agent, device)


class _TracedPPO:
    def __init__(self, algorithm: Gr00tPPO, observe: Callable[[], TensorDict]) -> None:
        self._algorithm = algorithm
        self._observe = observe
        self._obs: TensorDict | None = None

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        return self._algorithm.optimizer

    @property
    def storage(self) -> DecisionStorage:
        return self._algorithm.storage

    @torch.no_grad()
    def rollout(self) -> None:
        num_envs, device = self.storage.num_envs, self._algorithm.device
        self.storage.clear()
        obs = self._observe() if self._obs is None else self._obs
        for _ in range(self.storage.num_transitions_per_env):
            self._algorithm.act(obs)
            obs = self._observe()
            executed = torch.full((num_envs,), self._algorithm.actor.chunk_length, device=device)
            rewards = torch.zeros(num_envs, device=device)
            dones = torch.zeros(num_envs, dtype=torch.long, device=device)
            steps = torch.zeros(num_envs, self.storage.chunk_length, device=device)
            extras = {"executed_steps": executed, "step_rewards": steps}
            self._algorithm.process_env_step(obs, rewards, dones, extras)
        self._algorithm.compute_returns(obs)
        # the runner shows it to the next rollout again
        self._obs = obs

    def update(self) -> None:
        with contextlib.redirect_stdout(io.StringIO()):
            self._algorithm.update()
