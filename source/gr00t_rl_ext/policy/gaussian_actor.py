# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The Gaussian policy: a small adapter on GR00T's features."""

from __future__ import annotations

import torch
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.policy.actor import AdapterActor, Decisions, Parameters, require_continuous_actions
from gr00t_rl_ext.policy.adapter import GaussianAdapter
from gr00t_rl_ext.policy.encoder import FEATURES, Gr00tEncoder
from gr00t_rl_ext.policy.options import GaussianActorOptions
from gr00t_rl_ext.policy.scored import GaussianScored, Scored, SquashedGaussianScored


class Gr00tGaussianActor(AdapterActor):
    """GR00T's features and the robot's state -> adapter -> Gaussian over an action chunk.

    The actions are those of the environment, in [-1, 1] per dimension. Without ``squash`` the mean is bounded by Tanh
    and the samples are clipped to that range by the runner (``clip_actions = 1``), after their log-probability was
    taken. With ``squash`` the Gaussian is the distribution of u, and the action is tanh(u) with its exact density
    (Haarnoja et al. 2018, arXiv 1801.01290, appendix C).

    Args:
        encoder: The shared frozen backbone.
        options: The fields of ``agent.actor``.

    Raises:
        ValueError: The task's actions are discrete.
    """

    OPTIONS = GaussianActorOptions

    def __init__(self, encoder: Gr00tEncoder, options: GaussianActorOptions) -> None:
        super().__init__(encoder, options)
        require_continuous_actions(encoder)
        self.squash = options.distribution_cfg.squash
        self.adapter = GaussianAdapter(
            encoder.feature_shape[1],
            encoder.state_dim,
            self.chunk_length,
            encoder.spec.action_dim,
            options,
            bounded_mean=not self.squash,
        )

    def decide(self, obs: TensorDict, stochastic: bool) -> tuple[Tensor, Parameters | None]:
        mean, std = self.adapter.distribution(obs[FEATURES], self.encoder.state(obs))
        raw = torch.normal(mean, std) if stochastic else mean
        if self.squash:
            return torch.tanh(raw), (mean, std, raw)
        return raw, (mean, std)

    def distribution(self, obs: TensorDict, decisions: Decisions) -> Parameters:
        return self.adapter.distribution(obs[FEATURES], self.encoder.state(obs))

    @property
    def distribution_shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.chunk_length, self.encoder.spec.action_dim),) * 2

    def scored(self, distribution: Parameters, decisions: Decisions) -> Scored:
        mean, std = distribution
        if not self.squash:
            return GaussianScored(decisions.actions.view_as(mean), mean, std, decisions.valid)
        old_mean, old_std, raw = decisions.recorded
        return SquashedGaussianScored(raw, mean, std, decisions.valid, noise=(raw - old_mean) / old_std)

    @property
    def output_std(self) -> Tensor:
        return torch.tensor(self.adapter.init_std) if self._recorded is None else self._recorded[1]
