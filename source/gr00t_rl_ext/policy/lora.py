# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Low-rank adapters in a GR00T, by peft.

Source: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", arXiv 2106.09685.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.helpers import rescale_adapter_scale
from peft.tuners.lora.layer import Linear as LoraLinear
from torch import nn


def linear_layers(model: nn.Module, prefix: str) -> list[str]:
    """Names of the linear layers below ``prefix`` (a regular expression)."""
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and re.match(prefix, name)]


def inject(model: nn.Module, adapter: str, layers: Sequence[str], rank: int, alpha: float) -> dict[str, nn.Parameter]:
    """Put an adapter beside some linear layers: ``W x`` becomes ``W x + (alpha / rank) B A x``.

    ``A`` starts at random and ``B`` at zero, so that the model computes what it computed before.

    Args:
        model: Changed in place.
        adapter: Name of the adapter.
        layers: Full names of the layers.
        rank: Rows of ``A``.
        alpha: Scale times rank.

    Returns:
        The new parameters by name, float32.
    """
    before = {id(parameter) for parameter in model.parameters()}
    pattern = "|".join(re.escape(layer) for layer in layers)
    with warnings.catch_warnings():
        # that there is another adapter already: ours are on different layers
        warnings.filterwarnings("ignore", "Already found a `peft_config`")
        inject_adapter_in_model(
            LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=pattern),  # pyright: ignore
            model,
            adapter_name=adapter,
        )
    for layer in lora_layers(model).values():
        # peft leaves only the adapter of this name active, which the layers of another one do not have
        layer.set_adapter(list(layer.lora_A))
    added = {name: parameter for name, parameter in model.named_parameters() if id(parameter) not in before}
    for parameter in added.values():
        parameter.data = parameter.data.float()
    return added


def lora_layers(model: nn.Module) -> dict[str, LoraLinear]:
    """The layers that have an adapter, by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLinear)}


def switched_off(model: nn.Module) -> AbstractContextManager[None]:
    """The model without its adapters while the block runs."""
    return rescale_adapter_scale(model, 0.0) if lora_layers(model) else nullcontext()


@torch.no_grad()
def merge(model: nn.Module) -> None:
    """Add every adapter to the weight that it stands beside, and remove it.

    The weight becomes float32: a change of low rank is smaller than what bfloat16 resolves.
    """
    for name, layer in lora_layers(model).items():
        base = layer.get_base_layer().float()
        layer.merge()
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, base)
