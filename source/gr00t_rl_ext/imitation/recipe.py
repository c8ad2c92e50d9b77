# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What keeps a GR00T from learning its demonstrations by heart: what GR00T's authors fine-tune with, or nothing.

Read in NVIDIA/Isaac-GR00T. N1.5: ``gr00t/experiment/data_config.py``, ``gr00t/data/transform/video.py``,
``gr00t/model/action_head/cross_attention_dit.py``. N1.6 and N1.7: ``gr00t/configs/finetune_config.py``,
``gr00t/model/gr00t_n1d6/image_augmentations.py``, ``examples/LIBERO``.

The model itself has no dropout, since reinforcement learning could not be computed with it (see ``gr00t/dit.py``). Here
it is hung into the layers while a step of fine-tuning runs, at NVIDIA's places.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.transforms.v2 import ColorJitter

from gr00t_rl_ext.gr00t import Gr00tModel
from gr00t_rl_ext.gr00t.images import ImageRecipe, ImageTransform
from gr00t_rl_ext.gr00t.weights import CheckpointWeights
from gr00t_rl_ext.imitation.sft_options import MAX_SMALL_PARAMETERS, RECIPES

NVIDIA, AUGMENT, SMALL = RECIPES

COLOR_JITTER = {"brightness": 0.3, "contrast": 0.4, "saturation": 0.5, "hue": 0.08}
"""Of all data configs of N1.5, and of the examples of N1.6 and N1.7."""

_MASK_TOKEN = "action_head.mask_token"


@dataclass(frozen=True)
class Recipe:
    """What is done to samples and layers while a step runs."""

    name: str

    train: tuple[str, ...]
    """Parts of GR00T that train, where the user names none."""

    dropout: Mapping[str, float]
    """Stack of transformer blocks, as its parameters are named -> probability; as the checkpoint's config says."""

    final_dropout: Mapping[str, bool]
    """Stack -> whether what attention and feed-forward give is dropped as well."""

    state_dropout: float
    """Probability that a sample is not told its state."""

    augments: bool
    """Whether images are cropped at random, as much as in evaluations, and their colours changed."""

    def describe(self) -> str:
        """What it does, for a table."""
        if self.name == SMALL:
            return "small: no dropout, images as in evaluations"
        if self.name == AUGMENT:
            return "augment: random crop and colours, no dropout"
        rates = ", ".join(f"{stack.split('.')[1]} {rate:g}" for stack, rate in self.dropout.items() if rate)
        return f"nvidia: dropout ({rates or 'none'}; state {self.state_dropout:g}), random crop and colours"


def recipe_for(model: Gr00tModel, name: str | None = None) -> Recipe:
    """A recipe as it is for a model.

    Args:
        model: Whose config tells the probabilities.
        name: One of :data:`~.sft_options.RECIPES`. None: the first for models of more than
            :data:`~.sft_options.MAX_SMALL_PARAMETERS`, else the last.
    """
    if name is None:
        name = NVIDIA if sum(parameter.numel() for parameter in model.parameters()) > MAX_SMALL_PARAMETERS else SMALL
    if name != NVIDIA:
        return Recipe(name, ("projector", "dit"), {}, {}, 0.0, name == AUGMENT)
    raw = model.config.raw
    head = raw.get("action_head_cfg", raw)
    stacks = {"action_head.model": "diffusion_model_cfg", "action_head.vl_self_attention": "vl_self_attention_cfg"}
    configs: dict[str, dict[str, Any]] = {stack: head.get(key) or {} for stack, key in stacks.items()}
    # N1.7's fine-tuning sets it, whatever the checkpoint has
    state = max(float(head.get("state_dropout_prob") or 0.0), 0.2 if model.version == "N1.7" else 0.0)
    return Recipe(
        NVIDIA,
        ("projector", "dit", "vl_self_attention"),
        {stack: float(config.get("dropout") or 0.0) for stack, config in configs.items()},
        {stack: bool(config.get("final_dropout", True)) for stack, config in configs.items()},
        state,
        True,
    )


