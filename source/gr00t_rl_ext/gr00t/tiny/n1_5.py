# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The files of a tiny GR00T N1.5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ..backbone import Backbone
from ..backbone_eagle import EAGLE_CONFIG_FILE, EagleBackbone
from ..checkpoint import CONFIG_FILE
from ..embodiment import EMBODIMENT_SLOTS, METADATA_FILE
from ..metadata import Camera, robot_metadata
from .spec import VOCAB_SIZE, TinyRobot, TinyShape


@dataclass(frozen=True)
class TinyN15(TinyShape):
    """Two SigLIP layers, the first two of four Qwen3 layers, one layer of VL self-attention, four DiT blocks.

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

    patch_size: int = 14
    """Side of a patch of the vision model in pixels."""

    vision_layers: int = 2
    """Layers of the vision model."""

    vision_width: int = 48
    """Width of the vision model; its MLPs are twice as wide."""

    vision_heads: int = 4
    """Attention heads of the vision model."""

    text_layers: int = 2
    """Layers kept of the language model. It is said to have two more, as the published one has more than are kept."""

    text_width: int = 64
    """Width of the language model and of the features; its MLPs are twice as wide."""

    text_heads: int = 4
    """Attention heads of the language model, two for each head of keys and values, and of the VL self-attention."""

    vl_layers: int = 1
    """Layers of VL self-attention."""

    dit_layers: int = 4
    """Blocks of the diffusion transformer; those that attend to the features and to themselves alternate."""

    dit_width: int = 64
    """Width of the diffusion transformer; its MLPs are four times as wide."""

    dit_heads: int = 4
    """Attention heads of the diffusion transformer."""

    num_future_tokens: int = 4
    """Learned tokens between state and actions."""

    def __post_init__(self) -> None:
        if self.image_size < self.patch_size or self.image_size % self.patch_size:
            raise ValueError(
                f"image_size is {self.image_size}; expected a positive multiple of the patch size {self.patch_size}"
            )
        for heads, width in (
            ("vision_heads", "vision_width"),
            ("text_heads", "text_width"),
            ("dit_heads", "dit_width"),
        ):
            if getattr(self, width) % getattr(self, heads):
                raise ValueError(
                    f"{heads} is {getattr(self, heads)}; expected a divisor of {width} = {getattr(self, width)}"
                )

    def check(self, robot: TinyRobot) -> None:
        if robot.embodiment_tag not in EMBODIMENT_SLOTS:
            raise ValueError(
                f"embodiment_tag is {robot.embodiment_tag!r}; expected one of {', '.join(EMBODIMENT_SLOTS)}, because "
                "a GR00T N1.5 does not say its slots itself"
            )
        super().check(robot)

    def files(self, robot: TinyRobot, token_ids: Mapping[str, int]) -> dict[str, dict[str, Any]]:
        cameras = {name: Camera() for name in robot.video_keys}
        metadata = robot_metadata(robot.embodiment_tag, robot.statistics(), cameras)
        return {
            CONFIG_FILE: self._config(),
            EAGLE_CONFIG_FILE: self._eagle_config(token_ids[EagleBackbone.IMAGE_TOKEN]),
            METADATA_FILE: {robot.embodiment_tag: metadata},
        }

    def _config(self) -> dict[str, Any]:
        attention = {"dropout": 0.2, "final_dropout": True, "positional_embeddings": None}
        return {
            "action_dim": self.max_action_dim,
            "action_head_cfg": self.head_fields(self.text_width)
            | {
                "action_dim": self.max_action_dim,
                "diffusion_model_cfg": attention
                | {
                    "attention_head_dim": self.dit_width // self.dit_heads,
                    "cross_attention_dim": self.text_width,
                    "interleave_self_attention": True,
                    "norm_type": "ada_norm",
                    "num_attention_heads": self.dit_heads,
                    "num_layers": self.dit_layers,
                    "output_dim": self.dit_width,
                },
                "hidden_size": self.dit_width,
                "input_embedding_dim": self.dit_width,
                "num_target_vision_tokens": self.num_future_tokens,
                "vl_self_attention_cfg": attention
                | {
                    "attention_head_dim": self.text_width // self.text_heads,
                    "num_attention_heads": self.text_heads,
                    "num_layers": self.vl_layers,
                },
            },
            "action_horizon": self.horizon,
            "architectures": ["GR00T_N1_5"],
            "attn_implementation": None,
            "backbone_cfg": {
                "eagle_path": "NVEagle/eagle_er-qwen3_1_7B-Siglip2_400M_stage1_5_128gpu_er_v7_1mlp_nops",
                "load_bf16": False,
                "project_to_dim": None,
                "reproject_vision": False,
                "select_layer": self.text_layers,
                "tune_llm": False,
                "tune_visual": True,
                "use_flash_attention": False,
            },
            "compute_dtype": "float32",
            "hidden_size": self.text_width,
            "model_dtype": "float32",
            "model_type": "gr00t_n1_5",
            "torch_dtype": "float32",
            "transformers_version": "4.51.3",
        }

    def _eagle_config(self, image_token_index: int) -> dict[str, Any]:
        return {
            "downsample_ratio": 0.5,
            "force_image_size": self.image_size,
            "image_token_index": image_token_index,
            "mlp_connector_layers": 1,
            "select_layer": -1,
            "template": "qwen3-chat",
            "use_pixel_shuffle": False,
            "text_config": {
                "architectures": ["Qwen3ForCausalLM"],
                "model_type": "qwen3",
                "hidden_size": self.text_width,
                "intermediate_size": 2 * self.text_width,
                # more than backbone_cfg.select_layer keeps, as in the published model
                "num_hidden_layers": self.text_layers + 2,
                "num_attention_heads": self.text_heads,
                "num_key_value_heads": self.text_heads // 2,
                "head_dim": self.text_width // self.text_heads,
                "vocab_size": VOCAB_SIZE,
                "rms_norm_eps": 1e-6,
                "rope_theta": 1000000,
                "max_position_embeddings": 4096,
                "attention_bias": False,
                "hidden_act": "silu",
                "tie_word_embeddings": True,
            },
            "vision_config": {
                "model_type": "siglip_vision_model",
                "hidden_size": self.vision_width,
                "intermediate_size": 2 * self.vision_width,
                "num_hidden_layers": self.vision_layers,
                "num_attention_heads": self.vision_heads,
                "num_channels": 3,
                "image_size": self.image_size,
                "patch_size": self.patch_size,
                "layer_norm_eps": 1e-6,
                "hidden_act": "gelu_pytorch_tanh",
            },
        }

    def unused_shapes(self, backbone: Backbone) -> dict[str, tuple[int, ...]]:
        assert isinstance(backbone, EagleBackbone)
        vision_head, lm_head = EagleBackbone.UNUSED_PREFIXES
        vision = backbone.vision_model.config
        width, inner = vision.hidden_size, vision.intermediate_size
        pooling = {
            "probe": (1, 1, width),
            "attention.in_proj_weight": (3 * width, width),
            "attention.in_proj_bias": (3 * width,),
            "attention.out_proj.weight": (width, width),
            "attention.out_proj.bias": (width,),
            "layernorm.weight": (width,),
            "layernorm.bias": (width,),
            "mlp.fc1.weight": (inner, width),
            "mlp.fc1.bias": (inner,),
            "mlp.fc2.weight": (width, inner),
            "mlp.fc2.bias": (width,),
        }
        head = (backbone.vocab_size, backbone.feature_dim)
        return {vision_head + name: shape for name, shape in pooling.items()} | {lm_head + "weight": head}
