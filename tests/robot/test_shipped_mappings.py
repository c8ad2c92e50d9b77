# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The mapping files that come with the package fit the tasks and checkpoints that they are for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from gr00t_rl_ext.gr00t import build_tiny_checkpoint, load_embodiment
from gr00t_rl_ext.gr00t.data_config import read_data_config
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
