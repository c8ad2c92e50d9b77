# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""An embodiment mapping bound to a task and a checkpoint: every width is checked, and what remains is tensor code.

Each direction is one gather and one multiply-add over the last axis, on the tensors' device.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from gr00t_rl_ext.gr00t import Embodiment
from gr00t_rl_ext.robot.embodiment_mapping import EmbodimentMapping, Part, describe
from gr00t_rl_ext.robot.task_spec import TaskSpec

_Row = tuple[int, float, float]
"""Of a map: index, scale, offset."""


def _by_position(x: Tensor) -> Tensor:
    return x.float()


def _affine(rows: Sequence[_Row], device: torch.device | str) -> Callable[[Tensor], Tensor]:
    """``y_i = x[index_i] * scale_i + offset_i`` over the last axis."""
    index, scale, offset = (torch.tensor(column, device=device) for column in zip(*rows, strict=True))
    return lambda x: torch.addcmul(offset, x.float().index_select(-1, index), scale)


@dataclass(frozen=True)
class BoundMapping:
    """How a task's tensors become the checkpoint's, and back. The results are float32."""

    camera_order: tuple[int, ...]
    """Indices of the task's cameras in the order of the checkpoint's."""

    state: Callable[[Tensor], Tensor] = _by_position
    """The task's concatenated state (..., D) -> the checkpoint's raw one (..., D'), its keys in order."""

    action: Callable[[Tensor], Tensor] = _by_position
    """The checkpoint's raw actions (..., D') -> the task's (..., A)."""

    inverse_action: Callable[[Tensor], Tensor] = _by_position
    """The task's actions (..., A) -> the checkpoint's raw ones (..., D'). Keys that the task does not have
    (``unused.action``) are 0: no data of this task says what they are."""

    action_index: tuple[int, ...] | None = None
    """Dimension of the checkpoint's raw actions that each of the task's is made from; None: by position."""


def bind_mapping(
    mapping: EmbodimentMapping, spec: TaskSpec, embodiment: Embodiment, device: torch.device | str = "cpu"
) -> BoundMapping:
    """Check a mapping against a task and a checkpoint.

    Args:
        mapping: What the file says. Sections that it leaves out are by position; their widths are not checked here.
        spec: The task.
        embodiment: The robot as the checkpoint sees it.
        device: Where the tensors live.

    Raises:
        EmbodimentMappingError: Something is unknown, missing, used twice, or has another width.
    """
    mapping.check_checkpoint(embodiment)
    mapping.check_task(spec.state_terms, spec.cameras, spec.action_terms)
    maps: dict[str, Any] = {"camera_order": _camera_order(mapping, spec, embodiment)}
    if mapping.state:
        maps["state"] = _affine(_state_rows(mapping, spec, embodiment), device)
    if mapping.action:
        rows = _action_rows(mapping, spec, embodiment)
        of_number = {number: (place, 1 / scale, -offset / scale) for place, (number, scale, offset) in enumerate(rows)}
        unknown = (0, 0.0, 0.0)
        inverse = [of_number.get(number, unknown) for number in range(embodiment.action.raw_dim)]
        maps |= {"action": _affine(rows, device), "inverse_action": _affine(inverse, device)}
        maps["action_index"] = tuple(number for number, _, _ in rows)
    return BoundMapping(**maps)


def _camera_order(mapping: EmbodimentMapping, spec: TaskSpec, embodiment: Embodiment) -> tuple[int, ...]:
    if not mapping.video:
        return tuple(range(len(spec.cameras)))
    _check_unused(mapping, "video", set(mapping.video.values()), dict.fromkeys(spec.cameras))
    return tuple(spec.cameras.index(mapping.video[key]) for key in embodiment.video_keys or mapping.video)


def _check_unused(
    mapping: EmbodimentMapping, section: str, used: set[str], available: Mapping[str, int | None]
) -> None:
    """Check that what the task offers is either used, or left out on purpose."""
    unused = getattr(mapping.unused, section)
    if both := [name for name in unused if name in used]:
        raise mapping.error(f"unused.{section}", f"{', '.join(both)} is used in `{section}`")
    if missing := [name for name in available if name not in used and name not in unused]:
        raise mapping.error(
            section,
            f"the task's {', '.join(missing)} is not used; the actor observes {describe(available)}. Use it, name it in"
            f" `unused.{section}`, or remove it from the task",
        )


def _state_rows(mapping: EmbodimentMapping, spec: TaskSpec, embodiment: Embodiment) -> list[_Row]:
    used = {part.term for parts in mapping.state.values() for part in parts}
    _check_unused(mapping, "state", used, spec.state_terms)
    rows: list[_Row] = []
    for key in embodiment.state.specs:
        place, expected = f"state.{key.key}", f"the checkpoint's key has {key.dim}"
        numbers = _numbers_of(mapping, place, mapping.state[key.key], spec.state_terms, key.dim, expected)
        rows += [(number, scale * factor, offset * factor) for number, factor, scale, offset in numbers]
    return rows


