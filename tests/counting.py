# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Counts how often modules run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from torch import nn

from gr00t_rl_ext.gr00t import Gr00tModel


@contextmanager
def counted(modules: Mapping[str, nn.Module]) -> Iterator[Counter[str]]:
    """Calls by name while the block runs; those that a backward pass repeats count too."""
    calls: Counter[str] = Counter()
    with ExitStack() as stack:
        for name, module in modules.items():
            hook = module.register_forward_pre_hook(lambda *_, name=name: calls.update([name]))
            stack.callback(hook.remove)
        yield calls


def layers(model: Gr00tModel) -> dict[str, nn.Module]:
    """The blocks of a GR00T N1.5: vision0.., language0.., vl0.., dit0..., those of vision by a part that they run."""
    stacks = {
        "vision": [layer.layer_norm1 for layer in model.backbone.vision_model.encoder.layers],
        "language": model.backbone.language_layers,
        "vl": model.action_head.vl_self_attention.transformer_blocks,
        "dit": model.action_head.model.transformer_blocks,
    }
    return {f"{name}{index}": layer for name, stack in stacks.items() for index, layer in enumerate(stack)}
