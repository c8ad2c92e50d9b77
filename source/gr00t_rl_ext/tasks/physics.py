# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Which physics a task takes on this machine, if nobody chooses."""

from __future__ import annotations

import importlib.util


def default_physics() -> str:
    """Name of the physics preset for this machine: PhysX of Isaac Sim, PhysX without it, else Newton."""
    for package, name in (("isaacsim", "isaacsim_physx"), ("ovphysx", "ovphysx")):
        if importlib.util.find_spec(package) is not None:
            return name
    return "newton_mjwarp"
