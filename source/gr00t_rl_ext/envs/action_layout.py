# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""How the action of one control step is laid out: numbers of a box, or choices of a discrete space.

rsl_rl stores actions as floats. A learner with discrete actions therefore gives integers as floats, one per component
of the space and counted from 0, and :meth:`ActionLayout.for_task` turns them into what Isaac Lab's direct environments
expect (``isaaclab.envs.utils.spaces.sample_space``): int64 (num_envs, components), counted from the space's ``start``.
"""

from __future__ import annotations

from collections.abc import Sequence

import gymnasium as gym
import torch

_SHOWN = 8
"""Environments that an error message names."""


class ActionLayout:
    """Layout of the action of one control step.

    Args:
        space: Action space of one environment: ``Box``, ``Discrete``, or ``MultiDiscrete`` of one dimension.
        device: Where the actions are.

    Raises:
        ValueError: If the space is another one.
    """

    width: int
    """Numbers per control step: the box's size, 1 for ``Discrete``, the number of components for ``MultiDiscrete``."""

    choices: tuple[int, ...]
    """Number of choices of each component; empty for a box."""

    def __init__(self, space: gym.Space, device: str) -> None:
        first: list[int] = []
        if isinstance(space, gym.spaces.Box):
            self.width, self.choices = gym.spaces.flatdim(space), ()
        elif isinstance(space, gym.spaces.Discrete):
            self.width, self.choices, first = 1, (int(space.n),), [int(space.start)]
        elif isinstance(space, gym.spaces.MultiDiscrete) and space.nvec.ndim == 1:
            self.choices, first = tuple(space.nvec.tolist()), space.start.tolist()
            self.width = len(self.choices)
        else:
            raise ValueError(
                f"The task's action space is {space}. Supported are Box, Discrete, and MultiDiscrete of one dimension:"
                " change `action_space` of the task's config to one of them."
            )
        self._number = torch.tensor(self.choices, device=device)
        self._first = torch.tensor(first, device=device)

    def chunk_space(self, length: int, low: float, high: float) -> gym.Space:
        """Space of a chunk of so many control steps, one after the other, with these bounds if it is continuous."""
        if self.choices:
            return gym.spaces.MultiDiscrete(list(self.choices) * length)
        return gym.spaces.Box(low=low, high=high, shape=(length * self.width,))

    def neutral(self, values: Sequence[float]) -> torch.Tensor:
        """The neutral action of a control step, shape (width,): ``values``, or zeros if there are none; a ValueError if
        there are more or fewer than numbers per control step, or a choice does not exist."""
        if values and len(values) != self.width:
            raise ValueError(
                f"The task's `neutral_action` has {len(values)} values, {tuple(values)}, but an action of one control"
                f" step has {self.width}."
            )
        action = torch.tensor(values or [0.0] * self.width, dtype=torch.float32, device=self._number.device)
        if self.choices and self._wrong(action).any():
            raise ValueError(f"The task's `neutral_action` is {tuple(values)}; expected {self._expected()}.")
        return action

    def check(self, chunk: torch.Tensor) -> None:
        """Refuse actions, (num_envs, length, width), of which a discrete one is not an integer or out of range, by a
        ValueError. On a GPU this waits for the actions, once per chunk."""
        if not self.choices or not bool((wrong := self._wrong(chunk)).any()):
            return
        envs = wrong.flatten(1).any(dim=1).nonzero().flatten().tolist()
        named = ", ".join(map(str, envs[:_SHOWN])) + (", ..." if len(envs) > _SHOWN else "")
        values = ", ".join(f"{value:g}" for value in chunk[wrong].unique()[:_SHOWN].tolist())
        raise ValueError(
            f"The actions of {len(envs)} environments ({named}) are no choices of this task: {values}. Expected"
            f" {self._expected()}."
        )

    def for_task(self, action: torch.Tensor) -> torch.Tensor:
        """The action of one control step, checked numbers (num_envs, width), as the task expects it."""
        return action.long() + self._first if self.choices else action

    def _wrong(self, action: torch.Tensor) -> torch.Tensor:
        # a comparison with NaN is False
        return ~((action == action.round()) & (action >= 0) & (action < self._number))

    def _expected(self) -> str:
        ranges = ", ".join(f"0..{number - 1}" for number in self.choices)
        return f"integers, stored as floats, in {ranges} per control step"
