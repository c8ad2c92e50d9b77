# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Terms of Isaac Lab's managers for several tasks in one simulation: who has which, and what counts for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import MISSING
from typing import Any

import torch
from isaaclab.managers import CommandTerm, CommandTermCfg, ManagerTermBase, RewardTermCfg, TerminationTermCfg
from isaaclab.utils import configclass

from gr00t_rl_ext.envs.task_set import TaskSet


class TaskCommand(CommandTerm):
    """Which task each environment has. The environment draws it when an episode begins, see
    :class:`~gr00t_rl_ext.envs.chunking.ChunkedManagerBasedRLEnv`."""

    state_buffers = ("column",)

    def __init__(self, cfg: TaskCommandCfg, env: Any) -> None:
        super().__init__(cfg, env)
        self.task_set = TaskSet(cfg.told, env.num_envs, env.device)

    @property
    def column(self) -> torch.Tensor:
        """Index of the instruction of each environment, (num_envs,)."""
        return self.task_set.column

    @property
    def command(self) -> torch.Tensor:
        """(num_envs, instructions), see :attr:`TaskSet.one_hot`."""
        return self.task_set.one_hot

    def _resample_command(self, env_ids: Sequence[int] | slice) -> None:
        # the environment draws, before its events
        pass

    def _update_metrics(self) -> None:
        pass

    def _update_command(self) -> None:
        pass


@configclass
class TaskCommandCfg(CommandTermCfg):
    """Of :class:`TaskCommand`."""

    class_type: type = TaskCommand

    # never within an episode [s]
    resampling_time_range: tuple[float, float] = (1.0e9, 1.0e9)

    told: dict[str, list[str]] = MISSING  # type: ignore[assignment]
    """Name of a task -> its instructions, of which an episode has one."""


def task_observation(env: Any) -> torch.Tensor:
    """What each environment is told, (num_envs, instructions): the observation group ``task``."""
    return env.task_set.one_hot


class Solved(ManagerTermBase):
    """The success of each environment's task: where its term was true for some control steps without a break.

    Args:
        cfg: Its config. ``params`` has ``terms``, a termination with a plain function for each task, and ``seconds``,
            how long each must be true.
        env: The environment, with a ``task_set`` where there are several.
    """

    state_buffers = ("_steps",)

    def __init__(self, cfg: TerminationTermCfg, env: Any) -> None:
        super().__init__(cfg, env)
        self._steps = torch.zeros(env.num_envs, dtype=torch.long, device=env.device)
        seconds: Any = cfg.params["seconds"]
        least = [control_steps(one, env.step_dt) for one in seconds]
        self._least = torch.tensor(least, device=env.device)

    def reset(self, env_ids: Sequence[int] | slice | None = None) -> None:
        """Forget the steps of environments."""
        # not in place: what a rollout leaves here is an inference tensor, which a later reset may not write to
        self._steps = forgotten(self._steps, env_ids)

    def __call__(self, env: Any, terms: list[TerminationTermCfg], seconds: list[float]) -> torch.Tensor:
        """Booleans of shape (num_envs,)."""
        tasks = getattr(env, "task_set", None)
        index = torch.zeros_like(self._steps) if tasks is None else tasks.index
        true = torch.zeros_like(self._steps, dtype=torch.bool)
        for number, term in enumerate(terms):
            func: Any = term.func
            true |= func(env, **term.params).bool() & (index == number)
        self._steps = count_on(self._steps, true)
        return self._steps >= self._least[index]


class OfTask(ManagerTermBase):
    """A reward where an environment has a task, 0 where it has another one.

    Args:
        cfg: Its config. ``params`` has the ``term``, a reward with a plain function, and ``task``, its number.
        env: The environment.
    """

    state_buffers = ()

    def __call__(self, env: Any, term: RewardTermCfg, task: int) -> torch.Tensor:
        """(num_envs,), float32."""
        func: Any = term.func
        return torch.where(env.task_set.index == task, func(env, **term.params), 0.0)


def count_on(steps: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
    """For how many steps something has been true, one step later, (num_envs,)."""
    return torch.where(true.bool(), steps + 1, 0)


def forgotten(steps: torch.Tensor, env_ids: Any) -> torch.Tensor:
    """A copy of (num_envs,) with 0 for some environments; None: for all."""
    steps = steps.clone()
    steps[slice(None) if env_ids is None else env_ids] = 0
    return steps


def control_steps(seconds: float, step_dt: float) -> int:
    """Least number of control steps that last some time, at least one."""
    return max(1, math.ceil(seconds / step_dt - 1e-6))
