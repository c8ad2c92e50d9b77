# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A linear layer with the tanh approximation of GELU, as one kernel where the layer is frozen and on a GPU."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def linear_gelu(layer: nn.Module, x: Tensor) -> Tensor:
    """``gelu(layer(x))`` in the tanh approximation, (..., in) -> (..., out).

    Of a frozen layer on a GPU, GELU is computed in the epilogue of the product, so that the wide result does not pass
    through memory once more. Whether it is does not depend on whether gradients are enabled: a rollout and its update
    must compute the same bits. A layer that trains would have to compute its product again for its gradient.
    """
    # not of a layer that an adapter wraps
    if type(layer) is not nn.Linear or not x.is_cuda or layer.weight.requires_grad:
        return F.gelu(layer(x), approximate="tanh")
    if torch.is_autocast_enabled(x.device.type):
        x = x.to(layer.weight.dtype)
    if torch.is_grad_enabled() and x.requires_grad:
        return _LinearGelu.apply(x, layer.weight, layer.bias)  # type: ignore[no-any-return]
    return _fused(x, layer.weight, layer.bias)


def _fused(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    out = torch.ops.aten._addmm_activation(bias, x.flatten(0, -2), weight.T, use_gelu=True)
    return out.unflatten(0, x.shape[:-1])


class _LinearGelu(torch.autograd.Function):
    """Differentiable in its input. What goes into GELU was not kept, and is computed again for the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:  # type: ignore[override]
        ctx.save_for_backward(x, weight, bias)
        return _fused(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        x, weight, bias = ctx.saved_tensors
        before = F.linear(x, weight, bias)
        return torch.ops.aten.gelu_backward(gradient, before, approximate="tanh") @ weight, None, None
