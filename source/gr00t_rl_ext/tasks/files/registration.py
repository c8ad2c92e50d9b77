# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Registers task files, under Isaac Lab's own commands too."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import gymnasium as gym

from gr00t_rl_ext.envs.gymnasium.configs import PREFIX
from gr00t_rl_ext.tasks.files import registered
from gr00t_rl_ext.tasks.files.reading import Source, TaskFileError
from gr00t_rl_ext.tasks.files.schema import GymnasiumTaskFile
from gr00t_rl_ext.tasks.shipped import SHIPPED

VARIABLE = "GR00T_RL_TASKS"
"""Environment variable with task files, or folders of them, separated as in PATH."""

FLAG = "--task_config"


def register_task(path: str | Path) -> str:
    """Register the task of a file. One made from an environment of Gymnasium is known to our own commands only.

    Args:
        path: The file.

    Returns:
        What ``--task`` takes for it.

    Raises:
        TaskFileError: The file cannot be used, or its id is that of another task.
    """
    source = Source(path)
    task = source.task
    # recipes are looked up by a name of Python
    name = registered.name_of(task.task_id)
    other = registered.SOURCES.get(name)
    if other is not None and other.path != source.path:
        raise source.error(("id",), f"{task.task_id!r} is too much like the id in {str(other.path)!r}")
    task_id = (_define if isinstance(task, GymnasiumTaskFile) else _register)(source)
    registered.keep(source)
    return task_id


def _register(source: Source) -> str:
    """Register a task of Isaac Lab where Isaac Lab looks."""
    task_id = source.task.task_id
    known = gym.registry.get(task_id)
    other = None if known is None else known.kwargs.get("task_file")
    if known is not None and (other is None or Path(other).resolve() != source.path.resolve()):
        raise source.error(("id",), f"there is a task {task_id!r} already; give this one an id of its own")
    gym.registry.pop(task_id, None)
    try:
        gym.register(**registered.entry(task_id, source.path, source.task.agents))
    except gym.error.Error as error:
        raise source.error(("id",), f"Gymnasium cannot register {task_id!r}: {error}") from error
    return task_id


def _define(source: Source) -> str:
    """Define a task that is made from an environment of Gymnasium, for our own commands."""
    # imported here: most files are of Isaac Lab's tasks
    from gr00t_rl_ext.envs.gymnasium import tasks
    from gr00t_rl_ext.tasks import gymnasium
    from gr00t_rl_ext.tasks.files.gymnasium_task import gymnasium_settings

    task_id = source.task.task_id
    if task_id in gym.registry or tasks.known_settings(task_id):
        raise source.error(("id",), f"there is an environment {task_id!r} already; give the task an id of its own")
    tasks.DEFINED[task_id] = gymnasium_settings(source)
    gymnasium.DEFINED[task_id] = gymnasium.Family(
        re.escape(task_id), registered.recipes(task_id, source.task.agents), source.task.num_envs
    )
    return PREFIX + task_id


def register_named() -> None:
    """Register the files that :data:`VARIABLE` names, those of folders included."""
    for entry in filter(None, os.environ.get(VARIABLE, "").split(os.pathsep)):
        place = Path(entry).expanduser()
        for file in sorted(place.glob("*.y*ml")) if place.is_dir() else [place]:
            # Isaac Lab registers tasks before each of its commands: one file must not end those of other tasks
            try:
                register_task(file)
            except TaskFileError as error:
                print(f"warning: {VARIABLE}: no task of {str(file)!r}: {error}", file=sys.stderr)


def registering(task: str) -> tuple[str, ...]:
    """What stands before a command that is shown, so that it knows a task: ``GR00T_RL_TASKS=FILE`` of a file's task,
    nothing of others."""
    source = None if task in SHIPPED else registered.source_of(task.removeprefix(PREFIX))
    return () if source is None else (f"{VARIABLE}={shlex.quote(str(source.path))}",)


def without_task_file(argv: Sequence[str]) -> list[str]:
    """A command line with the task of ``--task_config FILE`` in place of that flag, which is registered in this process
    and in those that it starts.

    Raises:
        TaskFileError: The file cannot be used.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    # a later one wins, as where a run goes on with another file
    parser.add_argument(FLAG)
    known, kept = parser.parse_known_args(argv)
    file = known.task_config
    if file is None:
        return kept
    task = register_task(file)
    others = filter(None, os.environ.get(VARIABLE, "").split(os.pathsep))
    path = str(Path(file).expanduser().absolute())
    os.environ[VARIABLE] = os.pathsep.join(dict.fromkeys([path, *others]))
    named = any(item == "--task" or item.startswith("--task=") for item in kept)
    return kept if named else ["--task", task, *kept]
