# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Groups under Newton physics, whose frame sensors follow physics steps only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from gr00t_rl_ext.envs.state_copy import refresh_frames


def assert_equal(observations: dict[str, torch.Tensor]) -> None:
    assert (observations["rgb"][0] != observations["rgb"][1]).float().mean() < 1e-3
    for name in ("state", "privileged"):
        assert (observations[name][0] - observations[name][1]).abs().max() < 1e-6, name


@pytest.mark.slow
def test_members_start_equal_and_stay_so(make_env: Callable[..., Any]) -> None:
    env = make_env("Isaac-Stack-Cube-Franka-v0", 2, overrides=("physics=newton_mjwarp",))
    env.configure_decisions(4)
    env.configure_groups(2)
    env.start_groups([0])
    assert_equal(env.obs_buf)
    for seed in range(5):
        action = torch.rand(1, 32, generator=torch.Generator().manual_seed(seed)) - 0.5
        env.step(action.expand(2, -1))
    assert (env.obs_buf["state"][0] - env.obs_buf["state"][1]).abs().max() < 1e-5
    env.step(torch.rand(2, 32, generator=torch.Generator().manual_seed(9)) - 0.5)
    assert (env.obs_buf["state"][0] - env.obs_buf["state"][1]).abs().max() > 1e-2
    env.share_states([1])
    assert_equal(env.obs_buf)


@pytest.mark.slow
def test_the_first_observation_is_of_the_state_after_the_reset(make_env: Callable[..., Any]) -> None:
    """Isaac Lab's frame sensors show where the gripper was before it."""
    env = make_env("Isaac-Stack-Cube-Franka-v0", 2, overrides=("physics=newton_mjwarp",))
    env.configure_decisions(4)
    env.reset(seed=1)
    first = env.reset(seed=1)[0]["state"].clone()
    for _ in range(3):
        env.step(torch.full((2, 32), 0.5))
    assert (env.obs_buf["state"] - first).abs().max() > 1e-2
    assert (env.reset(seed=1)[0]["state"] - first).abs().max() < 1e-5
    # and where an environment is reset alone, in a step
    env.episode_length_buf[1] = env.max_episode_length - 1
    obs, *_ = env.step(torch.full((2, 32), 0.5))
    refresh_frames(env.sim)
    for sensor in env.scene.sensors.values():
        sensor.reset([0, 1])
    assert (env.observation_manager.compute_group("state") - obs["state"]).abs().max() < 1e-5
