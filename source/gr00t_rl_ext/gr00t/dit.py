# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Diffusion transformer (DiT) and vision-language self-attention of the GR00T action head.

Parameter names are those of the published checkpoints, so that these modules load without renaming and LoRA targets
known from other code (``to_q``, ``to_k``, ``to_v``, ``to_out.0``, ``ff.net.2``) apply.

No dropout module exists in this file, although the published configs ask for 0.2: the log-probability of a denoising
chain must be the same in the rollout and in the update, so there is nothing that ``train()`` could switch on.

Source: Peebles and Xie, "Scalable Diffusion Models with Transformers", arXiv 2212.09748; GR00T N1, arXiv 2503.14734.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .linear_gelu import linear_gelu
from .recompute import Recomputing

KeyValue = tuple[Tensor, Tensor]
"""Projected keys and values of one attention layer, each (B, heads, S, head_dim)."""

ATTENTION_IMPLEMENTATIONS = ("eager", "sdpa")
"""Accepted names of attention kernels. ``eager`` is the reference, ``sdpa`` the fused one."""


@dataclass(frozen=True)
class TransformerConfig:
    """Shape of a stack of transformer blocks."""

    num_layers: int
    """Number of blocks."""

    num_attention_heads: int
    """Attention heads per block."""

    attention_head_dim: int
    """Width of one head; the width of the stack is heads x head_dim."""

    cross_attention_dim: int | None = None
    """Width of the tokens that are attended to. None: the stack attends to itself only."""

    interleave_self_attention: bool = False
    """Whether every second block attends to itself instead of to the cross-attention tokens."""

    output_dim: int | None = None
    """Width of the output projection. None: the stack has no output projection."""

    @property
    def width(self) -> int:
        return self.num_attention_heads * self.attention_head_dim

    def attends_vl(self, index: int) -> bool:
        """Whether block ``index`` attends to the vision-language tokens."""
        if self.cross_attention_dim is None:
            return False
        return not (self.interleave_self_attention and index % 2 == 1)


