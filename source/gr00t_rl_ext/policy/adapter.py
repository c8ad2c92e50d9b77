# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Small trainable networks over frozen features."""

from __future__ import annotations

import math

import torch
from rsl_rl.modules import MLP
from torch import nn

from gr00t_rl_ext.policy import gaussian
from gr00t_rl_ext.policy.options import BoundedStdOptions
from gr00t_rl_ext.policy.scored import mode


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


class ChunkAdapter(nn.Module):
    """From features and state to the numbers that a distribution over an action chunk needs.

    Attention pooling over the features, then an MLP on what it gives and on the state. ``forward(features, state)`` of
    the subclasses is the deterministic action chunk (B, H * A), which TorchScript and ONNX can export.

    Args:
        feature_dim: Width D of the features.
        state_dim: Width of the normalised state.
        chunk_length: Control steps H of the chunk.
        step_outputs: Outputs of the MLP per control step.
        hidden_dims: Widths of the hidden layers.
        activation: Name of the activation, as in rsl_rl.
        num_queries: Queries of the attention pooling.
    """

    def __init__(
        self,
        feature_dim: int,
        state_dim: int,
        chunk_length: int,
        step_outputs: int,
        hidden_dims: tuple[int, ...] | list[int],
        activation: str,
        num_queries: int,
    ) -> None:
        super().__init__()
        self.feature_dim = feature_dim
        self.state_dim = state_dim
        self.chunk_length = chunk_length
        self.step_outputs = step_outputs
        self.pooling = AttentionPooling(feature_dim, num_queries)
        self.mlp = MLP(num_queries * feature_dim + state_dim, chunk_length * step_outputs, hidden_dims, activation)
        # so that the policy starts close to the same distribution, whatever it sees
        initialize_orthogonally(self.mlp, output_gain=0.01)

    def _outputs(self, features: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """Features (B, S, D) and state (B, state_dim) -> (B, H, step_outputs), fp32."""
        hidden = torch.cat((self.pooling(features), state.float()), dim=-1)
        return self.mlp(hidden).float().view(-1, self.chunk_length, self.step_outputs)


class GaussianAdapter(ChunkAdapter):
    """From features and state to a diagonal Gaussian over an action chunk.

    The standard deviation is kept inside ``std_range`` by :func:`~gr00t_rl_ext.policy.gaussian.bounded_std`.

    Args:
        feature_dim: Width D of the features.
        state_dim: Width of the normalised state.
        chunk_length: Control steps H of the chunk.
        action_dim: Action dimensions A of one control step.
        hidden_dims: Widths of the hidden layers.
        activation: Name of the activation, as in rsl_rl.
        num_queries: Queries of the attention pooling.
        std: Standard deviation at the start, with ``state_dependent_std`` up to what the small weights of the last
            layer add, and its bounds. None: as by default.
        bounded_mean: Bound the mean by Tanh, for a Gaussian over actions in [-1, 1]. False: any mean, for a Gaussian
            whose samples a Tanh bounds.
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
        std: BoundedStdOptions | None = None,
        bounded_mean: bool = True,
    ) -> None:
        std = BoundedStdOptions() if std is None else std
        low, high = std.std_range
        step_outputs = 2 * action_dim if std.state_dependent_std else action_dim
        super().__init__(feature_dim, state_dim, chunk_length, step_outputs, hidden_dims, activation, num_queries)
        self.action_dim = action_dim
        self.bounded_mean = bounded_mean
        self.init_std = std.init_std
        self.std_range = (low, high)
        fraction = math.log(std.init_std / low) / math.log(high / low)
        logit = math.log(fraction / (1.0 - fraction))
        if std.state_dependent_std:
            self.std_logit = None
            *_, bias = self.mlp.parameters()
            with torch.no_grad():
                bias.view(chunk_length, step_outputs)[:, action_dim:] = logit
        else:
            self.std_logit = nn.Parameter(torch.full((chunk_length, action_dim), logit))

    def distribution(self, features: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The Gaussian of a decision.

        Args:
            features: (B, S, D).
            state: (B, state_dim).

        Returns:
            Mean and standard deviation, (B, H, A) each, fp32. The mean is inside (-1, 1) if it is bounded.
        """
        outputs = self._outputs(features, state)
        mean = outputs[:, :, : self.action_dim]
        if self.bounded_mean:
            mean = torch.tanh(mean)
        raw_std = outputs[:, :, self.action_dim :] if self.std_logit is None else self.std_logit
        return mean, gaussian.bounded_std(raw_std, self.std_range[0], self.std_range[1]).expand_as(mean)

    def forward(self, features: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """The deterministic action chunk in [-1, 1], flattened: (B, H * A)."""
        mean, _ = self.distribution(features, state)
        action = mean if self.bounded_mean else torch.tanh(mean)
        return action.flatten(1)


class CategoricalAdapter(ChunkAdapter):
    """From features and state to independent choices, one for each component of each control step.

    Args:
        feature_dim: Width D of the features.
        state_dim: Width of the normalised state.
        chunk_length: Control steps H of the chunk.
        choices: How many choices each of A components has.
        hidden_dims: Widths of the hidden layers.
        activation: Name of the activation, as in rsl_rl.
        num_queries: Queries of the attention pooling.

    Raises:
        ValueError: If there is no component, or one without a choice.
    """

    def __init__(
        self,
        feature_dim: int,
        state_dim: int,
        chunk_length: int,
        choices: tuple[int, ...] | list[int],
        *,
        hidden_dims: tuple[int, ...] | list[int] = (256, 256),
        activation: str = "elu",
        num_queries: int = 4,
    ) -> None:
        if not choices or min(choices) < 1:
            raise ValueError(
                f"The action's components have {tuple(choices)} choices; expected at least one component, and at least"
                " one choice in each."
            )
        super().__init__(feature_dim, state_dim, chunk_length, sum(choices), hidden_dims, activation, num_queries)
        self.choices = list(choices)

    def logits(self, features: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """Features (B, S, D) and state (B, state_dim) -> (B, H, sum(choices)), fp32; component after component."""
        return self._outputs(features, state)

    def forward(self, features: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """The likeliest choices as floats, flattened: (B, H * A)."""
        return mode(self.logits(features, state), self.choices).float().flatten(1)


def initialize_orthogonally(mlp: nn.Module, output_gain: float) -> None:
    """Orthogonal weights with gain sqrt(2), ``output_gain`` for the last layer, zero biases.

    Engstrom et al. 2020 (arXiv 2005.12729); Huang et al. 2022, "The 37 implementation details of PPO", no. 2.
    """
    layers = [module for module in mlp.modules() if isinstance(module, nn.Linear)]
    for layer in layers:
        nn.init.orthogonal_(layer.weight, output_gain if layer is layers[-1] else math.sqrt(2.0))
        nn.init.zeros_(layer.bias)
