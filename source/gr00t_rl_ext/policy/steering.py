# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The steering policy: GR00T stays as it is, an adapter decides the noise that its flow begins with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from rsl_rl.modules import MLP
from tensordict import TensorDict
from torch import Tensor, nn

from gr00t_rl_ext.policy import steerability
from gr00t_rl_ext.policy.actor import Decisions, FrozenHeadActor, Parameters
from gr00t_rl_ext.policy.encoder import FEATURES, Gr00tEncoder
from gr00t_rl_ext.policy.options import NoiseStdOptions, SteeringActorOptions
from gr00t_rl_ext.policy.scored import GaussianScored, Scored, bounded_std, raw_std

CONTEXT = "context"
"""Key of the VL tokens in an encoded observation, which GR00T's flow is conditioned on, (num_envs, tokens, width)."""

TOKEN_TIME = 0.75
"""Time of the flow at which the diffusion transformer is asked for its tokens, in [0, 1): late, where it looks most
at the observation and least at the noise."""


class SteeringEncoder(Gr00tEncoder):
    """A frozen GR00T of which actor and critic read the tokens that the diffusion transformer decodes actions from.

    They are the output of one further call of the transformer at x = 0, t = :data:`TOKEN_TIME`: one token per control
    step of the horizon, (num_envs, horizon, width). The rollout stores them in place of the VL tokens, which are many
    times as large and needed only while the flow is integrated.
    """

    context_key = CONTEXT

    @property
    def feature_shape(self) -> tuple[int, int]:
        """Control steps of the horizon, and width of the tokens."""
        return self.action_horizon, self.model.config.action_head.hidden_size

    @torch.no_grad()
    def encode(self, obs: TensorDict) -> TensorDict:
        """Replace the image groups by :data:`FEATURES`, the tokens of the horizon, and :data:`CONTEXT`."""
        if FEATURES in obs.keys():
            return obs
        encoded = super().encode(obs)
        encoded = TensorDict({**encoded, CONTEXT: encoded[FEATURES]}, batch_size=obs.batch_size)
        with self.autocast():
            tokens = self.model.action_head.tokens_at_zero(
                self.context(encoded), self.head_state(obs), self.model.action_horizon, TOKEN_TIME
            )
        encoded[FEATURES] = tokens[:, : self.action_horizon].to(self.dtype)
        return encoded

    def pool(self, tokens: Tensor, obs: TensorDict) -> Tensor:
        """Mean of the tokens of observations: (B, horizon, D) -> (B, D)."""
        return tokens.mean(dim=1)


