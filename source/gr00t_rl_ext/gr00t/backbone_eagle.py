# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Eagle, the vision-language backbone of GR00T N1.5: SigLIP so400m, one linear layer, the first layers of Qwen3 1.7B.

The modules are those of transformers, without what GR00T never uses: SigLIP's pooling head (15.2 M parameters) and
the language model's output layer (311 M parameters, 184 GFLOP per call).

Sources: Eagle 2.5, arXiv 2504.15271; the ``eagle_2_5_vl`` config published with GR00T N1.5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Qwen3Config, Qwen3Model, SiglipVisionConfig, SiglipVisionModel
from transformers.models.qwen3.modeling_qwen3 import Qwen3RotaryEmbedding

from .backbone import Backbone, read_config, read_text_config
from .checkpoint import CONFIG_FILE, Gr00tCheckpointError, read_json, require_supported, required_fields
from .config_fields import check_backbone_fields
from .images import ImageRecipe
from .prompts import PROMPTS
from .siglip import patchify, run_layer

EAGLE_CONFIG_FILE = "eagle_config.json"
"""Beside ``config.json`` where a checkpoint's dims are not those of the published one, which keeps no such file."""

PUBLISHED_EAGLE_CONFIG: Mapping[str, Any] = {
    "image_token_index": 151669,
    "select_layer": -1,
    "vision_config": {
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "num_channels": 3,
        "image_size": 224,
        "patch_size": 14,
        "layer_norm_eps": 1e-6,
        "hidden_act": "gelu_pytorch_tanh",
    },
    "text_config": {
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151680,
        "rms_norm_eps": 1e-6,
        "rope_theta": 1000000,
        "max_position_embeddings": 40960,
        "attention_bias": False,
        "hidden_act": "silu",
    },
}
"""Dims of the backbone in ``nvidia/GR00T-N1.5-3B``. A test adds its parameters up to the published count."""


