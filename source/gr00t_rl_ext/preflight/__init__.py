# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What is wrong with a task, a policy and their match, found by a few decisions before a run."""
