# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What the requests and answers of GR00T's policy servers hold, in the three forms that are in use.

======  ==========================================================  ===========================================
Form    ``data`` of ``get_action``                                  Its result
======  ==========================================================  ===========================================
n1_5    the observation: ``video.x`` (T, H, W, 3), ``state.x``      ``action.x`` (H, D), or with a batch axis
        (T, D), ``annotation...`` texts; or with a batch axis       where the observation has one
nested  ``{"observation": {"video": {x: (B, T, H, W, 3)},           ``[{x: (B, H, D)}, info]``
        "state": {x: (B, T, D)}, "language": {x: [[text]]}},
        "options": ...}``
flat    the same with an observation as N1.5's, always a batch      ``[{"action.x": (B, H, D)}, info]``
======  ==========================================================  ===========================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gr00t_rl_ext.serving.wire import ModalityConfig

DEFAULT_PORT = 5555
"""Where GR00T's own servers listen."""

MAX_INSTRUCTION = 2000
"""Characters of an instruction. A client must not occupy the server with a novel."""

DEFAULT_LANGUAGE_KEY = "annotation.human.task_description"
"""Key of the instruction where a checkpoint names none."""

N1_5, NESTED, FLAT = FORMS = ("n1_5", "nested", "flat")
"""Forms of requests."""


class RequestError(ValueError):
    """A request asks for what the policy cannot do."""


@dataclass(frozen=True)
class PolicyKeys:
    """What a policy reads and gives, under the checkpoint's names."""

    video: tuple[str, ...]
    """Cameras in order."""

    state: Mapping[str, int | None]
    """Key of the state -> width; None where it is not known."""

    action: Mapping[str, int | None]
    """Key of the actions -> width; likewise."""

    language: str = DEFAULT_LANGUAGE_KEY
    """Key of the instruction."""

    horizon: int | None = None
    """Control steps of an answer; likewise."""

    def modality_configs(self, form: str) -> dict[str, ModalityConfig]:
        """The answer to ``get_modality_config``: as N1.5 writes it, or as N1.6 and N1.7 do."""
        old = form == N1_5
        now, steps = (0,), tuple(range(self.horizon or 0))

        def config(modality: str, keys: Sequence[str], indices: tuple[int, ...]) -> ModalityConfig:
            return ModalityConfig(tuple(f"{modality}.{key}" if old else key for key in keys), indices, old)

        return {
            "video": config("video", self.video, now),
            "state": config("state", tuple(self.state), now),
            "action": config("action", tuple(self.action), steps),
            "language": ModalityConfig((self.language,), now, old),
        }

    @classmethod
    def read(cls, configs: Any) -> tuple[PolicyKeys, bool]:
        """The keys of an answer to ``get_modality_config``, and whether it is N1.5's.

        Raises:
            RequestError: It is no such answer.
        """
        if not isinstance(configs, Mapping) or not all(
            isinstance(configs.get(name), ModalityConfig) for name in ("video", "state", "action", "language")
        ):
            raise RequestError(
                f"the answer to get_modality_config is {_shown(configs)}; expected configs of video, state, action and"
                " language"
            )
        old = any(config.as_text for config in configs.values() if isinstance(config, ModalityConfig))

        def keys(modality: str) -> tuple[str, ...]:
            return tuple(key.removeprefix(f"{modality}.") for key in configs[modality].modality_keys)

        for modality in ("video", "state"):
            if configs[modality].delta_indices != (0,):
                raise RequestError(
                    f"the policy reads the time steps {list(configs[modality].delta_indices)} of its {modality}; only"
                    " the current one, [0], can be given"
                )
        if len(languages := configs["language"].modality_keys) != 1:
            raise RequestError(f"the policy reads {len(languages)} instructions ({', '.join(languages)}); expected one")
        state, action = dict.fromkeys(keys("state")), dict.fromkeys(keys("action"))
        return cls(keys("video"), state, action, languages[0], len(configs["action"].delta_indices) or None), old


@dataclass(frozen=True)
class Observation:
    """A batch of B observations."""

    video: Mapping[str, np.ndarray]
    """Camera -> images (B, H, W, 3), uint8."""

    state: Mapping[str, np.ndarray]
    """Key -> numbers (B, D), float32."""

    instructions: tuple[str, ...]
    """One for each."""


