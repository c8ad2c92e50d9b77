# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""From the id of a Gymnasium environment to the environment, in a worker process."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
from collections.abc import Mapping
from typing import Any

import gymnasium as gym
from gymnasium import error

from gr00t_rl_ext.envs.gymnasium import robotics_guard
from gr00t_rl_ext.envs.gymnasium.configs import GymnasiumEnvCfg

SUCCESS_KEYS = ("is_success", "success")
"""Entries of ``info`` that environments say their success in."""

_UNKNOWN = (error.NameNotFound, error.VersionNotFound, error.NamespaceNotFound)


class TaskError(ValueError):
    """The task cannot be made from this environment. The text is for the user."""


def load_spec(env_id: str) -> Any:
    """Gymnasium's registration of an environment; Gymnasium-Robotics is imported if it is none of Gymnasium's own. A
    :class:`TaskError` if there is no such environment."""
    module, _, name = env_id.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
        return gym.spec(name)
    except ModuleNotFoundError as missing:
        raise TaskError(f"The environment {env_id!r} names a module that cannot be imported: {missing}.") from None
    except _UNKNOWN as unknown:
        reason = str(unknown)
    except error.Error as wrong:
        raise TaskError(f"{env_id!r} is no id of a Gymnasium environment: {wrong}") from None
    if module:
        raise TaskError(f"The module {module!r} registers no environment {name!r}: {reason}")
    try:
        # it advises users of other environments on standard error
        with contextlib.redirect_stderr(io.StringIO()):
            import gymnasium_robotics
    except ImportError:
        raise TaskError(
            f"Gymnasium has no environment {env_id!r} ({reason}). If it is one of Gymnasium-Robotics, which is not"
            " installed: `pip install gr00t_rl_ext[gymnasium]` or `pip install gymnasium-robotics`."
        ) from None
    gym.register_envs(gymnasium_robotics)
    try:
        return gym.spec(env_id)
    except error.Error as wrong:
        raise TaskError(f"Neither Gymnasium nor Gymnasium-Robotics has an environment {env_id!r}: {wrong}") from None


def make_env(cfg: GymnasiumEnvCfg) -> gym.Env:
    """One environment of a task, without time limit: episodes are counted by whoever steps it. A :class:`TaskError` if
    it does not exist, or something that it needs is not installed."""
    spec = load_spec(cfg.env_id)
    if "gymnasium_robotics" in sys.modules:
        robotics_guard.install()
    render = {"render_mode": "rgb_array"} if cfg.rgb and cfg.rendered_cameras else {}
    try:
        return gym.make(spec, max_episode_steps=-1, disable_env_checker=True, **render, **cfg.env_kwargs)
    except TypeError as wrong:
        if render and "render_mode" in str(wrong):
            raise TaskError(
                f"The environment {cfg.env_id!r} cannot be rendered: {wrong}. Use an agent that does not observe `rgb`,"
                " or give its class the argument `render_mode`."
            ) from None
        raise TaskError(
            f"The environment {cfg.env_id!r} refuses its arguments {render | cfg.env_kwargs} (`env_kwargs`): {wrong}"
        ) from None


def time_limit(cfg: GymnasiumEnvCfg) -> int:
    """Control steps of an episode; a :class:`TaskError` if there is no limit."""
    limit = cfg.max_episode_steps or load_spec(cfg.env_id).max_episode_steps
    if limit is None:
        raise TaskError(
            f"The environment {cfg.env_id!r} is registered without a time limit. Set one (`env.max_episode_steps`)."
        )
    return limit


def success_key(cfg: GymnasiumEnvCfg, info: Mapping[str, Any]) -> str | None:
    """The entry of ``info``, as a first step gave it, that tells whether the goal is reached; None if there is none, or
    something else tells. A :class:`TaskError` if the config names one that does not exist, or needs one."""
    if cfg.success_without_info:
        return None
    names = (cfg.success_key,) if cfg.success_key else SUCCESS_KEYS
    found = next((name for name in names if name in info), None)
    for setting, needs_one in (
        (f"`env.success_key={cfg.success_key}`", cfg.success_key is not None),
        ("`env.terminate_on_success=true`", cfg.terminate_on_success),
        ("`env.reward=sparse_success`", cfg.reward == "sparse_success"),
    ):
        if needs_one and found is None:
            raise TaskError(
                f"{setting} needs an `info` entry {' or '.join(names)}, which {cfg.env_id!r} does not give. It gives:"
                f" {', '.join(info) or 'nothing'}."
            )
    return found
