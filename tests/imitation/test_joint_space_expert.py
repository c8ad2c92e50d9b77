# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The expert of joint positions in the real scene: its poses become targets, which the arm then reaches."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from isaaclab_rl.rsl_rl import RslRlVecEnvWrapper
from torch import Tensor

from gr00t_rl_ext.imitation import recording
from gr00t_rl_ext.imitation.experts.cubes import CLOSE, OPEN, CubeScene, StackExpert
from gr00t_rl_ext.imitation.experts.joint_space import JointStackExpert
from gr00t_rl_ext.robot.task_spec import TaskSpec

TASK = "Isaac-Stack-Cube-Franka-v0"
NUM_ENVS = 4
SCALE = 0.5


@pytest.fixture(scope="module")
def env(make_env: Callable[..., Any]) -> Any:
    env = make_env(TASK, NUM_ENVS)
    env.configure_decisions(1, observation_groups=("state",))
    return env


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Tensor:
    """What the state machine asks for instead of what it would: (N, 7), to be changed in place."""
    command = torch.zeros(NUM_ENVS, 7)
    command[:, 6] = OPEN
    monkeypatch.setattr(StackExpert, "action", lambda self, env: command)
    return command


def joints(env: Any) -> Tensor:
    return env.scene["robot"].data.joint_pos.torch[:, :7].clone()


def gripper(env: Any) -> Tensor:
    return CubeScene.read(env, StackExpert.cubes).gripper_position.clone()


def test_a_displacement_is_made(env: Any, told: Tensor) -> None:
    env.reset(seed=0)
    expert, before = JointStackExpert(NUM_ENVS), gripper(env)
    # 2, 3, 4 and 5 cm in four directions, in the units of the IK task
    told[:, :3] = torch.tensor([[0.04, 0.0, 0.0], [0.0, 0.06, 0.0], [0.0, 0.0, -0.08], [-0.1, 0.0, 0.0]])
    told[1, 6] = CLOSE
    action = expert.action(env)
    assert action.shape == (NUM_ENVS, 8)
    assert action[:, 7].tolist() == [OPEN, CLOSE, OPEN, OPEN]
    # the same targets again, until the arm is there; gravity pulls it down by up to 8 mm
    for _ in range(10):
        env.step(action)
    torch.testing.assert_close(gripper(env) - before, SCALE * told[:, :3], atol=1e-2, rtol=0)


def test_what_the_pose_leaves_open_returns_to_the_default(
    env: Any, told: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    env.reset(seed=0)
    robot, expert = env.scene["robot"], JointStackExpert(NUM_ENVS)
    turned = joints(env)
    turned[:, 2] += 0.3
    robot.write_joint_position_to_sim_index(position=turned, joint_ids=list(range(7)))
    env.sim.forward()
    to_default = robot.data.default_joint_pos.torch[:, :7] - joints(env)
    with_posture = expert.action(env)
    monkeypatch.setattr(JointStackExpert, "posture_gain", 0.0)
    back = SCALE * (with_posture - expert.action(env))[:, :7]
    assert expert._inverse_kinematics is not None
    # the hand stays
    assert (expert._inverse_kinematics.jacobian_b @ back[..., None]).abs().max() < 1e-5
    # a projection: as long as its share of the way
    share = (back * to_default).sum(dim=1)
    torch.testing.assert_close(back.square().sum(dim=1), 0.3 * share, atol=1e-6, rtol=1e-3)
    assert back.norm(dim=1).min() > 0.01


def test_no_joint_is_sent_far(env: Any, told: Tensor) -> None:
    env.reset(seed=0)
    told[:, :6] = 4.0
    default = env.scene["robot"].data.default_joint_pos.torch[:, :7]
    target = default + SCALE * JointStackExpert(NUM_ENVS).action(env)[:, :7]
    way = (target - joints(env)).abs()
    assert way.max().item() == pytest.approx(JointStackExpert.max_step, abs=1e-5)


def test_noise_is_added_to_actions_beyond_one_as_well(
    make_env: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    env: Any = RslRlVecEnvWrapper(make_env(TASK, NUM_ENVS))
    env.unwrapped.configure_decisions(1, observation_groups=("rgb", "state"))
    spec = TaskSpec.from_env(env.unwrapped, env.get_observations(), ("rgb", "state"))
    env.unwrapped.reset(seed=3)
    labels: list[Tensor] = []
    executed: list[Tensor] = []
    step = env.step
    monkeypatch.setattr(env, "step", lambda action: executed.append(action.clone()) or step(action))

    class Watched(JointStackExpert):
        def action(self, env: Any) -> Tensor:
            labels.append(super().action(env))
            return labels[-1]

    generator = torch.Generator().manual_seed(0)
    episodes = recording.collect(env, spec, Watched(NUM_ENVS), noise_std=0.03, generator=generator)
    first = list(itertools.islice(episodes, NUM_ENVS))
    assert all(one.success for one in first)
    assert max(len(one) for one in first) <= 200
    assert max(np.abs(one.action[:, :7]).max() for one in first) > 1.0
    noise = torch.stack(executed) - torch.stack(labels)
    assert (noise[..., 7] == 0).all()
    large = torch.stack(labels)[..., :7].abs() > 1.05
    assert large.sum() > 100
    assert noise[..., :7][large].std().item() == pytest.approx(0.03, rel=0.15)
