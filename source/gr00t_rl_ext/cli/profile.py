# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Defaults for the machine at hand: what the user left open is filled in, and said."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gr00t_rl_ext.cli.arguments import Arguments
from gr00t_rl_ext.policy.options import TINY
from gr00t_rl_ext.tasks.compatibility import gr00t_config
from gr00t_rl_ext.tasks.registration import ENTRY_POINT, SMALL


@dataclass(frozen=True)
class Profile:
    """Settings for what the command line leaves open."""

    name: str
    num_envs: int | None
    max_iterations: int | None
    small_cameras: bool
    """Whether to select the preset ``small_cameras``, where the task has it."""
    overrides: tuple[str, ...] = ()
    """Other overrides, ``path=value``."""


FULL = Profile("full", num_envs=None, max_iterations=None, small_cameras=False)
"""What the task and the agent say."""

SMALL_GR00T = Profile("small", num_envs=8, max_iterations=12, small_cameras=True)
"""A GR00T agent on a CPU: the whole pipeline in a minute."""

SMALL_GROUPS = Profile("small", num_envs=16, max_iterations=3, small_cameras=True)
"""A GR00T agent on a CPU whose rollouts are whole episodes, in groups."""

SMALL_RANDOM_GROUPS = replace(
    SMALL_GROUPS, overrides=("agent.algorithm.outcome=return", "agent.algorithm.std_floor=1e-6")
)
"""The same with the tiny random GR00T. It never succeeds, so that groups would have no signal; its returns differ, by
1e-4 where success is worth 1."""

SMALL_MODEL = Profile("small model", num_envs=128, max_iterations=None, small_cameras=True)
"""A recipe for a small GR00T, on a CPU: as long as it says, with as many environments as it was made with. Without a
checkpoint there is nothing that could learn, and the other profiles are taken."""

SMALL_MLP = Profile("small", num_envs=64, max_iterations=50, small_cameras=False)
"""An agent without cameras on a CPU."""


def choose(arguments: Arguments, agent_cfg: Any) -> Profile:
    """A small profile on a CPU, the full one on a GPU."""
    if arguments.device != "cpu":
        return FULL
    if gr00t_config(agent_cfg) is None:
        return SMALL_MLP
    random = is_random(arguments, agent_cfg)
    if arguments.agent.removesuffix(ENTRY_POINT).endswith(SMALL) and not random:
        return SMALL_MODEL
    if not hasattr(agent_cfg.algorithm, "group_size"):
        return SMALL_GR00T
    return SMALL_RANDOM_GROUPS if random else SMALL_GROUPS


def is_random(arguments: Arguments, agent_cfg: Any) -> bool:
    """Whether the tiny random GR00T is in effect."""
    if gr00t_config(agent_cfg) is None:
        return False
    told = [item.partition("=")[2] for item in arguments.overrides_under("agent.actor.gr00t.checkpoint=")]
    return (told[-1] if told else agent_cfg.actor.gr00t.checkpoint) == TINY


def task_presets(task: str) -> set[str]:
    """Names of the presets that a task declares."""
    from isaaclab_tasks.utils.hydra import collect_presets
    from isaaclab_tasks.utils.parse_cfg import load_cfg_from_registry

    with contextlib.redirect_stdout(io.StringIO()):
        env_cfg = load_cfg_from_registry(task, "env_cfg_entry_point")
    return {name for alternatives in collect_presets(env_cfg).values() for name in alternatives}


def apply(profile: Profile, arguments: Arguments) -> None:
    """Fill in what the command line leaves open, in place."""
    for name in ("num_envs", "max_iterations"):
        value = getattr(profile, name)
        if getattr(arguments, name) is None and value is not None:
            setattr(arguments, name, value)
            arguments.forwarded += [f"--{name}", str(value)]
    added = [item for item in profile.overrides if not arguments.overrides_under(item.partition("=")[0])]
    open_cameras = profile.small_cameras and not arguments.overrides_under("presets", "env.scene")
    if open_cameras and "small_cameras" in task_presets(str(arguments.task)):
        added.append("presets=small_cameras")
    arguments.overrides += added
    arguments.forwarded += added


def describe(profile: Profile, arguments: Arguments, env_cfg: Any, agent_cfg: Any) -> dict[str, str]:
    """The settings in effect, for a table."""
    cameras = {
        name: (cfg.height, cfg.width)
        for name, cfg in vars(env_cfg.scene).items()
        if hasattr(cfg, "data_types") and hasattr(cfg, "width")
    }
    rows = {
        "task": str(arguments.task),
        "agent": arguments.agent,
        "profile": f"{profile.name} ({arguments.device or 'device of the task'})",
        "environments": str(arguments.num_envs or env_cfg.scene.num_envs),
        "iterations": f"{arguments.max_iterations or agent_cfg.max_iterations} of {agent_cfg.num_steps_per_env}"
        " decisions per environment",
        "physics": type(env_cfg.sim.physics).__name__.removesuffix("Cfg"),
    }
    algorithm: Any = getattr(agent_cfg, "algorithm", None)
    if hasattr(algorithm, "group_size"):
        rows["groups"] = f"of {algorithm.group_size}, compared by {algorithm.outcome}"
    return rows | describe_gr00t(agent_cfg, cameras)


def describe_gr00t(agent_cfg: Any, cameras: Mapping[str, tuple[int, int]]) -> dict[str, str]:
    """Which GR00T is in effect and what it sees, for a table; nothing for agents without. Cameras have height and width
    [px]."""
    gr00t_cfg = gr00t_config(agent_cfg)
    if gr00t_cfg is None:
        return {}
    chunk = agent_cfg.actor.chunk_length
    return {
        "cameras": ", ".join(f"{name} {width} x {height} px" for name, (height, width) in cameras.items()),
        "chunk": f"{chunk} control steps" if chunk else "the checkpoint's action horizon",
        "GR00T": "tiny random GR00T: a demonstration of the pipeline, not a trained policy"
        if gr00t_cfg.checkpoint == TINY
        else gr00t_cfg.checkpoint,
    }