def _action_rows(mapping: EmbodimentMapping, spec: TaskSpec, embodiment: Embodiment) -> list[_Row]:
    keys = {key.key: key.dim for key in embodiment.action.specs}
    names = [(key, number) for key, dim in keys.items() for number in range(dim)]
    rows: list[_Row] = []
    taken: dict[int, str] = {}
    for term, width in spec.action_terms.items():
        place, expected = f"action.{term}", f"the task's term has {width}"
        for at, factor, scale, offset in _numbers_of(mapping, place, mapping.action[term], keys, width, expected):
            if at in taken:
                key, number = names[at]
                raise mapping.error(
                    place, f"{key}[{number}] is used twice, here and in {taken[at]}; each number drives one"
                )
            taken[at] = place
            # the quantity is (number of the task) x scale + offset
            rows.append((at, factor / scale, -offset / scale))
    for key, dim in keys.items():
        rest = [number for at, (name, number) in enumerate(names) if name == key and at not in taken]
        if rest and key not in mapping.unused.action:
            raise mapping.error(
                "action", f"of the checkpoint's key {key!r} ({dim}), the numbers {rest} are not used; use all of them"
            )
    return rows


def _numbers_of(
    mapping: EmbodimentMapping,
    place: str,
    parts: Sequence[Part],
    widths: Mapping[str, int],
    width: int,
    expected: str,
) -> list[tuple[int, float, float, float]]:
    """What the numbers of a target are made from, in order: number in the joined sources, factor, scale, offset.

    Args:
        mapping: For errors, as ``place`` and ``expected``.
        parts: Of the target.
        widths: The joined sources.
        width: Of the target.
    """
    starts = dict(zip(widths, accumulate(widths.values(), initial=0), strict=False))
    found = []
    for part in parts:
        numbers = _numbers(mapping, place, part, widths[part.source])
        columns = []
        for name, given in (("scale", part.scale), ("offset", part.offset)):
            if len(given) not in (1, len(numbers)):
                raise mapping.error(
                    place,
                    f"`{name}` has {len(given)} values for the {len(numbers)} numbers of {_shown(part)}; give one for"
                    " all, or one each",
                )
            columns.append(given * len(numbers) if len(given) == 1 else given)
        rows = zip(numbers, *columns, strict=True)
        found += [(starts[part.source] + number, part.factor(), scale, offset) for number, scale, offset in rows]
    if len(found) != width:
        given = " + ".join(map(_shown, parts))
        raise mapping.error(place, f"{given} gives {len(found)} numbers, but {expected}; adjust the slices")
    return found


def _numbers(mapping: EmbodimentMapping, place: str, part: Part, width: int) -> list[int]:
    """Places of a part's numbers in its source, of ``width`` numbers, in the target's order."""
    start, stop = part.slice or (0, width)
    if stop > width:
        raise mapping.error(
            place, f"the slice [{start}, {stop}] exceeds the {part.kind} {part.source!r}, which has {width} numbers"
        )
    numbers = list(range(start, stop))
    if not part.is_quaternion:
        return numbers
    if len(numbers) != 4:
        raise mapping.error(
            place,
            f"{part.from_} to {part.to} is about the 4 numbers of a quaternion, but {_shown(part)} has {len(numbers)};"
            " give the quaternion's `slice`",
        )
    assert part.from_ is not None
    assert part.to is not None
    return [numbers[part.from_.index(axis)] for axis in part.to]


def _shown(part: Part) -> str:
    return part.source if part.slice is None else f"{part.source}[{part.slice[0]}:{part.slice[1]}]"


_TYPICAL_RANGES: Mapping[str, tuple[float, float]] = {
    "rad": (-math.pi, math.pi),
    "deg": (-180.0, 180.0),
    "cm": (-100.0, 100.0),
    "mm": (-1000.0, 1000.0),
    "fraction": (0.0, 1.0),
    "percent": (0.0, 100.0),
}
"""Unit of a checkpoint's key -> what its numbers may be, where it is not [-1, 1]."""


def tiny_layout(mapping: EmbodimentMapping, spec: TaskSpec) -> dict[str, Any]:
    """Arguments of :func:`build_tiny_checkpoint` for a checkpoint that fits a task through a mapping.

    Raises:
        EmbodimentMappingError: The mapping does not fit the task, or leaves the width of a key open.
    """
    mapping.check_task(spec.state_terms, spec.cameras, spec.action_terms)
    state, action = dict(spec.state_terms), dict(spec.action_terms)
    ranges: dict[str, tuple[float, float]] = {}

    def widen(key: str, unit: str | None) -> None:
        low, high = _TYPICAL_RANGES.get(unit or "", (-1.0, 1.0))
        before = ranges.get(key, (low, high))
        ranges[key] = min(low, before[0]), max(high, before[1])

    if mapping.state:
        state = dict.fromkeys(mapping.state, 0)
        for key, parts in mapping.state.items():
            for part in parts:
                state[key] += len(_numbers(mapping, f"state.{key}", part, spec.state_terms[part.term]))
                widen(f"state.{key}", part.to)
    if mapping.action:
        action = dict.fromkeys((part.key for parts in mapping.action.values() for part in parts), 1)
        action |= dict.fromkeys(mapping.unused.action, 1)
        for term, parts in mapping.action.items():
            sliced = [part.slice for part in parts if part.slice is not None]
            if len(parts) > len(sliced) + 1:
                raise mapping.error(f"action.{term}", "a tiny checkpoint needs the `slice` of all parts but one")
            rest = spec.action_terms[term] - sum(stop - start for start, stop in sliced)
            for part in parts:
                action[part.key] = max(action[part.key], part.slice[1] if part.slice else rest)
                widen(f"action.{part.key}", part.from_)
    video = tuple(mapping.video) or spec.cameras
    return {"state_keys": state, "action_keys": action, "video_keys": video, "ranges": ranges}
