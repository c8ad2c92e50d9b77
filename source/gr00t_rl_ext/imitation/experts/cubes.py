# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Scripted experts that lift and stack cubes: one state machine per environment, all of them stepped as tensors.

An expert keeps only the phase of each environment and how long it has lasted; where to go is computed anew from the
scene in every step, so that it corrects what noise, or a policy that acted before it, did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import torch
from isaaclab.utils import math as math_utils
from torch import Tensor

from gr00t_rl_ext.imitation.experts.motion import QUARTER, GripperExpert, nearest_square_turn, turn_to_yaw, yaw_of

CUBE_HEIGHT = 0.0468
"""Edge of the stock cubes [m]."""

REST_HEIGHT = 0.0203
"""Height at which the stock reset puts the centre of a cube [m]."""

OPEN, CLOSE = 1.0, -1.0


class Phase(IntEnum):
    """What the gripper is doing."""

    APPROACH = 0
    DESCEND = 1
    GRASP = 2
    LIFT = 3
    CARRY = 4
    PLACE = 5
    RELEASE = 6
    RETREAT = 7


_NEXT = torch.tensor([*range(1, len(Phase)), Phase.APPROACH])
_GRIPPER = torch.tensor([OPEN, OPEN, CLOSE, CLOSE, CLOSE, CLOSE, OPEN, OPEN])

ABOVE = 0.075
"""Height of the gripper above a cube before it descends, and after it let go [m]."""

CLEARANCE = 0.03
"""Distance between a carried cube and the tower below it [m]."""

HELD_OPENING = (0.4, 0.66)
"""Openings between which the fingers hold a cube, whose width is 0.585 of the whole; below, they closed on nothing."""

FINGER_ROOM = (0.045, 0.095)
"""How far another cube's centre must be from the grasped one's, along the fingers' sides or in their direction [m]:
half of its diagonal plus half of a finger, or plus an open finger's outer side."""

HAND_ROOM = (0.07, 0.135)
"""Likewise for a cube that lies on another, beside the hand: 66 by 204 mm wide, 45 mm above the fingertips."""

PATIENCE = 30
"""Control steps after which an expert that got stuck in a phase starts again."""


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
            cube_position=torch.stack([position for position, _ in poses], dim=1),
            cube_quat=torch.stack([quat for _, quat in poses], dim=1),
        )


