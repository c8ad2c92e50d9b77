# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The resolved configs of every task and agent of ours, as flat numbers and words.

``./isaaclab.sh -p tests/tasks/golden_configs.py`` writes them anew: run it when a recipe is meant to change, and read
the difference that git shows.
"""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("golden_configs.json")

GYMNASIUM = ("gym:FetchReach-v4", "gym:FetchPickAndPlace-v4", "gym:CartPole-v1", "gym:Pendulum-v1")
"""A task of each family."""

_OF_THE_MACHINE = re.compile(r"(^|\.)device$|usd_path$|_dir(_path)?$|(^|\.)task_file$")
"""Fields whose default depends on the machine."""


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Fields of nested mappings by their path; lists of plain values are values."""
    if isinstance(value, dict) and value:
        for name, entry in value.items():
            yield from flat(entry, f"{path}.{name}" if path else str(name))
        return
    if _OF_THE_MACHINE.search(path) is None:
        yield path, value if isinstance(value, (bool, int, float, str, type(None))) else repr(value)


def resolved() -> dict[str, dict[str, Any]]:
    """``task`` and ``task agent`` -> fields of the config."""
    import gymnasium as gym
    import isaaclab_tasks  # noqa: F401  registers the tasks
    from isaaclab_tasks.utils import resolve_task_config

    from gr00t_rl_ext.tasks.gymnasium import family_of
    from gr00t_rl_ext.tasks.gymnasium.resolution import resolve
    from gr00t_rl_ext.tasks.registration import ENTRY_POINT

    found: dict[str, dict[str, Any]] = {}
    for task, spec in sorted(gym.registry.items()):
        if "gr00t_rl_ext" not in str(spec.entry_point):
            continue
        for agent in sorted(spec.kwargs):
            if agent in ("env_cfg_entry_point", "task_file") or agent + ENTRY_POINT in spec.kwargs:
                continue
            with contextlib.redirect_stdout(io.StringIO()):
                env_cfg, agent_cfg = resolve_task_config(task, agent, overrides=[])
            found[task] = dict(flat(env_cfg.to_dict()))
            found[f"{task} {agent.removesuffix(ENTRY_POINT)}"] = dict(flat(agent_cfg.to_dict()))
    for task in GYMNASIUM:
        for agent in sorted(family_of(task.partition(":")[2]).agents):
            if agent.endswith(ENTRY_POINT) and agent != "rsl_rl_cfg_entry_point":
                continue
            env_cfg, agent_cfg = resolve(task, agent)
            found[task] = dict(flat(env_cfg.to_dict()))
            found[f"{task} {agent.removesuffix(ENTRY_POINT)}"] = dict(flat(agent_cfg.to_dict()))
    return found


def write() -> None:
    """Write the file."""
    FILE.write_text(json.dumps(resolved(), indent=0, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    # cameras of task files look up bodies of the robot
    from gr00t_rl_ext.assets import apply_asset_root

    apply_asset_root("offline")
    write()
