# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""An environment's state as bytes, for checkpoints: JSON, so that nothing in it could run.

What is recorded is what :mod:`~.state_copy` copies. Of MuJoCo's ``MjData`` these are the state of the integration and
all arrays that are derived of it but contacts and constraints, whose number changes: the next step computes them anew.
"""

from __future__ import annotations

import base64
import json
import sys
import types
import zlib
from collections.abc import Mapping
from enum import Enum
from typing import Any

import gymnasium as gym
import numpy as np

from gr00t_rl_ext.envs.gymnasium.state_copy import is_fixed, is_mujoco_data, layers, own_attributes

_UNCHANGED = "unchanged"
_OF_CONSTRAINTS = ("efc_", "efm_", "iefc_", "contact")


def record_state(env: gym.Env) -> bytes:
    """The state of an environment and of its wrappers.

    Args:
        env: Of which :func:`~.state_copy.obstacle` finds none.
    """
    state = [
        {name: _recorded(value) for name, value in own_attributes(layer).items() if not is_fixed(value)}
        for layer in layers(env)
    ]
    return zlib.compress(json.dumps(state).encode(), level=1)


def restore_state(env: gym.Env, recorded: bytes) -> None:
    """Put an environment of the same task into a recorded state.

    Raises:
        ValueError: It was recorded of another task or with other versions.
    """
    try:
        state = json.loads(zlib.decompress(recorded))
    except (zlib.error, ValueError) as error:
        raise ValueError(f"it cannot be read ({error})") from error
    present = list(layers(env))
    if len(present) != len(state):
        raise ValueError(f"it has {len(state)} layers of wrappers, the environment here has {len(present)}")
    for layer, values in zip(present, state, strict=True):
        own = own_attributes(layer)
        for name in own.keys() - values.keys():
            if not is_fixed(own[name]):
                delattr(layer, name)
        for name, value in values.items():
            try:
                restored = _restored(value, own.get(name))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                raise ValueError(f"`{name}` of {type(layer).__name__} does not fit ({error})") from error
            current: Any = own.get(name)
            both = isinstance(current, np.ndarray) and isinstance(restored, np.ndarray)
            if both and not current.flags.owndata and current.shape == restored.shape:
                current[...] = restored  # a view of something: it must stay one
            elif restored is not current:
                setattr(layer, name, restored)


def _recorded(value: Any) -> Any:
    if value is None or (isinstance(value, (bool, int, float, str)) and not isinstance(value, (Enum, np.generic))):
        return value
    if is_mujoco_data(value):
        return {"mujoco": _recorded_mujoco(value)}
    if isinstance(value, Enum):
        return {"enum": value.name}
    if isinstance(value, np.generic):
        return {"scalar": _recorded(np.asarray(value))}
    if isinstance(value, np.ndarray):
        return {"array": [value.dtype.str, list(value.shape), _text(value.tobytes())]}
    if isinstance(value, bytes):
        return {"bytes": _text(value)}
    if isinstance(value, complex):
        return {"complex": [value.real, value.imag]}
    if isinstance(value, np.random.Generator):
        return {"generator": _recorded(value.bit_generator.state)}
    if isinstance(value, np.random.RandomState):
        return {"random_state": _recorded(value.get_state(legacy=False))}
    if isinstance(value, Mapping):
        return {"mapping": [[_recorded(key), _recorded(entry)] for key, entry in value.items()]}
    if isinstance(value, (list, tuple, set, frozenset)):
        return {type(value).__name__: list(map(_recorded, value))} if type(value) in _COLLECTIONS else _UNKNOWN
    # functions and classes
    return _UNKNOWN


_COLLECTIONS: tuple[type, ...] = (list, tuple, set, frozenset)
_UNKNOWN: dict[str, Any] = {_UNCHANGED: None}
"""In the place of what has no state: the environment's own stays."""


def _restored(value: Any, current: Any) -> Any:
    if not isinstance(value, dict):
        return value
    (kind, content), *_ = value.items()
    if kind == _UNCHANGED:
        return current
    if kind == "mujoco":
        _restore_mujoco(current, content)
        return current
    return _READERS[kind](content, current)


def _enum(name: str, current: Any) -> Enum:
    if not isinstance(current, Enum):
        raise ValueError(f"the environment here has a {type(current).__name__}")
    return type(current)[name]


def _array(content: Any, _: Any = None) -> np.ndarray:
    kind, shape, data = content
    dtype = np.dtype(kind)
    if dtype.hasobject:
        raise ValueError("it holds objects")
    return np.frombuffer(base64.b64decode(data), dtype).reshape(shape).copy()


def _generator(content: Any, current: Any) -> np.random.Generator:
    state = _restored(content, None)
    name = state["bit_generator"]
    if name not in ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"):
        raise ValueError(f"there is no generator {name!r}")
    # the one that is there may be shared with others, such as spaces
    generator = current if isinstance(current, np.random.Generator) else np.random.Generator(getattr(np.random, name)())
    generator.bit_generator.state = state
    return generator


def _random_state(content: Any, current: Any) -> np.random.RandomState:
    generator = current if isinstance(current, np.random.RandomState) else np.random.RandomState()
    generator.set_state(_restored(content, None))
    return generator


def _mapping(content: Any, current: Any) -> dict[Any, Any]:
    own = current if isinstance(current, Mapping) else {}
    pairs = [(_restored(key, None), value) for key, value in content]
    return {key: _restored(value, own.get(key)) for key, value in pairs}


def _collection(kind: type) -> Any:
    return lambda content, current: kind(
        _restored(value, own) for value, own in zip(content, _aligned(current, len(content)), strict=True)
    )


def _aligned(current: Any, length: int) -> list[Any]:
    fits = isinstance(current, (list, tuple)) and len(current) == length
    return list(current) if fits else [None] * length


_READERS: dict[str, Any] = {
    "enum": _enum,
    "scalar": lambda content, _: _array(content["array"])[()],
    "array": _array,
    "bytes": lambda content, _: base64.b64decode(content),
    "complex": lambda content, _: complex(*content),
    "generator": _generator,
    "random_state": _random_state,
    "mapping": _mapping,
    **{kind.__name__: _collection(kind) for kind in _COLLECTIONS},
}


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


def _recorded_mujoco(data: Any) -> dict[str, Any]:
    mujoco: types.ModuleType = sys.modules["mujoco"]
    signature = mujoco.mjtState.mjSTATE_INTEGRATION
    state = np.empty(mujoco.mj_stateSize(data.model, signature))
    mujoco.mj_getState(data.model, data, state, signature)
    arrays = {name: _recorded(array) for name, array in _derived(data).items()}
    return {"state": _recorded(state), **arrays}


def _restore_mujoco(data: Any, content: Mapping[str, Any]) -> None:
    mujoco: types.ModuleType = sys.modules["mujoco"]
    state, signature = _array(content["state"]["array"]), mujoco.mjtState.mjSTATE_INTEGRATION
    if state.size != mujoco.mj_stateSize(data.model, signature):
        raise ValueError(f"its model has a state of {state.size} numbers")
    mujoco.mj_setState(data.model, data, state, signature)
    for name, array in _derived(data).items():
        if name in content and (value := _array(content[name]["array"])).shape == array.shape:
            array[...] = value


def _derived(data: Any) -> dict[str, np.ndarray]:
    """The arrays of an ``MjData`` whose size the model fixes."""
    names = (name for name in dir(data) if not name.startswith(("_", *_OF_CONSTRAINTS)))
    found = {name: getattr(data, name) for name in names}
    return {name: value for name, value in found.items() if isinstance(value, np.ndarray) and value.flags.writeable}
