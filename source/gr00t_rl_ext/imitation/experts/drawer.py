# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A scripted expert that opens a drawer by its handle.

Like those of the cubes it keeps only the phase of each environment, and computes anew in every step where to go.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import torch
from isaaclab.utils import math as math_utils
from torch import Tensor

from gr00t_rl_ext.imitation.experts.cubes import CLOSE, OPEN
from gr00t_rl_ext.imitation.experts.motion import GripperExpert


class DrawerPhase(IntEnum):
    """What the gripper is doing."""

    APPROACH = 0
    REACH = 1
    GRASP = 2
    PULL = 3


BEFORE = 0.08
"""Distance of the gripper from the handle before it reaches for it [m]: open fingertips are then clear of the bar."""

STRIDE = 0.05
"""How far before the handle the gripper is sent while it pulls [m]: a speed, as the handle comes along."""

GRASPED, LOST = 0.3, 0.15
"""Openings below which the fingers hold the bar, whose 2 cm are 0.25 of the whole, or closed on nothing."""

SLIPPED = 0.03
"""Distance from the handle at which a gripper that pulls has lost it [m]."""

PATIENCE = 40
"""Control steps after which an expert that got stuck on its way to the handle starts again."""

_GRIPPER = torch.tensor([OPEN, OPEN, CLOSE, CLOSE])


@dataclass(frozen=True)
class DrawerScene:
    """Poses in the robot's base frame, for N environments. Quaternions are (x, y, z, w)."""

    gripper_position: Tensor
    """Point between the fingertips [m]. Shape (N, 3)."""

    gripper_quat: Tensor
    """Shape (N, 4)."""

    opening: Tensor
    """Mean opening of the fingers as a fraction: 0 closed, 1 open. Shape (N,)."""

    handle_position: Tensor
    """Centre of the handle's bar [m]. Shape (N, 3)."""

    handle_quat: Tensor
    """Of a gripper that holds the bar: its z-axis points into the drawer. Shape (N, 4)."""

    @classmethod
    def read(cls, env: Any) -> DrawerScene:
        """Read the current state of an Isaac Lab environment.

        Args:
            env: Manager-based environment with the scene entities ``robot``, ``ee_frame`` and ``cabinet_frame`` and
                the action term ``gripper_action``, as Isaac Lab's cabinet tasks have.
        """
        robot, gripper = env.scene["robot"], env.action_manager.get_term("gripper_action").cfg
        base = robot.data.root_pos_w.torch, robot.data.root_quat_w.torch

        def in_base(frame: str) -> tuple[Tensor, Tensor]:
            data = env.scene[frame].data
            return math_utils.subtract_frame_transforms(
                *base, data.target_pos_w.torch[:, 0], data.target_quat_w.torch[:, 0]
            )

        fingers, _ = robot.find_joints(gripper.joint_names)
        opened = next(iter(gripper.open_command_expr.values()))
        hand, handle = in_base("ee_frame"), in_base("cabinet_frame")
        return cls(
            gripper_position=hand[0],
            gripper_quat=hand[1],
            opening=robot.data.joint_pos.torch[:, fingers].mean(dim=1) / opened,
            handle_position=handle[0],
            handle_quat=handle[1],
        )


class DrawerExpert(GripperExpert):
    """Grasps the handle from the front and pulls until the episode ends. A handle that slipped is grasped again.

    For Isaac Lab's cabinet tasks with relative poses as actions.

    Args:
        num_envs: Number of environments N.
        device: Where the phases are kept.
    """

    def __init__(self, num_envs: int, device: torch.device | str = "cpu") -> None:
        super().__init__(num_envs, device)
        self._gripper = _GRIPPER.to(device)

    def action(self, env: Any) -> Tensor:
        """The action for an Isaac Lab environment's current state: :meth:`act` on what it reads there."""
        return self.act(DrawerScene.read(env))

    def act(self, scene: DrawerScene) -> Tensor:
        """The action for the current state.

        Returns:
            Position, rotation (relative, in the units of the action term) and gripper. Shape (N, 7), in [-1, 1].
        """
        forward = torch.zeros_like(scene.gripper_position)
        forward[:, 2] = 1.0
        forward = math_utils.quat_apply(scene.handle_quat, forward)
        to_handle = scene.handle_position - scene.gripper_position
        turn = math_utils.quat_box_minus(scene.handle_quat, scene.gripper_quat)
        moves = (to_handle - BEFORE * forward, to_handle, to_handle, to_handle - STRIDE * forward)
        move = torch.stack(moves)[self.phase, self._rows]
        gripper = self._gripper[self.phase]
        self._advance(scene, move, turn, to_handle)
        return torch.cat((self.law.arm_action(move, turn), gripper[:, None]), dim=1)

    def _advance(self, scene: DrawerScene, move: Tensor, turn: Tensor, to_handle: Tensor) -> None:
        """Go on to the next phase where this one is over, or back to the first where it failed."""
        self._steps += 1
        way, angle = move.norm(dim=1), turn.norm(dim=1)
        over = torch.stack(
            (
                (way < 0.02) & (angle < 0.15),
                (way < 0.012) & (angle < 0.15),
                (scene.opening < GRASPED) & (self._steps >= 2),
                torch.zeros_like(way, dtype=torch.bool),
            )
        )[self.phase, self._rows]
        pulling = self.phase == DrawerPhase.PULL
        lost = pulling & ((scene.opening < LOST) | (to_handle.norm(dim=1) > SLIPPED))
        stuck = ~pulling & (self._steps > PATIENCE)
        following = torch.where(over, self.phase + 1, self.phase)
        following = torch.where(lost | stuck, DrawerPhase.APPROACH.value, following)
        self._steps = torch.where(following == self.phase, self._steps, 0)
        self.phase = following
