# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What every vision-language backbone of GR00T offers to the rest of the package.

A version of GR00T is one subclass in a file of its own (``backbone_eagle``: N1.5, ``backbone_qwen3vl``: N1.7) and one
row in ``model``'s table.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from transformers.activations import GELUTanh
from transformers.masking_utils import create_causal_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.siglip.modeling_siglip import eager_attention_forward

from .checkpoint import Gr00tCheckpointError
from .config_fields import check_backbone_fields
from .images import ImageRecipe
from .linear_gelu import linear_gelu
from .recompute import Recomputing


@dataclass(frozen=True)
class Gr00tFeatures:
    """Output of the vision-language backbone: what is cached per decision while the backbone is frozen."""

    tokens: Tensor
    """Features (B, S, D) of the prompt's tokens, image tokens included."""

    attention_mask: Tensor
    """(B, S) bool, True for real tokens, False for padding."""

    image_mask: Tensor | None = None
    """(B, S) bool, True for image tokens; None where they were not recorded."""

    padding_mask: Tensor | None = None
    """(B, S) bool, True for positions that only fill up a batch of prompts of different lengths. The head does not see
    them, unlike the padding of ``attention_mask``, to which GR00T's head attends. None: there are none."""


def image_rows(images: Tensor, image_mask: Tensor) -> Tensor:
    """Rows (N, D) of image tokens, in the order of the sequences, at their positions (B, S, D).

    At positions where ``image_mask`` (B, S) is False stands any row. ``masked_scatter`` would count the positions in
    every channel anew.
    """
    order = image_mask.flatten().cumsum(0) - 1
    return images[order.clamp(min=0).view_as(image_mask)]


def read_config[Config](
    kind: Callable[..., Config],
    section: str,
    fields: Mapping[str, Any],
    published: Mapping[str, Any],
    attn_implementation: str,
    **changes: Any,
) -> Config:
    """A config of transformers: the fields of a section that the published config has there, and changes to them.

    Raises:
        Gr00tCheckpointError: The section has others, which ask for another network.
    """
    # copies, because transformers completes some of them
    read = copy.deepcopy({name: fields[section][name] for name in published[section]}) | changes
    config = kind(**read, attn_implementation=attn_implementation)
    check_backbone_fields(f"the backbone's {section}", fields[section], read, config)
    return config


def read_text_config[Config](
    kind: Callable[..., Config],
    fields: Mapping[str, Any],
    published: Mapping[str, Any],
    attn_implementation: str,
    kept: int,
) -> Config:
    """Likewise ``text_config``, of a language model of which ``kept`` layers are kept; without dropout, see ``dit``.

    Raises:
        Gr00tCheckpointError: It has fewer layers than that, or none are kept.
    """
    layers = fields["text_config"]["num_hidden_layers"]
    if not 1 <= kept <= layers:
        raise Gr00tCheckpointError(
            f"select_layer is {kept}, but the language model has {layers} layers; expected 1 to {layers}"
        )
    changes = {"num_hidden_layers": kept, "attention_dropout": 0.0, "use_cache": False}
    return read_config(kind, "text_config", fields, published, attn_implementation, **changes)


