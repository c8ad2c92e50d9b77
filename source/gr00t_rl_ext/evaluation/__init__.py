# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a policy achieves: paired evaluation on fixed initial states, and what may be concluded from it."""
