# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""MDP terms of the lift task: those of the stack task, and when a cube counts as lifted."""

from gr00t_rl_ext.tasks.lift.mdp.terminations import cube_lifted
from gr00t_rl_ext.tasks.stack.mdp import action_rate_l2, grasp, is_terminated_term, lift, reach
from gr00t_rl_ext.tasks.stack.mdp.rewards import CUBE_HEIGHT

__all__ = ["CUBE_HEIGHT", "action_rate_l2", "cube_lifted", "grasp", "is_terminated_term", "lift", "reach"]
