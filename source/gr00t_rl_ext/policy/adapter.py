# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Small trainable networks over frozen features."""

from __future__ import annotations

import math

import torch
from rsl_rl.modules import MLP
from torch import nn

from gr00t_rl_ext.policy.options import AdapterActorOptions, GaussianActorOptions, ResidualActorOptions
from gr00t_rl_ext.policy.scored import bounded_std, mode, raw_std


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
        """Tokens (B, S, D) -> (B, num_queries * D), fp32. Tokens that are 0 throughout fill up shorter prompts, and are
        not seen."""
        absent = (tokens == 0).all(dim=-1)
        tokens = self.norm(tokens.float())
        scores = self.queries @ tokens.transpose(1, 2) * self.scale  # (B, Q, S)
        # a number, as TorchScript knows no torch.finfo; where all are absent, all are seen alike
        weights = torch.softmax(scores.masked_fill(absent[:, None], -1.0e30), dim=-1)
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
        options: Of the networks.
    """

    def __init__(
        self, feature_dim: int, state_dim: int, chunk_length: int, step_outputs: int, options: AdapterActorOptions
    ) -> None:
        super().__init__()
        self.chunk_length, self.step_outputs = chunk_length, step_outputs
        self.pooling = AttentionPooling(feature_dim, options.num_queries)
        num_inputs = options.num_queries * feature_dim + state_dim
        self.mlp = MLP(num_inputs, chunk_length * step_outputs, options.hidden_dims, options.activation)
        # so that the policy starts close to the same distribution, whatever it sees
        initialize_orthogonally(self.mlp, output_gain=0.01)

    def _outputs(self, features: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        """Features (B, S, D) and state (B, state_dim) -> (B, H, step_outputs), fp32."""
        hidden = torch.cat((self.pooling(features), state.float()), dim=-1)
        return self.mlp(hidden).float().view(-1, self.chunk_length, self.step_outputs)


class GaussianAdapter(ChunkAdapter):
    """From features and state to a diagonal Gaussian over an action chunk.

    The standard deviation is kept inside its range by :func:`~gr00t_rl_ext.policy.scored.bounded_std`.

    Args:
        feature_dim: Width D of the features.
        state_dim: Width of the normalised state.
        chunk_length: Control steps H of the chunk.
        action_dim: Action dimensions A of one control step.
        options: Of the networks and the standard deviation. A ``state_dependent_std`` is ``init_std`` at the start up
            to what the small weights of the last layer add.
        bounded_mean: Bound the mean by Tanh, for a Gaussian over actions in [-1, 1]. False: any mean, for a Gaussian
            whose samples a Tanh bounds.
    """

    def __init__(
        self,
        feature_dim: int,
        state_dim: int,
        chunk_length: int,
        action_dim: int,
        options: GaussianActorOptions | ResidualActorOptions,
        *,
        bounded_mean: bool = True,
    ) -> None:
        std = options.distribution_cfg
        low, high = std.std_range
        step_outputs = 2 * action_dim if std.state_dependent_std else action_dim
        super().__init__(feature_dim, state_dim, chunk_length, step_outputs, options)
        self.action_dim = action_dim
        self.bounded_mean = bounded_mean
        self.init_std = std.init_std
        self.std_range = (low, high)
        logit = raw_std(std.init_std, low, high)
        if std.state_dependent_std:
            self.std_logit = None
            *_, bias = self.mlp.parameters()
            with torch.no_grad():
                bias.view(chunk_length, step_outputs)[:, action_dim:] = logit
        else:
            self.std_logit = nn.Parameter(torch.full((chunk_length, action_dim), logit))

    def distribution(self, features: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Features (B, S, D) and state (B, state_dim) -> mean and standard deviation, (B, H, A) each, fp32."""
        outputs = self._outputs(features, state)
        mean = outputs[:, :, : self.action_dim]
        if self.bounded_mean:
            mean = torch.tanh(mean)
        raw = outputs[:, :, self.action_dim :] if self.std_logit is None else self.std_logit
        return mean, bounded_std(raw, self.std_range[0], self.std_range[1]).expand_as(mean)

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
        options: Of the networks.

    Raises:
        ValueError: If there is no component, or one without a choice.
    """

    def __init__(
        self,
        feature_dim: int,
        state_dim: int,
        chunk_length: int,
        choices: tuple[int, ...],
        options: AdapterActorOptions,
    ) -> None:
        if not choices or min(choices) < 1:
            raise ValueError(
                f"The action's components have {tuple(choices)} choices; expected at least one component, and at least"
                " one choice in each."
            )
        super().__init__(feature_dim, state_dim, chunk_length, sum(choices), options)
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
