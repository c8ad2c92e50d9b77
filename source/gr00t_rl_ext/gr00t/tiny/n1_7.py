# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The files of a tiny GR00T N1.7."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..backbone import Backbone
from ..backbone_qwen3vl import BACKBONE_CONFIG_FILE, MIN_IMAGE_SIZE, Qwen3VLBackbone
from ..checkpoint import read_json
from .spec import VOCAB_SIZE, TinyRobot, TinyShape, attention_fields, transformer_fields

TEMPLATE = Path(__file__).with_suffix(".json")
"""File name -> the JSON of a tiny checkpoint with the default shape."""

SIDE = 32
"""Pixels that a token of an image is wide: patches of 16, two of which are merged."""

SLOTS: Mapping[str, int] = {"simpler_env_google": 0, "simpler_env_widowx": 1, "libero_sim": 2, "new_embodiment": 10}
"""Some of the published slots. A tag that is none of them has the last slot."""


@dataclass(frozen=True)
class TinyN17(TinyShape):
    """Shape of a tiny N1.7. The defaults keep layers above those that DeepStack adds to, as the published model does.

    The heads of vision model and language model are 16 wide.

    Raises:
        ValueError: A value is not possible, or does not fit another; the message says which.
    """

    SPECIAL_TOKENS: ClassVar[tuple[str, ...]] = (
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<|vision_start|>",
        "<|vision_end|>",
        Qwen3VLBackbone.IMAGE_TOKEN,
        "<|video_pad|>",
    )

    image_size: int = 256
    horizon: int = 40
    max_state_dim: int = 132
    max_action_dim: int = 132
    vision_layers: int = 4
    vision_heads: int = 2
    text_layers: int = 4

    deepstack: Sequence[int] = (0, 2)
    """Vision layers whose output is added after the first, second, ... layer of the language model (DeepStack)."""

    text_kv_heads: int = 2
    """Key and value heads of the language model."""

    vl_heads: int = 4
    """Attention heads of VL self-attention."""

    dit_head_dim: int = 12
    """Width of an attention head of the diffusion transformer."""

    attend_text_every_n_blocks: int = 2
    """Of every n blocks that attend to the features, one sees text, the others images."""

    def __post_init__(self) -> None:
        if self.image_size < MIN_IMAGE_SIZE or self.image_size % SIDE:
            raise ValueError(
                f"image_size is {self.image_size}; expected a multiple of {SIDE} that is at least {MIN_IMAGE_SIZE}"
            )
        levels = list(self.deepstack)
        if levels != sorted(set(levels)) or not all(0 <= level < self.vision_layers for level in levels):
            raise ValueError(
                f"deepstack is {levels}; expected rising indices of the {self.vision_layers} vision layers"
            )
        self.check_divisors({"text_kv_heads": "text_heads", "vl_heads": "text_width"})

    def files(self, robot: TinyRobot, token_ids: Mapping[str, int]) -> dict[str, dict[str, Any]]:
        width = self.text_width
        # which config.json repeats from the processor's
        images = {"image_crop_size": [self.image_size * 230 // 256] * 2, "image_target_size": [self.image_size] * 2}
        config = {
            "attend_text_every_n_blocks": self.attend_text_every_n_blocks,
            "diffusion_model_cfg": attention_fields(self.dit_layers, self.dit_heads, self.dit_head_dim)
            | {"output_dim": width},
            "hidden_size": width,
            "input_embedding_dim": self.dit_heads * self.dit_head_dim,
            "select_layer": self.text_layers,
            "vl_self_attention_cfg": attention_fields(self.vl_layers, self.vl_heads, width // self.vl_heads),
        }
        backbone = {
            "image_token_id": token_ids[Qwen3VLBackbone.IMAGE_TOKEN],
            # more layers than are kept, as in the published model
            "text_config": transformer_fields(self.text_layers + 2, width, self.text_heads)
            | {"num_key_value_heads": self.text_kv_heads, "vocab_size": VOCAB_SIZE},
            "video_token_id": token_ids["<|video_pad|>"],
            "vision_config": {
                "deepstack_visual_indexes": list(self.deepstack),
                "depth": self.vision_layers,
                "hidden_size": 16 * self.vision_heads,
                "intermediate_size": 32 * self.vision_heads,
                "num_heads": self.vision_heads,
                "out_hidden_size": width,
            },
            "vision_end_token_id": token_ids["<|vision_end|>"],
            "vision_start_token_id": token_ids["<|vision_start|>"],
        }
        return self.files_with_processor(
            read_json(TEMPLATE),
            robot,
            backbone={BACKBONE_CONFIG_FILE: backbone},
            head=config,
            images=images,
            slots=SLOTS,
        )

    def unused_shapes(self, backbone: Backbone) -> dict[str, tuple[int, ...]]:
        lm_head, final_norm = Qwen3VLBackbone.UNUSED_PREFIXES
        return {
            lm_head + "weight": (backbone.vocab_size, backbone.feature_dim),
            final_norm + "weight": (backbone.feature_dim,),
        }
