# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Qwen3-VL, the vision-language backbone of GR00T N1.7 (Cosmos-Reason2-2B): its ViT and the first layers of its LLM.

The modules are those of transformers, without what GR00T never uses: the output layer (58 GFLOP per call) and the final
norm, because the feature is the output of the last kept layer before it.

Sources: Qwen3-VL, arXiv 2511.21631; DeepStack, arXiv 2406.04334.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Qwen3VLTextConfig, Qwen3VLTextModel, Qwen3VLVisionConfig, Qwen3VLVisionModel
from transformers.masking_utils import create_causal_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.qwen3_vl.modeling_qwen3_vl import (
    Qwen3VLTextRotaryEmbedding,
    Qwen3VLVisionRotaryEmbedding,
    apply_rotary_pos_emb_vision,
    eager_attention_forward,
)
from transformers.vision_utils import get_vision_bilinear_indices_and_weights, get_vision_position_ids

from .backbone import Backbone, Gr00tFeatures, ImageRecipe, check_kept_layers, image_rows
from .checkpoint import (
    CONFIG_FILE,
    PROCESSOR_FILE,
    Gr00tCheckpointError,
    read_json,
    require_supported,
    required_fields,
)
from .linear_gelu import linear_gelu

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
    IMAGE_TOKEN: ClassVar[str] = "<|image_pad|>"
    PUBLISHED_TOKENIZER: ClassVar[str] = "nvidia/Cosmos-Reason2-2B"

    def __init__(
        self,
        vision_config: Mapping[str, Any],
        text_config: Mapping[str, Any],
        *,
        num_text_layers: int,
        image_token_index: int,
        image_size: int,
        image_recipe: ImageRecipe,
        formalize_language: bool,
        attn_implementation: str,
    ) -> None:
        super().__init__()
        vision = _vision_config(vision_config, attn_implementation)
        text = _text_config(text_config, num_text_layers, attn_implementation)
        self.visual = Qwen3VLVisionModel(vision)
        self.language_model = Qwen3VLTextModel(text)
        self.language_model.norm = nn.Identity()  # pyright: ignore[reportAttributeAccessIssue]
        self.patch_size = int(vision_config["patch_size"])
        self.temporal_patch_size = int(vision_config["temporal_patch_size"])
        self.merge_size = vision.spatial_merge_size
        unit = self.patch_size * self.merge_size
        if image_size < MIN_IMAGE_SIZE or image_size % unit:
            raise Gr00tCheckpointError(
                f"the checkpoint's image size is {image_size}; expected a multiple of {unit} that is at least "
                f"{MIN_IMAGE_SIZE}, which Qwen3-VL's image processor leaves as it is"
            )
        self.feature_dim = text.hidden_size
        self.image_size = image_size
        self.image_recipe = image_recipe
        self.tokens_per_image = (image_size // unit) ** 2
        self.image_token_index = image_token_index
        self.vocab_size = text.vocab_size
        self.formalize_language = formalize_language
        self.vision_layer: Callable[..., Tensor] = _vision_layer
        self.first_cut = self._num_levels

    @classmethod
    def from_checkpoint(cls, config: Mapping[str, Any], directory: Path, attn_implementation: str) -> Qwen3VLBackbone:
        file = directory / BACKBONE_CONFIG_FILE
        qwen = read_json(file) if file.is_file() else PUBLISHED_QWEN3VL_CONFIG
        processor = directory / PROCESSOR_FILE
        # the processor's own file is what GR00T's inference reads; config.json repeats it as of the training run
        images = {**config, **(read_json(processor).get("processor_kwargs", {}) if processor.is_file() else {})}
        require_supported(
            ("reproject_vision", config.get("reproject_vision", False), False),
            ("letter_box_transform", images.get("letter_box_transform", False), False),
        )
        with required_fields(f"{CONFIG_FILE} or {BACKBONE_CONFIG_FILE} in {str(directory)!r}", "the backbone"):
            size, recipe = _image_recipe(images)
            return cls(
                qwen["vision_config"],
                qwen["text_config"],
                num_text_layers=config["select_layer"],
                image_token_index=qwen["image_token_id"],
                image_size=size,
                image_recipe=recipe,
                formalize_language=images["formalize_language"],
                attn_implementation=attn_implementation,
            )

    def materialize_buffers(self, device: torch.device) -> None:
        vision = self.visual.config
        with torch.device(device):
            # half of a head's channels rotate with the row, half with the column
            self.visual.rotary_pos_emb = Qwen3VLVisionRotaryEmbedding(vision.hidden_size // vision.num_heads // 2)
        self.language_model.rotary_emb = Qwen3VLTextRotaryEmbedding(self.language_model.config, device=device)

    def prompt(self, instruction: str, num_images: int) -> str:
        if self.formalize_language:
            instruction = re.sub(r"[^\w\s]", "", instruction.lower())
        image = f"<|vision_start|>{self.IMAGE_TOKEN * self.tokens_per_image}<|vision_end|>"
        return f"<|im_start|>user\n{image * num_images}{instruction}<|im_end|>\n"

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

    def image_features(self, patches: Tensor, grid: tuple[int, int]) -> tuple[Tensor, list[Tensor]]:
        """Image tokens and, per DeepStack level, what is added to them after the first layers of the LLM.

        Args:
            patches: From :meth:`patchify`, (N, h w, C x T x p x p).
            grid: Rows h and columns w of patches.

        Returns:
            Tokens (N h w / merge_size^2, D), and a list of tensors of that shape.
        """
        visual = self.visual
        # on the CPU, because these functions read the grid's values
        thw = torch.tensor([[1, *grid]], device="cpu")
        indices, weights = get_vision_bilinear_indices_and_weights(thw, visual.num_grid_per_side, self.merge_size)
        places = get_vision_position_ids(thw, self.merge_size).to(patches.device)

        projection = visual.patch_embed.proj
        # the convolution's stride is its kernel: a linear layer, which is the faster kernel
        x = F.linear(patches.to(projection.weight.dtype), projection.weight.flatten(1), projection.bias)
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
        return visual.merger(x.flatten(0, 1)), levels

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
    def _num_levels(self) -> int:
        """DeepStack levels in use: level i is added after layer i, and nothing is added after the last layer."""
        return min(len(self.visual.deepstack_visual_indexes), len(self.language_model.layers) - 1)

    @property
    def unreached(self) -> tuple[str, ...]:
        mergers = range(self._num_levels, len(self.visual.deepstack_visual_indexes))
        return tuple(f"visual.deepstack_merger_list.{index}." for index in mergers)

    def hidden_states(
        self,
        pixel_values: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        image_grid_thw: Tensor | None = None,
        *,
        layer: int,
    ) -> Tensor:
        self.check_cut(layer)
        if image_grid_thw is None:
            grid = (pixel_values.shape[-2] // self.patch_size, pixel_values.shape[-1] // self.patch_size)
            patches = self.patchify(pixel_values)
        else:
            grid = _common_grid(image_grid_thw)
            patches = pixel_values.unflatten(0, (-1, grid[0] * grid[1]))
        tokens_per_image = grid[0] * grid[1] // self.merge_size**2
        self.check_image_tokens(input_ids, patches.shape[0], tokens_per_image)
        images, levels = self.image_features(patches, grid)
        image_mask = input_ids == self.image_token_index
        images = images.unflatten(0, (-1, tokens_per_image))
        embeds = self.place_images(self.language_model.embed_tokens(input_ids), input_ids, images)
        return self._run_layers(embeds, image_mask, attention_mask, slice(0, layer), grid, levels)

    def features(
        self,
        hidden: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        image_grid_thw: Tensor | None = None,
        *,
        layer: int,
    ) -> Gr00tFeatures:
        self.check_cut(layer)
        image_mask = input_ids == self.image_token_index
        if layer < len(self.language_model.layers):
            side = self.image_size // self.patch_size
            grid = (side, side) if image_grid_thw is None else _common_grid(image_grid_thw)
            hidden = self._run_layers(hidden, image_mask, attention_mask, slice(layer, None), grid)
        mask = torch.ones_like(image_mask) if attention_mask is None else attention_mask.bool()
        return Gr00tFeatures(tokens=hidden, attention_mask=mask, image_mask=image_mask)

    def _run_layers(
        self,
        hidden: Tensor,
        image_mask: Tensor,
        attention_mask: Tensor | None,
        layers: slice,
        grid: tuple[int, int],
        levels: Sequence[Tensor] = (),
    ) -> Tensor:
        """Some layers of the language model, (B, S, D) -> (B, S, D); ``grid`` in patches, ``levels`` of DeepStack."""
        model = self.language_model
        mask = torch.ones_like(image_mask) if attention_mask is None else attention_mask.bool()
        tokens = (grid[0] // self.merge_size, grid[1] // self.merge_size)
        causal_mask = create_causal_mask(
            config=model.config,
            inputs_embeds=hidden,
            attention_mask=attention_mask,
            past_key_values=None,
            position_ids=None,
        )
        rotation = model.rotary_emb(hidden, self.position_ids(image_mask, mask, tokens))
        for index, block in list(enumerate(model.layers))[layers]:
            hidden = self.run_block(
                block, hidden, attention_mask=causal_mask, position_ids=None, position_embeddings=rotation
            )
            if index < min(len(levels), self._num_levels):
                added = image_rows(levels[index], image_mask).to(hidden.dtype)
                hidden = torch.where(image_mask[..., None], hidden + added, hidden)
        return hidden


def _vision_layer(block: Any, x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """One block of the vision model, (N, P, width) -> (N, P, width)."""
    x = x + _image_attention(block.attn, block.norm1(x), rotation)
    return x + _perceptron(block.mlp, block.norm2(x), block.attn.config.hidden_act)


def _perceptron(mlp: Any, x: Tensor, activation: str) -> Tensor:
    """Two linear layers with an activation in between, (N, P, width) -> (N, P, width)."""
    is_gelu = activation == "gelu_pytorch_tanh"
    return mlp.linear_fc2(linear_gelu(mlp.linear_fc1, x) if is_gelu else mlp.act_fn(mlp.linear_fc1(x)))


def _image_attention(attention: Any, x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Attention among the patches of each image, (N, P, width) -> (N, P, width)."""
    query, key, value = attention.qkv(x).unflatten(-1, (3, attention.num_heads, -1)).unbind(2)
    query, key = apply_rotary_pos_emb_vision(query, key, *rotation)
    attend = ALL_ATTENTION_FUNCTIONS.get_interface(attention.config._attn_implementation, eager_attention_forward)
    heads_first = (t.transpose(1, 2) for t in (query, key, value))
    out, _ = attend(attention, *heads_first, attention_mask=None, scaling=attention.scaling, is_causal=False)
    return attention.proj(out.flatten(2))


def _common_grid(image_grid_thw: Tensor) -> tuple[int, int]:
    grids = {tuple(grid) for grid in image_grid_thw.tolist()}
    if len(grids) != 1 or next(iter(grids))[0] != 1:
        raise ValueError(
            f"image_grid_thw holds {sorted(grids)}; expected still images of one size, that is, one (1, rows, columns)"
        )
    _, rows, columns = grids.pop()
    return rows, columns


def _image_recipe(fields: Mapping[str, Any]) -> tuple[int, ImageRecipe]:
    """Side of the image and how it is made, from the processor's fields.

    GR00T N1.7 resizes, crops the centre and resizes again. ``shortest_image_edge`` and ``crop_fraction`` take the place
    of ``image_target_size`` and ``image_crop_size`` where they are set.
    """
    edge, fraction = fields.get("shortest_image_edge"), fields.get("crop_fraction")
    target: Sequence[int] = [edge, edge] if edge is not None else fields["image_target_size"]
    if target[0] != target[1]:
        raise Gr00tCheckpointError(f"the checkpoint's image_target_size is {list(target)}; expected a square")
    if fraction is None:
        crop = fields["image_crop_size"]
        if crop[0] != crop[1]:
            raise Gr00tCheckpointError(f"the checkpoint's image_crop_size is {list(crop)}; expected a square")
        # relative to image_target_size even where shortest_image_edge replaces it
        fraction = crop[0] / (fields.get("image_target_size") or target)[0]
    area = fields.get("use_albumentations", fields.get("use_albumentations_transforms", True))
    return target[0], ImageRecipe(
        interpolation="area" if area else "bilinear",
        crop_scale=fraction,
        resize_before_crop=True,
        # with an edge only, the aspect ratio is kept, so that other images would not become squares
        square_only=edge is not None,
    )


def _vision_config(fields: Mapping[str, Any], attn_implementation: str) -> Qwen3VLVisionConfig:
    config = Qwen3VLVisionConfig(**{name: fields[name] for name in PUBLISHED_QWEN3VL_CONFIG["vision_config"]})
    config._attn_implementation = attn_implementation
    return config


def _text_config(fields: Mapping[str, Any], num_layers: int, attn_implementation: str) -> Qwen3VLTextConfig:
    check_kept_layers(num_layers, fields["num_hidden_layers"])
    read: dict[str, Any] = {name: fields[name] for name in PUBLISHED_QWEN3VL_CONFIG["text_config"]}
    read["num_hidden_layers"] = num_layers
    # a copy, which transformers completes; no dropout, whatever the checkpoint has: see dit.py
    read["rope_parameters"] = dict(read["rope_parameters"])
    config = Qwen3VLTextConfig(**read, attention_dropout=0.0, use_cache=False)
    config._attn_implementation = attn_implementation
    return config
