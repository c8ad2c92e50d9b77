# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Whether an agent's config is possible, and fits a task's: known without a simulator and without loading weights."""

from __future__ import annotations

import re
from typing import Any

from gr00t_rl_ext.options import validate
from gr00t_rl_ext.tasks.settings import check_runner, check_task


def check_agent(agent_cfg: Any, env_cfg: Any, num_envs: int | None = None) -> None:
    """Check an agent's config by its own rules, and that the task has what it reads.

    Args:
        agent_cfg: The agent's config.
        env_cfg: The environment's config, or what has its observation groups and terms.
        num_envs: Environments to train in. None: nothing is trained.

    Raises:
        ValueError: With one readable message.
    """
    check_runner(agent_cfg)
    check_task(env_cfg)
    if hasattr(agent_cfg, "obs_groups"):
        if empty := [name for name, groups in agent_cfg.obs_groups.items() if not groups]:
            raise ValueError(
                f"`agent.obs_groups` names no observation groups for the {' and the '.join(empty)}. Expected what it"
                " sees, such as [rgb, state]."
            )
        check_observation_groups(env_cfg, agent_cfg.obs_groups)
    validate(agent_cfg)
    if gr00t_config(agent_cfg) is not None:
        check_mapping(agent_cfg.actor.gr00t.mapping, env_cfg, agent_cfg.obs_groups["actor"])
    if num_envs is not None and hasattr(agent_cfg.algorithm, "check_rollout"):
        agent_cfg.algorithm.check_rollout(num_envs, agent_cfg.num_steps_per_env)


def gr00t_config(agent_cfg: Any) -> Any | None:
    """``agent.actor.gr00t``, or None if the agent has no GR00T."""
    return getattr(getattr(agent_cfg, "actor", None), "gr00t", None)


def check_observation_groups(env_cfg: Any, obs_groups: dict[str, list[str]]) -> None:
    """Check that a manager-based task has the observation groups that the agent reads."""
    observations = getattr(env_cfg, "observations", None)
    if observations is None:
        return
    available = [name for name, value in vars(observations).items() if value is not None and not name.startswith("_")]
    for set_name, groups in obs_groups.items():
        missing = [group for group in groups if group not in available]
        if missing:
            raise ValueError(
                f"`agent.obs_groups.{set_name}` names the observation group {', '.join(map(repr, missing))}, which the"
                f" task does not have. It offers: {', '.join(available)}."
            )


def check_mapping(file: str, env_cfg: Any, actor_groups: list[str]) -> None:
    """Check the task's names in ``agent.actor.gr00t.mapping``. Widths are known only once there is a task."""
    # imported here: what an agent without GR00T does not need
    from gr00t_rl_ext.robot.embodiment_mapping import EmbodimentMapping, EmbodimentMappingError
    from gr00t_rl_ext.robot.task_spec import unique_names

    observations, actions = getattr(env_cfg, "observations", None), getattr(env_cfg, "actions", None)
    if observations is None or actions is None:
        return
    mapping = EmbodimentMapping.load(file)
    groups = {group: _term_names(getattr(observations, group)) for group in actor_groups}
    # which of them are cameras, and how many images a term has, is not known here
    names = [*(name for terms in groups.values() for name in terms), *unique_names(groups)]
    numbered = [camera for camera in mapping.video.values() if re.sub(r"_\d+$", "", camera) in names]
    try:
        mapping.check_task(dict.fromkeys(names), [*names, *numbered], dict.fromkeys(_term_names(actions)))
    except EmbodimentMappingError as error:
        raise ValueError(f"agent.actor.gr00t.mapping: {error}") from error


def _term_names(group: Any) -> list[str]:
    """Terms of a manager's config."""
    return [name for name, term in vars(group).items() if hasattr(term, "func") or hasattr(term, "class_type")]
