# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a checkpoint knows of a robot: its slot in the action head, the keys of state and action, their statistics.

Statistics stand per embodiment tag in ``experiment_cfg/metadata.json`` as ``statistics.{state,action}.<key>`` (N1.5),
or in ``statistics.json`` as ``{state,action}.<key>`` (N1.7), with ``min``, ``max``, ``mean``, ``std``, ``q01`` and
``q99``. A state or action vector is the concatenation of its keys, in the order of that file (N1.5) or of
``processor_config.json`` (N1.7) unless another is given. N1.7 has its slots in ``embodiment_id.json``.

Statistics of N1.7's relative actions stand as ``relative_action.<key>``, one row per step of the chunk.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict, TypeAdapter
from torch import Tensor

from .checkpoint import PROCESSOR_FILE, Gr00tCheckpointError, read_json, required_fields
from .normalization import NORMALIZATION_MODES, VectorNormalizer, VectorSpec
from .processor_config import ProcessorRecipe, read_processor
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


_STRICT = ConfigDict(strict=True)


class _Modalities(BaseModel):
    """Modality -> key -> what is known of it."""

    model_config = _STRICT
    state: dict[str, Any] | None = None
    action: dict[str, Any] | None = None
    relative_action: dict[str, Any] | None = None
    video: dict[str, Any] | None = None


class _Robot(BaseModel):
    """What N1.5's metadata say of an embodiment. N1.7's file has the statistics only."""

    statistics: _Modalities = _Modalities()
    modalities: _Modalities = _Modalities()


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
    source = f"{tag} in {str(file)!r}"
    with required_fields(repr(str(file)), f"embodiment {tag!r}"):
        robot = _Robot.model_validate({"statistics": metadata[tag]} if by_processor else metadata[tag])
    statistics = {"state": robot.statistics.state or {}, "action": robot.statistics.action or {}}
    if by_processor:
        recipe = read_processor(directory / PROCESSOR_FILE, tag)
    else:
        modes_of = {name: dict.fromkeys(of_keys, "min_max") for name, of_keys in statistics.items()}
        recipe = ProcessorRecipe(modes_of, None, {}, tuple(robot.modalities.video or ()))
    relative = {key: value for key, value in recipe.relative.items() if action_keys is None or key in action_keys}
    of_relative = robot.statistics.relative_action or {}
    if missing := [key for key in relative if key not in of_relative]:
        raise Gr00tCheckpointError(
            f"{source} has no relative_action.{missing[0]}, the statistics of actions relative to the state; available "
            f"are {', '.join(of_relative) or 'none'}. GR00T's fine-tuning writes them: copy statistics.json from there"
        )
    statistics["action"] |= {key: of_relative[key] for key in relative}
    modes, vectors = modes or {}, {}
    for modality, keys in (("state", state_keys), ("action", action_keys)):
        default = recipe.modes[modality]
        asked = [
            (key, modes.get(f"{modality}.{key}", default.get(key, "min_max")))
            for key in (default if keys is None else keys)
        ]
        vectors[modality] = _vector(statistics[modality], modality, asked, source, device)
    known = {f"{modality}.{spec.key}" for modality, vector in vectors.items() for spec in vector.specs}
    if unknown := sorted(set(modes) - known):
        raise Gr00tCheckpointError(
            f"modes name {', '.join(unknown)}, which {source} does not have; available are {', '.join(sorted(known))}"
        )
    _check_relative(relative, of_relative, recipe.action_horizon, vectors, source)
    return Embodiment(
        tag,
        slots[tag] if slot is None else slot,
        vectors["state"],
        vectors["action"],
        recipe.action_horizon,
        relative,
        recipe.video_keys,
    )


