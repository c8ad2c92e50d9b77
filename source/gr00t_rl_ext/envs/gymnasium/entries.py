# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Entries of an environment's observation: columns of numbers, and pictures."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import gymnasium as gym
import numpy as np

from gr00t_rl_ext.envs.gymnasium.registry import TaskError

OBSERVATION = "observation"
"""Name of the entry of an observation that is no dictionary."""


SMALLEST = 8
"""Height and width of the smallest picture [pixels]: less is a board or a grid."""


class Entries:
    """What an observation consists of. Entries of dictionaries in dictionaries have names with dots, such as
    ``pixels.front``.

    Args:
        space: The observation space.
        env_id: Of the environment, for messages.
        pictures: Entries that cameras read, which are no columns.
        read: Entries that terms read. Other pictures of a dictionary are no columns either.

    Raises:
        TaskError: An entry has no fixed number of columns, or there is no such picture.
    """

    columns: dict[str, range]
    """Entry -> its columns in the flattened observation."""

    def __init__(self, space: gym.Space, env_id: str, pictures: Sequence[str] = (), read: Collection[str] = ()) -> None:
        found: dict[tuple[str, ...], gym.Space] = dict(_leaves(space, ()))
        named = {_name(path): path for path in found}
        for name in pictures:
            if name not in named:
                raise TaskError(
                    f"A camera reads the entry {name!r} of the observation of {env_id!r}, which does not have it. It"
                    f" has: {', '.join(named)}."
                )
            shape = found[named[name]].shape
            if shape is None or len(shape) not in (2, 3):
                raise TaskError(
                    f"A camera reads the entry {name!r} of the observation of {env_id!r}, which is no picture but"
                    f" {found[named[name]]}. Pictures are: {_listed(found)}."
                )
        self._pictures = {name: named[name] for name in pictures}
        self._vectors, self.columns, start = [], {}, 0
        for name, path in named.items():
            part = found[path]
            if name in pictures or (path and is_picture(part) and name not in read):
                continue
            if not part.is_np_flattenable:
                raise TaskError(
                    f"The observation of {env_id!r} is {space}, which has no fixed number of columns. Supported are"
                    " Box, Discrete, MultiDiscrete, MultiBinary, and Dict and Tuple of them."
                )
            width = gym.spaces.flatdim(part)
            self.columns[name] = range(start, start + width)
            self._vectors.append((path, part))
            start += width

    def flatten(self, observation: Any) -> np.ndarray:
        """The columns of an observation, float64 (columns,)."""
        parts = [gym.spaces.flatten(space, _entry(observation, path)) for path, space in self._vectors]
        return np.concatenate([np.asarray(part, np.float64) for part in parts]) if parts else np.zeros(0)

    def picture(self, observation: Any, name: str) -> Any:
        """What an entry shows that a camera reads."""
        return _entry(observation, self._pictures[name])


def _leaves(space: gym.Space, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], gym.Space]]:
    if isinstance(space, gym.spaces.Dict):
        for name, part in space.spaces.items():
            yield from _leaves(part, (*path, name))
    else:
        yield path, space


def _entry(observation: Any, path: Sequence[str]) -> Any:
    for name in path:
        observation = observation[name]
    return observation


def leaves(space: gym.Space) -> Iterator[tuple[str, gym.Space]]:
    """Entries of an observation space, by name."""
    for path, part in _leaves(space, ()):
        yield _name(path), part


def _name(path: Sequence[str]) -> str:
    return ".".join(path) or OBSERVATION


def is_picture(space: gym.Space) -> bool:
    """Whether an entry is an image of bytes, (height, width, channels) of grey, RGB or RGBA."""
    if not isinstance(space, gym.spaces.Box) or space.dtype != np.uint8 or len(space.shape) != 3:
        return False
    return space.shape[2] in (1, 3, 4) and min(space.shape[:2]) >= SMALLEST


def _listed(found: dict[tuple[str, ...], gym.Space]) -> str:
    return ", ".join(_name(path) for path, space in found.items() if is_picture(space)) or "none"
