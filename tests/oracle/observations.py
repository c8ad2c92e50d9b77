# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""From images, instruction and raw state to the model's inputs, and from its actions to raw ones.

LeRobot is no reference for two things, in which it differs from NVIDIA's own code: without ``shortest_image_edge`` it
keeps the aspect ratio of images that are not square, and without albumentations it resizes by bicubic interpolation.
They are left out here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from gr00t_rl_ext.gr00t import Gr00tCheckpointError, Gr00tInputs, build_tiny_checkpoint, load_gr00t
from gr00t_rl_ext.gr00t.backbone_qwen3vl import Qwen3VLBackbone
from gr00t_rl_ext.gr00t.checkpoint import PROCESSOR_FILE, read_json
from gr00t_rl_ext.gr00t.embodiment import embodiment_tags

from .table import Row, largest_difference

BOUNDS: Mapping[str, float] = {
    "pixels": 2.01,
    "prompt": 0.0,
    "state": 1e-6,
    "slot": 0.0,
    "raw_actions": 1e-5,
}
"""What is compared -> largest difference. Pixels in steps of 8 bits, to which either side rounds after each of two
resizings, ours from float and LeRobot's (OpenCV's) from its own arithmetic: a step each time."""

INSTRUCTION = "Lift the cube, it's 5_mm!"

RECIPES: Mapping[str, tuple[int, Mapping[str, Any]]] = {
    "96 px": (96, {}),
    "256 px": (256, {}),
    "480 px": (480, {}),
    "min and max": (200, {"use_percentiles": False}),
    "crop fraction": (128, {"shortest_image_edge": 288, "crop_fraction": 0.95}),
}
"""Name -> side of the cameras' images, and fields of ``processor_kwargs``."""


@dataclass(frozen=True)
class ObservationCase:
    """One checkpoint with one set of observations."""

    name: str
    """For the table."""

    checkpoint: Path
    """Of both sides."""

    embodiment_tag: str
    """Robot."""

    slot: int | None = None
    """Its slot; None: the one that the checkpoint says."""

    image_size: int = 256
    """Side of the cameras' images."""

    def _inputs(self) -> Gr00tInputs:
        model = load_gr00t(self.checkpoint, self.slot, dtype=torch.float32, embodiment_tag=self.embodiment_tag)
        return Gr00tInputs.from_checkpoint(model, self.embodiment_tag, num_cameras=len(self._cameras()))

    def _cameras(self) -> list[str]:
        processor = read_json(self.checkpoint / PROCESSOR_FILE)["processor_kwargs"]
        return processor["modality_configs"][self.embodiment_tag]["video"]["modality_keys"]

    def job(self, folder: Path) -> dict[str, Any]:
        """Write the observations; returns what ``reference`` is to do."""
        inputs = self._inputs()
        generator = torch.Generator().manual_seed(0)
        shape = (2, self.image_size, self.image_size, 3)
        observation = {
            f"observation.images.{camera}": torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
            for camera in self._cameras()
        }
        observation["state"] = 2 * torch.randn(2, inputs.embodiment.state.raw_dim, generator=generator)
        observation["actions"] = torch.randn(2, inputs.action_horizon, inputs.max_action_dim, generator=generator)
        folder.mkdir()
        save_file(observation, folder / "inputs.safetensors")
        return {
            "checkpoint": str(self.checkpoint),
            "embodiment_tag": self.embodiment_tag,
            "instruction": INSTRUCTION,
            "inputs": str(folder / "inputs.safetensors"),
            "outputs": str(folder / "outputs.safetensors"),
        }

    def rows(self, job: Mapping[str, Any]) -> list[Row]:
        """Differences of a job that was done."""
        observation, reference = load_file(job["inputs"]), load_file(job["outputs"])
        inputs = self._inputs()
        backbone = inputs.backbone
        assert isinstance(backbone, Qwen3VLBackbone)
        images = [observation[f"observation.images.{camera}"] for camera in self._cameras()]
        batch = inputs(images, job["instruction"], observation["state"])
        actions = inputs.decode_action(observation["actions"])[:, : inputs.embodiment.action_horizon]
        ours = {
            "pixels": 127.5 * backbone.patchify(batch["pixel_values"]).flatten(0, 1),
            "prompt": batch["input_ids"],
            "state": batch["state"],
            "slot": torch.full((2,), inputs.embodiment.slot),
            "raw_actions": actions,
        }
        theirs = {
            "pixels": 127.5 * reference["pixel_values"],
            "prompt": reference["input_ids"],
            "state": reference["state"],
            "slot": reference["embodiment_id"],
            "raw_actions": reference["raw_actions"],
        }
        return [Row(self.name, {name: largest_difference(name, ours[name], theirs[name]) for name in BOUNDS})]


def tiny_observations(directory: Path) -> list[ObservationCase]:
    """Fresh checkpoints in ``directory``, one per recipe."""
    cases = []
    for name, (image_size, options) in RECIPES.items():
        path = build_tiny_checkpoint(
            directory / f"observing-{name}".replace(" ", "-"),
            version="N1.7",
            ranges={"state.joint_position": (-2.0, 3.0), "action.joint_position": (-0.5, 2.0)},
            video_keys=("front", "wrist"),
        )
        file = path / PROCESSOR_FILE
        content = read_json(file)
        content["processor_kwargs"] |= options
        file.write_text(json.dumps(content), encoding="utf-8")
        cases.append(ObservationCase(name, path, "new_embodiment", image_size=image_size))
    return cases


def checkpoint_observations(checkpoint: Path, tag: str | None, slot: int | None) -> list[ObservationCase]:
    """A checkpoint's only embodiment, or the one that is named; none, and a word why, where it cannot be observed."""
    tags = embodiment_tags(checkpoint)
    if tag is None and len(tags) != 1:
        print(
            f"Observations are not compared: {checkpoint.name} has statistics of {', '.join(tags) or 'no embodiment'}"
        )
        return []
    case = ObservationCase(checkpoint.name, checkpoint, tag or tags[0], slot)
    try:
        case._inputs()
    except Gr00tCheckpointError as error:
        print(f"Observations are not compared: {error}")
        return []
    return [case]
