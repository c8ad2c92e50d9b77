# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The transformer stacks: masks, kernels, time embedding."""

from __future__ import annotations

import math

import pytest
import torch

from gr00t_rl_ext.gr00t.dit import Attention, DiffusionTransformer, TimestepEncoder, TransformerConfig

CONFIG = TransformerConfig(
    num_layers=3,
    num_attention_heads=2,
    attention_head_dim=8,
    cross_attention_dim=12,
    interleave_self_attention=True,
    output_dim=5,
)


def seeded(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("masked", [False, True])
def test_eager_equals_sdpa(masked: bool):
    torch.manual_seed(0)
    attention = Attention(16, heads=2, head_dim=8, context_dim=12, implementation="eager")
    key_value = attention.project(seeded(3, 7, 12))
    assert key_value[0].shape == (3, 2, 7, 8)
    mask = (torch.arange(7) < 4).expand(3, 1, 1, 7) if masked else None
    x = seeded(3, 5, 16, seed=1)
    eager = attention(x, key_value, mask)
    attention.implementation = "sdpa"
    torch.testing.assert_close(attention(x, key_value, mask), eager, rtol=0, atol=1e-6)


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_masked_tokens_have_no_influence(implementation: str):
    """Per cross-attention block: what versions that alternate text and image tokens rely on."""
    torch.manual_seed(0)
    dit = DiffusionTransformer(CONFIG, implementation)
    vl, x, t_bucket = seeded(2, 6, 12), seeded(2, 4, 16, seed=1), torch.tensor([0, 999])
    seen = (torch.arange(6) < 3).expand(2, 1, 1, 6)
    other = vl.clone()
    other[:, 3:] += 1
    masked = [dit(x, t_bucket, dit.project_vl(tokens), masks=[seen, seen]) for tokens in (vl, other)]
    torch.testing.assert_close(*masked, rtol=0, atol=1e-6)
    half_masked = [dit(x, t_bucket, dit.project_vl(tokens), masks=[seen, None]) for tokens in (vl, other)]
    assert (half_masked[0] - half_masked[1]).abs().max() > 1e-3


def test_blocks_alternate():
    dit = DiffusionTransformer(CONFIG, "sdpa")
    assert [CONFIG.attends_vl(index) for index in range(3)] == [True, False, True]
    widths = [block.attn1.to_k.in_features for block in dit.transformer_blocks]  # pyright: ignore
    assert widths == [12, 16, 12]
    with pytest.raises(ValueError, match="needs output_dim, got None"):
        DiffusionTransformer(TransformerConfig(1, 1, 8), "sdpa")


def test_time_features(monkeypatch: pytest.MonkeyPatch):
    """[cos(t f_i), sin(t f_i)] with f from 1 down to exactly 1 / 10000."""
    encoder = TimestepEncoder(8)
    monkeypatch.setattr(encoder.timestep_embedder, "forward", lambda features: features)
    features = encoder(torch.tensor([250]))[0]
    assert features.shape == (256,)
    expected = [math.cos(250), math.cos(250 / 10000), math.sin(250), math.sin(250 / 10000)]
    torch.testing.assert_close(features[[0, 127, 128, 255]], torch.tensor(expected), rtol=0, atol=1e-5)
