# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What the processors of GR00T N1.6 and N1.7 make of images and instructions, as a checkpoint's files say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import AliasChoices, BaseModel, Field, TypeAdapter

from .checkpoint import PROCESSOR_FILE, Gr00tCheckpointError, processor_directory, read_json
from .images import ImageRecipe


class ProcessorOptions(BaseModel):
    """Fields of ``processor_config.json``, or of ``config.json`` where that lacks them.

    ``letter_box_transform`` is not among them: images that are not square are letterboxed whatever it is.
    """

    formalize_language: bool
    image_target_size: list[int] | None = None
    image_crop_size: list[int] | None = None
    shortest_image_edge: int | None = None
    crop_fraction: float | None = None
    use_albumentations: bool = Field(
        True, validation_alias=AliasChoices("use_albumentations", "use_albumentations_transforms")
    )

    def image_recipe(self, unit: int = 1) -> ImageRecipe:
        """How images are made: letterboxed, resized, cropped, resized again.

        With albumentations, ``shortest_image_edge`` and ``crop_fraction`` take the place of ``image_target_size`` and
        ``image_crop_size`` where they are set. Without, they are not read.

        Args:
            unit: Side of what the vision model wants a whole number of in the end, in pixels.
        """
        if self.use_albumentations:
            edge = self._side("image_target_size") if self.shortest_image_edge is None else self.shortest_image_edge
            fraction = self.crop_fraction
            if fraction is None:
                # relative to image_target_size even where shortest_image_edge replaces it
                fraction = self._side("image_crop_size") / (self.image_target_size or [edge])[0]
            crop = {"interpolation": "area", "crop_scale": fraction}
        else:
            edge = self._side("image_target_size")
            crop = {"interpolation": "bilinear", "crop_pixels": self._side("image_crop_size")}
        size = round(edge / unit) * unit
        return ImageRecipe((size, size), letterbox=True, edge=edge, **crop)

    def _side(self, name: str) -> int:
        size = getattr(self, name)
        if size is None:
            raise KeyError(name)
        if len(set(size)) != 1:
            raise Gr00tCheckpointError(f"the checkpoint's {name} is {size}; expected a square")
        return size[0]


def read_processor_options(config: Mapping[str, Any], directory: Path) -> ProcessorOptions:
    """The options of the checkpoint in ``directory`` whose config.json is ``config``."""
    # the processor's own file is what GR00T's inference reads; config.json repeats it as of the training run
    file = processor_directory(directory) / PROCESSOR_FILE
    of_processor = read_json(file).get("processor_kwargs", {}) if file.is_file() else {}
    return ProcessorOptions.model_validate({**config, **TypeAdapter(dict).validate_python(of_processor)})
