# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Gymnasium-Robotics' FetchReach with a wide target, which a policy that learnt nothing hits in some of the episodes:
``easy_reach:FetchReach-v0``."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
from gymnasium_robotics.envs.fetch.reach import MujocoFetchReachEnv


class EasyReach(MujocoFetchReachEnv):
    """FetchReach.

    Args:
        radius: Distance to the goal within which it is reached [m].
    """

    def __init__(self, radius: float = 0.14, **settings: Any) -> None:
        super().__init__(**settings)
        self.distance_threshold = radius


gym.register("FetchReach-v0", entry_point=EasyReach, max_episode_steps=20)
