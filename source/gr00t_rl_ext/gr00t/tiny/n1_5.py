# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The files of a tiny GR00T N1.5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers.models.siglip.modeling_siglip import SiglipMultiheadAttentionPoolingHead

from ..backbone import Backbone
from ..backbone_eagle import EAGLE_CONFIG_FILE, EagleBackbone
from ..checkpoint import CONFIG_FILE, read_json
from ..embodiment import METADATA_FILE
from ..metadata import Camera, robot_metadata
from ..slots import EMBODIMENT_SLOTS
from .spec import VOCAB_SIZE, TinyRobot, TinyShape, attention_fields, transformer_fields, with_changes

TEMPLATE = Path(__file__).with_suffix(".json")
"""File name -> the JSON of a tiny checkpoint with the default shape."""

SMALL_PATCH = 16
"""Side of a patch of the small model's images in pixels."""

SMALL: Mapping[str, Any] = {
    "image_size": 64,
    "patch_size": SMALL_PATCH,
    "vision_layers": 2,
    "vision_width": 96,
    "text_layers": 1,
    "text_width": 64,
    "dit_layers": 4,
    "dit_width": 96,
    "num_future_tokens": 1,
}
"""Shape of a GR00T N1.5 that learns on two CPU cores, see :class:`TinyN15`: 0.99 M parameters.

Two SigLIP layers, 96 wide, over 16 patches of 16 px per 64 px image; one Qwen3 layer and one layer of VL
self-attention, 64 wide; four DiT blocks, 96 wide.
"""


def small_image_size(height: int, width: int) -> int:
    """Side of the small model's images for a camera: its shorter side down to whole patches, 32 to 128 px."""
    return min(max(min(height, width) // SMALL_PATCH * SMALL_PATCH, 2 * SMALL_PATCH), 8 * SMALL_PATCH)


@dataclass(frozen=True)
class TinyN15(TinyShape):
    """Two SigLIP layers, the first two of four Qwen3 layers, one layer of VL self-attention, four DiT blocks.

    Two query heads of the language model share a head of keys and values; VL self-attention has ``text_heads``, too.

    Raises:
        ValueError: ``image_size`` is no multiple of the patch size, or heads do not divide a width.
    """

    SPECIAL_TOKENS: ClassVar[tuple[str, ...]] = (
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<img>",
        "</img>",
        EagleBackbone.IMAGE_TOKEN,
    )

    image_size: int = 56
    horizon: int = 16
    max_state_dim: int = 64
    max_action_dim: int = 32
    vision_layers: int = 2
    vision_heads: int = 4
    text_layers: int = 2

    patch_size: int = 14
    """Side of a patch of the vision model in pixels."""

    vision_width: int = 48
    """Width of the vision model; its MLPs are twice as wide."""

    dit_width: int = 64
    """Width of the diffusion transformer; its MLPs are four times as wide."""

    num_future_tokens: int = 4
    """Learned tokens between state and actions."""

    def __post_init__(self) -> None:
        if self.image_size < self.patch_size or self.image_size % self.patch_size:
            raise ValueError(
                f"image_size is {self.image_size}; expected a positive multiple of the patch size {self.patch_size}"
            )
        self.check_divisors({"vision_heads": "vision_width", "text_heads": "text_width", "dit_heads": "dit_width"})

    def check(self, robot: TinyRobot) -> None:
        if robot.embodiment_tag not in EMBODIMENT_SLOTS:
            raise ValueError(
                f"embodiment_tag is {robot.embodiment_tag!r}; expected one of {', '.join(EMBODIMENT_SLOTS)}, because "
                "a GR00T N1.5 does not say its slots itself"
            )
        super().check(robot)

    def files(self, robot: TinyRobot, token_ids: Mapping[str, int]) -> dict[str, dict[str, Any]]:
        width, heads, dit_width = self.text_width, self.text_heads, self.dit_width
        head = self.head_fields(width) | {
            "action_dim": self.max_action_dim,
            "diffusion_model_cfg": attention_fields(self.dit_layers, self.dit_heads, dit_width // self.dit_heads)
            | {"cross_attention_dim": width, "output_dim": dit_width},
            "hidden_size": dit_width,
            "input_embedding_dim": dit_width,
            "num_target_vision_tokens": self.num_future_tokens,
            "vl_self_attention_cfg": attention_fields(self.vl_layers, heads, width // heads),
        }
        changes: dict[str, dict[str, Any]] = {
            CONFIG_FILE: {
                "action_dim": self.max_action_dim,
                "action_head_cfg": head,
                "action_horizon": self.horizon,
                "backbone_cfg": {"select_layer": self.text_layers},
                "hidden_size": width,
            },
            EAGLE_CONFIG_FILE: {
                "force_image_size": self.image_size,
                "image_token_index": token_ids[EagleBackbone.IMAGE_TOKEN],
                # more layers than backbone_cfg.select_layer keeps, as in the published model
                "text_config": transformer_fields(self.text_layers + 2, width, heads)
                | {"num_key_value_heads": heads // 2, "head_dim": width // heads, "vocab_size": VOCAB_SIZE},
                "vision_config": transformer_fields(self.vision_layers, self.vision_width, self.vision_heads)
                | {"image_size": self.image_size, "patch_size": self.patch_size},
            },
        }
        cameras = {name: Camera() for name in robot.video_keys}
        metadata = robot_metadata(robot.embodiment_tag, robot.statistics(), cameras)
        return with_changes(read_json(TEMPLATE), changes) | {METADATA_FILE: {robot.embodiment_tag: metadata}}

    def unused_shapes(self, backbone: Backbone) -> dict[str, tuple[int, ...]]:
        assert isinstance(backbone, EagleBackbone)
        vision_head, lm_head = EagleBackbone.UNUSED_PREFIXES
        with torch.device("meta"):
            pooling = SiglipMultiheadAttentionPoolingHead(backbone.vision_model.config)
        shapes = {vision_head + name: tuple(parameter.shape) for name, parameter in pooling.named_parameters()}
        return shapes | {lm_head + "weight": (backbone.vocab_size, backbone.feature_dim)}
