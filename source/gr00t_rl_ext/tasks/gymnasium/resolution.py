# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Configs of Gymnasium tasks (``gym:<id>``) and their agents, with overrides applied and checked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from gr00t_rl_ext.envs.gymnasium.configs import IMAGES, PREFIX, GymnasiumEnvCfg
from gr00t_rl_ext.envs.gymnasium.registry import TaskError, load_spec
from gr00t_rl_ext.envs.gymnasium.tasks import chosen_cameras, task_cfg
from gr00t_rl_ext.tasks.compatibility import check_agent
from gr00t_rl_ext.tasks.gymnasium import DEFINED, EXAMPLES, family_of
from gr00t_rl_ext.tasks.overrides import check_override_paths, override_values, set_values
from gr00t_rl_ext.tasks.registration import ENTRY_POINT, SMALL
from gr00t_rl_ext.tasks.settings import check_runner

if TYPE_CHECKING:
    from gr00t_rl_ext.envs.gymnasium.vec_env import GymnasiumVecEnv


def resolve(
    task: str,
    agent: str,
    overrides: Sequence[str] = (),
    num_envs: int | None = None,
    device: str = "cpu",
    seed: int | None = None,
) -> tuple[GymnasiumEnvCfg, Any]:
    """Configs of a task and of one of its agents.

    Args:
        task: ``gym:<id>``.
        agent: Name of the agent.
        overrides: ``agent.<field>=value`` and ``env.<field>=value``.
        num_envs: Environments; None for the task's number.
        device: Of the learner.
        seed: Of the environments and the learner; None for the agent's.

    Returns:
        The environment's and the agent's config.

    Raises:
        ValueError: Something of it does not exist or does not fit.
    """
    env_id = task.removeprefix(PREFIX)
    check_exists(task)
    family = family_of(env_id)
    experiment = re.sub(r"\W+", "_", f"{agent.removesuffix(ENTRY_POINT)}_{env_id.rpartition(':')[2]}").lower()
    small = agent.removesuffix(ENTRY_POINT) + SMALL
    if agent not in family.agents and small in family.agents:
        print(f"note: {task} has recipes for small models only, so that {agent} is {small}.")
        agent = small
    if agent not in family.agents:
        # Isaac Lab's own agent has no other name
        names = [name for name in family.agents if not name.endswith(ENTRY_POINT) or name == f"rsl_rl{ENTRY_POINT}"]
        raise ValueError(f"The task {task} has no agent {agent!r}. It has: {', '.join(names)}.")
    from rsl_rl.utils import resolve_callable

    agent_class: Any = resolve_callable(family.agents[agent])
    # a file's recipes have their names
    agent_cfg = agent_class() if env_id in DEFINED else agent_class(experiment_name=experiment)
    env_cfg = task_cfg(task, num_envs=family.num_envs)
    check_override_paths(overrides, env_cfg, agent_cfg)
    # a list chooses cameras, which other overrides may change
    chosen = [item for item in overrides if item.startswith("env.cameras=[")]
    settings = override_values([item for item in overrides if item not in chosen], env_cfg, agent_cfg)
    set_values(agent_cfg, settings.get("agent", {}))
    own = {"num_envs": family.num_envs} | _merged(settings.get("env", {}), env_cfg)
    if chosen:
        names = override_values(chosen[-1:], env_cfg, agent_cfg)["env"]["cameras"]
        own["cameras"] = chosen_cameras(task, names, own.get("cameras", env_cfg.cameras))
    check_runner(agent_cfg)
    agent_cfg.device = own["device"] = device
    if num_envs is not None:
        own["num_envs"] = num_envs
    if seed is not None:
        agent_cfg.seed = seed
    if own.get("seed", agent_cfg.seed) != agent_cfg.seed:
        raise ValueError(
            f"`env.seed` is {own['seed']}, but environments have the agent's seed, {agent_cfg.seed}. Set --seed or"
            " `agent.seed`."
        )
    own["seed"] = agent_cfg.seed
    own.setdefault("rgb", any(IMAGES in groups for groups in agent_cfg.obs_groups.values()))
    env_cfg = task_cfg(task, **own)
    if agent_cfg.clip_actions is not None:
        raise ValueError(
            f"`agent.clip_actions` is {agent_cfg.clip_actions}, but Gymnasium environments clip actions to their own"
            " range. Leave it null."
        )
    check_agent(agent_cfg, observations_of(env_cfg))
    return env_cfg, agent_cfg


def start(task: str, env_cfg: GymnasiumEnvCfg) -> GymnasiumVecEnv:
    """A task's environments.

    Raises:
        ValueError: The task cannot work; of a task file, the text names file and line.
    """
    from gr00t_rl_ext.envs.gymnasium.vec_env import GymnasiumVecEnv
    from gr00t_rl_ext.tasks.files import registered
    from gr00t_rl_ext.tasks.files.places import place_of_error

    try:
        return GymnasiumVecEnv(env_cfg)
    except ValueError as error:
        source = registered.source_of(task.removeprefix(PREFIX))
        if source is None:
            raise
        raise source.error(place_of_error(str(error)), str(error)) from error


def check_exists(task: str) -> None:
    """Raise a :class:`ValueError`, with similar names, unless there is such an environment. Those of task files are
    looked for with their agents, so that the error names the file."""
    if task.removeprefix(PREFIX) in DEFINED:
        return
    try:
        load_spec(task.removeprefix(PREFIX))
    except TaskError as error:
        import gymnasium as gym

        name = task.removeprefix(PREFIX).rpartition(":")[2]
        # by name first: versions make everything alike
        by_name: dict[str, list[str]] = {}
        for known, spec in gym.registry.items():
            if "env_cfg_entry_point" not in (spec.kwargs or {}):
                by_name.setdefault(re.sub(r"-v\d+$", "", known), []).append(known)
        names = difflib.get_close_matches(re.sub(r"-v\d+$", "", name), by_name, n=3)
        newest = [max(by_name[found], key=lambda known: gym.registry[known].version or 0) for found in names]
        raise ValueError(
            f"There is no task {task!r}: {error} Similar: {', '.join(PREFIX + known for known in newest) or 'none'}."
            f" Examples of Gymnasium tasks: {', '.join(EXAMPLES)}."
        ) from None


def observations_of(env_cfg: GymnasiumEnvCfg) -> Any:
    """The observation groups of a task, in the form of Isaac Lab's config."""
    # an environment whose config names none has one
    groups = [*(env_cfg.groups or ["state"]), *([IMAGES] if env_cfg.rgb else [])]
    return SimpleNamespace(observations=SimpleNamespace(**dict.fromkeys(groups, ())))


def _merged(values: dict[str, Any], env_cfg: GymnasiumEnvCfg) -> dict[str, Any]:
    """The user's values, which may be of single entries of the task's own nested settings."""
    from omegaconf import OmegaConf

    merged, current = dict(values), env_cfg.model_dump()
    for name, value in values.items():
        if isinstance(value, dict) and isinstance(current[name], dict):
            merged[name] = OmegaConf.to_container(OmegaConf.merge(current[name], value))
    return merged
