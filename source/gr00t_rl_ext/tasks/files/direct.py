# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""From a task file to the environment of a direct task of Isaac Lab: the base task's class, and what the file adds."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from isaaclab.managers import SceneEntityCfg
from rsl_rl.utils import resolve_callable

from gr00t_rl_ext.envs.chunking import ChunkedDirectRLEnv
from gr00t_rl_ext.robot.task_spec import STATE
from gr00t_rl_ext.tasks.files.reading import Source
from gr00t_rl_ext.tasks.files.schema import RGB
from gr00t_rl_ext.tasks.files.terms import check_hold, function, params
from gr00t_rl_ext.tasks.several import control_steps, count_on, forgotten

SURVIVED = "survived"
"""Success of a direct task whose episodes succeed where their time runs out."""

_GIVEN = "_file_observations"


def columns(env: Any, group: str = "policy", start: int = 0, stop: int | None = None) -> torch.Tensor:
    """Some columns of an observation group of the base task, (num_envs, width), for ``state.terms`` of a file.

    Args:
        env: The environment.
        group: The group.
        start: First column.
        stop: Column after the last; None for the group's end.

    Raises:
        ValueError: There is no such group of vectors, or it has no such columns.
    """
    given: Mapping[str, torch.Tensor] = getattr(env, _GIVEN)
    vectors = [name for name, value in given.items() if value.ndim == 2]
    if group not in vectors:
        raise ValueError(f"the base task observes no vectors {group!r}; it observes {', '.join(vectors) or 'none'}")
    width = given[group].shape[1]
    end = width if stop is None else stop
    if not 0 <= start < end <= width:
        raise ValueError(f"columns {start} to {end} of {group!r} are asked for, which has {width}")
    return given[group][:, start:end]


def environment_class(source: Source, cfg: Any) -> type[ChunkedDirectRLEnv]:
    """The class of a file's environment.

    Args:
        source: The task file, of a direct task.
        cfg: Its config.

    Raises:
        TaskFileError: It names something that does not exist.
    """
    base, success = base_class(source), success_of(source, cfg)
    terms = state_terms(source, cfg)
    cameras = tuple(source.task.cameras)
    rewards_success = source.task.rewards == "success"

    class TaskFileBase(base):  # type: ignore[misc]
        """The base task with cameras, state and success of the file."""

        def __init__(self, cfg: Any, render_mode: str | None = None, **kwargs: Any) -> None:
            super().__init__(cfg, render_mode, **kwargs)
            for term in (*terms.values(), *([] if success is None else [success])):
                term.find_entities(source, self.scene)
            self.success = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
            self._least_steps = control_steps(source.task.success.hold_s, self.step_dt)
            self._held_steps = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)

        @property
        def observation_terms(self) -> dict[str, dict[str, tuple[int, ...]]]:
            """Observation group of the file -> name of the term -> its shape for one environment."""
            rgb = {name: (*self.scene[name].data.output["rgb"].torch.shape[1:3], 3) for name in cameras}
            return {RGB: rgb, STATE: {name: (value.shape[1],) for name, value in self._state().items()}}

        def _configure_gym_env_spaces(self) -> None:
            super()._configure_gym_env_spaces()
            given = self.single_observation_space
            spaces = dict(given.spaces) if isinstance(given, gym.spaces.Dict) else {"policy": given}
            camera = getattr(self.cfg.scene, cameras[0])
            rgb = gym.spaces.Box(0, 255, (camera.height, camera.width, 3 * len(cameras)), dtype=np.uint8)
            # widths of the state are known where it is observed
            self.single_observation_space = gym.spaces.Dict({**spaces, RGB: rgb})
            self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, self.num_envs)

        def _get_observations(self) -> dict[str, torch.Tensor]:
            given = super()._get_observations()
            setattr(self, _GIVEN, given)
            images = [self.scene[name].data.output["rgb"].torch[..., :3] for name in cameras]
            # cameras write their next images into the same buffers
            rgb = torch.cat(images, dim=-1) if len(images) > 1 else images[0].clone()
            return {**given, RGB: rgb, STATE: torch.cat(list(self._state().values()), dim=1)}

        def _state(self) -> dict[str, torch.Tensor]:
            state = {}
            for name, term in terms.items():
                try:
                    value = term.func(self, **term.arguments)
                except (ValueError, TypeError) as error:
                    raise source.error(term.place, str(error)) from error
                if value.ndim != 2 or len(value) != self.num_envs:
                    shape = tuple(value.shape)
                    text = f"it gives numbers of shape {shape}; expected ({self.num_envs}, width)"
                    raise source.error(term.place, text)
                state[name] = value.float()
            return state

        def _get_dones(self) -> tuple[torch.Tensor, torch.Tensor]:
            terminated, time_outs = super()._get_dones()
            if success is None:
                self.success = time_outs & ~terminated
                return terminated, time_outs
            true = success.func(self, **success.arguments)
            if true.shape != (self.num_envs,):
                shape = tuple(true.shape)
                raise source.error(success.place, f"it gives values of shape {shape}; expected ({self.num_envs},)")
            self._held_steps = count_on(self._held_steps, true)
            self.success = self._held_steps >= self._least_steps
            return terminated | self.success, time_outs

        def _reset_idx(self, env_ids: Any) -> None:
            super()._reset_idx(env_ids)
            # not in place: a rollout leaves an inference tensor here
            self._held_steps = forgotten(self._held_steps, env_ids)

        def _get_rewards(self) -> torch.Tensor:
            rewards = super()._get_rewards()
            return self.success.float() if rewards_success else rewards

    buffers = source.task.state_buffers
    fields = {"__module__": __name__, "state_buffers": None if buffers is None else ("_held_steps", *buffers)}
    return type("TaskFileDirectEnv", (ChunkedDirectRLEnv, TaskFileBase), fields)


