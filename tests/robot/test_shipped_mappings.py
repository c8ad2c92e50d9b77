# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The mapping files that come with the package fit the tasks and checkpoints that they are for."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from gr00t_rl_ext.gr00t import build_tiny_checkpoint, load_embodiment
from gr00t_rl_ext.gr00t.data_config import read_data_config
from gr00t_rl_ext.gr00t.relative_action import RelativeAction
from gr00t_rl_ext.robot.bound_mapping import bind_mapping
from gr00t_rl_ext.robot.embodiment_mapping import EmbodimentMapping
from gr00t_rl_ext.robot.task_spec import TaskSpec

IK_REL = TaskSpec(
    instruction="stack the cubes",
    image_groups=("rgb",),
    cameras=("table_cam", "wrist_cam"),
    state_groups=("state",),
    state_terms={"joint_position": 9, "eef_pose": 7},
    action_terms={"arm_action": 6, "gripper_action": 1},
)
"""Isaac-Stack-Cube-Franka-IK-Rel-v0."""


def test_rlinfs_stacking(tmp_path: Path) -> None:
    """A checkpoint with the keys of RLinf's data config, which has the tag and slot of RLinf."""
    config = read_data_config("isaaclab_franka")
    widths = dict.fromkeys(config.state_keys, 1) | {"gripper": 2}
    directory = build_tiny_checkpoint(
        tmp_path / "rlinf",
        state_keys=widths,
        action_keys=dict.fromkeys(config.action_keys, 1),
        video_keys=config.video_keys,
        image_size=224,
    )
    file = directory / "experiment_cfg" / "metadata.json"
    file.write_text(json.dumps({"isaaclab_franka": json.loads(file.read_text())["new_embodiment"]}))
    robot = load_embodiment(directory, "isaaclab_franka", slot=31, data_config="isaaclab_franka")
    mapping = EmbodimentMapping.load("gr00t_rl_ext.tasks.stack.config.franka:mapping_rlinf.yaml")
    bound = bind_mapping(mapping, IK_REL, robot)
    turn = Rotation.from_rotvec([0.2, -0.4, 1.0])
    fingers = torch.tensor([-0.01, -0.02])
    pose = torch.cat([torch.tensor([0.4, 0.1, 0.3]), torch.from_numpy(turn.as_quat()).float()])
    state = bound.state(torch.cat([torch.zeros(7), fingers, pose])[None])[0]
    expected = [0.4, 0.1, 0.3, 0.2, -0.4, 1.0, 0.03, -0.02]
    assert np.abs(state.numpy() - expected).max() < 1e-6
    actions = torch.arange(7.0)
    assert torch.equal(bound.action(actions), actions)
    assert torch.equal(bound.inverse_action(actions), actions)


IK_ABS = replace(IK_REL, action_terms={"arm_action": 7, "gripper_action": 1})
"""Isaac-Stack-Cube-Franka-IK-Abs-v0."""


def test_poses_that_are_relative_to_the_state(tmp_path: Path) -> None:
    """An N1.7 with the keys of NVIDIA's DROID data: its relative poses become commands in the frame of `eef_pose`."""
    keys = {"eef_9d": 9, "gripper_position": 1, "joint_position": 7}
    directory = build_tiny_checkpoint(
        tmp_path / "droid",
        version="N1.7",
        state_keys=keys,
        action_keys=keys,
        video_keys=("exterior_image_1_left", "wrist_image_left"),
    )
    robot = load_embodiment(directory, "new_embodiment")
    mapping = EmbodimentMapping.load("gr00t_rl_ext.tasks.stack.config.franka:mapping_eef_9d.yaml")
    bound = bind_mapping(mapping, IK_ABS, robot)
    turn, move = Rotation.from_rotvec([0.2, -0.4, 1.0]), np.array([0.4, 0.1, 0.3])
    fingers, joints = torch.tensor([-0.01, -0.02]), torch.full((7,), 0.1)
    pose = torch.cat([torch.from_numpy(move), torch.from_numpy(turn.as_quat())]).float()
    state = bound.state(torch.cat([joints, fingers, pose])[None])[0].numpy()
    assert np.abs(state[:3] - move).max() < 1e-6
    assert np.abs(state[3:9] - turn.as_matrix()[:2].ravel()).max() < 1e-6, "rows, as NVIDIA's"
    assert state[9] == pytest.approx(0.25), "a quarter closed"
    assert state[10:].tolist() == pytest.approx([0.1444, -0.0894, -0.0107, -2.4148, 0.1044, 2.4775, 0.7952])
    # a step forward in the gripper's own frame, and a quarter of a turn about its own axis
    relative = RelativeAction("eef_9d", "rotation_6d")
    step = torch.tensor([[0.0, 0.0, 0.1, *Rotation.from_rotvec([0, 0, np.pi / 2]).as_matrix()[:2].ravel()]]).float()
    raw = torch.zeros(1, 17)
    raw[:, :9] = relative.to_absolute(step, torch.from_numpy(state[:9]))
    raw[:, 9] = 1.0
    action = bound.action(raw)[0].numpy()
    assert np.abs(action[:3] - (move + turn.apply([0.0, 0.0, 0.1]))).max() < 1e-6
    expected = turn * Rotation.from_rotvec([0, 0, np.pi / 2])
    assert (expected.inv() * Rotation.from_quat(action[3:7])).magnitude() < 1e-5
    assert action[7] == pytest.approx(-1.0), "closed"
    back = bound.inverse_action(torch.from_numpy(action))
    torch.testing.assert_close(back[:10], raw[0, :10], atol=1e-5, rtol=0)
