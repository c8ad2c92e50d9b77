# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Fine-tune GR00T policies by reinforcement learning in Isaac Lab.

Importing this package imports nothing heavy: Isaac Lab's launcher loads :mod:`gr00t_rl_ext.tasks` before it has
chosen a physics back end, so torch, warp and USD must wait.
"""
