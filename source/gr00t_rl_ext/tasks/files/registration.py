# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Registers task files, under Isaac Lab's own commands too."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import gymnasium as gym

from gr00t_rl_ext.tasks.files import registered
from gr00t_rl_ext.tasks.files.reading import Source, TaskFileError
from gr00t_rl_ext.tasks.registration import ENTRY_POINT

VARIABLE = "GR00T_RL_TASKS"
"""Environment variable with task files, or folders of them, separated as in PATH."""

FLAG = "--task_config"


def register_task(path: str | Path) -> str:
    """Register the task of a file.

    Args:
        path: The file.

    Returns:
        Its id, for ``--task``.

    Raises:
        TaskFileError: The file cannot be used, or its id is that of another task.
    """
    source = Source(path)
    task = source.task
    known = gym.registry.get(task.task_id)
    if known is not None and known.kwargs.get("task_file") != str(source.path):
        raise source.error(("id",), f"there is a task {task.task_id!r} already; give this one an id of its own")
    # Isaac Lab looks entry points up by name, and lists them
    name = re.sub(r"\W", "_", task.task_id)
    other = registered.SOURCES.get(name)
    if other is not None and other.path != source.path:
        raise source.error(("id",), f"{task.task_id!r} is too much like the id in {str(other.path)!r}")
    entries = {}
    for agent in task.agents:
        entries[agent] = entries[f"{agent}{ENTRY_POINT}"] = f"{registered.__name__}:{name}{registered.OF}{agent}"
    gym.registry.pop(task.task_id, None)
    try:
        gym.register(
            id=task.task_id,
            entry_point="gr00t_rl_ext.envs.chunking:ChunkedManagerBasedRLEnv",
            disable_env_checker=True,
            kwargs={"env_cfg_entry_point": f"{registered.__name__}:{name}", "task_file": str(source.path), **entries},
        )
    except gym.error.Error as error:
        raise source.error(("id",), f"Gymnasium cannot register {task.task_id!r}: {error}") from error
    registered.SOURCES[name] = source
    return task.task_id


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