@dataclass(frozen=True)
class Request:
    """What ``get_action`` was asked."""

    observation: Observation
    form: str
    """An entry of :data:`FORMS`, in which the answer is given."""

    is_batch: bool
    """Whether the answer has a batch axis."""

    options: Mapping[str, Any]
    """Of the forms that have any."""


def read_request(data: Any, keys: PolicyKeys) -> Request:
    """The observation of a request, checked.

    Args:
        data: Of the message.
        keys: What the policy reads.

    Raises:
        RequestError: A key is missing or unknown, or an array has another type or shape.
    """
    if not isinstance(data, Mapping):
        raise RequestError(f"`data` is {_shown(data)}; expected a map with the observation")
    wrapped = isinstance(data.get("observation"), Mapping)
    content: Mapping[str, Any] = data["observation"] if wrapped else data
    nested = any(isinstance(content.get(name), Mapping) for name in ("video", "state", "language"))
    if nested:
        flat = {f"{name}.{key}": value for name in ("video", "state") for key, value in _part(content, name).items()}
        language = dict(_part(content, "language"))
    else:
        flat = {key: value for key, value in content.items() if key.startswith(("video.", "state."))}
        language = {key: value for key, value in content.items() if key not in flat}
    expected = {
        f"{name}.{key}": name for name, known in (("video", keys.video), ("state", keys.state)) for key in known
    }
    if missing := [key for key in expected if key not in flat]:
        raise RequestError(
            f"the observation lacks {', '.join(missing)}; it has {', '.join(flat) or 'nothing'}, and the policy reads"
            f" {', '.join(expected)} and {keys.language}"
        )
    if unknown := [key for key in flat if key not in expected]:
        raise RequestError(
            f"the observation holds {', '.join(unknown)}, which the policy does not read; it reads"
            f" {', '.join(expected)} and {keys.language}"
        )
    arrays = {key: _array(key, flat[key]) for key in expected}
    # N1.5's clients send one observation without a batch axis, or several with one
    states = [array.ndim for key, array in arrays.items() if expected[key] == "state"]
    is_batch = wrapped or max(states, default=0) >= 3
    video = {key: _video(f"video.{key}", arrays[f"video.{key}"], is_batch) for key in keys.video}
    state = {key: _state(f"state.{key}", arrays[f"state.{key}"], is_batch, w) for key, w in keys.state.items()}
    sizes = {key: len(array) for part in (video, state) for key, array in part.items()}
    batch = next(iter(sizes.values()))
    if set(sizes.values()) != {batch}:
        raise RequestError(f"the arrays differ in their number of observations: {sizes}")
    instructions = _instructions(language, keys.language, batch)
    options = (data.get("options") if wrapped else None) or {}
    if not isinstance(options, Mapping):
        raise RequestError(f"`options` is {_shown(options)}; expected a map or nothing")
    form = N1_5 if not wrapped else NESTED if nested else FLAT
    return Request(Observation(video, state, instructions), form, is_batch, options)


def write_answer(actions: Mapping[str, np.ndarray], request: Request) -> Any:
    """Actions (B, H, D) by key, as the form of the request has them."""
    if request.form == NESTED:
        return [dict(actions), {}]
    if not request.is_batch:
        actions = {key: value[0] for key, value in actions.items()}
    named = {f"action.{key}": value for key, value in actions.items()}
    return [named, {}] if request.form == FLAT else named


def write_request(observation: Observation, keys: PolicyKeys, form: str, options: Mapping[str, Any]) -> Any:
    """The ``data`` of a ``get_action`` in some form."""
    video = {key: value[:, None] for key, value in observation.video.items()}
    state = {key: value[:, None] for key, value in observation.state.items()}
    if form == NESTED:
        language = {keys.language: [[text] for text in observation.instructions]}
        return {"observation": {"video": video, "state": state, "language": language}, "options": dict(options)}
    flat: dict[str, Any] = {f"video.{key}": value for key, value in video.items()}
    flat |= {f"state.{key}": value for key, value in state.items()}
    flat[keys.language] = list(observation.instructions)
    return flat if form == N1_5 else {"observation": flat, "options": dict(options)}


