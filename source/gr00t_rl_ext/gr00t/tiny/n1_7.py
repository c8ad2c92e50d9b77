# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The files of a tiny GR00T N1.7."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from ..backbone import Backbone
from ..backbone_qwen3vl import BACKBONE_CONFIG_FILE, MIN_IMAGE_SIZE, Qwen3VLBackbone
from ..checkpoint import CONFIG_FILE, PROCESSOR_FILE
from ..embodiment import SLOTS_FILE, STATISTICS_FILE
from .spec import NUM_SLOTS, VOCAB_SIZE, TinyRobot, TinyShape

PATCH_SIZE, MERGE_SIZE, TEMPORAL_PATCH_SIZE = 16, 2, 2
TEXT_HEAD_DIM = 16

SLOTS: Mapping[str, int] = {"simpler_env_google": 0, "simpler_env_widowx": 1, "libero_sim": 2, "new_embodiment": 10}
"""Some of the published slots. A tag that is none of them has the last slot."""


@dataclass(frozen=True)
class TinyN17(TinyShape):
    """Shape of a tiny N1.7. The defaults keep layers above those that DeepStack adds to, as the published model does.

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
    """Layers of the vision model."""

    vision_heads: int = 2
    """Its attention heads, 16 wide each."""

    deepstack: Sequence[int] = (0, 2)
    """Vision layers whose output is added after the first, second, ... layer of the language model (DeepStack)."""

    text_layers: int = 4
    """Layers of the language model that are kept; it has two more."""

    text_width: int = 64
    """Width of the language model and of the features."""

    text_heads: int = 4
    """Its query heads, 16 wide each."""

    text_kv_heads: int = 2
    """Its key and value heads."""

    vl_layers: int = 1
    """Layers of VL self-attention."""

    vl_heads: int = 4
    """Its attention heads."""

    dit_layers: int = 4
    """Blocks of the DiT; every second attends to itself."""

    dit_heads: int = 4
    """Its attention heads."""

    dit_head_dim: int = 12
    """Width of one of them."""

    attend_text_every_n_blocks: int = 2
    """Of every n blocks that attend to the features, one sees text, the others images."""

    def __post_init__(self) -> None:
        unit = PATCH_SIZE * MERGE_SIZE
        if self.image_size < MIN_IMAGE_SIZE or self.image_size % unit:
            raise ValueError(
                f"image_size is {self.image_size}; expected a multiple of {unit} that is at least {MIN_IMAGE_SIZE}"
            )
        levels = list(self.deepstack)
        if levels != sorted(set(levels)) or not all(0 <= level < self.vision_layers for level in levels):
            raise ValueError(
                f"deepstack is {levels}; expected rising indices of the {self.vision_layers} vision layers"
            )
        for name, whole, part in (
            ("text_kv_heads", "text_heads", self.text_heads / self.text_kv_heads),
            ("vl_heads", "text_width", self.text_width / self.vl_heads),
        ):
            if not part.is_integer():
                raise ValueError(
                    f"{name} is {getattr(self, name)}; expected a divisor of {whole} = {getattr(self, whole)}"
                )

    def files(self, robot: TinyRobot, token_ids: Mapping[str, int]) -> dict[str, dict[str, Any]]:
        return {
            CONFIG_FILE: self._config(),
            BACKBONE_CONFIG_FILE: self._backbone_config(token_ids),
            PROCESSOR_FILE: self._processor_config(robot),
            STATISTICS_FILE: {robot.embodiment_tag: robot.statistics()},
            SLOTS_FILE: {robot.embodiment_tag: NUM_SLOTS - 1} | dict(SLOTS),
        }

    def _images(self) -> dict[str, Any]:
        """Fields on images that config.json repeats from the processor's."""
        return {
            "crop_fraction": None,
            "image_crop_size": [self.image_size * 230 // 256] * 2,
            "image_target_size": [self.image_size] * 2,
            "random_rotation_angle": None,
            "shortest_image_edge": None,
        }

    def _config(self) -> dict[str, Any]:
        attention = {"dropout": 0.2, "final_dropout": True, "positional_embeddings": None}
        return (
            self.head_fields(self.text_width)
            | self._images()
            | {
                "apply_sincos_state_encoding": False,
                "architectures": ["Gr00tN1d7"],
                "attend_text_every_n_blocks": self.attend_text_every_n_blocks,
                "attn_dropout": 0.2,
                "backbone_model_type": "qwen",
                "backbone_trainable_params_fp32": True,
                "color_jitter_params": None,
                "diffusion_model_cfg": attention
                | {
                    "attention_head_dim": self.dit_head_dim,
                    "interleave_self_attention": True,
                    "norm_type": "ada_norm",
                    "num_attention_heads": self.dit_heads,
                    "num_layers": self.dit_layers,
                    "output_dim": self.text_width,
                },
                "dtype": "float32",
                "exclude_state": False,
                "extra_augmentation_config": None,
                "formalize_language": True,
                "hidden_size": self.text_width,
                "input_embedding_dim": self.dit_heads * self.dit_head_dim,
                "load_bf16": False,
                "model_name": Qwen3VLBackbone.PUBLISHED_TOKENIZER,
                "model_revision": None,
                "model_type": "Gr00tN1d7",
                "reproject_vision": False,
                "rtc_ramp_rate": 6.0,
                "select_layer": self.text_layers,
                "state_dropout_prob": 0.2,
                "state_history_length": 1,
                "transformers_version": "5.10.4",
                "tune_llm": False,
                "tune_top_llm_layers": 0,
                "tune_visual": False,
                "tune_vlln": True,
                "use_albumentations_transforms": True,
                "use_alternate_vl_dit": True,
                "use_flash_attention": False,
                "use_mean_std": False,
                "use_percentiles": True,
                "use_relative_action": False,
                "vl_self_attention_cfg": attention
                | {
                    "attention_head_dim": self.text_width // self.vl_heads,
                    "num_attention_heads": self.vl_heads,
                    "num_layers": self.vl_layers,
                },
            }
        )

    def _backbone_config(self, token_ids: Mapping[str, int]) -> dict[str, Any]:
        vision_width = 16 * self.vision_heads
        frequencies = TEXT_HEAD_DIM // 2
        spatial = frequencies * 20 // 64
        return {
            "image_token_id": token_ids[Qwen3VLBackbone.IMAGE_TOKEN],
            "model_type": "qwen3_vl",
            "text_config": {
                "attention_bias": False,
                "attention_dropout": 0.0,
                "head_dim": TEXT_HEAD_DIM,
                "hidden_act": "silu",
                "hidden_size": self.text_width,
                "initializer_range": 0.02,
                "intermediate_size": 2 * self.text_width,
                "max_position_embeddings": 4096,
                "model_type": "qwen3_vl_text",
                "num_attention_heads": self.text_heads,
                # more than are kept, as in the published model
                "num_hidden_layers": self.text_layers + 2,
                "num_key_value_heads": self.text_kv_heads,
                "rms_norm_eps": 1e-6,
                "rope_parameters": {
                    "mrope_interleaved": True,
                    # time, rows, columns; 24, 20, 20 of 64 in the published model
                    "mrope_section": [frequencies - 2 * spatial, spatial, spatial],
                    "rope_theta": 5000000,
                    "rope_type": "default",
                },
                "tie_word_embeddings": True,
                "use_cache": True,
                "vocab_size": VOCAB_SIZE,
            },
            "tie_word_embeddings": True,
            "video_token_id": token_ids["<|video_pad|>"],
            "vision_config": {
                "deepstack_visual_indexes": list(self.deepstack),
                "depth": self.vision_layers,
                "hidden_act": "gelu_pytorch_tanh",
                "hidden_size": vision_width,
                "in_channels": 3,
                "initializer_range": 0.02,
                "intermediate_size": 2 * vision_width,
                "model_type": "qwen3_vl_vision",
                "num_heads": self.vision_heads,
                # a grid of 12 x 12, interpolated to that of the image
                "num_position_embeddings": 144,
                "out_hidden_size": self.text_width,
                "patch_size": PATCH_SIZE,
                "spatial_merge_size": MERGE_SIZE,
                "temporal_patch_size": TEMPORAL_PATCH_SIZE,
            },
            "vision_end_token_id": token_ids["<|vision_end|>"],
            "vision_start_token_id": token_ids["<|vision_start|>"],
        }

    def _processor_config(self, robot: TinyRobot) -> dict[str, Any]:
        absolute = {"rep": "ABSOLUTE", "type": "NON_EEF", "format": "DEFAULT", "state_key": None}
        modalities = {
            "video": {"delta_indices": [0], "modality_keys": list(robot.video_keys), "action_configs": None},
            "state": {"delta_indices": [0], "modality_keys": list(robot.state_keys), "action_configs": None},
            "action": {
                "delta_indices": list(range(self.horizon)),
                "modality_keys": list(robot.action_keys),
                "action_configs": [absolute] * len(robot.action_keys),
            },
        }
        options = {
            "apply_sincos_state_encoding": False,
            "clip_outliers": True,
            "formalize_language": True,
            "letter_box_transform": False,
            "max_action_dim": self.max_action_dim,
            "max_action_horizon": self.horizon,
            "max_state_dim": self.max_state_dim,
            "modality_configs": {robot.embodiment_tag: modalities},
            "model_name": Qwen3VLBackbone.PUBLISHED_TOKENIZER,
            "model_type": "qwen",
            "use_albumentations": True,
            "use_mean_std": False,
            "use_percentiles": True,
            "use_relative_action": False,
        }
        return {"processor_class": "Gr00tN1d7Processor", "processor_kwargs": self._images() | options}

    def unused_shapes(self, backbone: Backbone) -> dict[str, tuple[int, ...]]:
        lm_head, final_norm = Qwen3VLBackbone.UNUSED_PREFIXES
        return {
            lm_head + "weight": (backbone.vocab_size, backbone.feature_dim),
            final_norm + "weight": (backbone.feature_dim,),
        }
