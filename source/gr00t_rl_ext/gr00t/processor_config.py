# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What the processor of GR00T N1.7 says of an embodiment, in ``processor_config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .checkpoint import Gr00tCheckpointError, read_json


@dataclass(frozen=True)
class ProcessorRecipe:
    """What ``processor_config.json`` says of an embodiment."""

    modes: Mapping[str, Mapping[str, str]]
    """"state" or "action" -> key -> normalisation mode, in the order of the vector."""

    action_horizon: int
    """Actions per chunk."""


def read_processor(file: Path, tag: str) -> ProcessorRecipe:
    """Read ``processor_kwargs`` of GR00T N1.7's processor.

    Raises:
        Gr00tCheckpointError: The file is missing or incomplete, or asks for what is not supported.
    """
    if not file.is_file():
        raise Gr00tCheckpointError(
            f"{str(file.parent)!r} has statistics.json but no {file.name}, which names the keys of states and "
            "actions. GR00T's fine-tuning writes that file beside the weights: copy it from there"
        )
    try:
        options = read_json(file)["processor_kwargs"]
        configs = options["modality_configs"]
        if tag not in configs:
            raise Gr00tCheckpointError(
                f"{str(file)!r} has no modality_configs for embodiment tag {tag!r}; available are "
                f"{', '.join(configs) or 'none'}"
            )
        state, action = configs[tag]["state"], configs[tag]["action"]
        video = configs[tag].get("video", {"delta_indices": [0]})
        relative = [
            key
            for key, entry in zip(action["modality_keys"], action.get("action_configs") or (), strict=False)
            if options["use_relative_action"] and str(entry["rep"]).upper() == "RELATIVE"
        ]
        for what, unsupported in (
            (f"actions relative to the state ({', '.join(relative)})", relative),
            ("action.mean_std_embedding_keys", action.get("mean_std_embedding_keys")),
            ("exclude_state", options.get("exclude_state") or state.get("exclude_state")),
            ("use_mean_std", options.get("use_mean_std")),
            ("use_tactile", options.get("use_tactile")),
            ("clip_outliers = False", not options.get("clip_outliers", True)),
            ("a history of states", len(state["delta_indices"]) != 1),
            ("a history of images", len(video["delta_indices"]) != 1),
        ):
            if unsupported:
                raise Gr00tCheckpointError(
                    f"embodiment {tag!r} in {str(file)!r} asks for {what}, which is not supported; choose an "
                    "embodiment without, or fine-tune the checkpoint without"
                )
        bounded = "q99_bounded" if options["use_percentiles"] else "min_max_bounded"
        special = dict.fromkeys(state.get("mean_std_embedding_keys") or (), "mean_std")
        if options["apply_sincos_state_encoding"]:
            special |= dict.fromkeys(state.get("sin_cos_embedding_keys") or (), "sin_cos")
        return ProcessorRecipe(
            {
                "state": {key: special.get(key, bounded) for key in state["modality_keys"]},
                "action": dict.fromkeys(action["modality_keys"], bounded),
            },
            len(action["delta_indices"]),
        )
    except KeyError as error:
        raise Gr00tCheckpointError(
            f"{str(file)!r} has no field {error.args[0]!r} for embodiment {tag!r}. The file is incomplete: copy it "
            "again from the checkpoint it came from"
        ) from error
