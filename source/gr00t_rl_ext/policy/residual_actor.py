# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The residual policy: what GR00T's action head predicts, corrected by a small adapter."""

from __future__ import annotations

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from gr00t_rl_ext.policy.actor import Decisions, FrozenHeadActor, Parameters
from gr00t_rl_ext.policy.adapter import GaussianAdapter
from gr00t_rl_ext.policy.encoder import FEATURES, Gr00tEncoder
from gr00t_rl_ext.policy.options import ResidualActorOptions
from gr00t_rl_ext.policy.scored import GaussianScored, Scored


class Gr00tResidualActor(FrozenHeadActor):
    """GR00T's action chunk plus a correction by an adapter, which is all that learns: residual reinforcement learning.

    ``x = x_GR00T + N(residual_scale tanh(MLP(features, state, x_GR00T)), std)``, in GR00T's normalised actions, of
    which the demonstrations span [-1, 1]. The last layer begins with weights of 0: the deterministic policy begins as
    GR00T acts from ``noise_scale * N(0, I)``, by default the centre of its flow. GR00T's chunk is inferred once per
    decision, in the rollout, and recorded; an update calls the adapter alone. The chunk is part of what the policy
    sees: where it begins with noise it is random, which does not change the density of the correction.

    Sources: Silver et al. 2018 (arXiv 1812.06298), Johannink et al. 2019 (arXiv 1812.03201); over policies that output
    chunks, with the base's action as an input, Ankile et al. 2024 (arXiv 2407.16677).

    Args:
        encoder: The shared frozen backbone.
        options: The fields of ``agent.actor``.

    Raises:
        ValueError: The task's actions are discrete, or something of GR00T shall train.
    """

    OPTIONS = ResidualActorOptions

    # the default before it could change the sign of a gripper
    UNRECORDED = {**FrozenHeadActor.UNRECORDED, "residual_scale": 1.0}

    LEARNED_WITH = (*FrozenHeadActor.LEARNED_WITH, "residual_scale")

    WHY_FROZEN = (
        "a residual policy corrects a GR00T that stays as it is: the chunks that it recorded would not be those of the"
        " GR00T that it learns with"
    )

    def __init__(self, encoder: Gr00tEncoder, options: ResidualActorOptions) -> None:
        super().__init__(encoder, options)
        self.residual_scale = options.residual_scale
        num_actions = len(encoder.action_dims)
        self.adapter = GaussianAdapter(
            encoder.feature_shape[1],
            encoder.state_dim + self.chunk_length * num_actions,
            self.chunk_length,
            num_actions,
            options,
        )
        *_, weight, _ = self.adapter.mlp.parameters()
        nn.init.zeros_(weight)

    def decide(self, obs: TensorDict, stochastic: bool) -> tuple[Tensor, Parameters | None]:
        chunk = self.run_flow(obs, self.draw_noise(obs, self.noise_scale))
        base = chunk.index_select(-1, self.action_dims)
        mean, std = self._gaussian(obs, base)
        outcome = torch.normal(mean, std) if stochastic else mean
        # the dimensions that do not reach the robot are left as GR00T predicts them
        actions = self.encoder.decode_action(chunk.index_copy(-1, self.action_dims, outcome), obs)
        return actions, (mean, std, base, outcome)

    def _gaussian(self, obs: TensorDict, base: Tensor) -> Parameters:
        """Mean and std of the corrected chunk, (B, H, n) each, of GR00T's chunk (B, H, n)."""
        seen = torch.cat((self.encoder.state(obs), base.flatten(1)), dim=-1)
        correction, std = self.adapter.distribution(obs[FEATURES], seen)
        return base + self.residual_scale * correction, std

    def distribution(self, obs: TensorDict, decisions: Decisions) -> Parameters:
        _, _, base, _ = decisions.recorded
        return self._gaussian(obs, base)

    @property
    def distribution_shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.chunk_length, len(self.action_dims)),) * 2

    def scored(self, distribution: Parameters, decisions: Decisions) -> Scored:
        mean, std = distribution
        *_, outcome = decisions.recorded
        return GaussianScored(outcome, mean, std, decisions.valid)
