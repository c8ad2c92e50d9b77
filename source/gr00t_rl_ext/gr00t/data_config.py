# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""How GR00T N1.5 was told to process a robot's numbers and images: its data config.

Statistics lie in the checkpoint, but which keys are read in which order, how each is normalised, which rotations are
converted and how images are cropped is code of whoever fine-tuned it. Here that is a JSON file, of which the published
ones come with the package (``data_configs/``). A checkpoint that this project writes records its own.

N1.6 and N1.7 say all this in ``processor_config.json`` and have no data config.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError, model_validator

from .checkpoint import CONFIG_FILE, Gr00tCheckpointError, read_json
from .rotations import ROTATIONS

DATA_CONFIG_FILE = "experiment_cfg/data_config.json"
"""Where a checkpoint of this project records its data config, beside its statistics."""

NVIDIA_CROP = 0.95
"""Centre crop of all of NVIDIA's data configs for N1.5."""

_FOLDER = Path(__file__).parent / "data_configs"

Mode = Literal["min_max", "mean_std", "q99", "binary", "sin_cos", "none"]

ROTATION_NAMES: Mapping[str, str] = {
    "quaternion": "quaternion_wxyz",
    **{name: name for name in ROTATIONS if name.startswith(("axis_angle", "rotation_6d", "matrix", "euler_angles"))},
}
"""N1.5's name of a representation -> ours."""


class DataConfig(BaseModel):
    """A data config, as the JSON files have it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    source: str = ""
    """Whose it is."""

    embodiment_tag: str
    """Tag that it was published with."""

    embodiment_id: int | None = None
    """Slot of that tag."""

    video_keys: list[str] = []
    """Cameras in order."""

    state_keys: list[str]
    """Keys of the state in order."""

    action_keys: list[str]
    """Keys of the actions in order."""

    language_key: str = "annotation.human.task_description"
    """Key of the instruction in GR00T's own datasets, and of its policy servers."""

    state_modes: dict[str, Mode]
    """State key -> how it is normalised; "none": not at all."""

    action_modes: dict[str, Mode]
    """Action key -> likewise."""

    state_target_rotations: dict[str, str | None] = {}
    """State key -> representation that its rotation is converted to; None: as it is."""

    action_target_rotations: dict[str, str | None] = {}
    """Action key -> likewise."""

    observation_indices: list[int] = [0]
    """Time steps of an observation."""

    action_horizon: PositiveInt
    """Actions per chunk."""

    max_state_dim: int = 64
    """Width that the state is padded to."""

    max_action_dim: int = 32
    """Width that actions are padded to."""

    crop_scale: float | None = None
    """Side of the centre crop relative to the image, in (0, 1]; None: no crop."""

    resize: tuple[int, int] | None = None
    """Height and width that images are resized to; None: what the model takes."""

    guess: bool = False
    """Whether it was assumed, because a checkpoint recorded none."""

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, data: Any) -> Any:
        """JSON has no tuples."""
        if isinstance(data, dict) and isinstance(data.get("resize"), list):
            return data | {"resize": tuple(data["resize"])}
        return data

    @model_validator(mode="after")
    def _check(self) -> DataConfig:
        for field in ("state_keys", "action_keys", "video_keys"):
            keys: list[str] = getattr(self, field)
            if repeated := sorted({key for key in keys if keys.count(key) > 1}):
                raise ValueError(f"{field} names {', '.join(repeated)} more than once")
        for kind, keys in (("state", self.state_keys), ("action", self.action_keys)):
            modes, rotations = getattr(self, f"{kind}_modes"), getattr(self, f"{kind}_target_rotations")
            for field, named in ((f"{kind}_modes", modes), (f"{kind}_target_rotations", rotations)):
                if unknown := [key for key in named if key not in keys]:
                    raise ValueError(
                        f"{field} names {', '.join(unknown)}, which {kind}_keys does not have: {', '.join(keys)}"
                    )
            if missing := [key for key in keys if key not in modes]:
                raise ValueError(
                    f'{kind}_modes has no mode for {", ".join(missing)}; a key that is not normalised has "none"'
                )
            for key, rotation in rotations.items():
                if rotation is not None and rotation not in ROTATION_NAMES:
                    raise ValueError(
                        f"{kind}_target_rotations.{key} is {rotation!r}; expected null or one of "
                        f"{', '.join(ROTATION_NAMES)}"
                    )
                if rotation is not None and modes[key] not in ("min_max", "none"):
                    raise ValueError(
                        f"{kind}_modes.{key} is {modes[key]!r}, but a key with a target rotation is normalised by the "
                        'bounds of that rotation: expected "min_max" or "none"'
                    )
        if self.observation_indices != [0]:
            raise ValueError(
                f"observation_indices is {self.observation_indices}; only the current step, [0], is supported. A "
                "checkpoint that was fine-tuned with a history needs one at every step, which no task here gives"
            )
        if self.crop_scale is not None and not 0 < self.crop_scale <= 1:
            raise ValueError(f"crop_scale is {self.crop_scale}; expected a value in (0, 1], or null for no crop")
        return self

    def digest(self) -> str:
        """Hash of what a policy acts by, whoever published it."""
        rotations = ("state_target_rotations", "action_target_rotations")
        content = self.model_dump(include={"video_keys", "state_keys", "action_keys", "crop_scale"})
        content |= {name: sorted(getattr(self, name).items()) for name in ("state_modes", "action_modes")}
        content |= {name: sorted((k, v) for k, v in getattr(self, name).items() if v) for name in rotations}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def write(self, directory: Path) -> None:
        """Record it in a checkpoint."""
        file = directory / DATA_CONFIG_FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        content = self.model_dump(exclude=None if self.guess else {"guess"})
        file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def data_config_names() -> list[str]:
    """Names of those that come with the package."""
    return sorted(file.stem for file in _FOLDER.glob("*.json"))


