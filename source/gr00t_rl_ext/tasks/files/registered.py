# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What registered task files make, by name: the config ``registered:My_Task``, recipes
``registered:My_Task__of__gr00t_ppo`` and the environment ``registered:My_Task__environment``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gr00t_rl_ext.tasks.registration import ENTRY_POINT
from gr00t_rl_ext.tasks.shipped import SHIPPED

if TYPE_CHECKING:
    from gr00t_rl_ext.tasks.files.reading import Source

SOURCES: dict[str, Source] = {}
"""Task, as a name of Python, -> its file."""

OF, ENVIRONMENT = "__of__", "__environment"


def name_of(task_id: str) -> str:
    """The name of Python under which a task's file is kept."""
    return re.sub(r"\W", "_", task_id)


def source_of(task_id: str) -> Source | None:
    """The file of a task; None for another task."""
    return _source(name_of(task_id))


def entry(task_id: str, file: Path, agents: Iterable[str]) -> dict[str, Any]:
    """Arguments of ``gym.register`` for a file's task of Isaac Lab.

    Args:
        task_id: Its id.
        file: The file, absolute.
        agents: Those that it names.
    """
    name = f"{__name__}:{name_of(task_id)}"
    return {
        "id": task_id,
        "entry_point": f"{name}{ENVIRONMENT}",
        "disable_env_checker": True,
        "kwargs": {"env_cfg_entry_point": name, "task_file": str(file), **recipes(task_id, agents)},
    }


def recipes(task_id: str, agents: Iterable[str]) -> dict[str, str]:
    """Names of agents, as they are looked up -> what makes their configs."""
    name = f"{__name__}:{name_of(task_id)}{OF}"
    return {entry: name + agent for agent in agents for entry in (agent, f"{agent}{ENTRY_POINT}")}


def _source(name: str) -> Source | None:
    if name not in SOURCES:
        shipped = next((file for task, (file, _) in SHIPPED.items() if name_of(task) == name), None)
        if shipped is None:
            return None
        # only now that it is used
        from gr00t_rl_ext.tasks.files.reading import Source

        keep(Source(shipped))
    return SOURCES[name]


def keep(source: Source) -> None:
    """Keep a file that was read, and let findings about its task name its lines."""
    from gr00t_rl_ext.preflight.places import LOCATORS
    from gr00t_rl_ext.tasks.files.places import where_in_file

    SOURCES[name_of(source.task.task_id)] = source
    LOCATORS["task files"] = where_in_file


def __getattr__(name: str) -> Callable[..., Any]:
    task, _, agent = name.removesuffix(ENVIRONMENT).partition(OF)
    source = _source(task)
    if source is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    # the base task is imported where a config is needed, and not before
    def environment() -> Any:
        from gr00t_rl_ext.tasks.files.environment import environment_cfg

        return environment_cfg(source)

    def recipe() -> Any:
        from gr00t_rl_ext.tasks.files.agents import agent_cfg

        return agent_cfg(source, agent)

    def make(cfg: Any, **arguments: Any) -> Any:
        from isaaclab.envs import DirectRLEnvCfg

        from gr00t_rl_ext.envs.chunking import ChunkedManagerBasedRLEnv
        from gr00t_rl_ext.tasks.files.direct import environment_class

        direct = isinstance(cfg, DirectRLEnvCfg)
        return (environment_class(source, cfg) if direct else ChunkedManagerBasedRLEnv)(cfg=cfg, **arguments)

    if name.endswith(ENVIRONMENT):
        return make
    return recipe if agent else environment
