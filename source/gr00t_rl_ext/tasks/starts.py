# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Episodes that begin nearer to success: a curriculum over initial states (Florensa et al. 2017, "Reverse Curriculum
Generation for Reinforcement Learning", arXiv 1707.05300), also from states of demonstrations (Nair et al. 2018,
"Overcoming Exploration in Reinforcement Learning with Demonstrations", arXiv 1709.10089).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from isaaclab.managers import EventTermCfg, ManagerTermBase
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gr00t_rl_ext.envs.start_set import StartSet
from gr00t_rl_ext.envs.state_copy import put_scene, scene_rows
from gr00t_rl_ext.files import whole

PROGRESS = "progress"
"""Entry of a file of states: which share of its episode each was at, (n,), 0 at the beginning and 1 at success."""


class Starts(ManagerTermBase):
    """Where each environment's episode begins: an event term of the mode ``reset``, after all that reset the scene.

    Args:
        cfg: Its config. ``params`` has ``starts``: name -> an event term whose function puts environments there, after
            the task's own reset. It draws from torch's generator alone.
        env: The environment.
    """

    state_only = True
    """For groups of GRPO: their environment copies which start it was, see :meth:`StartSet.copy`."""

    def __init__(self, cfg: EventTermCfg, env: Any) -> None:
        super().__init__(cfg, env)
        self.start_set = StartSet(tuple(cfg.params["starts"]), env.num_envs, env.device)

    def __call__(self, env: Any, env_ids: Any, starts: dict[str, EventTermCfg]) -> None:
        ids = torch.arange(env.num_envs, device=env.device)[slice(None) if env_ids is None else env_ids]
        if not env.keeps_draws:
            self.start_set.draw(ids)
        drawn = self.start_set.index[ids]
        for number, term in enumerate(starts.values(), start=1):
            own = ids[drawn == number]
            if len(own):
                func: Any = term.func
                func(env, own.int(), **term.params)


def recorded_states(env: Any, env_ids: Tensor, file: str, progress: Sequence[float] = (0.0, 1.0)) -> None:
    """Put environments into states that ``record_demonstrations.py --states`` kept of successful episodes.

    Args:
        env: The environment.
        env_ids: Which of them, (n,) int32.
        file: The file.
        progress: From and to which share of an episode, 0 at its beginning and 1 at success.

    Raises:
        ValueError: The file is none of those, is of another scene, or has no such states.
    """
    states = _of_scene(env, file)
    at = states[PROGRESS]
    (chosen,) = torch.where((at >= progress[0]) & (at <= progress[1]))
    if not len(chosen):
        raise ValueError(
            f"{file!r} has no states between {progress[0]:g} and {progress[1]:g} of an episode; it has {len(at)}"
            f" between {float(at.min()):g} and {float(at.max()):g}."
        )
    rows = chosen[torch.randint(len(chosen), (len(env_ids),), device=chosen.device)]
    put_scene(env.scene, {name: values[rows] for name, values in states.items() if name != PROGRESS}, env_ids)


def keep_states(file: Path, states: Sequence[Mapping[str, Tensor]], progress: Sequence[float]) -> None:
    """Write states for :func:`recorded_states`.

    Args:
        file: Is replaced as a whole.
        states: One or more, each as :func:`gr00t_rl_ext.envs.state_copy.scene_rows` gives it for one environment.
        progress: Of each, see :data:`PROGRESS`.
    """
    rows = {name: torch.cat([state[name] for state in states]).contiguous() for name in states[0]}
    with whole(file) as part:
        save_file(rows | {PROGRESS: torch.tensor(progress)}, part)


def _of_scene(env: Any, file: str) -> dict[str, Tensor]:
    states = _read(file, str(env.device))
    here = scene_rows(env.scene, torch.zeros(1, dtype=torch.long, device=env.device))
    for name in here.keys() | (states.keys() - {PROGRESS}):
        shapes = [tuple(rows[name].shape[1:]) if name in rows else None for rows in (states, here)]
        if shapes[0] != shapes[1]:
            what = ["nothing" if shape is None else f"shape {shape}" for shape in shapes]
            raise ValueError(
                f"{file!r} is of another scene: for {name} it has {what[0]}, the scene {what[1]}. Record it with this"
                " task (record_demonstrations.py --states)."
            )
    return states


@functools.cache
def _read(file: str, device: str) -> dict[str, Tensor]:
    try:
        states = load_file(file, device=device)
    except (OSError, SafetensorError) as error:
        raise ValueError(
            f"the states in {file!r} cannot be read ({error}); `record_demonstrations.py --states FILE` writes some."
        ) from error
    if PROGRESS not in states:
        raise ValueError(
            f"{file!r} is no file of states: it has no {PROGRESS}. `record_demonstrations.py --states FILE`."
        )
    return states
