# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Settings of Isaac Lab's and rsl_rl's own configs that no run can work with, which neither checks before it starts."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

_COUNT = "an integer of at least 1"
_POSITIVE = "a positive number"


def check_runner(agent_cfg: Any) -> None:
    """Check the fields of an agent's config that are rsl_rl's, whatever the agent.

    Raises:
        ValueError: One is not possible.
    """
    for name in ("save_interval", "num_steps_per_env", "max_iterations"):
        _check(agent_cfg, name, f"agent.{name}", _is_count, _COUNT)
    seed = getattr(agent_cfg, "seed", None)
    if seed is not None and not (_is_integer(seed) and seed >= 0):
        raise ValueError(f"`agent.seed` is {seed!r}; expected an integer of at least 0.")
    for name in ("experiment_name", "run_name"):
        value = getattr(agent_cfg, name, "")
        if value is not None and not isinstance(value, str):
            raise ValueError(f"`agent.{name}` is {value!r}; expected a text.")
    for part in ("algorithm", "actor", "critic"):
        section = getattr(agent_cfg, part, None)
        if section is None:
            continue
        check_class(getattr(section, "class_name", None), f"agent.{part}.class_name")
        dims = getattr(section, "hidden_dims", None)
        if dims is not None and not (isinstance(dims, (list, tuple)) and dims and all(map(_is_count, dims))):
            raise ValueError(
                f"`agent.{part}.hidden_dims` is {dims!r}; expected the widths of one layer or more, such as [256, 256]."
            )
        distribution = getattr(section, "distribution_cfg", None)
        if (std := getattr(distribution, "init_std", None)) is not None and not _is_positive(std):
            raise ValueError(f"`agent.{part}.distribution_cfg.init_std` is {std!r}; expected {_POSITIVE}.")


def check_class(name: Any, where: str) -> None:
    """Check that a class exists that a config names. Classes of rsl_rl are named without a module.

    Raises:
        ValueError: It does not.
    """
    if not isinstance(name, str) or ":" not in name:
        return
    from rsl_rl.utils import resolve_callable

    try:
        resolve_callable(name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(
            f"`{where}` is {name!r}, which cannot be found ({type(error).__name__}: {error}). Expected MODULE:CLASS of"
            " something that is installed."
        ) from error


def check_task(env_cfg: Any) -> None:
    """Check the fields of an Isaac Lab task that time and space hang on, and its instruction.

    Raises:
        ValueError: One is not possible.
    """
    sim, scene = getattr(env_cfg, "sim", None), getattr(env_cfg, "scene", None)
    if sim is None:
        return
    _check(env_cfg, "decimation", "env.decimation", _is_count, _COUNT)
    _check(env_cfg, "episode_length_s", "env.episode_length_s", _is_positive, f"{_POSITIVE} of seconds")
    _check(sim, "dt", "env.sim.dt", _is_positive, f"{_POSITIVE} of seconds")
    _check(scene, "num_envs", "env.scene.num_envs", _is_count, _COUNT)
    _check(scene, "env_spacing", "env.scene.env_spacing", lambda v: _is_number(v) and v >= 0, "0 or more metres")
    instruction = getattr(env_cfg, "instruction", None)
    if isinstance(instruction, str) and not instruction.strip():
        raise ValueError("`env.instruction` is empty; expected what the policy is told, such as 'pick up the cube'.")


def _check(config: Any, name: str, where: str, possible: Callable[[Any], bool], expected: str) -> None:
    value = getattr(config, name, None)
    # a field that the config still leaves open
    if value not in (None, dataclasses.MISSING) and not possible(value):
        raise ValueError(f"`{where}` is {value!r}; expected {expected}.")


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> bool:
    return _is_integer(value) and value >= 1


def _is_positive(value: Any) -> bool:
    return _is_number(value) and value > 0
