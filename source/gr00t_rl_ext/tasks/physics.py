# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Which physics a task takes on this machine, if nobody chooses."""

from __future__ import annotations

import importlib.util


def isaac_sim_is_installed() -> bool:
    """Whether Isaac Sim's PhysX can run here."""
    return importlib.util.find_spec("isaacsim") is not None


def default_physics() -> str:
    """Name of the physics preset for this machine: PhysX of Isaac Sim, PhysX without it, else Newton."""
    if isaac_sim_is_installed():
        return "isaacsim_physx"
    return "ovphysx" if importlib.util.find_spec("ovphysx") is not None else "newton_mjwarp"
