# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Tasks that are one YAML file over a task of Isaac Lab: cameras, state, instruction, success, agents."""
