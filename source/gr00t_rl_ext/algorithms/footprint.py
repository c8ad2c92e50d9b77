# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""An algorithm as the estimate of memory runs it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from tensordict import TensorDict

from gr00t_rl_ext.algorithms.storage import DecisionStorage
from gr00t_rl_ext.footprint.estimate import MemoryModel
from gr00t_rl_ext.gr00t.weights import FLOAT_TYPES, CheckpointWeights

if TYPE_CHECKING:
    from gr00t_rl_ext.algorithms.policy_optimization import PolicyOptimization


def algorithm_footprint(
    build: Callable[[TensorDict, int, int], PolicyOptimization], obs: TensorDict, device: str
) -> MemoryModel:
    """The memory of an algorithm.

    Args:
        build: (observations, decisions per environment, parts of a mini-batch) -> the algorithm with one mini-batch and
            one epoch. Called on fake tensors: it must load the model itself, and use no tensor that exists.
        obs: Observations of any number of environments, for their shapes.
        device: Where the agent lives.
    """
    shapes = {str(name): (value.shape[1:], value.dtype) for name, value in obs.items()}

    def observe(num_envs: int) -> TensorDict:
        groups = {
            name: torch.zeros(num_envs, *shape, dtype=dtype, device=device) for name, (shape, dtype) in shapes.items()
        }
        return TensorDict(groups, batch_size=[num_envs])

    def agent(num_envs: int, num_steps: int, num_parts: int) -> DrivenAlgorithm:
        with contextlib.redirect_stdout(io.StringIO()), without_reading_weights():
            return DrivenAlgorithm(build(observe(num_envs), num_steps, num_parts), lambda: observe(num_envs))

    return MemoryModel(agent, device)


@contextlib.contextmanager
def without_reading_weights() -> Iterator[None]:
    """In this block, tensors of checkpoints have their shapes and data types, and no file is read."""

    def read(self: CheckpointWeights, key: str, index: int | None = None) -> torch.Tensor:
        shape = self.shape(key)[0 if index is None else 1 :]
        return torch.empty(shape, dtype=FLOAT_TYPES[self.dtype(key)], device=self.device)

    from_file = CheckpointWeights.read
    CheckpointWeights.read = read
    try:
        yield
    finally:
        CheckpointWeights.read = from_file


class DrivenAlgorithm:
    """An algorithm, driven as rsl_rl's runner does, in an environment where nothing happens.

    Every decision is cut off by a time-out, as bootstrapping may encode the images of that state.

    Args:
        algorithm: The algorithm.
        observe: Makes the next observations.
    """

    def __init__(self, algorithm: PolicyOptimization, observe: Callable[[], TensorDict]) -> None:
        self._algorithm = algorithm
        self._observe = observe
        self._obs = observe()
        algorithm.pretend(observe)

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The algorithm's."""
        return self._algorithm.optimizer

    @property
    def storage(self) -> DecisionStorage:
        """The algorithm's."""
        return self._algorithm.storage

    @torch.no_grad()
    def rollout(self) -> None:
        """All decisions of an iteration."""
        algorithm, num_envs, device = self._algorithm, self.storage.num_envs, self._algorithm.device
        self.storage.clear()
        for _ in range(self.storage.num_steps):
            algorithm.act(self._obs)
            self._obs = self._observe()
            extras: dict[str, Any] = {
                "executed_steps": torch.full((num_envs,), self.storage.chunk_length, device=device),
                "step_rewards": torch.zeros(num_envs, self.storage.chunk_length, device=device),
                "success": torch.zeros(num_envs, dtype=torch.bool, device=device),
                "time_outs": torch.ones(num_envs, dtype=torch.long, device=device),
                "final_observations": self._observe().select(*algorithm.final_observation_groups),
            }
            dones = torch.zeros(num_envs, dtype=torch.long, device=device)
            algorithm.process_env_step(self._obs, torch.zeros(num_envs, device=device), dones, extras)
        # shown to the next rollout again
        algorithm.compute_returns(self._obs)

    def update(self) -> None:
        """The update on them."""
        with contextlib.redirect_stdout(io.StringIO()):
            self._algorithm.update()
