# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The critic: an MLP on pooled features, state and privileged state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from rsl_rl.modules import MLP, EmpiricalNormalization
from tensordict import TensorDict
from torch import nn

from gr00t_rl_ext.policy.adapter import initialize_orthogonally
from gr00t_rl_ext.policy.encoder import FEATURES, Gr00tEncoder
from gr00t_rl_ext.policy.options import CriticOptions
from gr00t_rl_ext.policy.plain import Encoder


class Gr00tCritic(nn.Module):
    """Value of a decision, or of each of its control steps.

    Which inputs it has follows from ``agent.obs_groups["critic"]``: an image group there means the mean of the
    backbone's features, every other group enters as a vector.

    Args:
        encoder: What the actor is over: the shared GR00T, or none.
        obs: An observation, for the widths.
        obs_groups: Observation groups of the critic.
        options: The fields of ``agent.critic``. None: as by default.
        chunk_length: Control steps H of a decision, for values of control steps.

    Raises:
        ValueError: If a group does not exist or is no vector, or an option does not fit.
    """

    def __init__(
        self,
        encoder: Encoder,
        obs: TensorDict,
        obs_groups: Sequence[str],
        options: CriticOptions | None = None,
        chunk_length: int = 1,
    ) -> None:
        super().__init__()
        options = CriticOptions() if options is None else options
        # where it is another one, no features are read
        self.encoder = cast(Gr00tEncoder, encoder)
        self.reads_features = any(group in encoder.spec.image_groups for group in obs_groups)
        self.vector_groups = [group for group in obs_groups if group not in encoder.spec.image_groups]
        for group in self.vector_groups:
            if group not in obs.keys() or obs[group].ndim != 2:
                available = ", ".join(f"{name} {tuple(value.shape[1:])}" for name, value in obs.items())
                raise ValueError(
                    f"The critic reads the observation group {group!r}, expected as a vector per environment. The task"
                    f" offers: {available}. Change `agent.obs_groups`."
                )
        vector_dim = sum(int(obs[group].shape[-1]) for group in self.vector_groups)
        if not options.detach and not (
            self.reads_features and any(stage.train for stage in self.encoder.freezing.stages)
        ):
            raise ValueError(
                "`agent.critic.detach` is false, but there is nothing that the value loss could change: the critic"
                " reads no images, or nothing of GR00T trains (`agent.actor.freezing`). Leave it true."
            )
        feature_dim = self.encoder.feature_shape[1] if self.reads_features else 0
        if vector_dim + feature_dim == 0:
            raise ValueError("The critic reads no observation group; name at least one in `agent.obs_groups`.")
        self.feature_norm = nn.LayerNorm(feature_dim) if self.reads_features else nn.Identity()
        self.normalizer = (
            EmpiricalNormalization(vector_dim) if options.obs_normalization and vector_dim else nn.Identity()
        )
        self.obs_clip = options.obs_clip if options.obs_normalization else None
        self.detach = options.detach
        self.num_values = chunk_length if options.values == "step" else 1
        """Values per decision."""

        self.mlp = MLP(vector_dim + feature_dim, self.num_values, options.hidden_dims, options.activation)
        if options.orthogonal_init:
            initialize_orthogonally(self.mlp, output_gain=1.0)

    def forward(self, obs: TensorDict) -> torch.Tensor:
        """Values of observations, (B, 1) or (B, H), fp32. Not :attr:`detach`: differentiable in the features."""
        parts = []
        if self.reads_features:
            if FEATURES not in obs.keys():
                obs = self.encoder.encode(obs)
            features = obs[FEATURES].detach() if self.detach else obs[FEATURES]
            parts.append(self.feature_norm(self.encoder.pool(features.float(), obs)))
        if self.vector_groups:
            vectors = self.normalizer(self._vectors(obs))
            parts.append(vectors if self.obs_clip is None else vectors.clamp(-self.obs_clip, self.obs_clip))
        return self.mlp(torch.cat(parts, dim=-1)).float()

    def update_normalization(self, obs: TensorDict) -> None:
        """Take observations (B, ...) into the running statistics."""
        if isinstance(self.normalizer, EmpiricalNormalization):
            self.normalizer.update(self._vectors(obs))

    def _vectors(self, obs: TensorDict) -> torch.Tensor:
        return torch.cat([obs[group] for group in self.vector_groups], dim=-1).float()
