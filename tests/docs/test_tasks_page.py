# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""docs/tasks.md has every task, with the facts of its config."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from isaaclab_tasks.utils import resolve_task_config

import gr00t_rl_ext.tasks  # noqa: F401
from gr00t_rl_ext.envs.gymnasium.tasks import task_cfg
from gr00t_rl_ext.tasks.stock_ids import STOCK_IDS

DOCS = Path(__file__).parents[2] / "docs"
TEXT, STOCK = (DOCS / "tasks.md").read_text().split("## Isaac Lab's own ids")
ROWS = {
    cells[0].strip("`"): cells[1:]
    for line in TEXT.splitlines()
    if line.startswith("| `")
    for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
}
OURS = [name for name, spec in gym.registry.items() if "gr00t_rl_ext" in str(spec.entry_point)]


def test_every_task_is_there() -> None:
    assert {name for name in ROWS if not name.startswith("gym:")} == set(OURS)


def test_every_id_of_isaac_lab_is_there() -> None:
    rows = [re.findall("`([^`]+)`", line) for line in STOCK.splitlines() if line.startswith("| `")]
    assert {stock: tuple(ours) for stock, *ours in rows} == STOCK_IDS


def told(cfg: Any) -> list[str]:
    """What a policy may be told."""
    if getattr(cfg, "instruction", None) is not None:
        return [cfg.instruction]
    return [text for texts in cfg.commands.task.told.values() for text in texts]


@pytest.mark.parametrize("task", OURS)
def test_facts_of_isaac_labs_tasks(task: str) -> None:
    cfg, _ = resolve_task_config(task, None, overrides=[])
    instruction, seconds, step, state, num_envs = ROWS[task]
    assert ", ".join(told(cfg)) == instruction
    assert cfg.episode_length_s == float(seconds)
    assert round(1000 * cfg.sim.dt * cfg.decimation, 1) == float(step)
    assert cfg.scene.num_envs == int(num_envs)
    group = getattr(getattr(cfg, "observations", None), "state", None)
    terms = ["state"] if group is None else [name for name, term in vars(group).items() if hasattr(term, "func")]
    assert ", ".join(f"`{name}`" for name in terms) == state


@pytest.mark.parametrize("task", [name for name in ROWS if name.startswith("gym:")])
def test_facts_of_fetch_tasks(task: str) -> None:
    cfg = task_cfg(task)
    assert cfg.instruction == ROWS[task][0]
    assert list(cfg.cameras) == ["front", "side"]


def test_every_picture_is_there_and_shown() -> None:
    shown = re.findall(r"\]\(images/(task_\w+\.png)\)", TEXT)
    assert sorted(shown) == sorted(file.name for file in (DOCS / "images").glob("task_*.png"))
