# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""From images, instruction and raw state to the model's inputs, and from its actions to raw ones.

LeRobot is no reference for two things, in which it differs from NVIDIA's own code: without ``shortest_image_edge`` it
keeps the aspect ratio of images that are not square, and without albumentations it resizes by bicubic interpolation.
They are left out here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from gr00t_rl_ext.gr00t import Gr00tCheckpointError, Gr00tInputs, build_tiny_checkpoint, load_gr00t
from gr00t_rl_ext.gr00t.backbone_qwen3vl import Qwen3VLBackbone
from gr00t_rl_ext.gr00t.checkpoint import PROCESSOR_FILE, read_json
from gr00t_rl_ext.gr00t.embodiment import STATISTICS_FILE, embodiment_tags

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

TAG, HORIZON = "new_embodiment", 16
INSTRUCTION = "Lift the cube, it's 5_mm!"


@dataclass(frozen=True)
class Recipe:
    """How a checkpoint wants to be observed through."""

    image_size: int = 128
    """Side of the cameras' images."""

    options: Mapping[str, Any] = field(default_factory=dict)
    """Fields of ``processor_kwargs``."""

    keys: Mapping[str, int] = field(default_factory=lambda: {"joint_position": 7, "gripper_position": 1})
    """Keys of state and action -> dimensions."""

    relative: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Keys of the actions that are relative to the state -> type and format of their ``action_configs``."""


RECIPES: Mapping[str, Recipe] = {
    "96 px": Recipe(96),
    "256 px": Recipe(256),
    "480 px": Recipe(480),
    "min and max": Recipe(200, {"use_percentiles": False}),
    "crop fraction": Recipe(options={"shortest_image_edge": 288, "crop_fraction": 0.95}),
    "relative joints": Recipe(relative={"joint_position": ("NON_EEF", "DEFAULT")}),
    "relative pose": Recipe(keys={"eef": 9, "gripper": 1}, relative={"eef": ("EEF", "XYZ_ROT6D")}),
}


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
        ours = {
            "pixels": 127.5 * backbone.patchify(batch["pixel_values"]).flatten(0, 1),
            "prompt": batch["input_ids"],
            "state": batch["state"],
            "slot": torch.full((2,), inputs.embodiment.slot),
            "raw_actions": inputs.decode_action(observation["actions"], observation["state"]),
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
    for name, recipe in RECIPES.items():
        path = build_tiny_checkpoint(
            directory / f"observing-{name}".replace(" ", "-"),
            version="N1.7",
            state_keys=recipe.keys,
            action_keys=recipe.keys,
            ranges={f"{modality}.{key}": (-2.0, 3.0) for modality in ("state", "action") for key in recipe.keys},
            video_keys=("front", "wrist"),
            horizon=HORIZON,
        )
        _edit(path / PROCESSOR_FILE, lambda content, recipe=recipe: _ask_for(content["processor_kwargs"], recipe))
        if recipe.relative:
            _edit(path / STATISTICS_FILE, lambda content, recipe=recipe: _add_statistics(content[TAG], recipe))
        cases.append(ObservationCase(name, path, TAG, image_size=recipe.image_size))
    return cases


def _edit(file: Path, change: Callable[[dict[str, Any]], None]) -> None:
    content = read_json(file)
    change(content)
    file.write_text(json.dumps(content), encoding="utf-8")


def _ask_for(options: dict[str, Any], recipe: Recipe) -> None:
    options |= recipe.options
    options["use_relative_action"] = bool(recipe.relative)
    action = options["modality_configs"][TAG]["action"]
    for key, (kind, layout) in recipe.relative.items():
        config = {"rep": "RELATIVE", "type": kind, "format": layout, "state_key": None}
        action["action_configs"][action["modality_keys"].index(key)] = config


def _add_statistics(statistics: dict[str, Any], recipe: Recipe) -> None:
    """Of relative actions, per step of the chunk: the further ahead, the further away."""
    statistics["relative_action"] = {}
    for key in recipe.relative:
        reach = [[0.1 * (step + 1)] * recipe.keys[key] for step in range(HORIZON)]
        low = [[-value for value in row] for row in reach]
        zero = [[0.0] * recipe.keys[key]] * HORIZON
        values = {"min": low, "max": reach, "q01": low, "q99": reach, "mean": zero, "std": reach}
        statistics["relative_action"][key] = values


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
