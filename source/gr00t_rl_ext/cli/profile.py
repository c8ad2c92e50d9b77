# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Defaults for the machine at hand: what the user left open is filled in, and said."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gr00t_rl_ext.cli.arguments import Arguments, is_gymnasium, with_quoted_names
from gr00t_rl_ext.cli.handler import UsageError
from gr00t_rl_ext.policy.options import TINY, SteeringActorOptions
from gr00t_rl_ext.starters import STARTER, no_starter, starter_of
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
    evaluated: int = 0
    """Episodes to compare the policy in, before and after training."""


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


EPISODES = 200
"""To compare the policy in that a run with a starter begins with, and that it ends with."""

CHECKPOINT = "agent.actor.gr00t.checkpoint"

CHUNK = "agent.actor.chunk_length"

STEERING = ("gr00t_ppo", "gr00t_grpo")
"""Agents that begin with the task's starter where no checkpoint is named, if they have a recipe for small models."""


def starter_profile(arguments: Arguments, agent_cfg: Any = None) -> Profile | None:
    """The profile of a run that begins with the task's starter; None for another run.

    Args:
        arguments: The command line.
        agent_cfg: Of the agent, which may name a checkpoint itself.

    Raises:
        UsageError: The task has none, and one was asked for.
    """
    if arguments.as_given:
        return None
    told = [item.partition("=")[2] for item in arguments.overrides_under(f"{CHECKPOINT}=")]
    agent = arguments.agent.removesuffix(ENTRY_POINT)
    starter = starter_of(str(arguments.task))
    if told:
        if told[-1] != STARTER:
            return None
        if starter is None:
            raise UsageError(no_starter(str(arguments.task)))
    elif starter is None or not _begins_with_it(starter.task, agent) or _names_a_checkpoint(agent_cfg):
        return None
    seen = map(with_quoted_names, starter.settings)
    # as it was measured, whatever a recipe for other checkpoints says
    chunk = f"{CHUNK}={starter.chunk_length}"
    small = [item for item in _as_small(starter.task, agent) if not item.startswith(f"{CHUNK}=")]
    overrides = (f"{CHECKPOINT}={STARTER}", *seen, chunk, *small)
    in_isaac_lab = not is_gymnasium(arguments.task)
    return Profile(
        "starter",
        num_envs=SMALL_MODEL.num_envs if in_isaac_lab else None,
        max_iterations=starter.iterations if agent.removesuffix(SMALL) in STEERING else None,
        small_cameras=False,
        overrides=overrides,
        evaluated=EPISODES,
    )


def _begins_with_it(task: str, agent: str) -> bool:
    """Whether an agent takes the task's starter without being asked: it steers, and has a recipe for small models."""
    steers = agent.removesuffix(SMALL) in STEERING
    return steers and (is_gymnasium(task) or agent.endswith(SMALL) or _has_small_recipe(task, agent))


def _has_small_recipe(task: str, agent: str) -> bool:
    import gymnasium as gym

    return f"{agent}{SMALL}" in gym.spec(task).kwargs


def _names_a_checkpoint(agent_cfg: Any) -> bool:
    gr00t = gr00t_config(agent_cfg)
    return gr00t is not None and gr00t.checkpoint not in (TINY, STARTER)


def _as_small(task: str, agent: str) -> tuple[str, ...]:
    """Overrides by which an agent of Isaac Lab's task is its recipe for small models, as far as there is one."""
    if is_gymnasium(task) or agent.endswith(SMALL):
        # the agents of Gymnasium's tasks are such recipes
        return ()
    from isaaclab_tasks.utils.parse_cfg import load_cfg_from_registry

    if not _has_small_recipe(task, agent):
        return ()
    with contextlib.redirect_stdout(io.StringIO()):
        cfgs: list[Any] = [load_cfg_from_registry(task, name) for name in (agent, f"{agent}{SMALL}")]
    plain, small = (_flat(cfg.to_dict()) for cfg in cfgs)
    left = ("agent.experiment_name", "agent.max_iterations")
    changed = {key: value for key, value in small.items() if value != plain.get(key) and key not in left}
    return tuple(f"{key}={'null' if value is None else value}" for key, value in changed.items())


