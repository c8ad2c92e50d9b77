# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Small trainable networks over frozen features."""

from __future__ import annotations

import math

import torch
from rsl_rl.modules import MLP
from torch import nn

from gr00t_rl_ext.policy import gaussian


class AttentionPooling(nn.Module):
    """Reduces a set of tokens to a few vectors by attention with learned queries (Set Transformer, arXiv 1810.00825).

    Args:
        width: Width of the tokens.
        num_queries: Vectors to reduce to.
    """

    def __init__(self, width: int, num_queries: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.queries = nn.Parameter(torch.randn(num_queries, width))
        self.scale = width**-0.5

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Tokens (B, S, D) -> (B, num_queries * D), fp32."""
        tokens = self.norm(tokens.float())
        weights = torch.softmax(self.queries @ tokens.transpose(1, 2) * self.scale, dim=-1)  # (B, Q, S)
        return (weights @ tokens).flatten(1)


class GaussianAdapter(nn.Module):
    """From features and state to a diagonal Gaussian over an action chunk.

    The mean is bounded by Tanh. The standard deviation does not depend on the state; it is kept inside
    ``std_range`` by :func:`~gr00t_rl_ext.policy.gaussian.bounded_std`.

    Args:
        feature_dim: Width D of the features.
        state_dim: Width of the normalised state.
        chunk_length: Control steps H of the chunk.
        action_dim: Action dimensions A of one control step.
        hidden_dims: Widths of the hidden layers.
        activation: Name of the activation, as in rsl_rl.
        num_queries: Queries of the attention pooling.
        init_std: Standard deviation at the start, inside ``std_range``.
        std_range: Smallest and largest standard deviation.

    Raises:
        ValueError: If the range is empty or does not contain ``init_std``.
    """

    def __init__(
        self,
        feature_dim: int,
        state_dim: int,
        chunk_length: int,
        action_dim: int,
        *,
        hidden_dims: tuple[int, ...] | list[int] = (256, 256),
        activation: str = "elu",
        num_queries: int = 4,
        init_std: float = 0.1,
        std_range: tuple[float, float] | list[float] = (0.02, 1.0),
    ) -> None:
        super().__init__()
        low, high = std_range
        if not 0.0 < low < init_std < high:
            raise ValueError(
                f"The standard deviation starts at init_std = {init_std} and is bounded by std_range = ({low}, {high});"
                " expected 0 < low < init_std < high. Set them in `agent.actor.distribution_cfg`."
            )
        self.chunk_length = chunk_length
        self.action_dim = action_dim
        self.feature_dim = feature_dim
        self.state_dim = state_dim
        self.pooling = AttentionPooling(feature_dim, num_queries)
        self.mlp = MLP(num_queries * feature_dim + state_dim, chunk_length * action_dim, hidden_dims, activation)
        initialize_orthogonally(self.mlp, output_gain=0.01)
        self.std_range = (low, high)
        fraction = math.log(init_std / low) / math.log(high / low)
        self.std_logit = nn.Parameter(torch.full((chunk_length, action_dim), math.log(fraction / (1.0 - fraction))))

    def mean(self, features: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """Mean of the chunk: features (B, S, D), state (B, state_dim) -> (B, H, A) in (-1, 1), fp32."""
        hidden = torch.cat((self.pooling(features), state.float()), dim=-1)
        return torch.tanh(self.mlp(hidden).float()).view(-1, self.chunk_length, self.action_dim)

    def std(self) -> torch.Tensor:
        """Standard deviation, shape (H, A)."""
        return gaussian.bounded_std(self.std_logit, *self.std_range)

    def forward(self, features: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """The deterministic action chunk, flattened: (B, H * A)."""
        return self.mean(features, state).flatten(1)


def initialize_orthogonally(mlp: nn.Module, output_gain: float) -> None:
    """Orthogonal weights with gain sqrt(2), ``output_gain`` for the last layer, zero biases.

    Engstrom et al. 2020 (arXiv 2005.12729); Huang et al. 2022, "The 37 implementation details of PPO", no. 2.
    """
    layers = [module for module in mlp.modules() if isinstance(module, nn.Linear)]
    for layer in layers:
        nn.init.orthogonal_(layer.weight, output_gain if layer is layers[-1] else math.sqrt(2.0))
        nn.init.zeros_(layer.bias)
