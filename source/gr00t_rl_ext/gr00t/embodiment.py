# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a checkpoint knows of a robot: its slot in the action head, the keys of state and action, their statistics.

Statistics stand per embodiment tag in ``experiment_cfg/metadata.json`` as ``statistics.{state,action}.<key>`` (N1.5),
or in ``statistics.json`` as ``{state,action}.<key>`` (N1.6, N1.7), with ``min``, ``max``, ``mean``, ``std``, ``q01``
and ``q99``. A state or action vector is the concatenation of its keys, in the order of a :mod:`data config
<.data_config>` (N1.5) or of ``processor_config.json``. N1.6 and N1.7 have their slots in ``embodiment_id.json``.

Statistics of relative actions stand as ``relative_action.<key>``, one row per step of the chunk.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from .checkpoint import (
    CONFIG_FILE,
    PROCESSOR_FILE,
    Gr00tCheckpointError,
    processor_directory,
    read_json,
    required_fields,
)
from .data_config import (
    DATA_CONFIG_FILE,
    NVIDIA_CROP,
    DataConfig,
    file_order,
    own_crop,
    read_data_config,
)
from .normalization import VectorNormalizer
from .processor_config import read_processor
from .relative_action import RelativeAction
from .slots import published_slots, shown, slot_of
from .statistics import normalizer_of, rotations_of

