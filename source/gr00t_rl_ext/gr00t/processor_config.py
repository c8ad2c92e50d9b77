# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What the processor of GR00T N1.7 says of an embodiment, in ``processor_config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .checkpoint import Gr00tCheckpointError, read_json, required_fields
from .relative_action import RelativeAction


@dataclass(frozen=True)
class ProcessorRecipe:
    """What ``processor_config.json`` says of an embodiment."""

    modes: Mapping[str, Mapping[str, str]]
    """"state" or "action" -> key -> normalisation mode, in the order of the vector."""

    action_horizon: int
    """Actions per chunk."""

    relative: Mapping[str, RelativeAction]
    """Action keys that are relative to the state."""

    video_keys: tuple[str, ...]
    """Cameras in order; empty where the file does not say."""


def read_processor(file: Path, tag: str) -> ProcessorRecipe:
    """Read ``processor_kwargs`` of GR00T N1.7's processor.

    ``use_mean_std`` is not read: the public processor stores it and hands it to nobody.

    Raises:
        Gr00tCheckpointError: The file is missing or incomplete, or asks for what is not supported.
    """
    if not file.is_file():
        raise Gr00tCheckpointError(
            f"{str(file.parent)!r} has statistics.json but no {file.name}, which names the keys of states and "
            "actions. GR00T's fine-tuning writes that file beside the weights: copy it from there"
        )
    with required_fields(repr(str(file)), f"embodiment {tag!r}"):
        options = read_json(file)["processor_kwargs"]
        configs = options["modality_configs"]
        if tag not in configs:
            raise Gr00tCheckpointError(
                f"{str(file)!r} has no modality_configs for embodiment tag {tag!r}; available are "
                f"{', '.join(configs) or 'none'}"
            )
        state, action = configs[tag]["state"], configs[tag]["action"]
        video = configs[tag].get("video", {"delta_indices": [0]})
        for what, unsupported in (
            ("exclude_state", options.get("exclude_state") or state.get("exclude_state")),
            ("use_tactile", options.get("use_tactile")),
            ("a history of states", len(state["delta_indices"]) != 1),
            ("a history of images", len(video["delta_indices"]) != 1),
        ):
            if unsupported:
                raise Gr00tCheckpointError(
                    f"embodiment {tag!r} in {str(file)!r} asks for {what}, which is not supported; choose an "
                    "embodiment without, or fine-tune the checkpoint without"
                )
        relative = _relative_actions(options, action, f"embodiment {tag!r} in {str(file)!r}")
        return ProcessorRecipe(
            {"state": _state_modes(options, state), "action": _action_modes(options, action, relative)},
            len(action["delta_indices"]),
            relative,
            tuple(video.get("modality_keys", ())),
        )


def _state_modes(options: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, str]:
    special = dict.fromkeys(state.get("mean_std_embedding_keys") or (), "mean_std")
    if options["apply_sincos_state_encoding"]:
        special |= dict.fromkeys(state.get("sin_cos_embedding_keys") or (), "sin_cos")
    bounded = ("q99" if options["use_percentiles"] else "min_max") + _suffix(options)
    return {key: special.get(key, bounded) for key in state["modality_keys"]}


def _action_modes(
    options: Mapping[str, Any], action: Mapping[str, Any], relative: Mapping[str, RelativeAction]
) -> dict[str, str]:
    standardized = "mean_std_bounded_input" if options.get("clip_outliers", True) else "mean_std_passing"
    special = dict.fromkeys(action.get("mean_std_embedding_keys") or (), standardized)
    modes = {}
    for key in action["modality_keys"]:
        # the statistics of relative actions take the place of the absolute ones after those chose their percentiles
        percentiles = options["use_percentiles"] and key not in relative
        modes[key] = special.get(key, ("q99" if percentiles else "min_max") + _suffix(options))
    return modes


def _suffix(options: Mapping[str, Any]) -> str:
    return "_bounded" if options.get("clip_outliers", True) else "_bounded_output"


def _relative_actions(options: Mapping[str, Any], action: Mapping[str, Any], source: str) -> dict[str, RelativeAction]:
    """Action keys that are relative to the state. "DELTA" actions are, to GR00T, absolute ones."""
    keys, configs = action["modality_keys"], action.get("action_configs")
    if configs is None:
        return {}
    if len(configs) != len(keys):
        raise Gr00tCheckpointError(
            f"{source} has {len(configs)} action_configs for {len(keys)} action keys ({', '.join(keys)}); expected one "
            "per key, in their order, or null. Copy the file again from the checkpoint it came from"
        )
    relative = {}
    for key, config in zip(keys, configs, strict=True):
        representation, kind, layout = (_enum_name(config[name]) for name in ("rep", "type", "format"))
        if representation not in ("RELATIVE", "DELTA", "ABSOLUTE"):
            raise Gr00tCheckpointError(
                f"{source} asks for {config['rep']!r} actions of {key!r}; expected RELATIVE, DELTA or ABSOLUTE"
            )
        if representation != "RELATIVE" or not options["use_relative_action"]:
            continue
        if (kind, layout) not in (("NON_EEF", "DEFAULT"), ("EEF", "XYZ_ROT6D")):
            raise Gr00tCheckpointError(
                f"{source} asks for relative actions of {key!r} with type {config['type']!r} and format "
                f"{config['format']!r}, which is not supported; supported are NON_EEF with DEFAULT (joint values) and "
                "EEF with XYZ_ROT6D (position and two rows of the rotation matrix). Choose an embodiment without, or "
                "fine-tune the checkpoint without"
            )
        relative[key] = RelativeAction(config.get("state_key") or key, pose=kind == "EEF")
    return relative


def _enum_name(value: str) -> str:
    """GR00T writes the names of its enums; their values, such as "xyz+rot6d", are read as well."""
    return value.upper().replace("+", "_")
