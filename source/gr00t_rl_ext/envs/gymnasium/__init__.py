# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Gymnasium environments as tasks: an rsl_rl VecEnv over worker processes, with action chunks, images and groups.

:func:`~gr00t_rl_ext.envs.gymnasium.tasks.make` creates one from a task name such as ``gym:FetchPickAndPlace-v4``.
"""
