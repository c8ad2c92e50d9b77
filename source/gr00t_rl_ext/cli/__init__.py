# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What the scripts do around Isaac Lab's own commands: checks before the simulator starts, defaults, a summary."""
