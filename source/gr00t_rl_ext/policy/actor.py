# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The Gaussian actor, with the interface that rsl_rl 5.5 expects of a policy model."""

from __future__ import annotations

import copy
from typing import Any

import torch
from tensordict import TensorDict
from torch import nn

from gr00t_rl_ext.policy import gaussian
from gr00t_rl_ext.policy.adapter import GaussianAdapter
from gr00t_rl_ext.policy.encoder import FEATURES, Gr00tEncoder


class Gr00tGaussianActor(nn.Module):
    """GR00T's features and the robot's state -> Tanh adapter -> Gaussian over an action chunk.

    The actions are those of the environment, in [-1, 1] per dimension; the runner clips samples to that range
    (``clip_actions = 1``) after their log-probability was taken.

    Args:
        encoder: The shared frozen backbone.
        chunk_length: Control steps H per decision.
        adapter: Further arguments of :class:`~gr00t_rl_ext.policy.adapter.GaussianAdapter`.
    """

    is_recurrent = False

    reads_head = False
    """Whether it acts through GR00T's action head."""

    def __init__(self, encoder: Gr00tEncoder, chunk_length: int, **adapter: Any) -> None:
        super().__init__()
        self.encoder = encoder
        self.chunk_length = chunk_length
        self.adapter = GaussianAdapter(
            encoder.feature_shape[1], encoder.state_dim, chunk_length, encoder.spec.action_dim, **adapter
        )
        self._distribution: tuple[torch.Tensor, torch.Tensor] | None = None

    def forward(
        self,
        obs: TensorDict,
        masks: torch.Tensor | None = None,
        hidden_state: Any = None,
        stochastic_output: bool = False,
    ) -> torch.Tensor:
        """Decide.

        Args:
            obs: Observations, encoded or with images.
            masks: Unused; for recurrent models of rsl_rl.
            hidden_state: Unused; likewise.
            stochastic_output: Sample, instead of returning the mean.

        Returns:
            The action chunk, step by step: (B, H * A).
        """
        if FEATURES not in obs.keys():
            obs = self.encoder.encode(obs)
        mean, std = self._distribution = self.adapter.distribution(obs[FEATURES], self.encoder.state(obs))
        if not stochastic_output:
            return mean.flatten(1)
        return torch.normal(mean, std).flatten(1)

    @property
    def output_mean(self) -> torch.Tensor:
        """Mean of the latest decision, (B, H, A)."""
        return self.output_distribution_params[0]

    @property
    def output_std(self) -> torch.Tensor:
        """Standard deviation of the latest decision, (B, H, A)."""
        return self.output_distribution_params[1]

    @property
    def output_distribution_params(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and standard deviation of the latest decision, each (B, H, A)."""
        assert self._distribution is not None, "forward() sets the distribution"
        return self._distribution

    def get_output_log_prob(self, outputs: torch.Tensor) -> torch.Tensor:
        """Log-density of whole chunks (B, H * A) under the latest decisions, (B,).

        rsl_rl stores it with the rollout. The update does not read it: only afterwards is known how many steps of the
        chunk were executed, so it recomputes the density over those from the stored mean and standard deviation.
        """
        mean, std = self.output_distribution_params
        every_step = torch.ones(mean.shape[:2], dtype=torch.bool, device=mean.device)
        return gaussian.log_prob(outputs.view_as(mean), mean, std, every_step).sum(1)

    def reset(self, dones: torch.Tensor | None = None, hidden_state: Any = None) -> None:
        """Nothing to reset: the policy has no memory."""

    def get_hidden_state(self) -> None:
        """The policy has no memory."""

    def detach_hidden_state(self, dones: torch.Tensor | None = None) -> None:
        """The policy has no memory."""

    def update_normalization(self, obs: TensorDict) -> None:
        """Nothing to update: the state is normalised with the checkpoint's fixed statistics."""

    def as_jit(self) -> nn.Module:
        """A copy of the adapter for TorchScript: (features, state) -> action chunk.

        ``isaaclab play`` exports it, which moves it to the CPU while the policy goes on acting.
        """
        return copy.deepcopy(self.adapter)

    def as_onnx(self, verbose: bool = False) -> nn.Module:
        """A copy of the adapter for ONNX, with the attributes that rsl_rl's exporter reads."""
        return _OnnxAdapter(copy.deepcopy(self.adapter), self.encoder.feature_shape[0])


class _OnnxAdapter(nn.Module):
    """The adapter with the names and example inputs that rsl_rl's ONNX export asks for."""

    is_recurrent = False
    input_names = ("features", "state")
    output_names = ("actions",)

    def __init__(self, adapter: GaussianAdapter, num_tokens: int) -> None:
        super().__init__()
        self.adapter = adapter
        self.num_tokens = num_tokens

    def forward(self, features: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
        return self.adapter(features, state)

    def get_dummy_inputs(self) -> tuple[torch.Tensor, torch.Tensor]:
        return (
            torch.zeros(1, self.num_tokens, self.adapter.feature_dim),
            torch.zeros(1, self.adapter.state_dim),
        )
