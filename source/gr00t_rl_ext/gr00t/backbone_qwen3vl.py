# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Qwen3-VL, the vision-language backbone of GR00T N1.7 (Cosmos-Reason2-2B): its ViT and the first layers of its LLM.

The modules are those of transformers, without what GR00T never uses: the output layer (58 GFLOP per call) and the final
norm, because the feature is the output of the last kept layer before it.

Sources: Qwen3-VL, arXiv 2511.21631; DeepStack, arXiv 2406.04334.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Qwen3VLTextConfig, Qwen3VLTextModel, Qwen3VLVisionConfig, Qwen3VLVisionModel
from transformers.models.qwen3_vl.modeling_qwen3_vl import (
    Qwen3VLTextRotaryEmbedding,
    Qwen3VLVisionRotaryEmbedding,
    apply_rotary_pos_emb_vision,
)
from transformers.vision_utils import get_vision_bilinear_indices_and_weights, get_vision_position_ids

from .backbone import Backbone, attend_patches, perceptron, read_config, read_text_config
from .checkpoint import (
    CONFIG_FILE,
    PROCESSOR_FILE,
    Gr00tCheckpointError,
    read_json,
    require_supported,
    required_fields,
)
from .config_fields import check_backbone_fields
from .processor_options import read_processor_options
from .prompts import PROMPTS, formalized

BACKBONE_CONFIG_FILE = "backbone/config.json"
"""In a checkpoint whose backbone does not have the dims of the published one, which keeps no such file."""

PUBLISHED_QWEN3VL_CONFIG: Mapping[str, Any] = {
    "image_token_id": 151655,
    "vision_config": {
        "deepstack_visual_indexes": [5, 11, 17],
        "depth": 24,
        "hidden_act": "gelu_pytorch_tanh",
        "hidden_size": 1024,
        "in_channels": 3,
        "intermediate_size": 4096,
        "num_heads": 16,
        "num_position_embeddings": 2304,
        "out_hidden_size": 2048,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    },
    "text_config": {
        "attention_bias": False,
        "head_dim": 128,
        "hidden_act": "silu",
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "max_position_embeddings": 262144,
        "num_attention_heads": 16,
        "num_hidden_layers": 28,
        "num_key_value_heads": 8,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {
            "mrope_interleaved": True,
            "mrope_section": [24, 20, 20],
            "rope_theta": 5000000,
            "rope_type": "default",
        },
        "vocab_size": 151936,
    },
}
"""Dims of the backbone in ``nvidia/GR00T-N1.7-3B``. A test adds its parameters up to the published count."""

MIN_IMAGE_SIZE = 256
"""Qwen3-VL's image processor enlarges images of fewer than 256 x 256 pixels."""


