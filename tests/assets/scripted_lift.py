# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A scripted pick, lift and release for the Franka stacking scene with inverse-kinematics-relative actions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Phase:
    """One leg of the motion."""

    name: str
    height: float
    """Height of the tool above the grasp point [m]."""
    gripper: float
    """Gripper action: 1 opens, -1 closes."""
    steps: int
    """Control steps the leg lasts."""


PHASES = (
    Phase("approach", height=0.12, gripper=1.0, steps=45),
    Phase("descend", height=0.0, gripper=1.0, steps=30),
    Phase("close", height=0.0, gripper=-1.0, steps=25),
    Phase("lift", height=0.15, gripper=-1.0, steps=40),
    Phase("hold", height=0.15, gripper=-1.0, steps=20),
    Phase("release", height=0.15, gripper=1.0, steps=25),
)

# Commands are relative to where the tool is, and the arm closes only a quarter of one within a control step.
_MAX_MOVE = 0.05
"""Longest commanded displacement per control step [m]."""
_MAX_TURN = 0.25
"""Largest commanded rotation per control step [rad]."""


class ScriptedLift:
    """Drives the tool over one cube of each environment, grasps it, lifts it, and lets it go.

    The motion is a fixed sequence of phases; within a phase the tool moves straight to its target at a bounded
    speed. The grasp point is where the cube lies at the first step, so a cube that slips is not followed.

    Args:
        env: Manager-based environment with the assets ``robot``, ``ee_frame`` and ``cube`` and actions
            ``[dx, dy, dz, rx, ry, rz, gripper]`` (displacement [m] and axis-angle [rad] in the robot's base frame).
        cube: Name of the cube in the scene.
        action_scale: Factor by which the arm's action term multiplies its input.
    """

    def __init__(self, env: Any, cube: str = "cube_2", action_scale: float = 0.5) -> None:
        self._env = env
        self._frame = env.scene["ee_frame"].data
        self._scale = action_scale
        body = env.scene[cube].data
        self._grasp_point = body.root_pos_w.torch.clone()
        self._yaw = self._nearest_square_yaw(body.root_quat_w.torch)

    @property
    def num_steps(self) -> int:
        """Control steps of the whole motion."""
        return sum(phase.steps for phase in PHASES)

    def end_of(self, name: str) -> int:
        """Number of control steps after which the phase ``name`` is over."""
        names = [phase.name for phase in PHASES]
        return sum(phase.steps for phase in PHASES[: names.index(name) + 1])

    def action(self, step: int) -> torch.Tensor:
        """Action for control step ``step``.

        Args:
            step: Index of the control step since the controller was made.

        Returns:
            Tensor of shape ``(num_envs, 7)``.
        """
        from isaaclab.utils import math as math_utils

        phase = self._phase(step)
        target = self._grasp_point.clone()
        target[:, 2] += phase.height
        move = target - self._frame.target_pos_w.torch[:, 0]
        move = move / move.norm(dim=1, keepdim=True).div(_MAX_MOVE).clamp(min=1.0)

        flipped = torch.full_like(self._yaw, math.pi)
        level = torch.zeros_like(self._yaw)
        wanted = math_utils.quat_from_euler_xyz(flipped, level, self._yaw)
        current = self._frame.target_quat_w.torch[:, 0]
        turn = math_utils.quat_box_minus(wanted, current)
        turn = turn / turn.norm(dim=1, keepdim=True).div(_MAX_TURN).clamp(min=1.0)
        gripper = torch.full_like(move[:, :1], phase.gripper)
        return torch.cat([move / self._scale, turn / self._scale, gripper], dim=1)

    def _phase(self, step: int) -> Phase:
        for phase in PHASES:
            if step < phase.steps:
                return phase
            step -= phase.steps
        return PHASES[-1]

    def _nearest_square_yaw(self, cube_quat: torch.Tensor) -> torch.Tensor:
        """Yaw of the tool [rad] that aligns it with a cube's faces with the smallest turn. Shape ``(num_envs,)``."""
        from isaaclab.utils import math as math_utils

        forward = torch.zeros_like(cube_quat[:, :3])
        forward[:, 0] = 1.0
        cube = math_utils.quat_apply(cube_quat, forward)
        tool = math_utils.quat_apply(self._frame.target_quat_w.torch[:, 0], forward)
        tool_yaw = torch.atan2(tool[:, 1], tool[:, 0])
        offset = torch.atan2(cube[:, 1], cube[:, 0]) - tool_yaw
        quarter = math.pi / 2
        return tool_yaw + offset - quarter * torch.round(offset / quarter)
