# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""An embodiment mapping bound to a task and a checkpoint: every width is checked, and what remains is tensor code.

Each direction is one gather and one multiply-add over the last axis, on the tensors' device, and the conversion of what
is a rotation.
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
from gr00t_rl_ext.gr00t.rotations import ROTATIONS, convert
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
class _Segment:
    """Adjacent numbers of a target, made from numbers of the source."""

    numbers: tuple[int, ...]
    """Places in the joined sources, in the order of the target or, of a rotation, of its representation there."""

    factor: float
    """Of the quantity, from the source's unit to the target's."""

    scale: tuple[float, ...]
    """Of the task's numbers: quantity = number x scale + offset."""

    offset: tuple[float, ...]
    """Likewise."""

    rotation: tuple[str, str] | None = None
    """Representations in source and target, where they are not the same."""

    take: tuple[int, int] | None = None
    """First and one past the last number that are taken of a converted rotation; None: all."""

    @property
    def width(self) -> int:
        """Numbers of the target."""
        return _width(len(self.numbers), self.rotation, self.take)


def _width(count: int, rotation: tuple[str, str] | None, take: tuple[int, int] | None) -> int:
    """Numbers that so many become."""
    if take is not None:
        return take[1] - take[0]
    return count if rotation is None else ROTATIONS[rotation[1]]


def _has_rotation(segments: Sequence[_Segment]) -> bool:
    return any(segment.rotation is not None for segment in segments)


def _converted(segments: Sequence[_Segment], x: Tensor, *, back: bool = False) -> Tensor:
    """Convert what is a rotation in numbers that lie segment by segment, (..., D) -> (..., D')."""
    if not _has_rotation(segments):
        return x
    widths = [segment.width if back else len(segment.numbers) for segment in segments]
    out = []
    for segment, part in zip(segments, x.split(widths, dim=-1), strict=True):
        if segment.rotation is not None:
            part = convert(part, *(reversed(segment.rotation) if back else segment.rotation))
            part = part if segment.take is None else part[..., slice(*segment.take)]
        out.append(part)
    return torch.cat(out, dim=-1)


def _to_checkpoint(segments: Sequence[_Segment], device: torch.device | str) -> Callable[[Tensor], Tensor]:
    """From the task's numbers to the checkpoint's state."""
    rows = [
        (number, scale * segment.factor, offset * segment.factor)
        for segment in segments
        for number, scale, offset in zip(segment.numbers, segment.scale, segment.offset, strict=True)
    ]
    gather = _affine(rows, device)
    return lambda x: _converted(segments, gather(x))


def _to_task(segments: Sequence[_Segment], device: torch.device | str) -> Callable[[Tensor], Tensor]:
    """From the checkpoint's actions to the task's numbers."""
    pairs = [pair for segment in segments for pair in zip(segment.scale, segment.offset, strict=True)]
    sources = [(number, segment.factor) for segment in segments for number in segment.numbers]
    if not _has_rotation(segments):
        rows = zip(sources, pairs, strict=True)
        return _affine([(number, f / scale, -offset / scale) for (number, f), (scale, offset) in rows], device)
    gather = _affine([(number, factor, 0.0) for number, factor in sources], device)
    scaled = _affine([(place, 1 / scale, -offset / scale) for place, (scale, offset) in enumerate(pairs)], device)
    return lambda x: scaled(_converted(segments, gather(x)))


def _from_task(segments: Sequence[_Segment], raw_dim: int, device: torch.device | str) -> Callable[[Tensor], Tensor]:
    """The inverse of :func:`_to_task`; numbers that the task does not have are 0."""
    pairs = [pair for segment in segments for pair in zip(segment.scale, segment.offset, strict=True)]
    sources = [(number, segment.factor) for segment in segments for number in segment.numbers]
    places = {number: (place, factor) for place, (number, factor) in enumerate(sources)}
    rows: list[_Row] = [(0, 0.0, 0.0)] * raw_dim
    if not _has_rotation(segments):
        for number, (place, factor) in places.items():
            scale, offset = pairs[place]
            rows[number] = (place, scale / factor, offset / factor)
        return _affine(rows, device)
    quantities = _affine([(place, scale, offset) for place, (scale, offset) in enumerate(pairs)], device)
    for number, (place, factor) in places.items():
        rows[number] = (place, 1 / factor, 0.0)
    spread = _affine(rows, device)
    return lambda x: spread(_converted(segments, quantities(x), back=True))


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
    """Dimensions of the checkpoint's raw actions that the task's are made from; None: by position."""


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
        maps["state"] = _to_checkpoint(_state_segments(mapping, spec, embodiment), device)
    if mapping.action:
        segments = _action_segments(mapping, spec, embodiment)
        maps["action"] = _to_task(segments, device)
        maps["inverse_action"] = _from_task(segments, embodiment.action.raw_dim, device)
        maps["action_index"] = tuple(number for segment in segments for number in segment.numbers)
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


def _state_segments(mapping: EmbodimentMapping, spec: TaskSpec, embodiment: Embodiment) -> list[_Segment]:
    used = {part.term for parts in mapping.state.values() for part in parts}
    _check_unused(mapping, "state", used, spec.state_terms)
    segments: list[_Segment] = []
    for key in embodiment.state.specs:
        place, expected = f"state.{key.key}", f"the checkpoint's key has {key.dim}"
        segments += _segments_of(mapping, place, mapping.state[key.key], spec.state_terms, key.dim, expected)
    return segments


