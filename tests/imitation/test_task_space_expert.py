# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The expert of gripper poses in the real scene, and the task's frames: what is observed can be commanded."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from isaaclab.utils import math as math_utils
from isaaclab_rl.rsl_rl import RslRlVecEnvWrapper
from torch import Tensor

from gr00t_rl_ext.imitation import recording
from gr00t_rl_ext.imitation.experts.cubes import OPEN, CubeScene, StackExpert
from gr00t_rl_ext.imitation.experts.task_space import PoseStackExpert
from gr00t_rl_ext.robot.task_spec import TaskSpec

TASK = "Isaac-Stack-Cube-Franka-IK-Abs-v0"
NUM_ENVS = 4


@pytest.fixture(scope="module")
def env(make_env: Callable[..., Any]) -> Any:
    env = make_env(TASK, NUM_ENVS)
    env.configure_decisions(1, observation_groups=("state",))
    return env


def observed_pose(env: Any) -> Tensor:
    """Position and quaternion (x, y, z, w) that the policy sees, (N, 7)."""
    return env.observation_manager.compute()["state"][:, 9:16].clone()


def test_what_is_observed_is_commanded_in_the_same_frame(env: Any) -> None:
    env.reset(seed=0)
    before = observed_pose(env)
    goal = before.clone()
    goal[:, :3] += torch.tensor([[0.03, 0.0, 0.0], [0.0, 0.03, 0.0], [0.0, 0.0, 0.03], [0.0, 0.0, 0.0]])
    turn = torch.tensor([[0.0, 0.0, 0.2], [0.2, 0.0, 0.0], [0.0, 0.2, 0.0], [0.0, 0.0, 0.0]])
    _, goal[:, 3:] = math_utils.apply_delta_pose(goal[:, :3], goal[:, 3:], torch.cat((torch.zeros(4, 3), turn), dim=1))
    for _ in range(25):
        env.step(torch.cat((goal, torch.full((NUM_ENVS, 1), OPEN)), dim=1))
    after = observed_pose(env)
    torch.testing.assert_close(after[:, :3], goal[:, :3], atol=1.5e-3, rtol=0)
    assert math_utils.quat_error_magnitude(after[:, 3:], goal[:, 3:]).max() < 0.01


def test_a_displacement_becomes_the_pose_after_it(env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    env.reset(seed=0)
    told = torch.zeros(NUM_ENVS, 7)
    told[:, 0], told[:, 5], told[:, 6] = 0.04, 0.2, OPEN
    monkeypatch.setattr(StackExpert, "act", lambda self, scene: told)
    scene = CubeScene.read(env, StackExpert.cubes)
    action = PoseStackExpert(NUM_ENVS).action(env)
    assert action.shape == (NUM_ENVS, 8)
    torch.testing.assert_close(action[:, :3] - scene.gripper_position, 0.5 * told[:, :3])
    # half of 0.2 rad, since the tasks with relative poses multiply by 0.5
    assert math_utils.quat_box_minus(action[:, 3:7], scene.gripper_quat)[0].tolist() == pytest.approx(
        [0.0, 0.0, 0.1], abs=1e-5
    )
    assert (action[:, 7] == OPEN).all()


def test_it_stacks(make_env: Callable[..., Any]) -> None:
    env: Any = RslRlVecEnvWrapper(make_env(TASK, NUM_ENVS))
    env.unwrapped.configure_decisions(1, observation_groups=("rgb", "state"))
    spec = TaskSpec.from_env(env.unwrapped, env.get_observations(), ("rgb", "state"))
    env.unwrapped.reset(seed=3)
    episodes = recording.collect(env, spec, PoseStackExpert(NUM_ENVS))
    first = list(itertools.islice(episodes, NUM_ENVS))
    assert all(one.success for one in first)
    assert max(len(one) for one in first) <= 250
