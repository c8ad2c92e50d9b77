# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Eagle 3, the vision-language backbone of GR00T N1.6: SigLIP 2 so400m, a perceptron, the first layers of Qwen3 1.7B.

The modules are those of transformers, without what GR00T never uses: SigLIP's pooling head (15.2 M parameters) and the
language model's output layer (311 M parameters).

Sources: SigLIP 2, arXiv 2502.14786; ``Eagle-Block2A-2B-v2`` in NVIDIA/Isaac-GR00T, branch n1.6.1-release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Qwen3Config, Qwen3Model, Siglip2VisionConfig, Siglip2VisionModel
from transformers.models.qwen3.modeling_qwen3 import Qwen3RotaryEmbedding

from .backbone import Backbone, read_config, read_text_config
from .backbone_eagle import EAGLE_CONFIG_FILE, PUBLISHED_EAGLE_CONFIG, EagleBackbone
from .checkpoint import CONFIG_FILE, Gr00tCheckpointError, read_json, require_supported, required_fields
from .config_fields import check_backbone_fields
from .processor_options import read_processor_options
from .prompts import PROMPTS, formalized
from .siglip import run_layer

PUBLISHED_EAGLE3_CONFIG: Mapping[str, Any] = {
    "image_token_index": 151669,
    "downsample_ratio": 0.5,
    "vision_config": {
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 27,
        "num_attention_heads": 16,
        "num_channels": 3,
        "num_patches": 256,
        "patch_size": 14,
        "layer_norm_eps": 1e-6,
        "hidden_act": "gelu_pytorch_tanh",
    },
    "text_config": PUBLISHED_EAGLE_CONFIG["text_config"],
}
"""Dims of the backbone in ``nvidia/GR00T-N1.6-3B``. A test adds its parameters up to the published count."""

MERGE = 2
"""Patches of an image token in either direction."""


