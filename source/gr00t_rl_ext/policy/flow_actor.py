# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The flow-matching policy: GR00T's own action head, made stochastic."""

from __future__ import annotations

import torch
from rsl_rl.modules import MLP
from tensordict import TensorDict
from torch import Tensor, nn

from gr00t_rl_ext.policy.actor import Decisions, HeadActor, Parameters
from gr00t_rl_ext.policy.adapter import AttentionPooling, initialize_orthogonally
from gr00t_rl_ext.policy.encoder import FEATURES, Gr00tEncoder
from gr00t_rl_ext.policy.flow_chain import (
    FlowChain,
    VelocityField,
    integrate,
    rollout_steps,
    sample_chain,
    scored_steps,
)
from gr00t_rl_ext.policy.options import FlowActorOptions
from gr00t_rl_ext.policy.scored import GaussianScored, Scored


class NoiseNetwork(nn.Module):
    """How much noise a step of the flow gets: features, state and time -> raw std (B, H, A), any number.

    Starts at 0, which stands for the geometric mean of ``agent.actor.flow.std_range``.

    Args:
        feature_dim: Width of the tokens.
        state_dim: Width of the normalised state.
        chunk: Steps H and dimensions A of the flow's points.
        hidden_dims: Widths of the hidden layers.
    """

    def __init__(self, feature_dim: int, state_dim: int, chunk: tuple[int, int], hidden_dims: tuple[int, ...]) -> None:
        super().__init__()
        self.chunk = chunk
        self.pooling = AttentionPooling(feature_dim, num_queries=1)
        self.mlp = MLP(feature_dim + state_dim + 1, chunk[0] * chunk[1], list(hidden_dims), "elu")
        initialize_orthogonally(self.mlp, output_gain=0.01)

    def pool(self, tokens: Tensor) -> Tensor:
        """Tokens (B, S, D) -> (B, D): the part that does not depend on the step."""
        return self.pooling(tokens)

    def forward(self, pooled: Tensor, state: Tensor, t: Tensor) -> Tensor:
        """Pooled tokens (B, D), state (B, state_dim), time (B,) -> raw std (B, H, A)."""
        inputs = torch.cat((pooled, state.float(), t.float().unsqueeze(1)), dim=-1)
        return self.mlp(inputs).float().view(-1, *self.chunk)


class Gr00tFlowActor(HeadActor):
    """GR00T's action head as the policy: each decision is a chain of Euler steps, some of them Gaussian.

    What trains is set by ``agent.actor.freezing``: parts of the head, low-rank adapters on its diffusion transformer.
    The deterministic decision is the ODE from random noise: with a ``noise_scale`` of 1 GR00T's own inference. See
    :mod:`~gr00t_rl_ext.policy.flow_chain` for the chain, its log-probability and the sources.

    Args:
        encoder: The shared frozen backbone.
        options: The fields of ``agent.actor``. The head always decides its whole horizon; steps beyond the chunk's
            length are not executed and do not count.

    Raises:
        ValueError: The task's actions are discrete.
    """

    OPTIONS = FlowActorOptions

    def __init__(self, encoder: Gr00tEncoder, options: FlowActorOptions) -> None:
        super().__init__(encoder, options)
        self.flow = options.flow
        self.noise_level = self.flow.noise_level_at(0)
        self.noise: NoiseNetwork | None = None
        if self.flow.noise == "learned":
            self.noise = NoiseNetwork(
                encoder.feature_shape[1], encoder.state_dim, self.noise_shape, tuple(self.flow.noise_hidden_dims)
            )

    def start_iteration(self, iteration: int, total_iterations: int | None) -> None:
        self.noise_level = self.flow.noise_level_at(iteration)

    @property
    def entropy_has_gradient(self) -> bool:  # type: ignore[override]
        """Only learned noise has an entropy that can be changed; that of Flow-SDE is a constant."""
        return self.noise is not None

    def field(self, obs: TensorDict) -> VelocityField:
        """The velocity of the flow in some encoded observations, as a function of point and time."""
        head = self.encoder.model.action_head
        # keys and values of the tokens are the same in every step
        context = head.cache_key_values(self.encoder.context(obs))
        state = self.encoder.head_state(obs)
        buckets = head.config.num_timestep_buckets
        noise = self.noise
        if noise is None:
            return lambda x, t: head.velocity(context, state, x, (t * buckets).long())
        pooled, plain_state = noise.pool(obs[FEATURES]), self.encoder.state(obs)
        return lambda x, t: (head.velocity(context, state, x, (t * buckets).long()), noise(pooled, plain_state, t))

    def decide(self, obs: TensorDict, stochastic: bool) -> tuple[Tensor, Parameters | None]:
        """See :meth:`Actor.decide`. Both kinds of decision start from ``noise_scale * N(0, I)``."""
        with self.encoder.autocast():
            noise = self.draw_noise(obs, self.noise_scale)
            if stochastic:
                x, chain = sample_chain(self.field(obs), noise, self.flow, self.noise_level)
            else:
                x, chain = integrate(self.field(obs), noise, self.flow.num_eval_steps), None
        return self.encoder.decode_action(x, obs)[:, : self.chunk_length], chain

    def distribution(self, obs: TensorDict, decisions: Decisions) -> Parameters:
        with self.encoder.autocast():
            chain = FlowChain(*decisions.recorded)
            steps = scored_steps(self.field(obs), chain, self.flow, decisions.valid, self.action_dims)
        return steps.mean, steps.std

    @property
    def distribution_shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.chunk_length, self.flow.num_scored * len(self.action_dims)),) * 2

    def _recorded_steps(self, decisions: Decisions) -> GaussianScored:
        return rollout_steps(FlowChain(*decisions.recorded), self.flow, decisions.valid, self.action_dims)

    def recorded_distribution(self, decisions: Decisions) -> Parameters:
        steps = self._recorded_steps(decisions)
        return steps.mean, steps.std

    def scored(self, distribution: Parameters, decisions: Decisions) -> Scored:
        mean, std = distribution
        return GaussianScored(self._recorded_steps(decisions).outcome, mean, std, decisions.valid)

    @property
    def output_std(self) -> Tensor:
        """Std of the scored steps of the latest decisions; before the first one the noise level."""
        if self._recorded is not None:
            return FlowChain(*self._recorded).std.index_select(-1, self.action_dims)
        low, high = self.flow.std_range
        level = self.noise_level if self.noise is None else (low * high) ** 0.5
        return torch.full((1,), level)