@dataclass(frozen=True)
class _Function:
    """A term of a file."""

    place: tuple[str | int, ...]
    """Where it is in the file."""

    func: Callable[..., torch.Tensor]
    arguments: dict[str, Any]

    def find_entities(self, source: Source, scene: Any) -> None:
        """Find bodies and joints of arguments in the scene."""
        for name, value in self.arguments.items():
            if not isinstance(value, SceneEntityCfg):
                continue
            try:
                value.resolve(scene)
            except (KeyError, ValueError) as error:
                raise source.error((*self.place, "params", name), f"{error}") from error


def base_class(source: Source) -> type:
    """The class of the base task.

    Raises:
        TaskFileError: It has action chunks already, or is the task of another file.
    """
    entry_point = gym.spec(source.task.base).entry_point
    # that of a file is made by a function
    found: Any = resolve_callable(entry_point) if isinstance(entry_point, str) else entry_point
    if not inspect.isclass(found) or issubclass(found, ChunkedDirectRLEnv):
        text = f"{source.task.base!r} is a task for GR00T already; expected a direct task of Isaac Lab"
        raise source.error(("base",), text)
    return found


def success_of(source: Source, cfg: Any) -> _Function | None:
    """What tells success; None: to survive is success.

    Raises:
        TaskFileError: There is no such thing.
    """
    success, place = source.task.success, ("success",)
    if success.func is not None:
        func = function(source, cfg, (*place, "func"), success.func)
        check_hold(source, cfg, place, success.hold_s)
        return _checked(source, _Function(place, func, params(source, cfg, place, success.params)))
    if success.term != SURVIVED:
        raise source.error(
            place,
            f"a direct task has no termination {success.term!r}. Expected {SURVIVED}, which is an episode whose time"
            " runs out, or {func: MODULE:NAME, params: {...}}",
        )
    if success.hold_s:
        raise source.error((*place, "hold_s"), f"{SURVIVED} is true at the end only; expected a func besides")
    return None


def state_terms(source: Source, cfg: Any) -> dict[str, _Function]:
    """Terms of the state by name. A name alone is a group of the base task's.

    Raises:
        TaskFileError: There is no such function.
    """
    found = {}
    for number, entry in enumerate(source.task.state.terms):
        place = ("state", "terms", number)
        if isinstance(entry, str):
            found[entry] = _Function(place, columns, {"group": entry})
            continue
        for name, term in entry.items():
            of_term = (*place, name)
            own = columns if term.func == columns.__name__ else None
            func = own or function(source, cfg, (*of_term, "func"), term.func)
            found[name] = _checked(source, _Function(of_term, func, params(source, cfg, of_term, term.params)))
    return found


def _checked(source: Source, term: _Function) -> _Function:
    """A term whose function takes its arguments."""
    if inspect.isclass(term.func):
        raise source.error(term.place, f"{term.func.__name__} is a class; direct tasks take plain functions")
    try:
        inspect.signature(term.func).bind(None, **term.arguments)
    except TypeError as error:
        raise source.error((*term.place, "params"), f"{error}") from error
    return term