def _check_relative(
    relative: Mapping[str, RelativeAction],
    statistics: Mapping[str, Mapping[str, Any]],
    horizon: int | None,
    vectors: Mapping[str, VectorNormalizer],
    source: str,
) -> None:
    states, actions = ({spec.key: spec.dim for spec in vectors[name].specs} for name in ("state", "action"))
    for key, value in relative.items():
        for name, values in statistics[key].items():
            has_rows = isinstance(values, list) and values and isinstance(values[0], list)
            if has_rows and horizon is not None and len(values) < horizon:
                raise Gr00tCheckpointError(
                    f"{source} describes {len(values)} steps in relative_action.{key}.{name}, but {horizon} actions "
                    "per chunk: the files do not belong together"
                )
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
    statistics: Mapping[str, Any],
    modality: str,
    modes: Sequence[tuple[str, str]],
    source: str,
    device: torch.device | str,
) -> VectorNormalizer:
    if not statistics:
        raise Gr00tCheckpointError(
            f"{source} has no statistics for the {modality}; expected statistics.{modality}.<key>"
        )
    specs, values = [], {}
    for key, mode in modes:
        if key not in statistics:
            raise Gr00tCheckpointError(f"{source} has no {modality} key {key!r}; available are {', '.join(statistics)}")
        if mode not in NORMALIZATION_MODES:
            raise Gr00tCheckpointError(
                f"{modality}.{key} asks for normalisation mode {mode!r}; available are {', '.join(NORMALIZATION_MODES)}"
            )
        if modality == "action" and NORMALIZATION_MODES[mode].denormalize is None:
            raise Gr00tCheckpointError(
                f"action.{key} asks for mode {mode!r}, which has no inverse: it fits states only"
            )
        entry = statistics[key]
        if not isinstance(entry, Mapping):
            raise Gr00tCheckpointError(f"{modality}.{key} of {source} is {entry!r}; expected its statistics by name")
        if missing := [name for name in NORMALIZATION_MODES[mode].statistics if name not in entry]:
            raise Gr00tCheckpointError(
                f"{modality}.{key} of {source} lacks {', '.join(missing)}, which mode {mode!r} needs; it has "
                f"{', '.join(entry)}"
            )
        # the range is of use with every mode, and a mode without statistics tells nothing of the width
        names = dict.fromkeys([*NORMALIZATION_MODES[mode].statistics, *(n for n in ("min", "max") if n in entry)])
        values[key] = _statistics_of(entry, list(names) or list(entry)[:1], modality, f"{modality}.{key} of {source}")
        specs.append(VectorSpec(key, np.shape(next(iter(values[key].values())))[-1], mode))
    return VectorNormalizer(specs, values, device)


_NUMBERS = {
    "state": TypeAdapter(list[float], config=_STRICT),
    "action": TypeAdapter(list[float] | list[list[float]], config=_STRICT),
}


def _statistics_of(entry: Mapping[str, Any], names: Sequence[str], modality: str, where: str) -> dict[str, np.ndarray]:
    """Some of a key's statistics, (dim,) each; those of actions may be (steps, dim), one row per step of the chunk."""
    found = {}
    for name in names:
        try:
            with np.errstate(over="ignore"):
                found[name] = np.array(_NUMBERS[modality].validate_python(entry[name]), dtype=np.float32)
        except ValueError:  # of pydantic, or of numpy for rows of different lengths
            found[name] = np.empty(0)
        if not found[name].size:
            raise Gr00tCheckpointError(f"{name} of {where} is {entry[name]!r}; expected one number per dimension")
    widths = {name: value.shape[-1] for name, value in found.items()}
    if len(set(widths.values())) > 1:
        raise Gr00tCheckpointError(
            f"the statistics of {where} differ in width: {', '.join(f'{n} {w}' for n, w in widths.items())}. Copy the "
            "file again from the checkpoint it came from"
        )
    problems = {f"{name} is not finite": ~np.isfinite(value) for name, value in found.items()}
    for low, high in (("min", "max"), ("q01", "q99")):
        if low in found and high in found:
            problems[f"{low} is greater than {high}"] = found[low] > found[high]
    if "std" in found:
        problems["std is negative"] = found["std"] < 0
        if "min" in found and "max" in found:
            moves = ~np.isclose(found["min"], found["max"])
            problems["std is 0 although min and max differ"] = (found["std"] == 0) & moves
    for problem, wrong in problems.items():
        if wrong.any():
            places = ", ".join(str(place[-1]) for place in np.argwhere(wrong)[:6])
            raise Gr00tCheckpointError(
                f"{problem} in dimension {places} of the statistics of {where}. Copy the file again from the "
                "checkpoint it came from. If it is like this there, the data set holds such values: take them out, and "
                "compute the statistics anew, as GR00T's fine-tuning and scripts/sft.py do"
            )
    return found
