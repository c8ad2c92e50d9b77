# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a training leaves on the disk, and how it goes on from there: a layer between rsl_rl's runner and the disk."""
