# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""When a cube counts as lifted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from gr00t_rl_ext.tasks.stack.mdp import grasp

if TYPE_CHECKING:
    from isaaclab.envs import ManagerBasedRLEnv


def cube_lifted(
    env: ManagerBasedRLEnv,
    tower: tuple[str, str],
    min_rise: float = 0.10,
    rest_height: float = 0.0203,
    max_lin_vel: float = 0.15,
) -> torch.Tensor:
    """Whether the gripper holds the cube above the table, nearly at rest.

    A cube that was thrown or bounced is not between the fingers, and one that slips out of them falls faster than the
    limit within 15 ms.

    Args:
        tower: Scene names of a cube that stays where it lies and of the one to lift, as the reward terms of
            :mod:`~gr00t_rl_ext.tasks.stack.mdp.rewards` take them.
        min_rise: Smallest height of the cube's centre above its height on the table [m].
        rest_height: Height of the centre of a cube that lies on the table, in the environment's frame [m].
        max_lin_vel: Speed below which the cube counts as held still [m/s].

    Returns:
        Booleans of shape (num_envs,).
    """
    cube = env.scene[tower[1]].data
    rise = cube.root_pos_w.torch[:, 2] - env.scene.env_origins[:, 2] - rest_height
    slow = cube.root_lin_vel_w.torch.norm(dim=1) < max_lin_vel
    return (rise >= min_rise) & slow & grasp(env, tower).bool()
