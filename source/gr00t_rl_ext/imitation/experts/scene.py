# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a scripted expert sees of a scene with a gripper and cubes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from isaaclab.utils import math as math_utils
from torch import Tensor, stack


@dataclass(frozen=True)
class CubeScene:
    """Poses in the robot's base frame, for N environments with C cubes. Quaternions are (x, y, z, w)."""

    gripper_position: Tensor
    """Point between the fingertips [m]. Shape (N, 3)."""

    gripper_quat: Tensor
    """Shape (N, 4)."""

    opening: Tensor
    """Mean opening of the fingers as a fraction: 0 closed, 1 open. Shape (N,)."""

    cube_position: Tensor
    """Centres of the cubes [m]. Shape (N, C, 3)."""

    cube_quat: Tensor
    """Shape (N, C, 4)."""

    @classmethod
    def read(cls, env: Any, cubes: Sequence[str]) -> CubeScene:
        """Read the current state of an Isaac Lab environment.

        Args:
            env: Manager-based environment with the scene entities ``robot``, ``ee_frame`` and the cubes, and with
                ``gripper_joint_names`` and ``gripper_open_val`` in its config, as Isaac Lab's stack tasks have.
            cubes: Names of the cubes in the scene.
        """
        robot = env.scene["robot"]
        frame = env.scene["ee_frame"].data
        fingers, _ = robot.find_joints(env.cfg.gripper_joint_names)
        base = robot.data.root_pos_w.torch, robot.data.root_quat_w.torch

        def in_base(position: Tensor, quat: Tensor) -> tuple[Tensor, Tensor]:
            return math_utils.subtract_frame_transforms(*base, position, quat)

        gripper = in_base(frame.target_pos_w.torch[:, 0], frame.target_quat_w.torch[:, 0])
        data = [env.scene[name].data for name in cubes]
        poses = [in_base(cube.root_pos_w.torch, cube.root_quat_w.torch) for cube in data]
        return cls(
            gripper_position=gripper[0],
            gripper_quat=gripper[1],
            opening=robot.data.joint_pos.torch[:, fingers].mean(dim=1) / env.cfg.gripper_open_val,
            cube_position=stack([position for position, _ in poses], dim=1),
            cube_quat=stack([quat for _, quat in poses], dim=1),
        )
