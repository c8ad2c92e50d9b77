# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""From where the gripper should be to an action that displaces it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from isaaclab.utils import math as math_utils
from torch import Tensor

QUARTER = math.pi / 2


@dataclass(frozen=True)
class ServoLaw:
    """A proportional law. The defaults are for Isaac Lab's relative inverse-kinematics term: a command is a
    displacement from where the gripper is; the arm covers about 22% of it within a control step of 50 ms (measured with
    the stock gains), so commands are longer than the way that is left."""

    gain: float = 2.0
    """Command per error. Above 4.5 the arm would overshoot."""

    max_move: float = 0.1
    """Longest commanded displacement [m]; the gripper then moves with about 0.45 m/s."""

    max_turn: float = 0.4
    """Largest commanded rotation [rad]; about 1.8 rad/s."""

    action_scale: float = 0.5
    """Factor by which the action term multiplies its input: the stock tasks' 0.5. Actions stay within 0.4 for the
    position and 1.2 for the rotation before they are clamped to [-1, 1]."""

    def arm_action(self, move: Tensor, turn: Tensor) -> Tensor:
        """The six arm actions.

        Args:
            move: Displacement to make [m], in the robot's base frame. Shape (N, 3).
            turn: Rotation to make, as axis times angle [rad]. Shape (N, 3).

        Returns:
            Shape (N, 6), in [-1, 1].
        """
        return torch.cat((self.move_action(move), self._action(turn, self.max_turn)), dim=1)

    def move_action(self, move: Tensor) -> Tensor:
        """Its first three, for a displacement (N, 3)."""
        return self._action(move, self.max_move)

    def _action(self, error: Tensor, longest: float) -> Tensor:
        command = self.gain * error
        # none is longer, in the same direction
        command = command / (command.norm(dim=1, keepdim=True) / longest).clamp(min=1.0)
        return (command / self.action_scale).clamp(-1.0, 1.0)


def yaw_of(quat: Tensor) -> Tensor:
    """Heading of the x-axis in the horizontal plane [rad]. Quaternions (..., 4) as (x, y, z, w) -> (...)."""
    x, y, z, w = quat.unbind(-1)
    return torch.atan2(2 * (x * y + w * z), 1 - 2 * (y * y + z * z))


def nearest_square_turn(from_yaw: Tensor, to_yaw: Tensor) -> Tensor:
    """Smallest turn after which two squares have parallel sides, in [-45°, 45°] as radians."""
    offset = to_yaw - from_yaw
    return offset - QUARTER * torch.round(offset / QUARTER)


def turn_to_yaw(quat: Tensor, yaw: Tensor) -> Tensor:
    """Rotation that points a gripper straight down with the heading ``yaw``.

    Args:
        quat: Its orientation. Shape (N, 4).
        yaw: Wanted heading of its x-axis [rad]. Shape (N,).

    Returns:
        Axis times angle [rad] in the base frame. Shape (N, 3).
    """
    wanted = math_utils.quat_from_euler_xyz(torch.full_like(yaw, math.pi), torch.zeros_like(yaw), yaw)
    return math_utils.quat_box_minus(wanted, quat)


class GripperExpert:
    """What experts have in common that move a gripper through phases, each environment in its own.

    Args:
        num_envs: Number of environments N.
        device: Where the phases are kept.
    """

    law = ServoLaw()
    """How an error of the gripper's pose becomes an action."""

    binary: ClassVar[int | None] = 6
    """Index of the gripper's action, which is 1 or -1."""

    bounded: ClassVar[bool] = True

    robot_type: ClassVar[str] = "franka_panda"

    groups: ClassVar[tuple[str, ...]] = ()
    """It reads the simulator, not observations."""

    def __init__(self, num_envs: int, device: torch.device | str = "cpu") -> None:
        self.phase = torch.zeros(num_envs, dtype=torch.long, device=device)
        """Of each environment; an episode begins with the phase 0. Shape (N,)."""
        self._steps = torch.zeros_like(self.phase)
        self._rows = torch.arange(num_envs, device=device)

    def reset(self, done: Tensor) -> None:
        """Begin anew where an episode ended. ``done`` is boolean, of shape (N,)."""
        self.phase[done] = 0
        self._steps[done] = 0
