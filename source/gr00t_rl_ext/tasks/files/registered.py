# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What registered task files make, by name: the config ``registered:My_Task``, recipes
``registered:My_Task__of__gr00t_ppo`` and the environment ``registered:My_Task__environment``."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

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
    return SOURCES.get(name_of(task_id))


def __getattr__(name: str) -> Callable[..., Any]:
    task, _, agent = name.removesuffix(ENVIRONMENT).partition(OF)
    if task not in SOURCES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    source = SOURCES[task]

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
