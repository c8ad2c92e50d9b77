# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A point that is pushed along a line, and environments of it that are wrong in one way each."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np


class Point(gym.Env):
    """Success is to be near the goal, from which the point begins away."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    action_space = gym.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, fault: str = "", render_mode: str | None = None) -> None:
        self.fault, self.render_mode = fault, render_mode
        self.position, self.velocity = 0.0, 0.0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        near = self.fault == "solved" or (self.fault == "solved now and then" and self.np_random.random() < 0.2)
        self.position, self.velocity = (0.0 if near else float(self.np_random.uniform(0.3, 1.0))), 0.0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.fault != "still":
            self.velocity = float(np.clip(action[0], -1.0, 1.0))
            self.position += 0.05 * self.velocity
        reward = 0.25 if self.fault.startswith("constant") else -abs(self.position)
        info = {} if "silent" in self.fault else {"is_success": abs(self.position) < 0.1}
        return self._observation(), reward, False, False, info

    def _observation(self) -> Any:
        return np.array([self.position, self.velocity], np.float32)


for _fault in ("", "solved", "solved now and then", "still", "constant", "constant, silent", "silent"):
    gym.register(
        f"Point{''.join(word.strip(',').capitalize() for word in _fault.split())}-v0",
        entry_point=f"{__name__}:Point",
        max_episode_steps=20,
        kwargs={"fault": _fault},
    )
