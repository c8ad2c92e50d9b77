# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""MDP terms of the stack task beside the stock ones."""

from gr00t_rl_ext.tasks.stack.mdp.rewards import CUBE_HEIGHT, active_cube, align, grasp, lift, placed, reach, stack

__all__ = ["CUBE_HEIGHT", "active_cube", "align", "grasp", "lift", "placed", "reach", "stack"]