METADATA_FILE = "experiment_cfg/metadata.json"
STATISTICS_FILE = "statistics.json"

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

    origin: str = ""
    """Where it is written how numbers and images are processed: "processor" (its file), "checkpoint" (recorded), a data
    config's name or file, "gr00t_rl_ext" (which wrote the checkpoint before it recorded this), or "guess"."""

    data_config: DataConfig | None = None
    """How they are, of N1.5; the other versions have it in their processor's file."""

    is_guess: bool = False
    """Whether nobody told, so that ``data_config`` is what is usual."""

    is_plain: bool = True
    """Whether numbers and images are processed as before there were data configs: all keys in the order of the file, by
    minimum and maximum, and images not cropped unless this project recorded a crop."""

    camera_sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Width and height in pixels of cameras in the data, as far as the checkpoint says."""

    language_key: str = ""
    """What the data calls the instruction; empty where nobody says."""

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
    processor = processor_directory(directory)
    if (processor / STATISTICS_FILE).is_file():
        return processor / STATISTICS_FILE, processor / PROCESSOR_FILE
    return (directory / METADATA_FILE,)


def load_embodiment(
    directory: str | Path,
    tag: str,
    *,
    slot: int | None = None,
    data_config: str | DataConfig | None = None,
    device: torch.device | str = "cpu",
) -> Embodiment:
    """Read an embodiment from a checkpoint.

    Args:
        directory: Local directory of the checkpoint.
        tag: Embodiment tag.
        slot: Slot in the action head. None: the checkpoint's slot of the tag (N1.6, N1.7), or the published one (N1.5).
        data_config: How an N1.5 was fine-tuned to process its numbers: a :class:`DataConfig`, or what
            :func:`~.data_config.read_data_config` takes. None: what the checkpoint records; of one that records
            nothing, all keys by minimum and maximum in the order of its file, which is a guess unless this project
            wrote it.
        device: Where the normalisers compute.

    Raises:
        Gr00tCheckpointError: The statistics are missing or lack the tag, a key or a value, or do not fit the data
            config.
    """
    directory = Path(directory)
    file = statistics_files(directory)[0]
    if not file.is_file():
        raise Gr00tCheckpointError(
            f"{str(directory)!r} has no statistics ({METADATA_FILE} for N1.5, {STATISTICS_FILE} for N1.6 and N1.7), "
            "which normalising states and actions needs. GR00T's fine-tuning writes that file beside the weights: copy "
            "it from there"
        )
    metadata = read_json(file)
    if tag not in metadata:
        raise Gr00tCheckpointError(
            f"no statistics for embodiment tag {tag!r} in {str(file)!r}; available are "
            f"{', '.join(metadata) or 'none'}. Choose one of them, or fine-tune the checkpoint on data of the new "
            "embodiment first"
        )
    by_processor = file.name == STATISTICS_FILE
    if slot is None:
        slots = published_slots(directory)
        slot = slot_of(tag, slots)
        if slot is None:
            raise Gr00tCheckpointError(
                f"embodiment tag {tag!r} has no published slot; published are {shown(slots)}. Pass the slot that the "
                "checkpoint was fine-tuned with"
            )
    source = f"{tag} in {str(file)!r}"
    with required_fields(repr(str(file)), f"embodiment {tag!r}"):
        robot = _Robot.model_validate({"statistics": metadata[tag]} if by_processor else metadata[tag])
    if by_processor:
        if data_config is not None:
            raise Gr00tCheckpointError(
                f"a data config was given, but {str(directory)!r} tells in {PROCESSOR_FILE} how its numbers are "
                "processed; leave the data config out"
            )
        return _by_processor(directory, tag, slot, robot, source, device)
    return _by_data_config(directory, tag, slot, robot, source, data_config, device)


def _by_processor(
    directory: Path, tag: str, slot: int, robot: _Robot, source: str, device: torch.device | str
) -> Embodiment:
    """The embodiment of an N1.6 or N1.7."""
    recipe = read_processor(processor_directory(directory) / PROCESSOR_FILE, tag)
    statistics = {"state": robot.statistics.state or {}, "action": dict(robot.statistics.action or {})}
    of_relative = robot.statistics.relative_action or {}
    if missing := [key for key in recipe.relative if key not in of_relative]:
        raise Gr00tCheckpointError(
            f"{source} has no relative_action.{missing[0]}, the statistics of actions relative to the state; available "
            f"are {', '.join(of_relative) or 'none'}. GR00T's fine-tuning writes them: copy statistics.json from there"
        )
    statistics["action"] |= {key: of_relative[key] for key in recipe.relative}
    vectors = {
        modality: normalizer_of(
            statistics[modality], modality, list(recipe.modes[modality].items()), {}, source, device
        )
        for modality in ("state", "action")
    }
    _check_relative(recipe.relative, of_relative, recipe.action_horizon, vectors, source)
    return Embodiment(
        tag,
        slot,
        vectors["state"],
        vectors["action"],
        recipe.action_horizon,
        recipe.relative,
        recipe.video_keys,
        "processor",
        language_key=recipe.language_key,
    )


def _by_data_config(
    directory: Path,
    tag: str,
    slot: int,
    robot: _Robot,
    source: str,
    given: str | DataConfig | None,
    device: torch.device | str,
) -> Embodiment:
    """The embodiment of an N1.5."""
    video = robot.modalities.video or {}
    keys = {"state": [*(robot.statistics.state or ())], "action": [*(robot.statistics.action or ())], "video": [*video]}
    is_own, crop_scale = own_crop(directory)
    is_guess = False
    if given is not None:
        config = read_data_config(given) if isinstance(given, str) else given
        origin = given if isinstance(given, str) else "given"
    elif (directory / DATA_CONFIG_FILE).is_file():
        config = read_data_config(str(directory / DATA_CONFIG_FILE))
        is_guess, origin = config.guess, "checkpoint, a guess" if config.guess else "checkpoint"
    else:
        is_guess = not is_own
        origin = "guess" if is_guess else "gr00t_rl_ext"
        crop_scale = NVIDIA_CROP if is_guess else crop_scale
        config = file_order(tag, keys, horizon=read_horizon(directory), crop_scale=crop_scale, guess=is_guess)
    plain = file_order(tag, keys, horizon=config.action_horizon, crop_scale=config.crop_scale if is_own else None)
    vectors = {}
    for modality, statistics in (("state", robot.statistics.state), ("action", robot.statistics.action)):
        modes, targets = getattr(config, f"{modality}_modes"), getattr(config, f"{modality}_target_rotations")
        asked = [(key, modes[key]) for key in getattr(config, f"{modality}_keys")]
        rotations = rotations_of(targets, getattr(robot.modalities, modality) or {}, modality, source)
        vectors[modality] = normalizer_of(statistics or {}, modality, asked, rotations, source, device)
    sizes = {
        name: tuple(of["resolution"]) for name, of in video.items() if isinstance(of, Mapping) and "resolution" in of
    }
    return Embodiment(
        tag,
        slot,
        vectors["state"],
        vectors["action"],
        None if is_guess or is_own else config.action_horizon,
        {},
        tuple(config.video_keys),
        origin,
        config,
        is_guess,
        config.digest() == plain.digest(),
        {name: size for name, size in sizes.items() if len(size) == 2 and all(size)},
        config.language_key,
    )


def own_data_config(directory: Path, tag: str, *, horizon: int, crop_scale: float | None) -> DataConfig:
    """The data config of an N1.5 that this project writes: all keys of its metadata in order, by minimum and maximum.

    Args:
        directory: Of the checkpoint.
        tag: Embodiment tag.
        horizon: Actions per chunk.
        crop_scale: Side of the centre crop relative to the image; None: no crop.
    """
    of_tag = read_json(directory / METADATA_FILE)[tag]
    keys = {name: [*of_tag["statistics"][name]] for name in ("state", "action")}
    keys["video"] = [*of_tag["modalities"].get("video", {})]
    return file_order(tag, keys, horizon=horizon, crop_scale=crop_scale)


def read_horizon(directory: Path) -> int:
    """Actions per chunk of an N1.5 by its config; 16, as all published ones have, where it has none."""
    file = directory / CONFIG_FILE
    head = read_json(file).get("action_head_cfg", {}) if file.is_file() else {}
    return head.get("action_horizon", 16)


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
        expected = value.width or states[value.state_key]
        if not actions[key] == states[value.state_key] == expected:
            raise Gr00tCheckpointError(
                f"action.{key} of {source} has {actions[key]} dimensions and is relative to state.{value.state_key}, "
                f"which has {states[value.state_key]}; expected {expected} of both"
            )