class Eagle3Backbone(Backbone):
    """SigLIP 2 -> four patches to one token -> perceptron -> Qwen3 without output layer.

    The table of positions of SigLIP 2 is resized to the image's grid, so that images may have any whole number of
    tokens. The feature is the output of the language model's final norm.
    """

    CHECKPOINT_PREFIXES: ClassVar[Mapping[str, str]] = {
        "vision_model.": "model.vision_model.vision_model.",
        "mlp1.": "model.mlp1.",
        "language_model.": "model.language_model.model.",
    }
    UNUSED_PREFIXES: ClassVar[tuple[str, ...]] = (
        "backbone.model.vision_model.vision_model.head.",
        "backbone.model.language_model.lm_head.",
    )
    IMAGE_TOKEN: ClassVar[str] = PROMPTS["N1.6"].image_token
    PUBLISHED_TOKENIZER: ClassVar[str] = EagleBackbone.PUBLISHED_TOKENIZER

    def __init__(self, config: Mapping[str, Any], directory: Path, attn_implementation: str) -> None:
        super().__init__(config, directory, attn_implementation)
        file = directory / EAGLE_CONFIG_FILE
        eagle = read_json(file) if file.is_file() else PUBLISHED_EAGLE3_CONFIG
        with required_fields(f"{CONFIG_FILE} or {EAGLE_CONFIG_FILE} in {str(directory)!r}", "the backbone"):
            of_vision = eagle["vision_config"]
            require_supported(
                ("backbone_model_type", config["backbone_model_type"], "eagle"),
                ("reproject_vision", config["reproject_vision"], False),
                ("select_layer of the vision model", eagle.get("select_layer", -1), -1),
                ("downsample_ratio", eagle["downsample_ratio"], 1 / MERGE),
                ("use_pixel_shuffle", eagle.get("use_pixel_shuffle", True), True),
                ("mlp_connector_layers", eagle.get("mlp_connector_layers", 2), 2),
                ("use_rope", of_vision.get("use_rope", False), False),
                ("use_windows_attn", of_vision.get("use_windows_attn", False), False),
            )
            published = PUBLISHED_EAGLE3_CONFIG
            check_backbone_fields(
                EAGLE_CONFIG_FILE,
                eagle,
                (*published, "select_layer", "use_pixel_shuffle", "mlp_connector_layers"),
            )
            # no dropout, whatever the checkpoint has: see dit.py
            changes = {"attention_dropout": 0.0, "vision_use_head": False}
            vision = read_config(Siglip2VisionConfig, "vision_config", eagle, published, attn_implementation, **changes)
            text = read_text_config(Qwen3Config, eagle, published, attn_implementation, config["select_layer"])
            options = read_processor_options(config, directory)
            self.image_token_index = eagle["image_token_index"]
            self.patch_size = int(of_vision["patch_size"])
            self.image_recipe = options.image_recipe(unit=MERGE * self.patch_size)
        if not self.image_size:
            raise Gr00tCheckpointError(
                f"the checkpoint's image edge is {self.image_recipe.edge}; expected at least {MERGE * self.patch_size}"
            )
        self.vision_model = Siglip2VisionModel(vision)
        width, merged = text.hidden_size, vision.hidden_size * MERGE**2
        # the published keys are mlp1.0, mlp1.1 and mlp1.3
        self.mlp1 = nn.Sequential(nn.LayerNorm(merged), nn.Linear(merged, width), nn.GELU(), nn.Linear(width, width))
        self.language_model = Qwen3Model(text)
        self.feature_dim = width
        self.tokens_per_image = (self.image_size // (MERGE * self.patch_size)) ** 2
        self.vocab_size = text.vocab_size
        self.formalize_language = options.formalize_language

    def materialize_buffers(self, device: torch.device) -> None:
        self.language_model.rotary_emb = Qwen3RotaryEmbedding(self.language_model.config, device=device)  # pyright: ignore[reportArgumentType]

    def prompt(self, instruction: str, num_images: int) -> str:
        instruction = formalized(instruction) if self.formalize_language else instruction
        return PROMPTS["N1.6"].text(instruction, num_images, self.tokens_per_image)

    def image_features(self, images: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Sequence[Tensor]]:
        vision = self.vision_model
        projection = vision.embeddings.patch_embedding
        rows, columns = (side * MERGE for side in grid)
        # a patch lies as rows, columns, colours here
        patches = images.unflatten(3, (columns, -1)).unflatten(2, (rows, -1)).permute(0, 2, 4, 3, 5, 1)
        hidden = projection(patches.flatten(3).flatten(1, 2).to(projection.weight.dtype))
        hidden = hidden + self._positions(rows, columns).to(hidden.dtype)
        for layer in vision.encoder.layers:
            hidden = self.run_block(run_layer, layer, hidden)
        hidden = vision.post_layernorm(hidden)
        merged = F.pixel_unshuffle(hidden.mT.unflatten(2, (rows, columns)), MERGE).flatten(2).mT
        return self.mlp1(merged).flatten(0, 1), ()

    def _positions(self, rows: int, columns: int) -> Tensor:
        """Table of positions for a grid of patches, (rows x columns, width)."""
        table = self.vision_model.embeddings.position_embedding.weight
        side = self.vision_model.embeddings.position_embedding_size
        # in float32, since antialiasing knows no lower precision on a CPU
        square = table.float().T.unflatten(1, (side, side))[None]
        resized = F.interpolate(square, (rows, columns), mode="bilinear", align_corners=False, antialias=True)
        return resized[0].flatten(1).T

    def grid(self, image_grid_thw: Tensor | None, pixel_values: Tensor | None = None) -> tuple[int, int]:
        if image_grid_thw is not None:
            raise ValueError("GR00T N1.6 takes its grid from the images: image_grid_thw must be None")
        unit = MERGE * self.patch_size
        height, width = (self.image_size, self.image_size) if pixel_values is None else pixel_values.shape[-2:]
        if height % unit or width % unit:
            raise ValueError(f"images have {height} x {width} pixels; expected multiples of {unit}")
        return height // unit, width // unit

    def position_ids(self, image_mask: Tensor, attention_mask: Tensor, grid: tuple[int, int]) -> Tensor:
        return torch.arange(image_mask.shape[1], device=image_mask.device)[None]
