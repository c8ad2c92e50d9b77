# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Registering agents with a task, by strings: this module imports nothing."""

from __future__ import annotations

SMALL = "_small"
"""How agents end whose settings are for models that train on a CPU, such as ``gr00t_flow_ppo_small``."""

ENTRY_POINT = "_cfg_entry_point"
"""How the second name of each agent ends, the one that Isaac Lab lists."""


def agents(module: str, recipes: dict[str, str]) -> dict[str, str]:
    """Arguments of ``gym.register`` for agents.

    ``--agent`` is looked up as it is typed; error messages of Isaac Lab list only names that end in
    ``_cfg_entry_point``.

    Args:
        module: Module of the recipes.
        recipes: Name of an agent -> class of its recipe.
    """
    return {f"{name}{suffix}": f"{module}:{cfg}" for name, cfg in recipes.items() for suffix in ("", ENTRY_POINT)}
