# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What the tests of this folder share."""

from tiny_policy import encoder  # noqa: F401
