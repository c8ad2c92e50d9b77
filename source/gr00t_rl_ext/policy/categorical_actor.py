# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The policy for discrete actions: a small adapter on GR00T's features, one categorical per action."""

from __future__ import annotations

import torch
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.policy.actor import AdapterActor, Decisions, Parameters
from gr00t_rl_ext.policy.adapter import CategoricalAdapter
from gr00t_rl_ext.policy.encoder import FEATURES, Gr00tEncoder
from gr00t_rl_ext.policy.options import CategoricalActorOptions
from gr00t_rl_ext.policy.scored import Scored, choose, score_choices, uncertainty


class Gr00tCategoricalActor(AdapterActor):
    """GR00T's features and the robot's state -> adapter -> independent categoricals over an action chunk.

    For the action spaces ``Discrete`` and ``MultiDiscrete``. Actions are the numbers of the choices, as floats.

    Args:
        encoder: The shared frozen backbone.
        options: The fields of ``agent.actor``.

    Raises:
        ValueError: The task's actions are continuous.
    """

    OPTIONS = CategoricalActorOptions

    def __init__(self, encoder: Gr00tEncoder, options: CategoricalActorOptions) -> None:
        super().__init__(encoder, options)
        self.choices = encoder.spec.action_choices
        if not self.choices:
            terms = ", ".join(f"{name} {width}" for name, width in encoder.spec.action_terms.items())
            raise ValueError(
                f"The task's actions are continuous ({terms}), but this actor chooses among discrete ones. Use the"
                " agent `gr00t_ppo` or `gr00t_flow_ppo`, or a task with the action space Discrete or MultiDiscrete."
            )
        self.adapter = CategoricalAdapter(
            encoder.feature_shape[1], encoder.state_dim, self.chunk_length, self.choices, options
        )

    def decide(self, obs: TensorDict, stochastic: bool) -> tuple[Tensor, Parameters | None]:
        logits = self.adapter.logits(obs[FEATURES], self.encoder.state(obs))
        return choose(logits, self.choices, stochastic), (logits,)

    def distribution(self, obs: TensorDict, decisions: Decisions) -> Parameters:
        return (self.adapter.logits(obs[FEATURES], self.encoder.state(obs)),)

    @property
    def distribution_shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.chunk_length, sum(self.choices)),)

    def scored(self, distribution: Parameters, decisions: Decisions) -> Scored:
        (logits,) = distribution
        return score_choices(decisions.actions, logits, decisions.valid, self.choices)

    @property
    def output_std(self) -> Tensor:
        """Probability of another choice than the likeliest one, per action; a uniform policy's before any decision."""
        if self._recorded is None:
            return torch.tensor([1.0 - 1.0 / count for count in self.choices])
        return uncertainty(self._recorded[0], self.choices)