def _action_segments(mapping: EmbodimentMapping, spec: TaskSpec, embodiment: Embodiment) -> list[_Segment]:
    keys = {key.key: key.dim for key in embodiment.action.specs}
    names = [(key, number) for key, dim in keys.items() for number in range(dim)]
    segments: list[_Segment] = []
    taken: dict[int, str] = {}
    for term, width in spec.action_terms.items():
        place, expected = f"action.{term}", f"the task's term has {width}"
        of_term = _segments_of(mapping, place, mapping.action[term], keys, width, expected)
        for at in (number for segment in of_term for number in segment.numbers):
            if at in taken:
                key, number = names[at]
                raise mapping.error(
                    place, f"{key}[{number}] is used twice, here and in {taken[at]}; each number drives one"
                )
            taken[at] = place
        segments += of_term
    for key, dim in keys.items():
        rest = [number for at, (name, number) in enumerate(names) if name == key and at not in taken]
        if rest and key not in mapping.unused.action:
            raise mapping.error(
                "action", f"of the checkpoint's key {key!r} ({dim}), the numbers {rest} are not used; use all of them"
            )
    return segments


def _segments_of(
    mapping: EmbodimentMapping,
    place: str,
    parts: Sequence[Part],
    widths: Mapping[str, int],
    width: int,
    expected: str,
) -> list[_Segment]:
    """What the numbers of a target are made from, in order.

    Args:
        mapping: For errors, as ``place`` and ``expected``.
        parts: Of the target.
        widths: The joined sources.
        width: Of the target.
    """
    starts = dict(zip(widths, accumulate(widths.values(), initial=0), strict=False))
    found: list[_Segment] = []
    for part in parts:
        numbers, rotation = _numbers(mapping, place, part, widths[part.source])
        # scale and offset are of the task's numbers: the source's of a state, the target's of an action
        own = len(numbers) if rotation is None or part.kind == "term" else ROTATIONS[rotation[1]]
        columns = []
        for name, given in (("scale", part.scale), ("offset", part.offset)):
            if len(given) not in (1, own):
                raise mapping.error(
                    place,
                    f"`{name}` has {len(given)} values for the {own} numbers of {_shown(part)}; give one for"
                    " all, or one each",
                )
            columns.append(tuple(given) * own if len(given) == 1 else tuple(given))
        places = tuple(starts[part.source] + number for number in numbers)
        found.append(_Segment(places, part.factor(), *columns, rotation=rotation, take=part.take))
    total = sum(segment.width for segment in found)
    if total != width:
        given = " + ".join(map(_shown, parts))
        raise mapping.error(place, f"{given} gives {total} numbers, but {expected}; adjust the slices")
    return found


def _numbers(
    mapping: EmbodimentMapping, place: str, part: Part, width: int
) -> tuple[list[int], tuple[str, str] | None]:
    """Places of a part's numbers in its source, of ``width`` numbers, and the rotation that they are converted as.

    Orders of a quaternion are orders of the places, so that nothing of it is computed.
    """
    start, stop = part.slice or (0, width)
    if stop > width:
        raise mapping.error(
            place, f"the slice [{start}, {stop}] exceeds the {part.kind} {part.source!r}, which has {width} numbers"
        )
    numbers, rotation = list(range(start, stop)), part.rotation
    if rotation is None:
        return numbers, None
    if len(numbers) != ROTATIONS[rotation[0]]:
        raise mapping.error(
            place,
            f"{part.from_} to {part.to} is about the {ROTATIONS[rotation[0]]} numbers of a rotation, but {_shown(part)}"
            f" has {len(numbers)}; give the rotation's `slice`",
        )
    assert part.from_ is not None
    assert part.to is not None
    if {part.from_, part.to} <= {"wxyz", "xyzw"} and part.take is None:
        return [numbers[part.from_.index(axis)] for axis in part.to], None
    return numbers, None if rotation[0] == rotation[1] and part.take is None else rotation


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
                numbers, rotation = _numbers(mapping, f"state.{key}", part, spec.state_terms[part.term])
                state[key] += _width(len(numbers), rotation, part.take)
                widen(f"state.{key}", part.to)
    if mapping.action:
        action = dict.fromkeys((part.key for parts in mapping.action.values() for part in parts), 1)
        action |= dict.fromkeys(mapping.unused.action, 1)
        for term, parts in mapping.action.items():
            sliced = [(part.slice[1] - part.slice[0], part.rotation) for part in parts if part.slice is not None]
            if len(parts) > len(sliced) + 1:
                raise mapping.error(f"action.{term}", "a tiny checkpoint needs the `slice` of all parts but one")
            rest = spec.action_terms[term] - sum(_width(count, rotation, None) for count, rotation in sliced)
            for part in parts:
                action[part.key] = max(action[part.key], part.slice[1] if part.slice else rest)
                widen(f"action.{part.key}", part.from_)
    video = tuple(mapping.video) or spec.cameras
    return {"state_keys": state, "action_keys": action, "video_keys": video, "ranges": ranges}
