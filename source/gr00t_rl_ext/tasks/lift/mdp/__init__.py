# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""MDP terms of the lift task beside those of the stack task."""

from gr00t_rl_ext.tasks.lift.mdp.terminations import cube_lifted

__all__ = ["cube_lifted"]
