# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Learning from demonstrations: scripted experts, recording, and datasets in the layout that GR00T reads."""
