# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Recipes are flat, their names tell for which size of model they are, and names of version 0.1 load."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import gymnasium as gym
import pytest
from rsl_rl.utils import resolve_callable

import gr00t_rl_ext.tasks  # noqa: F401  registers the tasks
from gr00t_rl_ext.tasks.files.agents import agent_cfg
from gr00t_rl_ext.tasks.files.registered import source_of
from gr00t_rl_ext.tasks.gymnasium import EXAMPLES, family_of
from gr00t_rl_ext.tasks.registration import ENTRY_POINT, SMALL


def agents() -> Iterator[tuple[str, str, type]]:
    """Task, agent and class of its recipe, of every task of ours."""
    registered = {task: spec.kwargs for task, spec in gym.registry.items() if "gr00t_rl_ext" in str(spec.entry_point)}
    for task, kwargs in (registered | {task: family_of(task).agents for task in EXAMPLES}).items():
        for agent, recipe in kwargs.items():
            if agent not in ("env_cfg_entry_point", "task_file"):
                found: Any = resolve_callable(recipe)
                # of a task file, whose recipes are made by functions
                yield task, agent, found if isinstance(found, type) else type(found())


def test_a_recipe_derives_from_one_that_all_tasks_share() -> None:
    shared = "gr00t_rl_ext.tasks.recipes"
    for task, agent, recipe in agents():
        ours = [cls.__module__ for cls in recipe.__mro__ if cls.__module__.startswith("gr00t_rl_ext.")]
        if task.startswith("Gr00t-"):
            assert ours == [shared, shared], (task, agent)
            continue
        # those for any environment of Gymnasium are Fetch's without its groups
        of_fetch = ["gr00t_rl_ext.tasks.gymnasium.agents.fetch_cfg"] if recipe.__module__.endswith(".any_cfg") else []
        assert ours == [recipe.__module__, *of_fetch, shared, shared], (task, agent)


def test_rates_that_would_ruin_billions_of_parameters_are_called_small() -> None:
    checked = 0
    for task, agent, recipe in agents():
        source = source_of(task)
        cfg = recipe() if source is None else agent_cfg(source, agent.removesuffix(ENTRY_POINT))
        if "flow_actor" in cfg.actor.class_name:
            small = agent.removesuffix(ENTRY_POINT).endswith(SMALL)
            largest = 1.0e-4 if cfg.actor.freezing.train == ["dit_lora"] else 1.0e-5
            assert (cfg.algorithm.learning_rate > largest) == small, (task, agent)
            checked += small
    assert checked > 10


FETCH = "gr00t_rl_ext.tasks.gymnasium.agents.fetch_cfg:Gr00t{}RunnerCfg"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("gr00t_rl_ext.algorithms.baseline:MlpPPO", "gr00t_rl_ext.algorithms.baseline:RslRlPPO"),
        (FETCH.format("FlowPpoReach"), FETCH.format("FlowPpoSmallReach")),
        *((FETCH.format(name), FETCH.format(f"{name}Small")) for name in ("ResidualPpo", "FlowPpo", "FlowGrpo")),
    ],
)
def test_class_paths_of_version_0_1_load(old: str, new: str) -> None:
    assert resolve_callable(old) is resolve_callable(new)