class CubeExpert(GripperExpert):
    """What lifting and stacking have in common: pick up a cube, and perhaps put it somewhere.

    Args:
        num_envs: Number of environments N.
        device: Where the phases are kept.
    """

    cubes = ("cube_1", "cube_2", "cube_3")
    """Names of the cubes in the scene, in the order of :class:`CubeScene`: blue, red, green."""

    def __init__(self, num_envs: int, device: torch.device | str = "cpu") -> None:
        super().__init__(num_envs, device)
        self._cube = torch.zeros_like(self.phase)
        self._crosswise = torch.zeros_like(self.phase, dtype=torch.bool)
        self._next, self._gripper = _NEXT.to(device), _GRIPPER.to(device)

    def action(self, env: Any) -> Tensor:
        """The action for an Isaac Lab environment's current state: :meth:`act` on what it reads there."""
        return self.act(CubeScene.read(env, self.cubes))

    def act(self, scene: CubeScene) -> Tensor:
        """The action for the current state.

        Returns:
            Position, rotation (relative, in the units of the action term) and gripper. Shape (N, 7), in [-1, 1].
        """
        approaching = self.phase == Phase.APPROACH
        chosen, idle = self.choose(scene)
        self._cube = torch.where(approaching, chosen, self._cube)
        cube = scene.cube_position[self._rows, self._cube]
        cube_yaw = yaw_of(scene.cube_quat[self._rows, self._cube])
        goal, goal_yaw = self.destination(scene, self._cube)

        move = self._moves(scene, cube, goal)[self.phase, self._rows]
        tool_yaw = yaw_of(scene.gripper_quat)
        pick = self._pick_yaw(scene, cube, cube_yaw, approaching)
        align = tool_yaw + nearest_square_turn(cube_yaw, goal_yaw)
        pick = torch.where(idle, tool_yaw, pick)
        yaw = torch.stack((pick, pick, pick, tool_yaw, align, align, tool_yaw, tool_yaw))[self.phase, self._rows]
        turn = turn_to_yaw(scene.gripper_quat, yaw)
        # above the last cube, so that noise does not let the gripper drift into it
        waiting = idle & approaching

        gripper = self._gripper[self.phase]
        self._advance(scene, move, turn, waiting)
        return torch.cat((self.law.arm_action(move, turn), gripper[:, None]), dim=1)

    def choose(self, scene: CubeScene) -> tuple[Tensor, Tensor]:
        """Index of the cube to pick up, and whether there is nothing to do. Shapes (N,)."""
        raise NotImplementedError

    def destination(self, scene: CubeScene, cube: Tensor) -> tuple[Tensor, Tensor]:
        """Where the centre of the cube shall be at the end, (N, 3), and its heading, (N,)."""
        raise NotImplementedError

    carries: bool | Tensor = True
    """Whether the cube is put somewhere, (N,) bool or one for all; else it is held where it was lifted to."""

    def _pick_yaw(self, scene: CubeScene, cube: Tensor, cube_yaw: Tensor, approaching: Tensor) -> Tensor:
        """Heading of the gripper to grasp a cube with: along its sides with the smallest turn from the rest pose, or
        across if a neighbour leaves the fingers no room there. Shape (N,)."""
        along = nearest_square_turn(torch.zeros_like(cube_yaw), cube_yaw)
        across = along - QUARTER * torch.sign(along)
        offset = scene.cube_position - cube[:, None]

        def blocked(yaw: Tensor) -> Tensor:
            x, y = offset[..., 0], offset[..., 1]
            cos, sin = yaw.cos()[:, None], yaw.sin()[:, None]
            # the fingers open along the gripper's y-axis
            beside, between = (cos * x + sin * y).abs(), (cos * y - sin * x).abs()
            # a tower reaches up to the hand, which is wider than the fingers
            tall = offset[..., 2] > 0.5 * CUBE_HEIGHT
            near = (beside < FINGER_ROOM[0]) & (between < FINGER_ROOM[1])
            near |= tall & (beside < HAND_ROOM[0]) & (between < HAND_ROOM[1])
            near[self._rows, self._cube] = False
            return near.any(dim=1)

        self._crosswise = torch.where(approaching, blocked(along) & ~blocked(across), self._crosswise)
        return torch.where(self._crosswise, across, along)

    def _moves(self, scene: CubeScene, cube: Tensor, goal: Tensor) -> Tensor:
        """Displacement of the gripper that each phase wants. Shape (phases, N, 3)."""
        to_cube = cube - scene.gripper_position
        above = torch.zeros_like(to_cube)
        above[:, 2] = ABOVE
        # what is held moves with the gripper, so errors are those of the cube
        up = torch.zeros_like(to_cube)
        up[:, 2] = goal[:, 2] + CLEARANCE * self.carries - cube[:, 2]
        over = goal - cube
        place = goal - cube
        over[:, 2] = up[:, 2]
        stay = torch.zeros_like(to_cube)
        # straight up: the open fingers stand beside the cube
        away = stay.clone()
        away[:, 2] = (to_cube + above)[:, 2]
        return torch.stack((to_cube + above, to_cube, to_cube, up, over, place, stay, away))

    def _advance(self, scene: CubeScene, move: Tensor, turn: Tensor, waiting: Tensor) -> None:
        """Go on to the next phase where this one is over, or back to the first where it failed."""
        self._steps += 1
        sideways, height, angle = move[:, :2].norm(dim=1), move[:, 2].abs(), turn.norm(dim=1)
        low, high = HELD_OPENING
        over = torch.stack(
            (
                (sideways < 0.02) & (height < 0.03) & (angle < 0.2) & ~waiting,
                (sideways < 0.012) & (height < 0.012) & (angle < 0.15),
                (scene.opening < high) & (self._steps >= 2),
                (height < 0.015) & self.carries,
                (sideways < 0.012) & (angle < 0.15),
                (sideways < 0.012) & (height < 0.006),
                scene.opening > 0.8,
                height < 0.02,
            )
        )[self.phase, self._rows]
        holding = (self.phase > Phase.GRASP) & (self.phase < Phase.RELEASE)
        lost = holding & (scene.opening < low)
        stuck = (self._steps > PATIENCE) & ~waiting & (holding.logical_not() | self.carries)
        following = torch.where(over, self._next[self.phase], self.phase)
        following = torch.where(lost | stuck, Phase.APPROACH.value, following)
        self._steps = torch.where(following == self.phase, self._steps, 0)
        self.phase = following


