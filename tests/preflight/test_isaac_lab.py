# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What the checks read of Isaac Lab's environments: joints, limits, and where cameras hang."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from gr00t_rl_ext.preflight import checks


@pytest.fixture(scope="module")
def env(make_env: Callable[..., Any]) -> Any:
    return make_env(num_envs=2)


def test_joints_of_action_and_state(env: Any) -> None:
    acted, observed = checks.joint_names(env)
    assert acted["arm_action"] == [f"panda_joint{number}" for number in range(1, 8)]
    assert acted["gripper_action"] == ["panda_finger_joint1", "panda_finger_joint2"]
    assert observed["joint_position"][:7] == acted["arm_action"]
    assert {finding.level for finding in checks.of_joint_names(acted, observed)} == {"ok"}


def test_targets_of_the_default_pose_lie_within_the_limits(env: Any) -> None:
    width = env.chunk_length * env.control_action_dim
    env.step(torch.zeros(2, width))
    targets = checks.joint_targets(env)
    assert list(targets) == ["arm_action"]
    target, limits, names = targets["arm_action"]
    assert target.shape == (2, 7)
    assert limits.shape == (2, 7, 2)
    assert len(names) == 7
    assert [finding.level for finding in checks.of_joint_targets(targets)] == ["ok"]
    env.step(torch.full((2, width), 90.0))  # degrees
    (finding,) = checks.of_joint_targets(checks.joint_targets(env))
    assert finding.level == "warning"
    assert "panda_joint1 (100%)" in finding.text


def test_cameras_of_the_hand_and_of_the_world(env: Any) -> None:
    mounts = checks.camera_mounts(env)
    assert mounts["table_cam"][1] is False
    path, on_body = mounts["wrist_cam"]
    assert on_body
    assert "panda_hand" in path
