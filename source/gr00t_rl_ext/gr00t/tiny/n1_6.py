# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The files of a tiny GR00T N1.6."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from transformers.models.siglip2.modeling_siglip2 import Siglip2MultiheadAttentionPoolingHead

from ..backbone import Backbone
from ..backbone_eagle import EAGLE_CONFIG_FILE
from ..backbone_eagle3 import MERGE, Eagle3Backbone
from ..checkpoint import read_json
from ..slots import N1_6_SLOTS
from .n1_5 import TinyN15
from .spec import VOCAB_SIZE, TinyRobot, TinyShape, attention_fields, transformer_fields

TEMPLATE = Path(__file__).with_suffix(".json")
"""File name -> the JSON of a tiny checkpoint with the default shape."""

PATCH = 14
"""Side of a patch of the vision model in pixels."""


@dataclass(frozen=True)
class TinyN16(TinyShape):
    """Two SigLIP 2 layers, the first two of four Qwen3 layers, four DiT blocks, no VL self-attention.

    Raises:
        ValueError: ``image_size`` is no whole number of tokens, or heads do not divide a width.
    """

    SPECIAL_TOKENS: ClassVar[tuple[str, ...]] = TinyN15.SPECIAL_TOKENS

    image_size: int = 56
    horizon: int = 16
    max_state_dim: int = 128
    max_action_dim: int = 128
    vision_layers: int = 2
    vision_heads: int = 4
    text_layers: int = 2
    vl_layers: int = 0

    vision_width: int = 48
    """Width of the vision model; its MLPs are twice as wide."""

    dit_head_dim: int = 12
    """Width of an attention head of the diffusion transformer."""

    attend_text_every_n_blocks: int = 2
    """Of every n blocks that attend to the features, one sees text, the others images."""

    def __post_init__(self) -> None:
        if self.image_size < MERGE * PATCH or self.image_size % (MERGE * PATCH):
            raise ValueError(
                f"image_size is {self.image_size}; expected a positive multiple of {MERGE * PATCH}, the side of a token"
            )
        if self.vl_layers:
            raise ValueError(f"vl_layers is {self.vl_layers}; GR00T N1.6 has no VL self-attention: expected 0")
        self.check_divisors({"vision_heads": "vision_width", "text_heads": "text_width"})

    def files(self, robot: TinyRobot, token_ids: Mapping[str, int]) -> dict[str, dict[str, Any]]:
        width = self.text_width
        images = {"shortest_image_edge": self.image_size}
        config = {
            "attend_text_every_n_blocks": self.attend_text_every_n_blocks,
            "diffusion_model_cfg": attention_fields(self.dit_layers, self.dit_heads, self.dit_head_dim)
            | {"output_dim": width},
            "hidden_size": width,
            "input_embedding_dim": self.dit_heads * self.dit_head_dim,
            "select_layer": self.text_layers,
        }
        eagle = {
            "image_token_index": token_ids[Eagle3Backbone.IMAGE_TOKEN],
            # more layers than are kept, as in the published model
            "text_config": transformer_fields(self.text_layers + 2, width, self.text_heads)
            | {
                "num_key_value_heads": self.text_heads // 2,
                "head_dim": width // self.text_heads,
                "vocab_size": VOCAB_SIZE,
            },
            "vision_config": transformer_fields(self.vision_layers, self.vision_width, self.vision_heads)
            | {"patch_size": PATCH},
        }
        return self.files_with_processor(
            read_json(TEMPLATE),
            robot,
            backbone={EAGLE_CONFIG_FILE: eagle},
            head=config,
            images=images,
            slots=N1_6_SLOTS,
        )

    def unused_shapes(self, backbone: Backbone) -> dict[str, tuple[int, ...]]:
        assert isinstance(backbone, Eagle3Backbone)
        vision_head, lm_head = Eagle3Backbone.UNUSED_PREFIXES
        with torch.device("meta"):
            pooling = Siglip2MultiheadAttentionPoolingHead(backbone.vision_model.config)
        shapes = {vision_head + name: tuple(parameter.shape) for name, parameter in pooling.named_parameters()}
        token = {"action_head.mask_token": (1, 1, self.dit_heads * self.dit_head_dim)}
        return shapes | token | {lm_head + "weight": (backbone.vocab_size, backbone.feature_dim)}
