# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Copies of an environment's state, exact to the bit.

An environment that continues from a copy does what the original does, given the same actions. Its state is what changes
in it: MuJoCo's ``MjData``, copied as a whole with all that is derived from the state (``mj_getState`` and
``mj_setState`` would not do: after ``mj_step`` positions of bodies and sites are those of the substep before, and
observations are made of them), and the plain attributes of the environment and its wrappers: numbers, arrays, random
generators, and collections of them. An environment that holds anything else, such as a physics engine of its own, is
not copied, because nobody knows whether that changes.
"""

from __future__ import annotations

import copy
import hashlib
import sys
import types
from collections.abc import Iterator
from enum import Enum
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import EnvSpec

_NUMBERS = (type(None), bool, int, float, complex, str, bytes, np.generic, Enum)
_GENERATORS = (np.random.Generator, np.random.RandomState)
_FUNCTIONS = (type, types.FunctionType, types.BuiltinFunctionType)
_PLAIN = (*_NUMBERS, *_GENERATORS, *_FUNCTIONS)
_FIXED = (types.ModuleType, types.MethodType, gym.Space, EnvSpec)
_FIXED_CLASSES = {
    "mujoco._structs.MjModel",
    "gymnasium.envs.mujoco.mujoco_rendering.MujocoRenderer",
    "gymnasium_robotics.utils.mujoco_utils.MujocoModelNames",
}
"""Helpers that do not change with the state."""


def obstacle(env: gym.Env) -> str | None:
    """Why the state of an environment cannot be copied; None if it can."""
    for layer in layers(env):
        for name, value in own_attributes(layer).items():
            if not (is_fixed(value) or is_mujoco_data(value) or _is_plain(value)):
                kind = f"{type(value).__module__}.{type(value).__qualname__}"
                return f"its {type(layer).__name__} keeps a {kind} in `{name}`, which is not known how to copy"
    return None


def copy_state(source: gym.Env, target: gym.Env) -> None:
    """Put one environment into another one's state. Both are of one task, whose :func:`obstacle` is None."""
    for origin, layer in zip(layers(source), layers(target), strict=True):
        values = own_attributes(origin)
        for name in own_attributes(layer).keys() - values.keys():
            delattr(layer, name)
        for name, value in values.items():
            if is_mujoco_data(value):
                sys.modules["mujoco"].mj_copyData(getattr(layer, name), values["model"], value)
            elif not is_fixed(value):
                current = vars(layer).get(name)
                if isinstance(current, np.ndarray) and not current.flags.owndata and current.shape == value.shape:
                    current[...] = value  # a view of something: it must stay one
                else:
                    setattr(layer, name, copy.deepcopy(value))


def model_digest(env: gym.Env) -> str | None:
    """A hash of the environment's MuJoCo model, which is not copied; None if it has none."""
    model = vars(env.unwrapped).get("model")
    if type(model).__name__ != "MjModel":
        return None
    mujoco = sys.modules["mujoco"]
    buffer = np.empty(mujoco.mj_sizeModel(model), np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return hashlib.sha256(buffer).hexdigest()


def layers(env: gym.Env) -> Iterator[gym.Env]:
    """The wrappers from outside to inside, and the environment itself."""
    while isinstance(env, gym.Wrapper):
        yield env
        env = env.env
    yield env


def own_attributes(layer: gym.Env) -> dict[str, Any]:
    """The attributes of a layer; the environment in a wrapper is a layer of its own."""
    attributes = vars(layer)
    return {name: attributes[name] for name in attributes if not (name == "env" and isinstance(layer, gym.Wrapper))}


def is_fixed(value: Any) -> bool:
    kind = type(value)
    return (
        isinstance(value, _FIXED)
        or f"{kind.__module__}.{kind.__qualname__}" in _FIXED_CLASSES
        or kind.__module__.partition(".")[0] == "pygame"  # a canvas
    )


def is_mujoco_data(value: Any) -> bool:
    return type(value).__name__ == "MjData" and "mujoco" in sys.modules


def _is_plain(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype != object
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, (*value.keys(), *value.values())))
    return isinstance(value, _PLAIN)
