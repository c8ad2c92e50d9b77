# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Copies of states, for all kinds of environments."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from gr00t_rl_ext.envs.gymnasium.configs import GymnasiumEnvCfg
from gr00t_rl_ext.envs.gymnasium.registry import make_env
from gr00t_rl_ext.envs.gymnasium.state_copy import copy_state, model_digest, obstacle

TASKS = [
    "CartPole-v1",
    "Pendulum-v1",
    "MountainCarContinuous-v0",
    "Acrobot-v1",
    "HalfCheetah-v5",
    "Ant-v5",
    "Reacher-v5",
    "FetchPickAndPlace-v4",
    "FetchPush-v4",
    "HandReach-v3",
    "gymnasium_toys:Count-v0",
]
"""Environments whose state can be copied."""


def run(env: Any, steps: int, seed: int) -> list[Any]:
    """What a random policy makes of it."""
    env.action_space.seed(seed)
    outcome = []
    for _ in range(steps):
        observation, reward, terminated, _, _ = env.step(env.action_space.sample())
        outcome += [np.asarray(gym.spaces.flatten(env.observation_space, observation)).tolist(), reward, terminated]
        if terminated:
            break
    return outcome


@pytest.mark.parametrize("env_id", TASKS)
def test_a_copy_does_what_the_original_does(env_id: str) -> None:
    source, target = (make_env(GymnasiumEnvCfg(env_id=env_id)) for _ in range(2))
    for seed, env in enumerate((source, target)):
        env.reset(seed=seed)
    assert obstacle(source) is None
    run(source, 5, seed=1)
    run(target, 3, seed=2)
    copy_state(source, target)
    expected = run(source, 8, seed=3)
    assert run(target, 8, seed=3) == expected
    # not the same objects
    copy_state(source, target)
    target.reset()
    ahead = run(source, 4, seed=4)
    assert run(target, 4, seed=4) != ahead
    source.close()
    target.close()


@pytest.mark.parametrize(
    ("env_id", "reason"),
    [
        ("PointMaze_UMaze-v3", "its PointMazeEnv keeps a gymnasium_robotics.envs.maze"),
        ("FrankaKitchen-v1", "its KitchenEnv keeps a gymnasium_robotics.envs.franka_kitchen"),
    ],
)
def test_environments_with_inner_workings_of_their_own_are_refused(env_id: str, reason: str) -> None:
    env = make_env(GymnasiumEnvCfg(env_id=env_id))
    assert str(obstacle(env)).startswith(reason)
    env.close()


def test_a_model_that_changes_shows() -> None:
    """Adroit's door stands elsewhere in each episode, in the model and not in its state."""
    env = make_env(GymnasiumEnvCfg(env_id="AdroitHandDoor-v1"))
    env.reset(seed=0)
    before = model_digest(env)
    env.reset(seed=1)
    assert model_digest(env) != before
    env.close()
    steady = make_env(GymnasiumEnvCfg(env_id="FetchReach-v4"))
    steady.reset(seed=0)
    before = model_digest(steady)
    steady.reset(seed=1)
    assert model_digest(steady) == before
    assert model_digest(make_env(GymnasiumEnvCfg(env_id="CartPole-v1"))) is None
