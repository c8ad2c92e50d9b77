# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Registering agents with a task, by strings: this module imports nothing."""

from __future__ import annotations

SMALL = "_small"
"""How agents end whose settings are for models that train on a CPU, such as ``gr00t_flow_ppo_small``."""

ENTRY_POINT = "_cfg_entry_point"
"""How the second name of each agent ends, the one that Isaac Lab lists."""


def recipe_class(name: str, classes: str = "{}RunnerCfg") -> str:
    """Name of the class of an agent's recipe: ``Gr00tFlowPpoRunnerCfg`` of ``gr00t_flow_ppo``."""
    return classes.format("".join(word.capitalize() for word in name.split("_")))


def agents(module: str, *names: str, classes: str = "{}RunnerCfg") -> dict[str, str]:
    """Arguments of ``gym.register`` for agents.

    ``--agent`` is looked up as it is typed; error messages of Isaac Lab list only names that end in
    ``_cfg_entry_point``.

    Args:
        module: Module of the recipes.
        names: Names of the agents. The recipe of ``gr00t_flow_ppo`` is the class ``Gr00tFlowPpoRunnerCfg``.
        classes: How classes are named, if otherwise.
    """
    recipes = {}
    for name in names:
        recipe = recipe_class(name, classes)
        recipes[name] = recipes[f"{name}{ENTRY_POINT}"] = f"{module}:{recipe}"
    return recipes
