# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Slots of the action head that embodiments have in published checkpoints."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from pathlib import Path

from .checkpoint import CONFIG_FILE, PROCESSOR_FILE, processor_directory, read_json

SLOTS_FILE = "embodiment_id.json"
"""Embodiment tag -> slot, of an N1.6 or N1.7."""

NVIDIA_N1_5_TAGS: Mapping[str, int] = {"new_embodiment": 31, "agibot_genie1": 26, "gr1": 24, "oxe_droid": 17}
"""Tags that NVIDIA's code for N1.5 knows, and no others. ``new_embodiment`` is untrained in the base model."""

RLINF_N1_5_TAGS: Mapping[str, int] = {"isaaclab_franka": 31, "libero_franka": 31, "maniskill_widowx": 30}
"""Tags that RLinf adds to them."""

EMBODIMENT_SLOTS: Mapping[str, int] = {**NVIDIA_N1_5_TAGS, **RLINF_N1_5_TAGS}
"""Embodiment tag -> slot of GR00T N1.5, whose checkpoints do not tell."""

N1_6_SLOTS: Mapping[str, int] = {
    "oxe_google": 0,
    "oxe_widowx": 1,
    "libero_panda": 2,
    "unitree_g1": 8,
    "new_embodiment": 10,
    "robocasa_panda_omron": 13,
    "oxe_droid": 16,
    "gr1": 20,
    "behavior_r1_pro": 24,
}
"""Embodiment tag -> slot of GR00T N1.6, where a checkpoint does not tell."""

N1_7_SLOTS: Mapping[str, int] = {
    "simpler_env_google": 0,
    "simpler_env_widowx": 1,
    "libero_sim": 2,
    "new_embodiment": 10,
    "robocasa_*": 10,
    "unitree_g1_sonic": 11,
    "oxe_droid_relative_eef_relative_joint": 24,
    "unitree_g1_full_body_with_waist_height_nav_cmd": 25,
    "real_g1_relative_eef_relative_joints": 25,
    "real_r1_pro_sharpa_*": 26,
    "xdof_relative_eef_relative_joint": 27,
    "xdof_relative_eef_relative_joint_subtask": 27,
}
"""Embodiment tag, or the beginning of some, -> slot of GR00T N1.7, where a checkpoint does not tell."""

NVIDIA_SLOTS: Mapping[str, Mapping[str, int]] = {"N1.5": NVIDIA_N1_5_TAGS, "N1.6": N1_6_SLOTS, "N1.7": N1_7_SLOTS}
"""Version -> the tags that NVIDIA's own code for it knows."""


def published_slots(directory: Path) -> Mapping[str, int]:
    """Embodiment tag -> slot of the version that a checkpoint is of, and what the checkpoint tells itself."""
    file = processor_directory(directory) / SLOTS_FILE
    return {**_defaults(directory), **(read_json(file) if file.is_file() else {})}


def _defaults(directory: Path) -> Mapping[str, int]:
    config, processor = directory / CONFIG_FILE, processor_directory(directory) / PROCESSOR_FILE
    kind = str(read_json(config).get("model_type")) if config.is_file() else ""
    if kind not in ("Gr00tN1d6", "Gr00tN1d7") and processor.is_file():
        kind = str(read_json(processor).get("processor_class"))
    if kind.startswith("Gr00tN1d6"):
        return N1_6_SLOTS
    return N1_7_SLOTS if kind.startswith("Gr00tN1d7") else EMBODIMENT_SLOTS


def slot_of(tag: str, slots: Mapping[str, int]) -> int | None:
    """The slot of a tag: its own, or that of what it begins with; None where there is none."""
    if tag in slots:
        return slots[tag]
    return next((slot for name, slot in slots.items() if name.endswith("*") and fnmatch.fnmatchcase(tag, name)), None)


def shown(slots: Mapping[str, int]) -> str:
    """Slots for messages."""
    return ", ".join(f"{name}: {index}" for name, index in slots.items()) or "none"
