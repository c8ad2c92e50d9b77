# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Starter policies: small GR00T checkpoints in the package, each of which solves a task some of the time.

``agent.actor.gr00t.checkpoint=starter`` chooses the one whose robot, cameras and instruction are the task's.
``starters.json`` holds what each was measured at; docs/starters.md has the commands that made them.
"""

from __future__ import annotations

import functools
import hashlib
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict, TypeAdapter

from gr00t_rl_ext.cache import cache_directory
from gr00t_rl_ext.gr00t.checkpoint import new_directory

STARTER = "starter"
"""Value of ``agent.actor.gr00t.checkpoint`` that stands for the task's starter."""

_FOLDER = Path(__file__).parent


class Starter(BaseModel):
    """A policy in the package."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """Of its archive, ``<name>.tar.xz``."""

    task: str
    """Task that it was made for and measured on."""

    settings: tuple[str, ...]
    """Overrides of that task under which it sees what it was made with."""

    instruction: str
    cameras: tuple[str, ...]
    state_terms: dict[str, int]
    action_terms: dict[str, int]
    """Interface of the task, as :class:`~gr00t_rl_ext.robot.task_spec.TaskSpec` has it."""

    chunk_length: int
    """Control steps that were executed of each decision when it was measured."""

    iterations: int
    """Of ``gr00t_ppo`` and ``gr00t_grpo``, unless the command line tells; docs/starters.md has the minutes."""

    success_drawn: float
    """Success in % of 200 episodes, with the noise that GR00T draws."""

    success_centre: float
    """The same at the centre of the noise."""

    def fits(
        self, instruction: str, cameras: Sequence[str], state: Mapping[str, int], action: Mapping[str, int]
    ) -> bool:
        """Whether it was made for such a task: equal names, widths and order."""
        wanted = instruction, list(cameras), list(state.items()), list(action.items())
        own = self.instruction, list(self.cameras), list(self.state_terms.items()), list(self.action_terms.items())
        return own == wanted


@functools.cache
def starters() -> tuple[Starter, ...]:
    """All of them."""
    return TypeAdapter(tuple[Starter, ...]).validate_json((_FOLDER / "starters.json").read_bytes())


def starter_of(task: str) -> Starter | None:
    """The starter that was made for a task, by its id; None if there is none."""
    return next((starter for starter in starters() if starter.task == task), None)


def unpacked(starter: Starter) -> Path:
    """Directory of a starter's checkpoint, in the user's cache; unpacked on first use."""
    # not above, since they import torch
    from gr00t_rl_ext.gr00t.data_config import DATA_CONFIG_FILE
    from gr00t_rl_ext.gr00t.embodiment import own_data_config, read_horizon

    archive = _FOLDER / f"{starter.name}.tar.xz"
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()[:12]
    directory = cache_directory() / "starters" / f"{starter.name}-{digest}"
    if not (directory / DATA_CONFIG_FILE).is_file():
        with new_directory(directory, may_replace=lambda _: True) as scratch, tarfile.open(archive) as packed:
            packed.extractall(scratch, filter="data")
            horizon = read_horizon(scratch)
            own_data_config(scratch, "new_embodiment", horizon=horizon, crop_scale=None).write(scratch)
    return directory


def no_starter(task: str) -> str:
    """What to tell a user whose task has none."""
    return (
        f"There is no starter for {task}. There is one for: {', '.join(starter.task for starter in starters())}. Record"
        " demonstrations and fine-tune on them (docs/sft.md), or name a GR00T checkpoint in"
        " `agent.actor.gr00t.checkpoint`."
    )
