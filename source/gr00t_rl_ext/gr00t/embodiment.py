# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a checkpoint knows of a robot: its slot in the action head, the keys of state and action, their statistics.

Statistics stand per embodiment tag in ``experiment_cfg/metadata.json`` as ``statistics.{state,action}.<key>`` (N1.5),
or in ``statistics.json`` as ``{state,action}.<key>`` (N1.7), with ``min``, ``max``, ``mean``, ``std``, ``q01`` and
``q99``. A state or action vector is the concatenation of its keys, in the order of that file (N1.5) or of
``processor_config.json`` (N1.7) unless another is given. N1.7 has its slots in ``embodiment_id.json``.

Statistics of N1.7's relative actions stand as ``relative_action.<key>``, one row per step of the chunk.

The rules of the modes, those for dimensions without spread included, were read in NVIDIA/Isaac-GR00T:
``gr00t/data/transform/state_action.py`` (N1.5), ``gr00t/data/state_action/state_action_processor.py`` and
``gr00t/data/utils.py`` (N1.7).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .checkpoint import PROCESSOR_FILE, Gr00tCheckpointError, read_json
from .processor_config import read_processor
from .relative_action import POSE_DIM, RelativeAction

METADATA_FILE = "experiment_cfg/metadata.json"
STATISTICS_FILE = "statistics.json"
SLOTS_FILE = "embodiment_id.json"

EMBODIMENT_SLOTS: Mapping[str, int] = {
    "new_embodiment": 31,
    "agibot_genie1": 26,
    "gr1": 24,
    "oxe_droid": 17,
    "unitree_g1": 3,
    "so100": 2,
}
"""Embodiment tag -> slot in the published GR00T N1.5 checkpoints. ``new_embodiment`` is untrained in the base model."""

Statistics = Mapping[str, Tensor]
"""Name of a statistic -> its value per dimension, (D,), or per step of a chunk and dimension, (H, D)."""


@dataclass(frozen=True)
class NormalizationMode:
    """One way to map raw values to the network's range."""

    statistics: tuple[str, ...]
    """Statistics it reads."""

    normalize: Callable[[Tensor, Statistics], Tensor]
    """Raw (..., D) -> normalised (..., D x ``expansion``)."""

    denormalize: Callable[[Tensor, Statistics], Tensor] | None
    """Its inverse; None where there is none, so that the mode fits states only."""

    expansion: int = 1
    """Normalised dimensions per raw dimension."""


