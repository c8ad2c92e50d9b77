# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""How a task's numbers correspond to a checkpoint's: the task, the mapping file, and both fitted to each other."""