def _flat(node: Any, path: str = "agent") -> dict[str, Any]:
    if not isinstance(node, dict):
        return {path: node}
    return {key: value for name, child in node.items() for key, value in _flat(child, f"{path}.{name}").items()}


def choose(arguments: Arguments, agent_cfg: Any) -> Profile:
    """That of the task's starter, else a small profile on a CPU, and the full one on a GPU."""
    if (starter := starter_profile(arguments, agent_cfg)) is not None:
        return starter
    if arguments.device != "cpu" or arguments.as_given:
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
    told = [item.partition("=")[2] for item in arguments.overrides_under(f"{CHECKPOINT}=")]
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
    told = {"num_envs": ("env.scene.num_envs=", "env.num_envs="), "max_iterations": ("agent.max_iterations=",)}
    for name, fields in told.items():
        value = getattr(profile, name)
        if getattr(arguments, name) is None and value is not None and not arguments.overrides_under(*fields):
            setattr(arguments, name, value)
            arguments.forwarded += [f"--{name}", str(value)]
    added = [item for item in profile.overrides if not arguments.overrides_under(item.partition("=")[0])]
    open_cameras = profile.small_cameras and not arguments.overrides_under("presets", "env.scene")
    if open_cameras and "small_cameras" in task_presets(str(arguments.task)):
        added.append("presets=small_cameras")
    arguments.overrides += added
    arguments.forwarded += added
    if arguments.evaluate is None:
        arguments.evaluate = profile.evaluated


def describe(profile: Profile, arguments: Arguments, env_cfg: Any, agent_cfg: Any) -> dict[str, str]:
    """The settings in effect, for a table."""
    cameras = {
        name: (cfg.height, cfg.width)
        for name, cfg in vars(env_cfg.scene).items()
        if hasattr(cfg, "data_types") and hasattr(cfg, "width")
    }
    rows = {
        "task": str(arguments.task),
        **({"task file": env_cfg.task_file} if getattr(env_cfg, "task_file", None) else {}),
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
    return rows | describe_gr00t(str(arguments.task), agent_cfg, cameras)


def describe_gr00t(task: str, agent_cfg: Any, cameras: Mapping[str, tuple[int, int]]) -> dict[str, str]:
    """Which GR00T is in effect and what it sees, for a table; nothing for agents without. Cameras have height and width
    [px]."""
    gr00t_cfg = gr00t_config(agent_cfg)
    if gr00t_cfg is None:
        return {}
    chunk = agent_cfg.actor.chunk_length
    rows = {
        "cameras": ", ".join(f"{name} {width} x {height} px" for name, (height, width) in cameras.items()),
        "chunk": f"{chunk} control steps" if chunk else "the checkpoint's action horizon",
        "GR00T": _named(gr00t_cfg.checkpoint, task),
    }
    if (scale := getattr(agent_cfg.actor, "noise_scale", None)) is not None:
        steers = isinstance(agent_cfg.actor, SteeringActorOptions)
        rows["initial noise"] = f"scale {scale:g}{' when played, learned while training' if steers else ''}"
    return rows


def _named(checkpoint: str, task: str) -> str:
    if checkpoint == TINY:
        return "tiny random GR00T: a demonstration of the pipeline, not a trained policy"
    if checkpoint == STARTER and (starter := starter_of(task)) is not None:
        return (
            f"starter {starter.name}: of 200 episodes it solved {starter.success_drawn:g} % with the noise that GR00T"
            f" draws, {starter.success_centre:g} % at its centre ({starter.chunk_length} control steps executed)"
        )
    return checkpoint