def _to_unit_range(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    span = high - low
    return 2 * (x - low) / torch.where(span == 0, 1.0, span) - 1


def _normalize_min_max(x: Tensor, s: Statistics) -> Tensor:
    return torch.where(s["min"] == s["max"], 0.0, _to_unit_range(x, s["min"], s["max"]))


def _normalize_q99(x: Tensor, s: Statistics) -> Tensor:
    return torch.where(s["q01"] == s["q99"], x, _to_unit_range(x, s["q01"], s["q99"])).clamp(-1, 1)


def _normalize_mean_std(x: Tensor, s: Statistics) -> Tensor:
    return torch.where(s["std"] == 0, x, (x - s["mean"]) / torch.where(s["std"] == 0, 1.0, s["std"]))


def _bounded(low: str, high: str, *, clip: bool) -> NormalizationMode:
    """GR00T N1.7's normalisation: linear to [-1, 1]; 0 for dimensions without spread.

    What the network says is clipped to that range, and what it is told, where ``clip`` (N1.7's ``clip_outliers``).
    """

    def normalize(x: Tensor, s: Statistics) -> Tensor:
        no_spread = torch.isclose(s[high], s[low])
        y = torch.where(no_spread, 0.0, _to_unit_range(x, s[low], s[high]))
        return y.clamp(-1, 1) if clip else y

    return NormalizationMode(
        (low, high), normalize, lambda y, s: (y.clamp(-1, 1) + 1) / 2 * (s[high] - s[low]) + s[low]
    )


def _standardized(*, clip: bool) -> NormalizationMode:
    """GR00T N1.7's ``mean_std_embedding_keys`` of actions: dimensions without spread pass both ways.

    What the network says is not clipped; what it is told is clipped to [-1, 1] where ``clip``.
    """

    def normalize(x: Tensor, s: Statistics) -> Tensor:
        y = _normalize_mean_std(x, s)
        return y.clamp(-1, 1) if clip else y

    return NormalizationMode(
        ("mean", "std"), normalize, lambda y, s: torch.where(s["std"] == 0, y, y * s["std"] + s["mean"])
    )


NORMALIZATION_MODES: Mapping[str, NormalizationMode] = {
    "min_max": NormalizationMode(
        ("min", "max"), _normalize_min_max, lambda y, s: (y + 1) / 2 * (s["max"] - s["min"]) + s["min"]
    ),
    "q99": NormalizationMode(
        ("q01", "q99"), _normalize_q99, lambda y, s: (y + 1) / 2 * (s["q99"] - s["q01"]) + s["q01"]
    ),
    "mean_std": NormalizationMode(("mean", "std"), _normalize_mean_std, lambda y, s: y * s["std"] + s["mean"]),
    "binary": NormalizationMode((), lambda x, _: (x > 0.5).to(x.dtype), lambda y, _: (y > 0.5).to(y.dtype)),
    "sin_cos": NormalizationMode((), lambda x, _: torch.cat([x.sin(), x.cos()], dim=-1), None, expansion=2),
    "min_max_bounded": _bounded("min", "max", clip=True),
    "min_max_bounded_output": _bounded("min", "max", clip=False),
    "q99_bounded": _bounded("q01", "q99", clip=True),
    "q99_bounded_output": _bounded("q01", "q99", clip=False),
    "mean_std_bounded_input": _standardized(clip=True),
    "mean_std_passing": _standardized(clip=False),
}
"""Modes by name: those of GR00T N1.5 as its data configs call them, and those of N1.7, which has no names for them."""


@dataclass(frozen=True)
class VectorSpec:
    """One key of a state or action vector."""

    key: str
    """Name in the checkpoint's statistics."""

    dim: int
    """Raw dimensions."""

    mode: str = "min_max"
    """Entry of :data:`NORMALIZATION_MODES`."""


@dataclass(frozen=True)
class _Segment:
    """Adjacent keys of one mode, treated at once."""

    mode: NormalizationMode
    raw_dim: int
    statistics: Statistics


class VectorNormalizer:
    """Normalises a vector made of keys.

    Args:
        specs: The keys in the order of the vector.
        statistics: Per key, the statistics that the key's mode reads, (dim,) each, or (H, dim): one row per step.
        device: Where it computes.
    """

    def __init__(
        self,
        specs: Sequence[VectorSpec],
        statistics: Mapping[str, Mapping[str, Any]],
        device: torch.device | str = "cpu",
    ) -> None:
        self.specs = tuple(specs)
        self.raw_dim = sum(spec.dim for spec in self.specs)
        self.dim = sum(spec.dim * NORMALIZATION_MODES[spec.mode].expansion for spec in self.specs)
        self._statistics = statistics
        self._segments: list[_Segment] = []
        start = 0
        while start < len(self.specs):
            mode = NORMALIZATION_MODES[self.specs[start].mode]
            stop = start + 1
            # an expanding mode keeps its keys apart: it doubles each of them, [sin a, cos a, sin b, cos b]
            while stop < len(self.specs) and self.specs[stop].mode == self.specs[start].mode and mode.expansion == 1:
                stop += 1
            part = self.specs[start:stop]
            values = {
                name: _join([torch.as_tensor(statistics[s.key][name], dtype=torch.float32) for s in part]).to(device)
                for name in mode.statistics
            }
            self._segments.append(_Segment(mode, sum(s.dim for s in part), values))
            start = stop
        steps = [value.shape[0] for s in self._segments for value in s.statistics.values() if value.ndim == 2]
        self.max_steps = min(steps, default=None)
        """Steps that the statistics describe, in the second last axis; None where they hold for any number."""

    def to(self, device: torch.device | str) -> VectorNormalizer:
        return VectorNormalizer(self.specs, self._statistics, device)

    def slices(self) -> dict[str, slice]:
        """Where each key stands in the raw vector."""
        result, start = {}, 0
        for spec in self.specs:
            result[spec.key] = slice(start, start + spec.dim)
            start += spec.dim
        return result

    def normalize(self, x: Tensor) -> Tensor:
        """Raw (..., raw_dim) -> (..., dim), float32."""
        if x.shape[-1] != self.raw_dim:
            raise ValueError(
                f"got {x.shape[-1]} values in {tuple(x.shape)}; expected {self.raw_dim}: {self.describe()}"
            )
        self._check_steps(x)
        parts = x.float().split([segment.raw_dim for segment in self._segments], dim=-1)
        return torch.cat(
            [
                segment.mode.normalize(part, _rows_of(segment.statistics, part))
                for part, segment in zip(parts, self._segments, strict=True)
            ],
            dim=-1,
        )

    def denormalize(self, y: Tensor) -> Tensor:
        """Normalised (..., at least dim), padding last -> raw (..., raw_dim), float32."""
        if y.shape[-1] < self.dim:
            raise ValueError(f"got {y.shape[-1]} values in {tuple(y.shape)}; expected {self.dim}: {self.describe()}")
        self._check_steps(y)
        parts = y[..., : self.dim].float().split([s.raw_dim * s.mode.expansion for s in self._segments], dim=-1)
        out = []
        for part, segment in zip(parts, self._segments, strict=True):
            if segment.mode.denormalize is None:
                raise ValueError(f"this vector cannot be denormalised, a mode has no inverse: {self.describe()}")
            out.append(segment.mode.denormalize(part, _rows_of(segment.statistics, part)))
        return torch.cat(out, dim=-1)

    def _check_steps(self, x: Tensor) -> None:
        if self.max_steps is not None and (x.ndim < 2 or x.shape[-2] > self.max_steps):
            raise ValueError(
                f"got {tuple(x.shape)}; expected (..., steps, values) with at most {self.max_steps} steps, for which "
                f"there are statistics: {self.describe()}"
            )

    def describe(self) -> str:
        return ", ".join(f"{spec.key} ({spec.dim}, {spec.mode})" for spec in self.specs)


def _join(parts: Sequence[Tensor]) -> Tensor:
    """Statistics (D_i,) or (H, D_i) of adjacent keys -> (D,), or (H, D) where one of them has rows."""
    rows = [part.shape[0] for part in parts if part.ndim == 2]
    return torch.cat([part.expand(min(rows), -1) if rows and part.ndim == 1 else part for part in parts], dim=-1)


def _rows_of(statistics: Statistics, x: Tensor) -> Statistics:
    """The rows that belong to the steps of ``x`` (..., H, D)."""
    return {name: value if value.ndim == 1 else value[: x.shape[-2]] for name, value in statistics.items()}


@dataclass(frozen=True)
class Embodiment:
    """A robot as the checkpoint sees it."""

    tag: str
    """Embodiment tag."""

    slot: int
    """Slot in the action head."""

    state: VectorNormalizer
    """Proprioceptive state."""

    action: VectorNormalizer
    """Actions."""

    action_horizon: int | None = None
    """Actions per chunk that were trained; None: as many as the model gives."""

    relative: Mapping[str, RelativeAction] = field(default_factory=dict)
    """Action keys whose values the network sees relative to the state."""

    video_keys: tuple[str, ...] = ()
    """Cameras in the order that the checkpoint was fine-tuned with; empty where it does not say."""

    def to(self, device: torch.device | str) -> Embodiment:
        return dataclasses.replace(self, state=self.state.to(device), action=self.action.to(device))

    def encode_state(self, raw: Tensor, max_state_dim: int) -> Tensor:
        """Raw state (B, D) -> normalised and zero-padded (B, 1, max_state_dim)."""
        return _pad(self.state.normalize(raw), max_state_dim, "max_state_dim")[:, None]

    def encode_action(self, raw: Tensor, max_action_dim: int, raw_state: Tensor | None = None) -> Tensor:
        """Raw actions (..., H, D) -> normalised and zero-padded (..., H, max_action_dim).

        Args:
            raw: Absolute actions.
            max_action_dim: Width that the network takes.
            raw_state: State (..., D_state) in which they were decided; needed where actions are relative to it.
        """
        relative = self._convert(RelativeAction.to_relative, raw.float(), raw_state)
        return _pad(self.action.normalize(relative), max_action_dim, "max_action_dim")

    def decode_action(self, normalized: Tensor, raw_state: Tensor | None = None) -> Tensor:
        """Normalised actions (..., H, max_action_dim) -> raw, absolute actions (..., H, D).

        Steps beyond ``action_horizon``, which were not trained, are left out.

        Args:
            normalized: What the network says.
            raw_state: State (..., D_state) that the network was given; needed where actions are relative to it.
        """
        if self.action_horizon is not None and normalized.ndim > 1:
            normalized = normalized[..., : self.action_horizon, :]
        return self._convert(RelativeAction.to_absolute, self.action.denormalize(normalized), raw_state)

    def _convert(
        self, convert: Callable[[RelativeAction, Tensor, Tensor], Tensor], actions: Tensor, raw_state: Tensor | None
    ) -> Tensor:
        if not self.relative:
            return actions
        if raw_state is None or raw_state.shape[-1] != self.state.raw_dim:
            given = "None" if raw_state is None else str(tuple(raw_state.shape))
            raise ValueError(
                f"actions of {', '.join(self.relative)} are relative to the state: raw_state must be (..., "
                f"{self.state.raw_dim}), got {given}: {self.state.describe()}"
            )
        actions_at, states_at = self.action.slices(), self.state.slices()
        parts = []
        for spec in self.action.specs:
            part, relative = actions[..., actions_at[spec.key]], self.relative.get(spec.key)
            if relative is not None:
                part = convert(relative, part, raw_state[..., states_at[relative.state_key]].float())
            parts.append(part)
        return torch.cat(parts, dim=-1)


def _pad(x: Tensor, width: int, name: str) -> Tensor:
    if x.shape[-1] > width:
        raise ValueError(f"the vector has {x.shape[-1]} dimensions; the checkpoint takes at most {name} = {width}")
    return F.pad(x, (0, width - x.shape[-1]))


def embodiment_tags(directory: Path) -> list[str]:
    """Tags with statistics in a checkpoint; empty where it has no statistics."""
    file = statistics_files(directory)[0]
    return list(read_json(file)) if file.is_file() else []


def statistics_files(directory: Path) -> tuple[Path, ...]:
    """Files that say how states and actions are normalised, the statistics first. They may be missing."""
    if (directory / STATISTICS_FILE).is_file():
        return directory / STATISTICS_FILE, directory / PROCESSOR_FILE
    return (directory / METADATA_FILE,)


def embodiment_slots(directory: Path, default: Mapping[str, int]) -> Mapping[str, int]:
    """Embodiment tag -> slot, as the checkpoint says, ``default`` where it does not."""
    file = directory / SLOTS_FILE
    return read_json(file) if file.is_file() else default


def load_embodiment(
    directory: str | Path,
    tag: str,
    *,
    slot: int | None = None,
    state_keys: Sequence[str] | None = None,
    action_keys: Sequence[str] | None = None,
    modes: Mapping[str, str] | None = None,
    device: torch.device | str = "cpu",
) -> Embodiment:
    """Read an embodiment from a checkpoint's statistics.

    Args:
        directory: Local directory of the checkpoint.
        tag: Embodiment tag.
        slot: Slot in the action head. None: the checkpoint's slot of the tag (N1.7), or the published one (N1.5).
        state_keys: State keys in order. None: all, in the checkpoint's order.
        action_keys: Action keys in order. None: likewise.
        modes: ``"state.<key>"`` or ``"action.<key>"`` -> normalisation mode. Must be those that the checkpoint was
            fine-tuned with. Keys that are not named have the checkpoint's mode (N1.7), or "min_max" (N1.5).
        device: Where the normalisers compute.

    Raises:
        Gr00tCheckpointError: The statistics are missing or lack the tag, a key or a value.
    """
    directory = Path(directory)
    file = statistics_files(directory)[0]
    if not file.is_file():
        raise Gr00tCheckpointError(
            f"{str(directory)!r} has no statistics ({METADATA_FILE} for N1.5, {STATISTICS_FILE} for N1.7), which "
            "normalising states and actions needs. GR00T's fine-tuning writes that file beside the weights: copy it "
            "from there"
        )
    metadata = read_json(file)
    if tag not in metadata:
        raise Gr00tCheckpointError(
            f"no statistics for embodiment tag {tag!r} in {str(file)!r}; available are "
            f"{', '.join(metadata) or 'none'}. Choose one of them, or fine-tune the checkpoint on data of the new "
            "embodiment first"
        )
    by_processor = file.name == STATISTICS_FILE
    slots = embodiment_slots(directory, {} if by_processor else EMBODIMENT_SLOTS)
    if slot is None and tag not in slots:
        raise Gr00tCheckpointError(
            f"embodiment tag {tag!r} has no published slot; published are "
            f"{', '.join(f'{name}: {index}' for name, index in slots.items()) or 'none'}. Pass the slot that the "
            "checkpoint was fine-tuned with"
        )
    modes = modes or {}
    source = f"{tag} in {str(file)!r}"
    recipe = read_processor(directory / PROCESSOR_FILE, tag) if by_processor else None
    statistics = metadata[tag] if by_processor else metadata[tag].get("statistics", {})
    relative = {}
    if recipe is not None:
        relative = {key: value for key, value in recipe.relative.items() if action_keys is None or key in action_keys}
        statistics = _with_relative_statistics(statistics, relative, recipe.action_horizon, source)
    vectors = {}
    for modality, keys in (("state", state_keys), ("action", action_keys)):
        default = {} if recipe is None else recipe.modes[modality]
        vectors[modality] = _vector(
            statistics.get(modality),
            modality,
            keys if keys is not None or recipe is None else list(default),
            default,
            modes,
            source,
            device,
        )
    known = {f"{modality}.{spec.key}" for modality, vector in vectors.items() for spec in vector.specs}
    if unknown := sorted(set(modes) - known):
        raise Gr00tCheckpointError(
            f"modes name {', '.join(unknown)}, which {source} does not have; available are {', '.join(sorted(known))}"
        )
    _check_relative(relative, vectors["state"], vectors["action"], source)
    video = metadata[tag].get("modalities", {}).get("video", {}) if recipe is None else recipe.video_keys
    return Embodiment(
        tag,
        slots[tag] if slot is None else slot,
        vectors["state"],
        vectors["action"],
        None if recipe is None else recipe.action_horizon,
        relative,
        tuple(video),
    )


def _with_relative_statistics(
    statistics: Mapping[str, Any], relative: Mapping[str, RelativeAction], horizon: int, source: str
) -> dict[str, Any]:
    """The statistics, with those of relative actions in the place of absolute ones."""
    entries = statistics.get("relative_action", {})
    for key in relative:
        if key not in entries:
            raise Gr00tCheckpointError(
                f"{source} has no relative_action.{key}, the statistics of actions relative to the state; available "
                f"are {', '.join(entries) or 'none'}. GR00T's fine-tuning writes them: copy statistics.json from there"
            )
        for name, values in entries[key].items():
            if _has_rows(values) and len(values) < horizon:
                raise Gr00tCheckpointError(
                    f"{source} describes {len(values)} steps in relative_action.{key}.{name}, but {horizon} actions "
                    "per chunk: the files do not belong together"
                )
    return {**statistics, "action": {**statistics.get("action", {}), **{key: entries[key] for key in relative}}}


def _check_relative(
    relative: Mapping[str, RelativeAction], state: VectorNormalizer, action: VectorNormalizer, source: str
) -> None:
    states, actions = ({spec.key: spec.dim for spec in vector.specs} for vector in (state, action))
    for key, value in relative.items():
        if value.state_key not in states:
            raise Gr00tCheckpointError(
                f"action.{key} of {source} is relative to the state key {value.state_key!r}, which is not part of the "
                f"state; the state has {', '.join(states)}"
            )
        expected = POSE_DIM if value.pose else states[value.state_key]
        if not actions[key] == states[value.state_key] == expected:
            raise Gr00tCheckpointError(
                f"action.{key} of {source} has {actions[key]} dimensions and is relative to state.{value.state_key}, "
                f"which has {states[value.state_key]}; expected {expected} of both"
            )


def _vector(
    statistics: Mapping[str, Any] | None,
    modality: str,
    keys: Sequence[str] | None,
    default_modes: Mapping[str, str],
    modes: Mapping[str, str],
    source: str,
    device: torch.device | str,
) -> VectorNormalizer:
    if not statistics:
        raise Gr00tCheckpointError(
            f"{source} has no statistics for the {modality}; expected statistics.{modality}.<key>"
        )
    specs, values = [], {}
    for key in statistics if keys is None else keys:
        if key not in statistics:
            raise Gr00tCheckpointError(f"{source} has no {modality} key {key!r}; available are {', '.join(statistics)}")
        mode = modes.get(f"{modality}.{key}", default_modes.get(key, "min_max"))
        if mode not in NORMALIZATION_MODES:
            raise Gr00tCheckpointError(
                f"{modality}.{key} asks for normalisation mode {mode!r}; available are {', '.join(NORMALIZATION_MODES)}"
            )
        if modality == "action" and NORMALIZATION_MODES[mode].denormalize is None:
            raise Gr00tCheckpointError(
                f"action.{key} asks for mode {mode!r}, which has no inverse: it fits states only"
            )
        entry = statistics[key]
        if missing := [name for name in NORMALIZATION_MODES[mode].statistics if name not in entry]:
            raise Gr00tCheckpointError(
                f"{modality}.{key} of {source} lacks {', '.join(missing)}, which mode {mode!r} needs; it has "
                f"{', '.join(entry)}"
            )
        first = next(iter(entry.values()))
        specs.append(VectorSpec(key, len(first[0] if _has_rows(first) else first), mode))
        values[key] = entry
    return VectorNormalizer(specs, values, device)


def _has_rows(values: Sequence[Any]) -> bool:
    """Whether a statistic has one row per step of the chunk."""
    return isinstance(values[0], Sequence)
