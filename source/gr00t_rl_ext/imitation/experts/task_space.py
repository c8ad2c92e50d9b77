# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The cube experts for tasks whose actions are poses of the gripper."""

from __future__ import annotations

from typing import ClassVar

import torch
from isaaclab.utils import math as math_utils
from torch import Tensor

from gr00t_rl_ext.imitation.experts.cubes import CubeScene, StackExpert


class PoseStackExpert(StackExpert):
    """Stacks as :class:`StackExpert` does; a displacement becomes the pose that the gripper would have after it."""

    binary: ClassVar[int | None] = 7

    bounded: ClassVar[bool] = False
    """Poses are what they are."""

    def act(self, scene: CubeScene) -> Tensor:
        """The action for the current state.

        Returns:
            Position [m] and quaternion (x, y, z, w) in the robot's base frame, and gripper. Shape (N, 8).
        """
        relative = super().act(scene)
        position, quat = math_utils.apply_delta_pose(
            scene.gripper_position, scene.gripper_quat, self.law.action_scale * relative[:, :6]
        )
        return torch.cat((position, quat, relative[:, 6:]), dim=1)
