# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""MDP terms of the stack task: the stock terms and our rewards."""

from isaaclab.envs.mdp import (
    action_rate_l2,
    image_rgb,
    is_terminated_term,
    joint_pos_rel,
    joint_vel_rel,
    last_action,
    remaining_time_s,
    root_height_below_minimum,
    time_out,
)
from isaaclab_tasks.contrib.stack.mdp import cubes_stacked, ee_frame_pose_in_base_frame, object_obs

from gr00t_rl_ext.tasks.stack.mdp.rewards import active_cube, align, grasp, lift, placed, reach, stack

__all__ = [
    "action_rate_l2",
    "active_cube",
    "align",
    "cubes_stacked",
    "ee_frame_pose_in_base_frame",
    "grasp",
    "image_rgb",
    "is_terminated_term",
    "joint_pos_rel",
    "joint_vel_rel",
    "last_action",
    "lift",
    "object_obs",
    "placed",
    "reach",
    "remaining_time_s",
    "root_height_below_minimum",
    "stack",
    "time_out",
]