class LiftExpert(CubeExpert):
    """Lifts the red cube and holds it."""

    carries = False
    rise = 0.12
    """How far the cube is lifted [m]: the task asks for 0.10."""

    def choose(self, scene: CubeScene) -> tuple[Tensor, Tensor]:
        return torch.ones_like(self.phase), torch.zeros_like(self.phase, dtype=torch.bool)

    def destination(self, scene: CubeScene, cube: Tensor) -> tuple[Tensor, Tensor]:
        goal = scene.cube_position[self._rows, cube].clone()
        goal[:, 2] = REST_HEIGHT + self.rise
        return goal, yaw_of(scene.gripper_quat)


class StackExpert(CubeExpert):
    """Puts the red cube on the blue one, then the green one on the red one. A cube that fell off is put back."""

    def choose(self, scene: CubeScene) -> tuple[Tensor, Tensor]:
        offset = scene.cube_position[:, 1:] - scene.cube_position[:, :-1]
        on_top = (offset[..., :2].norm(dim=-1) < 0.03) & ((offset[..., 2] - CUBE_HEIGHT).abs() < 0.005)
        # a cube counts only if everything below it is in place
        placed = on_top.long().cummin(dim=1).values.sum(dim=1)
        return (placed + 1).clamp(max=offset.shape[1]), placed == offset.shape[1]

    def destination(self, scene: CubeScene, cube: Tensor) -> tuple[Tensor, Tensor]:
        below = (cube - 1).clamp(min=0)
        goal = scene.cube_position[self._rows, below].clone()
        goal[:, 2] += CUBE_HEIGHT
        return goal, yaw_of(scene.cube_quat[self._rows, below])


class CubeTasksExpert(CubeExpert):
    """Does the task that each environment has: lifts a cube, or builds a tower."""

    towers: Mapping[str, Sequence[str]] = {}
    """Name of a task -> the cubes of its tower, from bottom to top; one cube alone is lifted."""

    rise = LiftExpert.rise

    def __init__(self, num_envs: int, device: torch.device | str = "cpu") -> None:
        super().__init__(num_envs, device)
        self._tower = torch.empty(0)

    def action(self, env: Any) -> Tensor:
        self._read_tasks(env.task_set)
        return super().action(env)

    def _read_tasks(self, tasks: Any) -> None:
        """Towers as indices of :attr:`cubes`, (N, levels), -1 above the top."""
        if missing := [name for name in tasks.names if name not in self.towers]:
            raise ValueError(
                f"The expert has no tower for the task {', '.join(missing)}; it has {', '.join(self.towers) or 'none'}."
                " Name the cubes in `expert.params.towers`."
            )
        levels = max(len(self.towers[name]) for name in tasks.names)
        rows = [
            [*(self.cubes.index(cube) for cube in self.towers[name]), *[-1] * (levels - len(self.towers[name]))]
            for name in tasks.names
        ]
        self._tower = torch.tensor(rows, device=self.phase.device)[tasks.index]
        self.carries = (self._tower >= 0).sum(dim=1) > 1

    def choose(self, scene: CubeScene) -> tuple[Tensor, Tensor]:
        tower = self._tower
        position = scene.cube_position[self._rows[:, None], tower.clamp(min=0)]
        offset = position[:, 1:] - position[:, :-1]
        on_top = (offset[..., :2].norm(dim=-1) < 0.03) & ((offset[..., 2] - CUBE_HEIGHT).abs() < 0.005)
        on_top &= tower[:, 1:] >= 0
        placed = on_top.long().cummin(dim=1).values.sum(dim=1)
        top = (tower >= 0).sum(dim=1) - 1
        level = torch.minimum(placed + 1, top)
        return tower[self._rows, level], (placed == top) & torch.as_tensor(self.carries)

    def destination(self, scene: CubeScene, cube: Tensor) -> tuple[Tensor, Tensor]:
        level = (self._tower == cube[:, None]).long().argmax(dim=1)
        below = self._tower[self._rows, (level - 1).clamp(min=0)]
        on_tower = scene.cube_position[self._rows, below].clone()
        on_tower[:, 2] += CUBE_HEIGHT
        lifted = scene.cube_position[self._rows, cube].clone()
        lifted[:, 2] = REST_HEIGHT + self.rise
        carries = torch.as_tensor(self.carries)
        yaw = torch.where(carries, yaw_of(scene.cube_quat[self._rows, below]), yaw_of(scene.gripper_quat))
        return torch.where(carries[:, None], on_tower, lifted), yaw
