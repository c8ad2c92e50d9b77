# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Factors of what passes between policy and robot: delays and noise."""

from __future__ import annotations

import math
from typing import Any

import torch
from isaaclab.managers import EventTermCfg
from torch import Tensor

from gr00t_rl_ext.randomisation.factor import Factor
from gr00t_rl_ext.robot.task_spec import STATE

DELAY = 2
"""Largest delay [control steps]."""

NOISE = 0.01
"""Standard deviation of the noise of the state, in the units of what is observed."""


class ActionDelay(Factor):
    """Actions are executed some control steps later, in an episode always as many. Until the first, nothing is done:
    the neutral action."""

    width = 1

    def __init__(self, cfg: EventTermCfg, env: Any) -> None:
        self._past: Tensor | None = None
        super().__init__(cfg, env)

    @property
    def _longest(self) -> int:
        return math.ceil(DELAY * self.strength - 1e-9)

    @property
    def steps(self) -> Tensor:
        """Control steps that each environment is late, int64 (num_envs,)."""
        choices = 1 + self._longest
        return ((self._draws[:, 0] + 1.0) / 2.0 * choices).long().clamp(max=choices - 1)

    def act(self, actions: Tensor) -> Tensor:
        if not self.strength:
            return actions
        longest, self.affected = self._longest, True
        if self._past is None or self._past.shape[1] != longest:
            self._past = self._neutral(actions).expand(-1, longest, -1)
        recent = torch.cat((actions[:, None], self._past), dim=1)
        self._past = recent[:, :-1]
        return recent[torch.arange(len(actions), device=actions.device), self.steps]

    def _neutral(self, actions: Tensor) -> Tensor:
        env: Any = self._env
        return env._neutral.to(actions).expand_as(actions)[:, None]

    def _begin(self, ids: Tensor) -> None:
        if self._past is not None:
            past = self._past.clone()
            past[ids] = self._neutral(past[:, 0])[ids]
            self._past = past

    def copy(self, sources: Tensor, targets: Tensor) -> None:
        super().copy(sources, targets)
        if self._past is not None:
            past = self._past.clone()
            past[targets.long()] = past[sources.long()]
            self._past = past


class ObservationNoise(Factor):
    """White noise on the robot's state, anew with every observation."""

    # nothing is drawn when an episode begins
    width = 0

    def observe(self, group: str, values: Tensor) -> Tensor:
        if not self.strength or group != STATE or not values.is_floating_point():
            return values
        self.affected = True
        noise = torch.randn(values.shape, generator=self._generator).to(values)
        return values + NOISE * self.strength * noise
