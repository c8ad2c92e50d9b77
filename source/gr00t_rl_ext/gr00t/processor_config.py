# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What the processor of GR00T N1.7 says of an embodiment, in ``processor_config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from .checkpoint import Gr00tCheckpointError, read_json, required_fields
from .relative_action import POSE_FORMATS, RelativeAction


@dataclass(frozen=True)
class ProcessorRecipe:
    """What a checkpoint says of how an embodiment's numbers are processed."""

    modes: Mapping[str, Mapping[str, str]]
    """"state" or "action" -> key -> normalisation mode, in the order of the vector."""

    action_horizon: int | None
    """Actions per chunk; None: as many as the model gives."""

    relative: Mapping[str, RelativeAction]
    """Action keys that are relative to the state."""

    video_keys: tuple[str, ...]
    """Cameras in order; empty where the file does not say."""

    language_key: str
    """Key of the instruction; empty where the file does not say."""


class _Fields(BaseModel):
    model_config = ConfigDict(strict=True)


class _ActionConfig(_Fields):
    rep: str
    type: str
    format: str
    state_key: str | None = None


class _Video(_Fields):
    delta_indices: list[int]
    modality_keys: list[str] = []


class _Vector(_Fields):
    delta_indices: list[int]
    modality_keys: list[str]
    mean_std_embedding_keys: list[str] | None = None
    sin_cos_embedding_keys: list[str] | None = None
    exclude_state: bool | None = None
    action_configs: list[_ActionConfig] | None = None


class _Language(_Fields):
    delta_indices: list[int] = [0]
    modality_keys: list[str] = []


class _Modalities(_Fields):
    state: _Vector
    action: _Vector
    video: _Video = _Video(delta_indices=[0])
    language: _Language = _Language()


class _Options(_Fields):
    """``use_mean_std`` is not read: the public processor stores it and hands it to nobody."""

    modality_configs: dict[str, Any]
    use_percentiles: bool
    use_relative_action: bool
    apply_sincos_state_encoding: bool
    clip_outliers: bool | None = True
    exclude_state: bool | None = None
    use_tactile: bool | None = None


class _File(_Fields):
    processor_kwargs: _Options


def read_processor(file: Path, tag: str) -> ProcessorRecipe:
    """Read ``processor_kwargs`` of GR00T N1.7's processor.

    Raises:
        Gr00tCheckpointError: The file is missing, incomplete or of other types, or asks for what is not supported.
    """
    if not file.is_file():
        raise Gr00tCheckpointError(
            f"{str(file.parent)!r} has statistics.json but no {file.name}, which names the keys of states and "
            "actions. GR00T's fine-tuning writes that file beside the weights: copy it from there"
        )
    source = f"embodiment {tag!r} in {str(file)!r}"
    with required_fields(repr(str(file)), f"embodiment {tag!r}"):
        options = _File.model_validate(read_json(file)).processor_kwargs
        if tag not in options.modality_configs:
            raise Gr00tCheckpointError(
                f"{str(file)!r} has no modality_configs for embodiment tag {tag!r}; available are "
                f"{', '.join(options.modality_configs) or 'none'}"
            )
        modalities = _Modalities.model_validate(options.modality_configs[tag])
    state, action, video, language = modalities.state, modalities.action, modalities.video, modalities.language
    for what, unsupported in (
        ("exclude_state", options.exclude_state or state.exclude_state),
        ("use_tactile", options.use_tactile),
        ("a history of states", len(state.delta_indices) != 1),
        ("a history of images", len(video.delta_indices) != 1),
        (f"the states of step {state.delta_indices}", state.delta_indices != [0]),
        (f"the images of step {video.delta_indices}", video.delta_indices != [0]),
        (f"the instruction of step {language.delta_indices}", language.delta_indices != [0]),
        (f"the actions of steps {action.delta_indices}", action.delta_indices != [*range(len(action.delta_indices))]),
    ):
        if unsupported:
            raise Gr00tCheckpointError(
                f"{source} asks for {what}, which is not supported; choose an embodiment without, or fine-tune the "
                "checkpoint without"
            )
    relative = _relative_actions(options, action, source)
    suffix = "_bounded" if options.clip_outliers else "_bounded_output"
    bounded = ("q99" if options.use_percentiles else "min_max") + suffix

    of_state = dict.fromkeys(state.modality_keys, bounded)
    of_state |= dict.fromkeys(state.mean_std_embedding_keys or (), "mean_std")
    if options.apply_sincos_state_encoding:
        of_state |= dict.fromkeys(state.sin_cos_embedding_keys or (), "sin_cos")

    # the statistics of relative actions take the place of the absolute ones after those chose their percentiles
    of_action = {key: "min_max" + suffix if key in relative else bounded for key in action.modality_keys}
    standardized = "mean_std_bounded_input" if options.clip_outliers else "mean_std_passing"
    of_action |= dict.fromkeys(action.mean_std_embedding_keys or (), standardized)

    modes = {
        "state": {key: of_state[key] for key in state.modality_keys},
        "action": {key: of_action[key] for key in action.modality_keys},
    }
    (language_key, *_) = (*modalities.language.modality_keys, "")
    return ProcessorRecipe(modes, len(action.delta_indices), relative, tuple(video.modality_keys), language_key)


def _relative_actions(options: _Options, action: _Vector, source: str) -> dict[str, RelativeAction]:
    """Action keys that are relative to the state. "DELTA" actions are, to GR00T, absolute ones."""
    keys, configs = action.modality_keys, action.action_configs
    if configs is None:
        return {}
    if len(configs) != len(keys):
        raise Gr00tCheckpointError(
            f"{source} has {len(configs)} action_configs for {len(keys)} action keys ({', '.join(keys)}); expected one "
            "per key, in their order, or null. Copy the file again from the checkpoint it came from"
        )
    relative = {}
    for key, config in zip(keys, configs, strict=True):
        # GR00T writes the names of its enums; their values, such as "xyz+rot6d", are read as well
        representation, kind, layout = (
            name.upper().replace("+", "_") for name in (config.rep, config.type, config.format)
        )
        if representation not in ("RELATIVE", "DELTA", "ABSOLUTE"):
            raise Gr00tCheckpointError(
                f"{source} asks for {config.rep!r} actions of {key!r}; expected RELATIVE, DELTA or ABSOLUTE"
            )
        if representation != "RELATIVE" or not options.use_relative_action:
            continue
        if (kind, layout) != ("NON_EEF", "DEFAULT") and (kind != "EEF" or layout not in POSE_FORMATS):
            raise Gr00tCheckpointError(
                f"{source} asks for relative actions of {key!r} with type {config.type!r} and format "
                f"{config.format!r}, which is not supported; supported are NON_EEF with DEFAULT (joint values) and "
                f"EEF with {' or '.join(POSE_FORMATS)} (position, and two rows of the rotation matrix or a rotation "
                "vector). Choose an embodiment without, or fine-tune the checkpoint without"
            )
        relative[key] = RelativeAction(config.state_key or key, POSE_FORMATS.get(layout))
    return relative