class Attention(nn.Module):
    """Multi-head attention with biased projections.

    ``project`` and ``forward`` are separate so that the keys and values of tokens that do not change over the
    denoising steps are projected once.
    """

    def __init__(self, width: int, heads: int, head_dim: int, context_dim: int | None, implementation: str) -> None:
        super().__init__()
        inner = heads * head_dim
        self.heads = heads
        self.implementation = implementation
        self.to_q = nn.Linear(width, inner)
        self.to_k = nn.Linear(context_dim or width, inner)
        self.to_v = nn.Linear(context_dim or width, inner)
        # a list of one, because the published key is "to_out.0" (its dropout, "to_out.1", is left out here)
        self.to_out = nn.ModuleList([nn.Linear(inner, width)])

    def _split_heads(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def project(self, tokens: Tensor) -> KeyValue:
        """Keys and values of ``tokens`` (B, S, C), each (B, heads, S, head_dim)."""
        return self._split_heads(self.to_k(tokens)), self._split_heads(self.to_v(tokens))

    def forward(self, x: Tensor, key_value: KeyValue, mask: Tensor | None = None) -> Tensor:
        """Attend from ``x`` (B, T, width); ``mask`` (B, 1, 1, S) is True where a token may be attended."""
        query = self._split_heads(self.to_q(x))
        key, value = key_value
        if self.implementation == "eager":
            scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
            if mask is not None:
                scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
            out = scores.softmax(dim=-1) @ value
        else:
            out = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.to_out[0](out.transpose(1, 2).flatten(2))


class _GeluProjection(nn.Module):
    """Linear layer followed by the tanh approximation of GELU."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, inner)

    def forward(self, x: Tensor) -> Tensor:
        return linear_gelu(self.proj, x)


class FeedForward(nn.Module):
    """Two-layer perceptron of expansion 4."""

    def __init__(self, width: int) -> None:
        super().__init__()
        # keyed by the published positions: 1 and 3 are dropouts there
        self.net = nn.ModuleDict({"0": _GeluProjection(width, 4 * width), "2": nn.Linear(4 * width, width)})

    def forward(self, x: Tensor) -> Tensor:
        return self.net["2"](self.net["0"](x))


class AdaptiveLayerNorm(nn.Module):
    """Layer norm whose scale and shift come from the time embedding: ``norm(x) (1 + scale(t)) + shift(t)``."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width, eps=1e-5, elementwise_affine=False)

    def forward(self, x: Tensor, time_embedding: Tensor) -> Tensor:
        scale, shift = self.linear(F.silu(time_embedding)).chunk(2, dim=1)
        return self.norm(x) * (1 + scale[:, None]) + shift[:, None]


class TransformerBlock(nn.Module):
    """Pre-norm attention and feed-forward; adaptive (DiT) where ``adaptive``, else with learned layer norms."""

    def __init__(self, config: TransformerConfig, context_dim: int | None, adaptive: bool, implementation: str) -> None:
        super().__init__()
        width = config.width
        self.norm1 = AdaptiveLayerNorm(width) if adaptive else nn.LayerNorm(width, eps=1e-5)
        self.attn1 = Attention(
            width, config.num_attention_heads, config.attention_head_dim, context_dim, implementation
        )
        self.norm3 = nn.LayerNorm(width, eps=1e-5, elementwise_affine=not adaptive)
        self.ff = FeedForward(width)

    def forward(
        self,
        x: Tensor,
        time_embedding: Tensor | None = None,
        key_value: KeyValue | None = None,
        mask: Tensor | None = None,
        num_outputs: int | None = None,
    ) -> Tensor:
        """``x`` (B, T, width) -> its last ``num_outputs`` tokens, or all where that is None.

        Attends to ``key_value``, or to all of ``x`` where that is None.
        """
        normed = self.norm1(x) if time_embedding is None else self.norm1(x, time_embedding)
        if key_value is None:
            key_value = self.attn1.project(normed)
        if num_outputs is not None:
            x, normed = x[:, -num_outputs:], normed[:, -num_outputs:]
        x = x + self.attn1(normed, key_value, mask)
        return x + self.ff(self.norm3(x))


class VisionLanguageSelfAttention(Recomputing):
    """Self-attention over the vision-language tokens, (B, S, D) -> (B, S, D)."""

    def __init__(self, config: TransformerConfig, implementation: str) -> None:
        super().__init__()
        self.transformer_blocks = nn.ModuleList(
            [TransformerBlock(config, None, False, implementation) for _ in range(config.num_layers)]
        )

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        """``mask`` (B, 1, 1, S) is True where a token may be attended; None: everywhere."""
        for block in self.transformer_blocks:
            tokens = self.run_block(block, tokens, mask=mask)
        return tokens


class _TimestepEmbedder(nn.Module):
    """Perceptron on the sinusoidal time features."""

    def __init__(self, num_features: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(num_features, width)
        self.linear_2 = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear_2(F.silu(self.linear_1(x)))


class TimestepEncoder(nn.Module):
    """Embeds the time bucket: (B,) integers in [0, 1000) -> (B, width).

    Features are ``[cos(t f_i), sin(t f_i)]`` with ``f_i = 10000^(-i / 127)``, i = 0..127, computed in float32.
    """

    NUM_FEATURES = 256

    def __init__(self, width: int) -> None:
        super().__init__()
        self.timestep_embedder = _TimestepEmbedder(self.NUM_FEATURES, width)

    def forward(self, t_bucket: Tensor) -> Tensor:
        half = self.NUM_FEATURES // 2
        index = torch.arange(half, dtype=torch.float32, device=t_bucket.device)
        phase = t_bucket.float()[:, None] * torch.exp(-math.log(10000.0) / (half - 1) * index)
        features = torch.cat([phase.cos(), phase.sin()], dim=-1)
        return self.timestep_embedder(features.to(self.timestep_embedder.linear_1.weight.dtype))


class DiffusionTransformer(Recomputing):
    """DiT over state, future and action tokens that cross-attends to the vision-language tokens.

    GR00T alternates cross attention (even blocks) and self attention (odd blocks). N1.7 restricts what a
    cross-attention block may see with ``masks``, N1.5 does not.
    """

    def __init__(self, config: TransformerConfig, implementation: str) -> None:
        super().__init__()
        if config.output_dim is None:
            raise ValueError("a DiffusionTransformer needs output_dim, got None")
        self.config = config
        width = config.width
        self.timestep_encoder = TimestepEncoder(width)
        self.transformer_blocks = nn.ModuleList(
            [
                TransformerBlock(
                    config, config.cross_attention_dim if config.attends_vl(index) else None, True, implementation
                )
                for index in range(config.num_layers)
            ]
        )
        self.norm_out = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.proj_out_1 = nn.Linear(width, 2 * width)
        self.proj_out_2 = nn.Linear(width, config.output_dim)

    def project_vl(self, vl_tokens: Tensor) -> tuple[KeyValue, ...]:
        """Keys and values of the VL tokens (B, S, C) for each block that attends to them, in block order."""
        return tuple(
            block.attn1.project(vl_tokens)  # pyright: ignore[reportCallIssue, reportAttributeAccessIssue]
            for index, block in enumerate(self.transformer_blocks)
            if self.config.attends_vl(index)
        )

    def forward(
        self,
        x: Tensor,
        t_bucket: Tensor,
        vl_key_values: Sequence[KeyValue],
        masks: Sequence[Tensor | None] | None = None,
        num_outputs: int | None = None,
    ) -> Tensor:
        """Run the stack.

        Args:
            x: Tokens (B, T, width).
            t_bucket: Time buckets (B,).
            vl_key_values: Result of :meth:`project_vl`.
            masks: One per entry of ``vl_key_values``, (B, 1, 1, S), True where a token may be attended; None: unmasked.
            num_outputs: Tokens at the end that are asked for: the last block computes no others. None: all.

        Returns:
            Tokens (B, T or num_outputs, output_dim).
        """
        time_embedding = self.timestep_encoder(t_bucket)
        cross = 0
        for index, block in enumerate(self.transformer_blocks):
            asked = num_outputs if index == self.config.num_layers - 1 else None
            if self.config.attends_vl(index):
                mask = None if masks is None else masks[cross]
                x = self.run_block(block, x, time_embedding, vl_key_values[cross], mask, num_outputs=asked)
                cross += 1
            else:
                x = self.run_block(block, x, time_embedding, num_outputs=asked)
        # shift first, scale second: the reverse of the order inside the blocks
        shift, scale = self.proj_out_1(F.silu(time_embedding)).chunk(2, dim=1)
        return self.proj_out_2(self.norm_out(x) * (1 + scale[:, None]) + shift[:, None])
