# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Writes what a GR00T N1.5 checkpoint says of a robot: ``experiment_cfg/metadata.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .checkpoint import read_json
from .embodiment import METADATA_FILE


@dataclass(frozen=True)
class Camera:
    """What the metadata say of a camera."""

    width: int = 256
    """[px]"""

    height: int = 256
    """[px]"""

    fps: float = 20.0
    """Frames per second."""


def robot_metadata(
    tag: str,
    statistics: Mapping[str, Mapping[str, Mapping[str, list[float]]]],
    cameras: Mapping[str, Camera],
) -> dict[str, Any]:
    """The metadata of one robot.

    Args:
        tag: Embodiment tag.
        statistics: "state" or "action" -> key -> statistic -> one number per dimension. The order of the keys is that
            of the vectors.
        cameras: By name.
    """
    modalities: dict[str, Any] = {
        modality: {
            key: {"absolute": True, "rotation_type": None, "shape": [len(values["max"])], "continuous": True}
            for key, values in keys.items()
        }
        for modality, keys in statistics.items()
    }
    modalities["video"] = {
        name: {"resolution": [camera.width, camera.height], "channels": 3, "fps": camera.fps}
        for name, camera in cameras.items()
    }
    return {"statistics": statistics, "modalities": modalities, "embodiment_tag": tag}


def set_robot_metadata(directory: Path, tag: str, metadata: Mapping[str, Any]) -> None:
    """Put a robot's metadata into those of a checkpoint, which may have none yet. Other robots keep theirs."""
    file = directory / METADATA_FILE
    content = read_json(file) if file.is_file() else {}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content | {tag: metadata}, indent=2) + "\n", encoding="utf-8")