class Qwen3VLBackbone(Backbone):
    """Qwen3-VL without final norm and output layer.

    All images of a batch have one size, so attention inside an image is one batched call. (transformers' own forward
    loops over the images in every layer, because there they may differ in size.)
    """

    CHECKPOINT_PREFIXES: ClassVar[Mapping[str, str]] = {
        "visual.": "model.model.visual.",
        "language_model.": "model.model.language_model.",
    }
    UNUSED_PREFIXES: ClassVar[tuple[str, ...]] = (
        "backbone.model.lm_head.",
        "backbone.model.model.language_model.norm.",
    )
    IMAGE_TOKEN: ClassVar[str] = PROMPTS["N1.7"].image_token
    PUBLISHED_TOKENIZER: ClassVar[str] = "nvidia/Cosmos-Reason2-2B"

    def __init__(self, config: Mapping[str, Any], directory: Path, attn_implementation: str) -> None:
        super().__init__(config, directory, attn_implementation)
        file = directory / BACKBONE_CONFIG_FILE
        qwen = read_json(file) if file.is_file() else PUBLISHED_QWEN3VL_CONFIG
        require_supported(
            ("backbone_model_type", config.get("backbone_model_type", "qwen"), "qwen"),
            ("reproject_vision", config.get("reproject_vision", False), False),
        )
        files = f"{CONFIG_FILE}, {BACKBONE_CONFIG_FILE} or {PROCESSOR_FILE} in {str(directory)!r}"
        with required_fields(files, "the backbone"):
            options = read_processor_options(config, directory)
            published = PUBLISHED_QWEN3VL_CONFIG
            check_backbone_fields(BACKBONE_CONFIG_FILE, qwen, published)
            vision = read_config(Qwen3VLVisionConfig, "vision_config", qwen, published, attn_implementation)
            text = read_text_config(Qwen3VLTextConfig, qwen, published, attn_implementation, config["select_layer"])
            self.patch_size = int(qwen["vision_config"]["patch_size"])
            self.temporal_patch_size = int(qwen["vision_config"]["temporal_patch_size"])
            self.image_token_index = qwen["image_token_id"]
            self.image_recipe = options.image_recipe()
        self.visual = Qwen3VLVisionModel(vision)
        self.language_model = Qwen3VLTextModel(text)
        self.language_model.norm = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
        self.merge_size = vision.spatial_merge_size
        unit = self.patch_size * self.merge_size
        if self.image_size < MIN_IMAGE_SIZE or self.image_size % unit:
            raise Gr00tCheckpointError(
                f"the checkpoint's image size is {self.image_size}; expected a multiple of {unit} that is at least "
                f"{MIN_IMAGE_SIZE}, which Qwen3-VL's image processor leaves as it is"
            )
        self.feature_dim = text.hidden_size
        self.tokens_per_image = (self.image_size // unit) ** 2
        self.vocab_size = text.vocab_size
        self.formalize_language = options.formalize_language
        self.vision_layer: Callable[..., Tensor] = _vision_layer
        # DeepStack level i is added after layer i, and nothing is added after the last layer
        self.first_cut = min(len(vision.deepstack_visual_indexes), text.num_hidden_layers - 1)

    def materialize_buffers(self, device: torch.device) -> None:
        vision = self.visual.config
        with torch.device(device):
            # half of a head's channels rotate with the row, half with the column
            self.visual.rotary_pos_emb = Qwen3VLVisionRotaryEmbedding(vision.hidden_size // vision.num_heads // 2)
        self.language_model.rotary_emb = Qwen3VLTextRotaryEmbedding(self.language_model.config, device=device)

    def prompt(self, instruction: str, num_images: int) -> str:
        instruction = formalized(instruction) if self.formalize_language else instruction
        return PROMPTS["N1.7"].text(instruction, num_images, self.tokens_per_image)

    def patchify(self, images: Tensor) -> Tensor:
        """Normalised images (N, C, H, W) -> patches (N, H W / p^2, C x T x p x p) in the order of Qwen3-VL's processor.

        The ``merge_size`` x ``merge_size`` patches that one token stands for are adjacent. A still image fills all T
        frames of a patch.
        """
        patch, merge = self.patch_size, self.merge_size
        batch, channels, height, width = images.shape
        rows, columns = height // (patch * merge), width // (patch * merge)
        x = images.reshape(batch, channels, rows, merge, patch, columns, merge, patch)
        x = x.permute(0, 2, 5, 3, 6, 1, 4, 7).unsqueeze(6)
        x = x.expand(-1, -1, -1, -1, -1, -1, self.temporal_patch_size, -1, -1)
        return x.reshape(batch, rows * columns * merge**2, -1)

    def grid(self, image_grid_thw: Tensor | None, pixel_values: Tensor | None = None) -> tuple[int, int]:
        unit = self.patch_size * self.merge_size
        if image_grid_thw is None:
            height, width = (self.image_size, self.image_size) if pixel_values is None else pixel_values.shape[-2:]
            return height // unit, width // unit
        grids = {tuple(grid) for grid in image_grid_thw.tolist()}
        if len(grids) != 1 or next(iter(grids))[0] != 1:
            raise ValueError(
                f"image_grid_thw holds {sorted(grids)}; expected still images of one size, that is, one (1, rows, "
                "columns)"
            )
        _, rows, columns = grids.pop()
        return rows // self.merge_size, columns // self.merge_size

    def patches(self, pixel_values: Tensor, grid: tuple[int, int]) -> Tensor:
        if pixel_values.ndim == 4:
            return self.patchify(pixel_values)
        return pixel_values.unflatten(0, (-1, grid[0] * grid[1] * self.merge_size**2))

    def image_features(self, images: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Sequence[Tensor]]:
        visual = self.visual
        # on the CPU, because these functions read the grid's values
        thw = torch.tensor([[1, *(side * self.merge_size for side in grid)]], device="cpu")
        indices, weights = get_vision_bilinear_indices_and_weights(thw, visual.num_grid_per_side, self.merge_size)
        places = get_vision_position_ids(thw, self.merge_size).to(images.device)

        projection = visual.patch_embed.proj
        # the convolution's stride is its kernel: a linear layer, which is the faster kernel
        x = F.linear(images.to(projection.weight.dtype), projection.weight.flatten(1), projection.bias)
        positions = visual.pos_embed(indices.to(x.device)) * weights.to(x.device)[..., None]
        x = x + positions.sum(0).to(x.dtype)
        angles = visual.rotary_pos_emb(places)
        angles = torch.cat([angles, angles], dim=-1)
        rotation = (angles.cos(), angles.sin())

        levels = []
        for index, block in enumerate(visual.blocks):
            x = self.run_block(self.vision_layer, block, x, rotation)
            if index in visual.deepstack_visual_indexes:
                level = list(visual.deepstack_visual_indexes).index(index)
                levels.append(visual.deepstack_merger_list[level](x.flatten(0, 1)))
        return visual.merger(x.flatten(0, 1)), levels[: self.first_cut]

    def position_ids(self, image_mask: Tensor, attention_mask: Tensor, grid: tuple[int, int]) -> Tensor:
        """Temporal, row and column position of each token, (3, B, S).

        The tokens of an image share one temporal position p and lie at rows and columns p, p + 1, ...; the text after
        it goes on at p plus the longer side. Padding counts for nothing and lies at 0.

        Args:
            image_mask: (B, S) bool.
            attention_mask: (B, S) bool.
            grid: Rows and columns of image tokens.
        """
        rows, columns = grid
        order = (image_mask.long().cumsum(1) - 1) % (rows * columns)
        starts = image_mask & (order == 0)
        step = torch.where(image_mask, starts * max(grid), 1) * attention_mask
        begin = step.cumsum(1) - step
        begin = torch.where(image_mask & ~starts, begin - max(grid), begin)
        row, column = (order // columns) * image_mask, (order % columns) * image_mask
        return torch.stack([begin, begin + row, begin + column]) * attention_mask

    def compile_layers(self, **options: Any) -> None:
        """Compile the layers of the language model and those of the vision model, whose rotations are many kernels."""
        super().compile_layers(**options)
        self.vision_layer = torch.compile(self.vision_layer, **options)

    @property
    def unreached(self) -> tuple[str, ...]:
        mergers = range(self.first_cut, len(self.visual.deepstack_visual_indexes))
        return tuple(f"visual.deepstack_merger_list.{index}." for index in mergers)


def _vision_layer(block: Any, x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """One block of the vision model, (N, P, width) -> (N, P, width)."""
    x = x + _image_attention(block.attn, block.norm1(x), rotation)
    return x + perceptron(block.mlp.linear_fc1, block.mlp.act_fn, block.mlp.linear_fc2, block.norm2(x))


def _image_attention(attention: Any, x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Attention among the patches of each image, (N, P, width) -> (N, P, width)."""
    query, key, value = attention.qkv(x).unflatten(-1, (3, attention.num_heads, -1)).unbind(2)
    query, key = apply_rotary_pos_emb_vision(query, key, *rotation)
    return attention.proj(attend_patches(attention, query, key, value, attention.scaling))
