# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Agents of a task file: the package's recipes with the file's settings."""

from __future__ import annotations

import math
from typing import Any

from isaaclab.envs import DirectRLEnvCfg
from rsl_rl.utils import resolve_callable

from gr00t_rl_ext.algorithms.configs import Gr00tPpoAlgorithmCfg
from gr00t_rl_ext.envs.gymnasium.configs import PREFIX, GymnasiumEnvCfg
from gr00t_rl_ext.envs.gymnasium.registry import TaskError, load_spec
from gr00t_rl_ext.options import validate
from gr00t_rl_ext.robot.task_spec import STATE, TASK
from gr00t_rl_ext.tasks import recipes
from gr00t_rl_ext.tasks.files.base import by_default
from gr00t_rl_ext.tasks.files.environment import environment_cfg
from gr00t_rl_ext.tasks.files.gymnasium_task import gymnasium_settings
from gr00t_rl_ext.tasks.files.reading import Source
from gr00t_rl_ext.tasks.files.schema import PRIVILEGED, RGB, GymnasiumTaskFile
from gr00t_rl_ext.tasks.gymnasium import family_of
from gr00t_rl_ext.tasks.overrides import check_override_paths, paths_of, set_values
from gr00t_rl_ext.tasks.registration import SMALL, recipe_class

_SMALL_ALGORITHMS: dict[str, dict[str, Any]] = {
    "gr00t_ppo": recipes.STEERING_PPO | recipes.WARM_UPS,
    "gr00t_flow_ppo": recipes.SMALL_FLOW_PPO | {"learning_rate": 6.0e-5},
    "gr00t_residual_ppo": recipes.RESIDUAL_PPO,
}
"""Those of the shipped tasks, which were measured."""


def agent_cfg(source: Source, name: str) -> Any:
    """The config of an agent.

    Args:
        source: The task file.
        name: One of its agents.

    Raises:
        TaskFileError: A field that the file overrides does not exist, or its value is impossible.
    """
    plain, task = name.removesuffix(SMALL), source.task
    of_gymnasium = isinstance(task, GymnasiumTaskFile)
    told = [TASK] if getattr(task, "told", None) else []
    base_groups, steps = _gymnasium_facts(source) if of_gymnasium else _facts(source)
    # recipes of the base come first, which are for its kind of actions
    known = family_of(task.base.removeprefix(PREFIX)).agents if of_gymnasium else {}
    cfg = resolve_callable(known[name])() if name in known else getattr(recipes, recipe_class(plain))()
    cfg.experiment_name = f"{name}_{task.task_id.lower().replace('-', '_')}"
    if plain.startswith("gr00t"):
        cfg.obs_groups = {"actor": [RGB, STATE]}
        if hasattr(cfg, "critic"):
            cfg.obs_groups["critic"] = [RGB, STATE, *told, *base_groups]
        cfg.actor.chunk_length = task.chunk_length
    else:
        groups = [STATE, *base_groups] if of_gymnasium else [*told, *(base_groups or [STATE])]
        cfg.obs_groups = {"actor": groups, "critic": list(groups)}
    if plain.endswith("grpo"):
        if steps is None:
            raise source.error(
                ("agents",), f"{name} needs a time limit, which the environment has not: set episode_steps"
            )
        cfg.num_steps_per_env = _decisions(steps, task.chunk_length)
    if of_gymnasium:
        # these clip actions to their own range
        cfg.clip_actions = None
    elif plain != name:
        cfg.algorithm = Gr00tPpoAlgorithmCfg(**_SMALL_ALGORITHMS[plain], num_mini_batches=8)
        cfg.num_steps_per_env = max(8, _decisions(steps, task.chunk_length) // 2)
        cfg.max_iterations, cfg.save_interval = 60, 10
    given = task.overrides.get(name, {})
    try:
        check_override_paths([f"agent.{path}={value!r}" for path, value in paths_of(given)], None, cfg)
        set_values(cfg, given)
        validate(cfg)
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        text = error.args[0] if error.args else error
        raise source.error(("overrides", name), str(text)) from error
    return cfg


def _facts(source: Source) -> tuple[list[str], float]:
    """Observation groups of vectors of the base task, which hold what only the simulator knows, and control steps of
    an episode."""
    cfg = environment_cfg(source)
    steps = cfg.episode_length_s / (by_default(cfg.sim).dt * by_default(cfg.decimation))
    if isinstance(cfg, DirectRLEnvCfg):
        # an image where it has several dimensions
        concatenated = isinstance(by_default(cfg.observation_space), int)
    else:
        groups = vars(cfg.observations)
        # tasks of this package keep it in another group than Isaac Lab's
        known = [name for name in ("policy", PRIVILEGED) if getattr(groups.get(name), "concatenate_terms", False)]
        return known[:1], steps
    return ["policy"] if concatenated else [], steps


def _gymnasium_facts(source: Source) -> tuple[list[str], int | None]:
    """The same of a task that is made from an environment of Gymnasium; None: it has no time limit."""
    cfg = GymnasiumEnvCfg(**gymnasium_settings(source))
    try:
        limit = load_spec(cfg.env_id).max_episode_steps
    except TaskError as error:
        raise source.error(("base",), str(error)) from error
    return [PRIVILEGED] if PRIVILEGED in cfg.groups else [], cfg.max_episode_steps or limit


def _decisions(steps: float, chunk_length: int | None) -> int:
    return max(1, math.ceil(steps / (chunk_length or 16)))