class AugmentedImages(ImageTransform):
    """A recipe of images with a random crop in place of the centre, and with random colours.

    All cameras of a sample are changed alike, as NVIDIA's transforms do it. A recipe without a crop stays without one.

    Args:
        recipe: Of evaluations.
    """

    def __init__(self, recipe: ImageRecipe) -> None:
        super().__init__(recipe)
        self._jitter = ColorJitter(**COLOR_JITTER)
        self._corners = torch.empty(0, 2)
        self._seeds: list[int] = []

    def draw(self, rng: np.random.Generator, count: int) -> None:
        """Draw how the next ``count`` samples are changed."""
        self._corners = torch.from_numpy(rng.random((count, 2)))
        self._seeds = rng.integers(2**62, size=count).tolist()

    def __call__(self, images: Tensor) -> Tensor:
        """As :class:`ImageTransform`, of one camera of the samples that were drawn for."""
        assert len(images) == len(self._seeds), "draw() tells how each is changed"
        x = super().__call__(images)
        with torch.random.fork_rng([x.device] if x.is_cuda else []):
            # one after the other, since each has colours of its own; torchvision draws them on the CPU
            for row, seed in enumerate(self._seeds):
                torch.manual_seed(seed)
                x[row] = self._jitter(x[row])
        return (x * 255).round() / 255

    def _crop(self, x: Tensor) -> Tensor:
        height, width = super()._crop(x[:1]).shape[-2:]
        room = torch.tensor([x.shape[-2] - height + 1, x.shape[-1] - width + 1])
        corners = (self._corners * room).long().tolist()
        rows = zip(x, corners, strict=True)
        return torch.stack([image[:, top : top + height, left : left + width] for image, (top, left) in rows])


class Regularization:
    """Applies a recipe while steps run.

    Args:
        recipe: The recipe.
        model: Of which layers drop.
    """

    def __init__(self, recipe: Recipe, model: Gr00tModel) -> None:
        self.recipe = recipe
        self._model = model
        self._mask_token: Tensor | float = 0.0
        if recipe.state_dropout:
            weights = CheckpointWeights(model.config.source)
            if _MASK_TOKEN in weights.keys():
                self._mask_token = weights.read(_MASK_TOKEN).to(model.device)
        device = model.device
        self._generator = torch.Generator(device if device.type == "cuda" else "cpu")
        # once: a large model has thousands of modules to look through
        self._hooked = list(self._hooks())

    @contextmanager
    def active(self, rng: np.random.Generator) -> Iterator[None]:
        """Layers drop while the block runs.

        Args:
            rng: Decides what is dropped; it draws one number, whatever the recipe.
        """
        self._generator.manual_seed(int(rng.integers(2**62)))
        hooks = [layer.register_forward_hook(hook) for layer, hook in self._hooked]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _hooks(self) -> Iterator[tuple[nn.Module, Callable[..., Tensor]]]:
        for stack, rate in self.recipe.dropout.items():
            if not rate:
                continue
            final = self.recipe.final_dropout[stack]
            once, twice = self._drop(rate), self._drop(rate, times=2)
            # diffusers' blocks: to_out = (linear, dropout), then final_dropout; ff = (GELU, dropout, linear, final)
            for name, layer in self._model.named_modules():
                if not name.startswith(f"{stack}.transformer_blocks."):
                    continue
                if re.search(r"\.attn1\.to_out\.0$", name):
                    yield layer, twice if final else once
                elif name.endswith(".ff.net.0") or (final and name.endswith(".ff.net.2")):
                    yield layer, once
        if self.recipe.state_dropout:
            yield self._model.action_head.state_encoder, self._drop_states

    def _drop(self, rate: float, times: int = 1) -> Callable[..., Tensor]:
        def hook(_: nn.Module, __: Any, out: Tensor) -> Tensor:
            for _time in range(times):
                kept = torch.rand(out.shape, generator=self._generator, device=self._generator.device) >= rate
                out = out * kept.to(out.device) / (1 - rate)
            return out

        return hook

    def _drop_states(self, _: nn.Module, __: Any, out: Tensor) -> Tensor:
        drawn = torch.rand(len(out), 1, 1, generator=self._generator, device=self._generator.device)
        dropped = (drawn < self.recipe.state_dropout).to(out.device, out.dtype)
        token = self._mask_token.to(out.dtype) if isinstance(self._mask_token, Tensor) else self._mask_token
        return out * (1 - dropped) + token * dropped
