# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""SigLIP, the vision model of GR00T N1.5 (SigLIP) and N1.6 (SigLIP 2): its patches and its layers."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .backbone import attend_patches, perceptron


def patchify(images: Tensor, patch: int) -> Tensor:
    """Images (N, C, H, W) -> patches (N, H W / patch^2, C x patch x patch), row by row."""
    rows = images.unflatten(3, (-1, patch)).unflatten(2, (-1, patch))
    return rows.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def run_layer(layer: Any, x: Tensor) -> Tensor:
    """One layer of the vision model, (N, P, width) -> (N, P, width)."""
    x = x + _image_attention(layer.self_attn, layer.layer_norm1(x))
    mlp = layer.mlp
    return x + perceptron(mlp.fc1, mlp.activation_fn, mlp.fc2, layer.layer_norm2(x))


def _image_attention(attention: Any, x: Tensor) -> Tensor:
    """Attention among the patches of each image, (N, P, width) -> (N, P, width)."""
    projections = (attention.q_proj, attention.k_proj, attention.v_proj)
    # one product instead of three: so narrow, it is the faster kernel, and putting the weights together costs little
    weight, bias = (torch.cat([getattr(layer, name) for layer in projections]) for name in ("weight", "bias"))
    query, key, value = F.linear(x, weight, bias).unflatten(-1, (3, attention.num_heads, -1)).unbind(2)
    return attention.out_proj(attend_patches(attention, query, key, value, attention.scale))
