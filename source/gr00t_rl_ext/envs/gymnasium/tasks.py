# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Tasks by name: ``gym:`` and the id of a Gymnasium environment."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from gr00t_rl_ext.envs.gymnasium.configs import PREFIX, STANDARD_CAMERAS, GymnasiumEnvCfg
from gr00t_rl_ext.envs.gymnasium.fetch import fetch_settings
from gr00t_rl_ext.envs.gymnasium.vec_env import GymnasiumVecEnv

DEFINED: dict[str, Mapping[str, Any]] = {}
"""Further tasks by name: fields of the config, with the ``env_id`` of the environment that they are made from."""

_FETCH = re.compile(r"Fetch(Reach|Push|Slide|PickAndPlace)(Dense)?-v\d+")


def task_cfg(task: str, **settings: Any) -> GymnasiumEnvCfg:
    """The config of a task.

    Args:
        task: ``gym:<id>``, such as ``gym:FetchPickAndPlace-v4``; ``gym:my_module:MyEnv-v0`` imports a module first.
            Gymnasium-Robotics' Fetch environments have observation groups, an instruction, cameras and a success; the
            groups of any other are by default one, ``state``, with the whole observation.
        settings: Fields of :class:`~gr00t_rl_ext.envs.gymnasium.configs.GymnasiumEnvCfg` in place of the task's.
            ``cameras`` may be a list of names of the task's cameras, which chooses and orders them.

    Raises:
        ValueError: If the name is none of such a task, or a setting is unknown or wrong.
    """
    if not task.startswith(PREFIX) or task == PREFIX:
        raise ValueError(f"{task!r} is no Gymnasium task. Expected e.g. '{PREFIX}FetchPickAndPlace-v4' (--task).")
    own = env_settings(task.removeprefix(PREFIX))
    if isinstance(settings.get("cameras"), list | tuple):
        settings["cameras"] = chosen_cameras(task, settings["cameras"], own.get("cameras", STANDARD_CAMERAS))
    try:
        return GymnasiumEnvCfg(**{"env_id": task.removeprefix(PREFIX), **own, **settings})
    except ValidationError as wrong:
        problems = "; ".join(_problem(error) for error in wrong.errors())
        raise ValueError(f"The task {task!r} cannot have these settings: {problems}") from None


def env_settings(name: str) -> dict[str, Any]:
    """Settings of a task, by its environment's id or by a name of :data:`DEFINED`; empty for other environments."""
    return dict(DEFINED[name]) if name in DEFINED else known_settings(name)


def known_settings(env_id: str) -> dict[str, Any]:
    """Settings of an environment that this package knows; empty for others."""
    fetch = _FETCH.fullmatch(env_id)
    return fetch_settings(fetch[1], dense=bool(fetch[2])) if fetch else {}


def make(task: str, **settings: Any) -> GymnasiumVecEnv:
    """A task's environments, ready to run. See :func:`task_cfg` for the arguments, of which the usual ones are
    ``num_envs``, ``device``, ``seed`` and ``rgb``. A ValueError if something does not exist or is missing."""
    return GymnasiumVecEnv(task_cfg(task, **settings))


def chosen_cameras[C](task: str, names: Sequence[Any], cameras: Mapping[str, C]) -> dict[str, C]:
    """Some of a task's cameras, in this order; a ValueError if there is no such camera, or one is named twice."""
    wrong = [name for name in names if name not in cameras]
    if wrong or len(set(names)) < len(names):
        raise ValueError(
            f"The task {task!r} cannot have these settings: `env.cameras` is {list(names)}; expected some of its"
            f" cameras {', '.join(cameras)}, each once, or name -> camera for others."
        )
    return {name: cameras[name] for name in names}


def _problem(error: Any) -> str:
    place = ".".join(("env", *map(str, error["loc"])))
    text = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        return f"`{place}` does not exist; there are {', '.join(GymnasiumEnvCfg.model_fields)}"
    if not error["loc"]:
        return text
    return f"`{place}` is {error['input']!r}: {text}"
