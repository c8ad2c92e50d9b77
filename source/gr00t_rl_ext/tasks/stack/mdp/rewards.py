# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Reward terms for stacking cubes. Every function returns a tensor of shape (num_envs,).

The tower is built from the bottom: ``tower[0]`` stays where it lies, ``tower[1]`` goes onto it, ``tower[2]`` onto
that. The *active* cube is the lowest one that is not in place yet, its *target* is the cube below it. The dense terms
follow the active cube, so one set of terms serves a tower of any height.
"""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv

CUBE_HEIGHT = 0.0468
"""Distance of the centres of two stacked cubes [m]; the edge length of the stock cubes, as in the success term."""

DEFAULT_TOWER = ("cube_1", "cube_2", "cube_3")
"""Scene names of the cubes, from bottom to top."""


def _positions(env: ManagerBasedRLEnv, tower: tuple[str, ...]) -> torch.Tensor:
    """World positions of the cubes [m], bottom first. Shape (num_envs, len(tower), 3)."""
    return torch.stack([env.scene[name].data.root_pos_w.torch for name in tower], dim=1)


def _gripper_position(env: ManagerBasedRLEnv) -> torch.Tensor:
    """World position of the point between the fingertips [m]. Shape (num_envs, 3)."""
    return env.scene["ee_frame"].data.target_pos_w.torch[:, 0, :]


def _opening(env: ManagerBasedRLEnv) -> torch.Tensor:
    """Mean opening of the fingers as a fraction of the open position: 0 closed, 1 open. Shape (num_envs,)."""
    robot = env.scene["robot"]
    finger_ids, _ = robot.find_joints(env.cfg.gripper_joint_names)
    return robot.data.joint_pos.torch[:, finger_ids].mean(dim=1) / env.cfg.gripper_open_val


def placed(
    env: ManagerBasedRLEnv,
    tower: tuple[str, ...] = DEFAULT_TOWER,
    xy_threshold: float = 0.04,
    height_threshold: float = 0.01,
) -> torch.Tensor:
    """Which cubes of the tower rest on the one below. The bottom cube counts as placed.

    Args:
        xy_threshold: Largest horizontal distance of the two centres [m].
        height_threshold: Largest deviation of their vertical distance from :data:`CUBE_HEIGHT` [m].

    Returns:
        Booleans of shape (num_envs, len(tower)). A cube above one that is not placed is not placed either.
    """
    position = _positions(env, tower)
    offset = position[:, 1:] - position[:, :-1]
    on_top = (offset[..., :2].norm(dim=-1) < xy_threshold) & ((offset[..., 2] - CUBE_HEIGHT).abs() < height_threshold)
    bottom = torch.ones_like(on_top[:, :1])
    return torch.cat((bottom, on_top), dim=1).cummin(dim=1).values


def active_cube(env: ManagerBasedRLEnv, tower: tuple[str, ...] = DEFAULT_TOWER) -> torch.Tensor:
    """Index in the tower of the cube to work on; the top cube once all are placed. Shape (num_envs,), int64."""
    return placed(env, tower).sum(dim=1).clamp(max=len(tower) - 1)


_latest: weakref.WeakKeyDictionary[Any, tuple[tuple, tuple[torch.Tensor, torch.Tensor]]] = weakref.WeakKeyDictionary()
"""Active and target cube of each environment's latest control step: four terms ask for them in every step."""


def _active_and_target(env: ManagerBasedRLEnv, tower: tuple[str, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """World positions of the active cube and of its target [m], each of shape (num_envs, 3)."""
    step = (env.common_step_counter, tuple(tower))
    known = _latest.get(env)
    if known is not None and known[0] == step:
        return known[1]
    position = _positions(env, tower)
    rows = torch.arange(env.num_envs, device=env.device)
    index = active_cube(env, tower)
    result = (position[rows, index], position[rows, index - 1])
    _latest[env] = (step, result)
    return result


def reach(env: ManagerBasedRLEnv, tower: tuple[str, ...] = DEFAULT_TOWER, scale: float = 0.1) -> torch.Tensor:
    """Closeness of the gripper to the active cube: ``1 - tanh(distance / scale)``, in [0, 1].

    Args:
        scale: Distance at which the term has fallen to 0.24 [m].
    """
    cube, _ = _active_and_target(env, tower)
    return 1.0 - torch.tanh((cube - _gripper_position(env)).norm(dim=1) / scale)


def grasp(
    env: ManagerBasedRLEnv,
    tower: tuple[str, ...] = DEFAULT_TOWER,
    distance: float = 0.03,
    opening: tuple[float, float] = (0.4, 0.8),
) -> torch.Tensor:
    """1 while the gripper holds the active cube, else 0.

    Args:
        distance: Largest distance of the cube's centre from the point between the fingertips [m].
        opening: Range of the fingers' opening, as a fraction, that a held cube allows. The cube's half width of
            23.4 mm is 0.585 of the open position of 40 mm; a gripper that closed beside it falls below the range.
    """
    cube, _ = _active_and_target(env, tower)
    near = (cube - _gripper_position(env)).norm(dim=1) < distance
    fraction = _opening(env)
    return (near & (fraction > opening[0]) & (fraction < opening[1])).float()


def lift(
    env: ManagerBasedRLEnv,
    tower: tuple[str, ...] = DEFAULT_TOWER,
    clearance: float = 0.03,
    rest_height: float = 0.0203,
) -> torch.Tensor:
    """Height of the held active cube as a fraction of what it must clear to get onto its target, in [0, 1].

    Args:
        clearance: Height of the cube's underside above the target's upper side that counts as full [m].
        rest_height: Height of the centre of a cube that lies on the table, in the environment's frame [m]. The
            default is the height at which the stock reset places the cubes.
    """
    cube, target = _active_and_target(env, tower)
    rest = env.scene.env_origins[:, 2] + rest_height
    goal = target[:, 2] + CUBE_HEIGHT + clearance
    fraction = ((cube[:, 2] - rest) / (goal - rest)).clamp(0.0, 1.0)
    return fraction * grasp(env, tower)


def align(
    env: ManagerBasedRLEnv, tower: tuple[str, ...] = DEFAULT_TOWER, scale: float = 0.05, margin: float = 0.005
) -> torch.Tensor:
    """Horizontal closeness of the active cube to its target while it is above it: ``1 - tanh(distance / scale)``.

    Args:
        scale: Distance at which the term has fallen to 0.24 [m].
        margin: How far below the stacked height the cube may be and still count as above [m].
    """
    cube, target = _active_and_target(env, tower)
    above = cube[:, 2] > target[:, 2] + CUBE_HEIGHT - margin
    return torch.where(above, 1.0 - torch.tanh((cube - target)[:, :2].norm(dim=1) / scale), 0.0)


def stack(env: ManagerBasedRLEnv, tower: tuple[str, ...] = DEFAULT_TOWER) -> torch.Tensor:
    """Fraction of the cubes above the bottom one that are in place, in [0, 1]."""
    return placed(env, tower)[:, 1:].float().mean(dim=1)