def read_answer(answer: Any, keys: PolicyKeys, batch: int) -> dict[str, np.ndarray]:
    """The actions (B, H, D) of an answer, by the policy's keys in order.

    Raises:
        RequestError: It is of another robot, or has other shapes.
    """
    actions = answer[0] if isinstance(answer, Sequence) and not isinstance(answer, str) and answer else answer
    if not isinstance(actions, Mapping):
        raise RequestError(f"the server answered {_shown(actions)}; expected a map of actions")
    found = {str(key).removeprefix("action."): value for key, value in actions.items()}
    if set(found) != set(keys.action):
        raise RequestError(
            f"the server answered the actions {', '.join(found) or 'none'}, but its modality config names"
            f" {', '.join(keys.action)}: it is of another embodiment"
        )
    result = {}
    for key, width in keys.action.items():
        value = np.asarray(found[key], dtype=np.float32)
        if value.ndim != 3 or len(value) != batch or (width is not None and value.shape[2] != width):
            raise RequestError(
                f"the server answered action.{key} of shape {value.shape}; expected ({batch}, steps,"
                f" {width or 'width'})"
            )
        if not np.isfinite(value).all():
            raise RequestError(f"the server answered action.{key} with NaN or infinite numbers")
        result[key] = value
    if len({value.shape[1] for value in result.values()}) != 1:
        raise RequestError(f"the server's actions differ in steps: { {k: v.shape[1] for k, v in result.items()} }")
    return result


def _part(content: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = content.get(name)
    if not isinstance(part, Mapping):
        raise RequestError(f"the observation's {name!r} is {_shown(part)}; expected a map of its keys")
    return part


def _array(key: str, value: Any) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        raise RequestError(f"{key} is {_shown(value)}; expected an array")
    return value


def _video(key: str, value: np.ndarray, is_batch: bool) -> np.ndarray:
    expected = "(B, 1, H, W, 3)" if is_batch else "(1, H, W, 3)"
    value = value if is_batch else value[None]
    if value.dtype != np.uint8 or value.ndim != 5 or value.shape[1] != 1 or value.shape[-1] != 3 or not value.size:
        raise RequestError(f"{key} has type {value.dtype} and shape {value.shape}; expected uint8 {expected}")
    return value[:, 0]


def _state(key: str, value: np.ndarray, is_batch: bool, width: int | None) -> np.ndarray:
    expected = f"({'B, ' if is_batch else ''}1, {width})"
    value = value if is_batch else value[None]
    fits = value.dtype.kind in "fiu" and value.ndim == 3 and value.shape[1] == 1 and width in (None, value.shape[2])
    if not fits or not value.size:
        raise RequestError(f"{key} has type {value.dtype} and shape {value.shape}; expected numbers {expected}")
    if not np.isfinite(value).all():
        raise RequestError(f"{key} holds NaN or infinite numbers")
    return value[:, 0].astype(np.float32)


def _instructions(language: Mapping[str, Any], key: str, batch: int) -> tuple[str, ...]:
    if key not in language and len(language) == 1:
        # others' data sets call it otherwise, and there is only one
        (key,) = language
    if key not in language:
        raise RequestError(f"the observation has no instruction under {key}; it has {', '.join(language) or 'none'}")
    value = language[key]
    value = value.tolist() if isinstance(value, np.ndarray) else value
    texts = [value] if isinstance(value, str) else list(value) if isinstance(value, Sequence) else [value]
    texts = [item[0] if isinstance(item, Sequence) and not isinstance(item, str) and item else item for item in texts]
    if not texts or not all(isinstance(text, str) for text in texts) or len(texts) not in (1, batch):
        raise RequestError(f"{key} is {_shown(value)}; expected a text for each of {batch} observations")
    if (longest := max(map(len, texts))) > MAX_INSTRUCTION:
        raise RequestError(f"{key} has an instruction of {longest} characters; expected at most {MAX_INSTRUCTION}")
    return tuple(map(str, texts * batch if len(texts) == 1 else texts))


def _shown(value: Any) -> str:
    """What a value is, short enough for a message."""
    if isinstance(value, np.ndarray):
        return f"an array of type {value.dtype} and shape {value.shape}"
    text = repr(value)
    return f"{type(value).__name__} {text if len(text) <= 80 else text[:77] + '...'}"
