# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""From a task file to the settings of a task made from an environment of Gymnasium."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from gr00t_rl_ext.envs.gymnasium.configs import PREFIX, STANDARD_CAMERAS, GymnasiumEnvCfg, TermCfg
from gr00t_rl_ext.envs.gymnasium.tasks import known_settings
from gr00t_rl_ext.robot.task_spec import STATE
from gr00t_rl_ext.tasks.files.reading import Source
from gr00t_rl_ext.tasks.files.schema import PRIVILEGED


def gymnasium_settings(source: Source) -> dict[str, Any]:
    """Fields of :class:`~gr00t_rl_ext.envs.gymnasium.configs.GymnasiumEnvCfg` of a file, ``env_id`` among them. What
    the file leaves open is the base task's.

    Raises:
        TaskFileError: A field cannot have its value.
    """
    task = source.task
    env_id = task.base.removeprefix(PREFIX)
    settings: dict[str, Any] = known_settings(env_id) | {
        "env_id": env_id,
        "task_file": str(source.path),
        "env_kwargs": task.kwargs,
        "instruction": task.instruction,
        "image_size": task.image_size,
        "num_envs": task.num_envs,
    }
    if task.cameras is not None:
        settings["cameras"] = task.cameras
    settings.setdefault("cameras", STANDARD_CAMERAS)
    groups: dict[str, Mapping[str, TermCfg]] = dict(settings.get("groups", {}))
    for name, columns in ((STATE, task.state), (PRIVILEGED, task.privileged)):
        if columns is not None:
            groups[name] = columns.terms
    if PRIVILEGED in groups and STATE not in groups:
        raise source.error((PRIVILEGED,), "there is no state besides: name what the policy knows (state.terms)")
    if groups:
        settings["groups"] = groups
    if task.success is not None:
        settings["success_key"] = task.success.info
        settings["success_reward"] = task.success.reward
        settings["success_at_termination"] = bool(task.success.termination)
        settings["terminate_on_success"] = task.success.ends_episode
    if task.rewards == "success":
        settings["reward"] = "sparse_success"
    if task.episode_steps is not None:
        settings["max_episode_steps"] = task.episode_steps
    if task.actions:
        settings["action_terms"] = task.actions
    try:
        GymnasiumEnvCfg(**settings)
    except ValidationError as wrong:
        first = wrong.errors()[0]
        raise source.error(first["loc"], first["msg"].removeprefix("Value error, ")) from None
    return settings
