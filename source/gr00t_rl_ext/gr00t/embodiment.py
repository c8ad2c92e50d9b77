# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a checkpoint knows of a robot: its slot in the action head, the keys of state and action, their statistics.

Statistics stand per embodiment tag in ``experiment_cfg/metadata.json`` as ``statistics.{state,action}.<key>`` (N1.5),
or in ``statistics.json`` as ``{state,action}.<key>`` (N1.7), with ``min``, ``max``, ``mean``, ``std``, ``q01`` and
``q99``. A state or action vector is the concatenation of its keys, in the order of that file (N1.5) or of
``processor_config.json`` (N1.7) unless another is given. N1.7 has its slots in ``embodiment_id.json``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .checkpoint import PROCESSOR_FILE, Gr00tCheckpointError, read_json
from .processor_config import read_processor

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
"""Name of a statistic -> its value per dimension, (D,)."""


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


def _bounded(low: str, high: str) -> NormalizationMode:
    """GR00T N1.7's normalisation: linear to [-1, 1] and clipped, both ways; 0 for dimensions without spread."""

    def normalize(x: Tensor, s: Statistics) -> Tensor:
        no_spread = torch.isclose(s[high], s[low])
        return torch.where(no_spread, 0.0, _to_unit_range(x, s[low], s[high])).clamp(-1, 1)

    return NormalizationMode(
        (low, high), normalize, lambda y, s: (y.clamp(-1, 1) + 1) / 2 * (s[high] - s[low]) + s[low]
    )


NORMALIZATION_MODES: Mapping[str, NormalizationMode] = {
    "min_max": NormalizationMode(
        ("min", "max"), _normalize_min_max, lambda y, s: (y + 1) / 2 * (s["max"] - s["min"]) + s["min"]
    ),
    "q99": NormalizationMode(
        ("q01", "q99"), _normalize_q99, lambda y, s: (y + 1) / 2 * (s["q99"] - s["q01"]) + s["q01"]
    ),
    "min_max_bounded": _bounded("min", "max"),
    "q99_bounded": _bounded("q01", "q99"),
    "mean_std": NormalizationMode(("mean", "std"), _normalize_mean_std, lambda y, s: y * s["std"] + s["mean"]),
    "binary": NormalizationMode((), lambda x, _: (x > 0.5).to(x.dtype), lambda y, _: (y > 0.5).to(y.dtype)),
    "sin_cos": NormalizationMode((), lambda x, _: torch.cat([x.sin(), x.cos()], dim=-1), None, expansion=2),
}
"""Modes by name, as GR00T's data configs call them; dimensions without spread follow GR00T's rules."""


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
        statistics: Per key, the statistics that the key's mode reads, (dim,) each.
        device: Where it computes.
    """

    def __init__(
        self,
        specs: Sequence[VectorSpec],
        statistics: Mapping[str, Mapping[str, Sequence[float] | Tensor]],
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
                name: torch.cat(
                    [torch.as_tensor(statistics[s.key][name], dtype=torch.float32, device=device) for s in part]
                )
                for name in mode.statistics
            }
            self._segments.append(_Segment(mode, sum(s.dim for s in part), values))
            start = stop

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
        parts = x.float().split([segment.raw_dim for segment in self._segments], dim=-1)
        return torch.cat(
            [
                segment.mode.normalize(part, segment.statistics)
                for part, segment in zip(parts, self._segments, strict=True)
            ],
            dim=-1,
        )

    def denormalize(self, y: Tensor) -> Tensor:
        """Normalised (..., at least dim), padding last -> raw (..., raw_dim), float32."""
        if y.shape[-1] < self.dim:
            raise ValueError(f"got {y.shape[-1]} values in {tuple(y.shape)}; expected {self.dim}: {self.describe()}")
        parts = y[..., : self.dim].float().split([s.raw_dim * s.mode.expansion for s in self._segments], dim=-1)
        out = []
        for part, segment in zip(parts, self._segments, strict=True):
            if segment.mode.denormalize is None:
                raise ValueError(f"this vector cannot be denormalised, a mode has no inverse: {self.describe()}")
            out.append(segment.mode.denormalize(part, segment.statistics))
        return torch.cat(out, dim=-1)

    def describe(self) -> str:
        return ", ".join(f"{spec.key} ({spec.dim}, {spec.mode})" for spec in self.specs)


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

    def to(self, device: torch.device | str) -> Embodiment:
        return dataclasses.replace(self, state=self.state.to(device), action=self.action.to(device))

    def encode_state(self, raw: Tensor, max_state_dim: int) -> Tensor:
        """Raw state (B, D) -> normalised and zero-padded (B, 1, max_state_dim)."""
        return _pad(self.state.normalize(raw), max_state_dim, "max_state_dim")[:, None]

    def encode_action(self, raw: Tensor, max_action_dim: int) -> Tensor:
        """Raw actions (..., D) -> normalised and zero-padded (..., max_action_dim)."""
        return _pad(self.action.normalize(raw), max_action_dim, "max_action_dim")

    def decode_action(self, normalized: Tensor) -> Tensor:
        """Normalised actions (..., max_action_dim) -> raw (..., D)."""
        return self.action.denormalize(normalized)


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
    recipe = read_processor(directory / PROCESSOR_FILE, tag) if by_processor else None
    statistics = metadata[tag] if by_processor else metadata[tag].get("statistics", {})
    vectors = {}
    for modality, keys in (("state", state_keys), ("action", action_keys)):
        default = {} if recipe is None else recipe.modes[modality]
        vectors[modality] = _vector(
            statistics.get(modality),
            modality,
            keys if keys is not None or recipe is None else list(default),
            default,
            modes,
            f"{tag} in {str(file)!r}",
            device,
        )
    known = {f"{modality}.{spec.key}" for modality, vector in vectors.items() for spec in vector.specs}
    if unknown := sorted(set(modes) - known):
        raise Gr00tCheckpointError(
            f"modes name {', '.join(unknown)}, which {tag} in {str(file)!r} does not have; "
            f"available are {', '.join(sorted(known))}"
        )
    return Embodiment(
        tag,
        slots[tag] if slot is None else slot,
        vectors["state"],
        vectors["action"],
        None if recipe is None else recipe.action_horizon,
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
        specs.append(VectorSpec(key, len(next(iter(entry.values()))), mode))
        values[key] = entry
    return VectorNormalizer(specs, values, device)