class EagleBackbone(Backbone):
    """SigLIP -> linear -> Qwen3 without output layer.

    Two layers are selected, with different conventions:

    - vision, ``select_layer`` of the Eagle config: -1 is the output of ``post_layernorm``; k >= 0 is the hidden state
      after k encoder layers, before that norm;
    - language, ``backbone_cfg.select_layer`` of GR00T's config: the number of layers kept. The feature is the output
      of the final norm.
    """

    CHECKPOINT_PREFIXES: ClassVar[Mapping[str, str]] = {
        "vision_model.": "eagle_model.vision_model.vision_model.",
        "mlp1.": "eagle_model.mlp1.",
        "language_model.": "eagle_model.language_model.model.",
    }
    UNUSED_PREFIXES: ClassVar[tuple[str, ...]] = (
        "backbone.eagle_model.vision_model.vision_model.head.",
        "backbone.eagle_model.language_model.lm_head.",
    )
    IMAGE_TOKEN: ClassVar[str] = PROMPTS["N1.5"].image_token
    PUBLISHED_TOKENIZER: ClassVar[str] = "lerobot/eagle2hg-processor-groot-n1p5"

    def __init__(self, config: Mapping[str, Any], directory: Path, attn_implementation: str) -> None:
        super().__init__(config, directory, attn_implementation)
        file = directory / EAGLE_CONFIG_FILE
        eagle = read_json(file) if file.is_file() else PUBLISHED_EAGLE_CONFIG
        with required_fields(f"{CONFIG_FILE} or {EAGLE_CONFIG_FILE} in {str(directory)!r}", "the backbone"):
            backbone = config["backbone_cfg"]
            require_supported(
                ("project_to_dim", backbone.get("project_to_dim"), None),
                ("reproject_vision", backbone.get("reproject_vision", False), False),
                ("use_pixel_shuffle", eagle.get("use_pixel_shuffle", False), False),
                ("mlp_connector_layers", eagle.get("mlp_connector_layers", 1), 1),
            )
            published = PUBLISHED_EAGLE_CONFIG
            check_backbone_fields(
                EAGLE_CONFIG_FILE,
                eagle,
                (*published, "use_pixel_shuffle", "mlp_connector_layers", "downsample_ratio"),
            )
            # no dropout, whatever the checkpoint has: see dit.py
            changes = {"attention_dropout": 0.0, "vision_use_head": False}
            vision = read_config(SiglipVisionConfig, "vision_config", eagle, published, attn_implementation, **changes)
            text = read_text_config(Qwen3Config, eagle, published, attn_implementation, backbone["select_layer"])
            image_size, self.patch_size = (int(eagle["vision_config"][k]) for k in ("image_size", "patch_size"))
            self.vision_select_layer, self.image_token_index = eagle["select_layer"], eagle["image_token_index"]
        depth = vision.num_hidden_layers
        if not -depth - 1 <= self.vision_select_layer <= depth:
            raise Gr00tCheckpointError(
                f"the Eagle config's select_layer is {self.vision_select_layer}, but the vision model has {depth} "
                f"layers; expected -1 (after the last norm) or 0 to {depth}"
            )
        self.vision_model = SiglipVisionModel(vision)
        # a list of one, because the published key is "mlp1.0"
        self.mlp1 = nn.ModuleList([nn.Linear(vision.hidden_size, text.hidden_size)])
        self.language_model = Qwen3Model(text)
        self.feature_dim = text.hidden_size
        self.image_recipe = ImageRecipe((image_size, image_size), truncates=True)
        self.tokens_per_image = (image_size // self.patch_size) ** 2
        self.vocab_size = text.vocab_size

    def materialize_buffers(self, device: torch.device) -> None:
        embeddings = self.vision_model.embeddings
        embeddings.register_buffer(
            "position_ids", torch.arange(embeddings.num_positions, device=device)[None], persistent=False
        )
        self.language_model.rotary_emb = Qwen3RotaryEmbedding(self.language_model.config, device=device)  # pyright: ignore[reportArgumentType]

    def prompt(self, instruction: str, num_images: int) -> str:
        return PROMPTS["N1.5"].text(instruction, num_images, self.tokens_per_image)

    def image_features(self, images: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Sequence[Tensor]]:
        vision = self.vision_model
        projection = vision.embeddings.patch_embedding
        # the convolution's stride is its kernel: a linear layer, which is the faster kernel
        patches = patchify(images.to(projection.weight.dtype), projection.kernel_size[0])
        hidden = F.linear(patches, projection.weight.flatten(1), projection.bias)
        hidden = hidden + vision.embeddings.position_embedding.weight
        layers = vision.encoder.layers
        # hidden states are counted from the embeddings, 0, to the last layer, which -1 names as well
        depth = self.vision_select_layer % (len(layers) + 1)
        for layer in list(layers)[:depth]:
            hidden = self.run_block(run_layer, layer, hidden)
        if self.vision_select_layer == -1:
            hidden = vision.post_layernorm(hidden)
        return self.mlp1[0](hidden).flatten(0, 1), ()

    @property
    def unreached(self) -> tuple[str, ...]:
        if self.vision_select_layer == -1:
            return ()
        layers = self.vision_model.encoder.layers
        depth = self.vision_select_layer % (len(layers) + 1)
        skipped = tuple(f"vision_model.encoder.layers.{index}." for index in range(depth, len(layers)))
        return ("vision_model.post_layernorm.", *skipped)

    def grid(self, image_grid_thw: Tensor | None, pixel_values: Tensor | None = None) -> tuple[int, int]:
        if image_grid_thw is not None:
            raise ValueError("GR00T N1.5 takes images of one fixed size: image_grid_thw must be None")
        side = self.image_size // self.patch_size
        return side, side

    def position_ids(self, image_mask: Tensor, attention_mask: Tensor, grid: tuple[int, int]) -> Tensor:
        return torch.arange(image_mask.shape[1], device=image_mask.device)[None]