def attend_patches(attention: Any, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
    """Attention among the patches of each image, (N, P, heads, head_dim) each -> (N, P, width)."""
    attend = ALL_ATTENTION_FUNCTIONS.get_interface(attention.config._attn_implementation, eager_attention_forward)
    heads_first = (t.transpose(1, 2) for t in (query, key, value))
    out, _ = attend(attention, *heads_first, attention_mask=None, scaling=scaling, is_causal=False)
    return out.flatten(2)


def perceptron(first: nn.Module, activation: nn.Module, second: nn.Module, x: Tensor) -> Tensor:
    """Two linear layers with an activation in between, (N, P, width) -> (N, P, width)."""
    return second(linear_gelu(first, x) if isinstance(activation, GELUTanh) else activation(first(x)))


class Backbone(Recomputing, ABC):
    """Images and an instruction -> features.

    The pass can be cut before a layer of the language model: :meth:`hidden_states` is what lies below, :meth:`features`
    what lies above. What is frozen below can be computed once and kept while the layers above are trained.
    """

    CHECKPOINT_PREFIXES: ClassVar[Mapping[str, str]]
    """Our parameter prefix -> the checkpoint's, both without the leading ``backbone.``."""

    UNUSED_PREFIXES: ClassVar[tuple[str, ...]]
    """Checkpoint keys that are legal and not read, by full prefix."""

    IMAGE_TOKEN: ClassVar[str]
    """Token of the prompt that image features replace."""

    PUBLISHED_TOKENIZER: ClassVar[str]
    """Hub id of the tokenizer, which the published weights do not come with."""

    feature_dim: int
    """Width D of the features."""

    image_recipe: ImageRecipe
    """How images are made of the size that the vision model takes, as far as the checkpoint says."""

    tokens_per_image: int
    """Image tokens per image in the prompt."""

    image_token_index: int
    """Vocabulary index of the image token."""

    vocab_size: int
    """Rows of the token embedding."""

    first_cut: int = 0
    """First layer before which the pass can be cut: below it, layers get more than hidden states."""

    language_model: Any
    """The language model, of transformers."""

    @property
    def image_size(self) -> int:
        """Side of the square input image in pixels."""
        return self.image_recipe.size[0]

    @property
    def language_layers(self) -> nn.ModuleList:
        """The layers of the language model that are kept."""
        return self.language_model.layers

    @abstractmethod
    def __init__(self, config: Mapping[str, Any], directory: Path, attn_implementation: str) -> None:
        """Build the modules, without weights, of the checkpoint in ``directory`` whose config.json is ``config``."""
        super().__init__()

    @abstractmethod
    def materialize_buffers(self, device: torch.device) -> None:
        """Compute on ``device`` the buffers that no checkpoint holds, in float32."""

    @abstractmethod
    def prompt(self, instruction: str, num_images: int) -> str:
        """The text, with image tokens, that the tokenizer gets."""

    def normalize_images(self, images: Tensor) -> Tensor:
        """Images (N, 3, image_size, image_size) in [0, 1] -> pixel values."""
        return (images - 0.5) / 0.5

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move or cast, but keep the rotary frequencies in float32: in bfloat16 their error grows with the position."""
        super()._apply(fn, recurse)
        frequencies = self.language_model.rotary_emb.inv_freq
        if frequencies.dtype != torch.float32 and not frequencies.is_meta:
            self.materialize_buffers(frequencies.device)
        return self

    @property
    def unreached(self) -> tuple[str, ...]:
        """Prefixes of parameters that no feature depends on."""
        return ()

    @abstractmethod
    def grid(self, image_grid_thw: Tensor | None, pixel_values: Tensor | None = None) -> tuple[int, int]:
        """Rows and columns of the tokens of an image, of the normal size where neither argument tells another.

        Raises:
            ValueError: Images of that grid are not possible.
        """

    def patches(self, pixel_values: Tensor, grid: tuple[int, int]) -> Tensor:
        """Pixel values in the layout that :meth:`image_features` takes, (images, ...)."""
        return pixel_values

    @abstractmethod
    def image_features(self, images: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Sequence[Tensor]]:
        """Image tokens, rows (N, D), and what is added to them after each of the first layers of the language model.

        Args:
            images: From :meth:`patches`.
            grid: Rows and columns of the tokens of an image.
        """

    @abstractmethod
    def position_ids(self, image_mask: Tensor, attention_mask: Tensor, grid: tuple[int, int]) -> Tensor:
        """Positions of the tokens for the language model's rotary embedding; masks (B, S) bool."""

    def hidden_states(
        self,
        pixel_values: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        image_grid_thw: Tensor | None = None,
        *,
        layer: int,
    ) -> Tensor:
        """What enters layer ``layer`` of the language model, (B, S, D); after the last one for their number.

        See :meth:`Gr00tModel.encode` for the other arguments.
        """
        self.check_cut(layer)
        grid = self.grid(image_grid_thw, pixel_values)
        images = self.patches(pixel_values, grid)
        self.check_image_tokens(input_ids, images.shape[0], grid[0] * grid[1])
        rows, levels = self.image_features(images, grid)
        image_mask = input_ids == self.image_token_index
        embeds = self.language_model.embed_tokens(input_ids)
        embeds = torch.where(image_mask[..., None], image_rows(rows, image_mask).to(embeds.dtype), embeds)
        return self._run_layers(range(layer), embeds, image_mask, attention_mask, grid, levels)

    def features(
        self,
        hidden: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        image_grid_thw: Tensor | None = None,
        *,
        layer: int,
    ) -> Gr00tFeatures:
        """Features from what enters layer ``layer``, as :meth:`hidden_states` gives it for the same other arguments."""
        self.check_cut(layer)
        image_mask = input_ids == self.image_token_index
        if layers := range(layer, len(self.language_layers)):
            hidden = self._run_layers(layers, hidden, image_mask, attention_mask, self.grid(image_grid_thw))
        mask = torch.ones_like(image_mask) if attention_mask is None else attention_mask.bool()
        return Gr00tFeatures(self.language_model.norm(hidden), attention_mask=mask, image_mask=image_mask)

    def _run_layers(
        self,
        layers: range,
        hidden: Tensor,
        image_mask: Tensor,
        attention_mask: Tensor | None,
        grid: tuple[int, int],
        levels: Sequence[Tensor] = (),
    ) -> Tensor:
        """Some layers of the language model, (B, S, D) -> (B, S, D); ``levels`` as from :meth:`image_features`."""
        model = self.language_model
        mask = torch.ones_like(image_mask) if attention_mask is None else attention_mask.bool()
        causal_mask = create_causal_mask(
            config=model.config,
            inputs_embeds=hidden,
            attention_mask=attention_mask,
            past_key_values=None,
            position_ids=None,
        )
        rotation = model.rotary_emb(hidden, self.position_ids(image_mask, mask, grid))
        for index in layers:
            hidden = self.run_block(
                model.layers[index],
                hidden,
                attention_mask=causal_mask,
                position_ids=None,
                position_embeddings=rotation,
            )
            if index < len(levels):
                added = image_rows(levels[index], image_mask).to(hidden.dtype)
                hidden = torch.where(image_mask[..., None], hidden + added, hidden)
        return hidden

    def compile_layers(self, **options: Any) -> None:
        """Compile the layers of the language model, in place.

        Each alone: they are alike, so that one is compiled, in seconds instead of minutes.

        Args:
            **options: Of ``torch.compile``.
        """
        for layer in self.language_layers:
            layer.compile(**options)

    def forward(
        self,
        pixel_values: Tensor,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        image_grid_thw: Tensor | None = None,
    ) -> Gr00tFeatures:
        """Features of a batch; see :meth:`Gr00tModel.encode` for the arguments."""
        layer = len(self.language_layers)
        hidden = self.hidden_states(pixel_values, input_ids, attention_mask, image_grid_thw, layer=layer)
        return self.features(hidden, input_ids, attention_mask, image_grid_thw, layer=layer)

    def check_image_tokens(self, input_ids: Tensor, num_images: int, tokens_per_image: int) -> None:
        """Refuse prompts without a place for every image token, before a GPU has work that this would wait for."""
        if torch.compiler.is_compiling() or isinstance(input_ids, FakeTensor):
            # no numbers to count
            return
        found = int((input_ids == self.image_token_index).sum())
        if found != num_images * tokens_per_image:
            raise ValueError(
                f"the prompts hold {found} image tokens (index {self.image_token_index}), but pixel_values yields "
                f"{num_images} images x {tokens_per_image} tokens; build both with the same number of cameras "
                "(Gr00tInputs does)"
            )

    def check_cut(self, layer: int) -> None:
        """Raise a ValueError where the pass cannot be cut before ``layer``."""
        last = len(self.language_layers)
        if not self.first_cut <= layer <= last:
            raise ValueError(f"the pass can be cut before layers {self.first_cut} to {last}; got {layer}")
