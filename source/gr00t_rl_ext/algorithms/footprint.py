# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The memory of an algorithm: how the estimate builds and drives it."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import torch
from tensordict import TensorDict

from gr00t_rl_ext.algorithms.policy_optimization import PolicyOptimization
from gr00t_rl_ext.envs.decision import Outcome
from gr00t_rl_ext.footprint.estimate import (
    BatchSizes,
    MemoryEstimate,
    MemoryModel,
    available_bytes,
    require_memory,
    settings_that_take_less,
)
from gr00t_rl_ext.gr00t.weights import FLOAT_TYPES, CheckpointWeights

_SETTINGS = {
    "num_mini_batches": 1,
    "num_learning_epochs": 1,
    "critic_warmup_iterations": 0,
    "critic_warmup_epochs": 0,
    "num_rounds": 1,
    "segment_length": None,
}
"""Options of the iteration that is traced: one step of the optimizer, of all that trains."""


def estimate_footprint(
    make: Callable[..., Any],
    obs: TensorDict,
    num_steps: int,
    options: Any,
    num_stages: int,
    over_gr00t: bool,
    device: str,
) -> MemoryEstimate:
    """What training takes in the stage of unfreezing that takes most.

    Args:
        make: (observations, decisions per environment, changed fields of ``agent.actor.freezing``, changed options) ->
            the algorithm.
        obs: Observations of all environments.
        num_steps: Decisions per environment and round.
        options: Its options, the fields of ``agent.algorithm``.
        num_stages: Stages of unfreezing.
        over_gr00t: Whether there is a GR00T, whose activations could be recomputed.
        device: Where the agent lives.

    Raises:
        ValueError: It does not fit; the message names the settings that would.
    """

    def model(stage: int, **freezing: Any) -> MemoryModel:
        def build(observations: TensorDict, num_steps: int, num_parts: int) -> Any:
            settings = _SETTINGS | {"gradient_accumulation_steps": num_parts, "group_size": observations.batch_size[0]}
            settings = {name: value for name, value in settings.items() if hasattr(options, name)}
            alg = make(observations, num_steps, freezing, max_iterations=1, **settings)
            alg.open_stage(stage)
            return alg

        return algorithm_footprint(build, obs, device)

    sizes = BatchSizes(
        num_envs=obs.batch_size[0],
        num_steps_per_env=options.steps_per_update(num_steps),
        num_mini_batches=options.num_mini_batches,
        gradient_accumulation_steps=options.gradient_accumulation_steps,
    )
    checkpointing = "agent.actor.freezing.gradient_checkpointing"
    models = [model(stage) for stage in range(num_stages)]
    stage = max(range(num_stages), key=lambda stage: models[stage].estimate(sizes).total)
    more = {f"{checkpointing}=true": lambda: model(stage, gradient_checkpointing=True)} if over_gr00t else {}
    estimate = require_memory(models[stage], sizes, available_bytes(device), more)
    return dataclasses.replace(estimate, take_less=lambda: settings_that_take_less(models[stage], sizes))


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
        # of tensors without values
        algorithm.describes_start = False
        self._observe = observe
        self._obs = observe()
        methods = ("configure_decisions", "configure_groups", "start_groups", "share_states", "park")
        nothing = SimpleNamespace(**dict.fromkeys(methods, lambda *_, **__: None))
        algorithm.bind(SimpleNamespace(unwrapped=nothing, get_observations=observe, max_episode_length=1), [])
        # which task an episode had cannot be read from tensors without values
        setattr(algorithm._statistics, "report_episodes", lambda *_, **__: None)  # noqa: B010

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """The algorithm's."""
        return self._algorithm.updater.optimizer

    def stored(self) -> dict[str, list[torch.Tensor]]:
        """What the algorithm's storage holds, by what it is."""
        return self._algorithm.storage.tensors()

    @torch.no_grad()
    def rollout(self) -> None:
        """All decisions of an iteration."""
        algorithm, storage, device = self._algorithm, self._algorithm.storage, self._algorithm.device
        num_envs, chunk_length = storage.num_envs, storage.chunk_length
        storage.clear()
        for _ in range(storage.num_steps):
            algorithm.act(self._obs)
            self._obs = self._observe()
            # members of a group differ, so that there is something to learn
            success = torch.arange(num_envs, device=device) % 2 == 0
            dones = torch.zeros(num_envs, dtype=torch.long, device=device)
            outcome = Outcome(
                executed_steps=torch.full((num_envs,), chunk_length, device=device),
                step_rewards=torch.zeros(num_envs, chunk_length, device=device),
                episode_return=torch.zeros(num_envs, device=device),
                episode_steps=dones,
                success=success,
                time_outs=torch.ones(num_envs, dtype=torch.bool, device=device),
                final_observations=self._observe().select(*algorithm.final_observation_groups),
            )
            algorithm.process_env_step(self._obs, success.float(), dones, outcome.to_extras())
        # shown to the next rollout again
        algorithm.compute_returns(self._obs)

    def update(self) -> None:
        """The update on them."""
        with contextlib.redirect_stdout(io.StringIO()):
            self._algorithm.update()
