# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""linear_gelu: the fused kernel computes what the two layers do, and so does its gradient."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gr00t_rl_ext.gr00t import linear_gelu as module
from gr00t_rl_ext.gr00t.linear_gelu import linear_gelu


def plain(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return F.gelu(F.linear(x, weight, bias), approximate="tanh")


def test_the_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the input, with what goes into GELU computed again; the kernel itself exists on a GPU only."""
    monkeypatch.setattr(module, "_fused", plain)
    x = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    weight, bias = torch.randn(7, 5, dtype=torch.float64), torch.randn(7, dtype=torch.float64)
    torch.testing.assert_close(module._LinearGelu.apply(x, weight, bias), plain(x, weight, bias))
    assert torch.autograd.gradcheck(lambda x: module._LinearGelu.apply(x, weight, bias), (x,))


def test_a_cpu_computes_the_two_layers() -> None:
    layer, x = nn.Linear(5, 7).requires_grad_(False), torch.randn(2, 3, 5)
    assert torch.equal(linear_gelu(layer, x), plain(x, layer.weight, layer.bias))


@pytest.mark.gpu
def test_a_frozen_layer_on_a_gpu() -> None:
    """In bfloat16 within its rounding of float64, with the same bits whether or not gradients are asked for."""
    layer = nn.Linear(1152, 4304, device="cuda:0", dtype=torch.bfloat16).requires_grad_(False)
    x = torch.randn(3, 64, 1152, device="cuda:0", dtype=torch.bfloat16)
    exact = plain(x.double(), layer.weight.double(), layer.bias.double())
    fused = linear_gelu(layer, x)
    assert (fused.double() - exact).norm() / exact.norm() < 5e-3
    differentiable = linear_gelu(layer, x.requires_grad_())
    assert torch.equal(differentiable, fused)
    seed = torch.randn_like(fused)
    (gradient,) = torch.autograd.grad(differentiable, x, seed)
    (expected,) = torch.autograd.grad(plain(x, layer.weight, layer.bias), x, seed)
    assert (gradient.double() - expected.double()).norm() / expected.double().norm() < 1e-2
    with torch.autocast("cuda", torch.bfloat16):
        assert torch.equal(linear_gelu(layer, x.detach().float()), fused)
