# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Isaac Lab's own ids with agents of this package: a command line that asks for one gets the task of ours that was made
from it.

One id has one environment for all agents, and Isaac Lab's has no camera, instruction or success. So the command line is
changed, before Isaac Lab reads it, and no registered task. Ids that end in ``-v0``, as those of Isaac Lab 2, are not
registered beside those without: Gymnasium would take them instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import gymnasium as gym

STOCK_IDS: dict[str, tuple[str, ...]] = {
    "IsaacContrib-Stack-Cube-Franka": ("Isaac-Stack-Cube-Franka-v0",),
    "IsaacContrib-Stack-Cube-Franka-IK-Rel": ("Isaac-Stack-Cube-Franka-IK-Rel-v0",),
    "IsaacContrib-Stack-Cube-Franka-IK-Abs": ("Isaac-Stack-Cube-Franka-IK-Abs-v0",),
    "IsaacContrib-Open-Drawer-Franka-IK-Rel": ("Gr00t-Open-Drawer-Franka",),
    "Isaac-Open-Drawer-Franka": ("Gr00t-Open-Drawer-Franka",),
    "Isaac-Reach-Franka": ("Gr00t-Reach-Goal-Franka",),
    "Isaac-Cartpole": ("Isaac-Cartpole-Camera-Continuous-v0", "Isaac-Cartpole-State-v0"),
    "Isaac-Cartpole-Camera": ("Isaac-Cartpole-Camera-Continuous-v0",),
}
"""Isaac Lab's id -> tasks of this package that stand for it; the first that has the agent."""

_VERSION = "-v0"
_COMMANDS = ("train", "train_multigpu", "play", "leapp", "zero_agent", "random_agent")
_STOCK_AGENT = "rsl_rl_cfg_entry_point"


def task_of_ours(task: str, agent: str) -> str | None:
    """The task of this package that an id of Isaac Lab stands for with an agent.

    Args:
        task: An id, with or without ``-v0``, or what else ``--task`` takes.
        agent: Name of the agent.

    Returns:
        Its id; None where the id stands for itself.
    """
    versioned = task.endswith(_VERSION)
    if (versioned and task in gym.registry) or (not versioned and agent == _STOCK_AGENT):
        return None
    for ours in STOCK_IDS.get(task.removesuffix(_VERSION), ()):
        if agent in gym.registry[ours].kwargs:
            return ours
    return None


def with_task_of_ours(argv: Sequence[str], default_agent: str = _STOCK_AGENT) -> list[str]:
    """A command line with the task of ours where it names one of Isaac Lab's, which is printed.

    Args:
        argv: The command line.
        default_agent: The agent where it names none.
    """
    changed = list(argv)
    place, task = _value(changed, "--task")
    _, agent = _value(changed, "--agent")
    agent = agent or default_agent
    ours = None if task is None else task_of_ours(task, agent)
    if ours is None:
        return changed
    changed[place] = f"--task={ours}" if changed[place].startswith("--task=") else ours
    print(
        f"[gr00t_rl_ext] --task {task} --agent {agent}: taking {ours}, which has observations, success, rewards"
        " and actions for that agent (docs/tasks.md).",
        flush=True,
    )
    return changed


def of_isaaclab(argv: Sequence[str]) -> list[str]:
    """The same for a program's whole command line, if it is that of ``isaaclab train`` or another of its commands."""
    program = Path(argv[0]) if argv else Path()
    if "isaaclab" not in (program.name, program.parent.name) or not set(argv[1:2]) & set(_COMMANDS):
        return list(argv)
    return with_task_of_ours(argv)


def _value(argv: Sequence[str], flag: str) -> tuple[int, str | None]:
    """Where the value of a flag stands, the last as for argparse, and the value; None without one."""
    found: tuple[int, str | None] = (-1, None)
    for index, item in enumerate(argv):
        if item.startswith(f"{flag}="):
            found = index, item.partition("=")[2]
        elif item == flag and index + 1 < len(argv):
            found = index + 1, argv[index + 1]
    return found