def read_data_config(name_or_file: str) -> DataConfig:
    """A data config by its name, or from a file.

    Raises:
        Gr00tCheckpointError: There is none of that name, or the file does not hold one.
    """
    packed = _FOLDER / f"{name_or_file}.json"
    file = packed if name_or_file in data_config_names() else Path(name_or_file).expanduser()
    if not file.is_file():
        raise Gr00tCheckpointError(
            f"data_config is {name_or_file!r}, which is neither a file nor the name of a known data config; known are "
            f"{', '.join(data_config_names())}"
        )
    try:
        config = DataConfig.model_validate(read_json(file))
        if empty := [field for field in ("state_keys", "action_keys") if not getattr(config, field)]:
            raise Gr00tCheckpointError(f"data config {name_or_file!r}: {empty[0]} is empty; expected keys in order")
        return config
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        text = problem["msg"].removeprefix("Value error, ")
        given = "" if problem["type"] in ("value_error", "missing") else f", got {problem['input']!r:.60}"
        raise Gr00tCheckpointError(
            f"data config {name_or_file!r}: {place + ': ' if place else ''}{text}{given}"
        ) from error


def file_order(
    tag: str,
    keys: Mapping[str, list[str]],
    *,
    horizon: int,
    crop_scale: float | None,
    guess: bool = False,
) -> DataConfig:
    """All keys in the order of a checkpoint's file, each by its minimum and maximum.

    Args:
        tag: Embodiment tag.
        keys: "state", "action" and "video" -> keys.
        horizon: Actions per chunk.
        crop_scale: Side of the centre crop.
        guess: Whether nobody told so.
    """
    return DataConfig(
        source="keys in the order of the statistics",
        embodiment_tag=tag,
        video_keys=keys["video"],
        state_keys=keys["state"],
        action_keys=keys["action"],
        state_modes=dict.fromkeys(keys["state"], "min_max"),
        action_modes=dict.fromkeys(keys["action"], "min_max"),
        action_horizon=horizon,
        crop_scale=crop_scale,
        guess=guess,
    )


def own_crop(directory: Path) -> tuple[bool, float | None]:
    """Whether this project wrote a checkpoint before it recorded data configs, and with which crop.

    Such a checkpoint is tiny, was fine-tuned by ``sft.py`` or was exported.
    """
    settings, exported = directory / "sft/settings.json", directory / "rl_policy/recipe.json"
    if settings.is_file():
        return True, read_json(settings).get("crop_scale")
    if exported.is_file():
        return True, read_json(exported).get("actor", {}).get("gr00t", {}).get("crop_scale")
    file = directory / CONFIG_FILE
    return file.is_file() and "generator" in read_json(file), None


def recorded_crop(directory: Path) -> float | None:
    """Side of the centre crop that an N1.5 was fine-tuned with: as it records, else NVIDIA's."""
    if (directory / DATA_CONFIG_FILE).is_file():
        return read_data_config(str(directory / DATA_CONFIG_FILE)).crop_scale
    is_own, crop_scale = own_crop(directory)
    return crop_scale if is_own else NVIDIA_CROP