class NoiseAdapter(nn.Module):
    """From tokens and state to a diagonal Gaussian over the initial noise.

    ``mean = b tanh(MLP(tokens, state) / b)``, of which the last layer begins with 0, so that the Gaussian begins as
    N(0, init_std^2) whatever is seen. The tokens are standardised entry by entry. Their statistics are those of the
    first rollout, in which they change no decision, and fixed afterwards: another standardisation is another policy.

    Args:
        horizon: Control steps H of the noise, each with a token.
        width: Width D of the tokens.
        state_dim: Width of the normalised state.
        action_dim: Dimensions A of the noise of a control step that are decided.
        options: The fields of ``agent.actor``.
    """

    count: Tensor
    mean: Tensor
    square: Tensor
    std_factor: Tensor

    def __init__(
        self, horizon: int, width: int, state_dim: int, action_dim: int, options: SteeringActorOptions
    ) -> None:
        super().__init__()
        self.shape = horizon, action_dim
        self.bound = options.noise_bound
        self.mlp = MLP(horizon * width + state_dim, horizon * action_dim, options.hidden_dims, options.activation)
        *_, weight, bias = self.mlp.parameters()
        nn.init.zeros_(weight)
        nn.init.zeros_(bias)
        self.std = BoundedStd(self.shape, options.distribution_cfg)
        # not by rsl_rl's EmpiricalNormalization, which waits for all ranks in each call: those of GRPO decide unequally
        # often
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.register_buffer("mean", torch.zeros(horizon, width))
        self.register_buffer("square", torch.zeros(horizon, width))
        # in checkpoints, since the noise of a played policy may be scaled with its std
        self.register_buffer("std_factor", torch.ones(()))

    @torch.no_grad()
    def observe(self, tokens: Tensor) -> None:
        """Take tokens (B, H, D) into the statistics."""
        tokens = tokens.float()
        self.count += tokens.shape[0]
        share = tokens.shape[0] / self.count
        self.mean += share * (tokens.mean(0) - self.mean)
        self.square += share * (tokens.square().mean(0) - self.square)

    def share(self, total: Callable[[Tensor], Tensor]) -> None:
        """Make the statistics those of all processes, over which ``total`` sums a tensor."""
        count = self.count.to(self.mean.dtype)
        shared = total(self.count)
        self.mean.copy_(total(count * self.mean) / shared)
        self.square.copy_(total(count * self.square) / shared)
        self.count.copy_(shared)

    def forward(self, tokens: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, H, D), state (B, state_dim) -> mean and std of the noise, (B, H, A) each, fp32."""
        variance = (self.square - self.mean.square()).clamp(min=0.0)
        tokens = (tokens.float() - self.mean) / (variance.sqrt() + 1e-3)
        outputs = self.mlp(torch.cat((tokens.flatten(1), state.float()), dim=-1)).float().view(-1, *self.shape)
        mean = self.bound * torch.tanh(outputs / self.bound)
        return mean, (self.std_factor * self.std()).expand_as(mean)


class BoundedStd(nn.Module):
    """A learned standard deviation per entry, in a range; exactly ``init_std`` at the start.

    It is :func:`~.scored.bounded_std`, whose value at the start is off by rounding and so divided out.

    Args:
        shape: Of the entries.
        options: Start and range.
    """

    def __init__(self, shape: tuple[int, ...], options: NoiseStdOptions) -> None:
        super().__init__()
        self.init_std, self.range = options.init_std, options.std_range
        self.start = raw_std(options.init_std, *options.std_range)
        self.shift = nn.Parameter(torch.zeros(shape))

    def forward(self) -> Tensor:
        """(shape), fp32."""
        raw = self.shift + self.start
        start = torch.full_like(raw, self.start)
        return self.init_std * (bounded_std(raw, *self.range) / bounded_std(start, *self.range))


@dataclass(frozen=True)
class WholeChunkScored(Scored):
    """Gaussian noise of which every entry may have moved every action of the decision.

    Self-attention lets the noise of a later control step change an earlier action. So the densities of the whole
    horizon belong to a decision of which any step was executed. They stand at its first control step, (B, chunk).
    """

    noise: GaussianScored
    """Bound to the whole horizon."""

    valid: Tensor
    """Control steps that were executed, (B, chunk) bool."""

    def _at_first_step(self, values: Tensor) -> Tensor:
        whole = torch.zeros(self.valid.shape, dtype=values.dtype, device=values.device)
        return torch.cat((values.sum(1, keepdim=True), whole[:, 1:]), dim=1)

    def log_prob(self) -> Tensor:
        return self._at_first_step(self.noise.log_prob())

    def log_ratio(self, other: WholeChunkScored) -> Tensor:
        return self._at_first_step(self.noise.log_ratio(other.noise))

    def entropy(self) -> Tensor:
        return self._at_first_step(self.noise.entropy())

    def kl_divergence(self, other: WholeChunkScored) -> Tensor:
        """KL(self || other) of the noise, (B, chunk): an upper bound of that of the actions, which follow from it."""
        return self._at_first_step(self.noise.kl_divergence(other.noise))

    def _log_density(self) -> Tensor:
        return self.noise._log_density()


class Gr00tSteeringActor(FrozenHeadActor):
    """Decides the initial noise of GR00T's flow, and leaves all of GR00T as it is.

    ``w ~ N(mean, std^2)`` over the robot's whole horizon, in the dimensions of actions that reach it; the others are
    drawn as GR00T draws them. ``actions = decode(F(w; observation))`` with GR00T's own Euler steps F. It begins as
    GR00T acts: mean 0, std 1. The deterministic policy takes ``mean + noise_scale * std * N(0, I)``, by default the
    mean, which begins at the centre of the noise.

    PPO and GRPO on the noise need no density of the actions, since the flow is a fixed function of the noise. An update
    is one MLP and calls nothing of GR00T.

    Source: Wagenmaker et al. 2025 (DSRL, arXiv 2506.15799), off-policy.

    Args:
        encoder: The frozen GR00T.
        options: The fields of ``agent.actor``.

    Raises:
        ValueError: The task's actions are discrete, or something of GR00T shall train.
    """

    OPTIONS = SteeringActorOptions

    LEARNED_WITH = (*FrozenHeadActor.LEARNED_WITH, "noise_bound")

    # before it was a field, the policy was played at its mean
    UNRECORDED = {"noise_scale": 0.0}

    WHY_FROZEN = "a steering policy decides the noise of a GR00T that stays as it is"

    scores_steps = False

    encoder_class = SteeringEncoder

    encoder: SteeringEncoder

    def __init__(self, encoder: SteeringEncoder, options: SteeringActorOptions) -> None:
        super().__init__(encoder, options)
        horizon, width = encoder.feature_shape
        self.adapter = NoiseAdapter(horizon, width, encoder.state_dim, len(encoder.action_dims), options)
        self._counts = True
        """Whether what is decided on enters the statistics of the tokens: in the first rollout."""

    def start_iteration(self, iteration: int, total_iterations: int | None) -> None:
        self._counts = iteration == 0
        final = self.options.distribution_cfg.final_factor
        if final < 1.0:
            if total_iterations is None:
                raise ValueError(
                    "`agent.actor.distribution_cfg.final_factor` needs the number of iterations of the run,"
                    " `agent.max_iterations`, which is not known here."
                )
            done = min(1.0, iteration / max(1, total_iterations - 1))
            self.adapter.std_factor.fill_(1.0 - (1.0 - final) * done)

    def share_statistics(self, total: Callable[[Tensor], Tensor]) -> None:
        self.adapter.share(total)

    def describe_start(self, obs: TensorDict) -> str:
        return steerability.describe(steerability.measure(self, obs))

    def decide(self, obs: TensorDict, stochastic: bool) -> tuple[Tensor, Parameters | None]:
        if stochastic and self._counts:
            self.adapter.observe(obs[FEATURES])
        mean, std = self._gaussian(obs)
        # as GR00T draws it, so that the same generator gives the same chunk at the start
        noise = self.draw_noise(obs, 1.0 if stochastic else self.noise_scale)
        horizon = mean.shape[1]
        decided = mean + std * noise[:, :horizon].index_select(-1, self.action_dims)
        noise[:, :horizon] = noise[:, :horizon].index_copy(-1, self.action_dims, decided)
        chunk = self.run_flow(obs, noise)
        return self.encoder.decode_action(chunk, obs), (mean, std, decided)

    def _gaussian(self, obs: TensorDict) -> tuple[Tensor, Tensor]:
        return self.adapter(obs[FEATURES], self.encoder.state(obs))

    def distribution(self, obs: TensorDict, decisions: Decisions) -> Parameters:
        return self._gaussian(obs)

    @property
    def distribution_shapes(self) -> tuple[tuple[int, ...], ...]:
        return (self.adapter.shape,) * 2

    def scored(self, distribution: Parameters, decisions: Decisions) -> WholeChunkScored:
        mean, std = distribution
        *_, noise = decisions.recorded
        executed = decisions.valid.any(1, keepdim=True).expand(-1, mean.shape[1])
        return WholeChunkScored(GaussianScored(noise, mean, std, executed), decisions.valid)
