# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Every policy of ours over a tiny random GR00T, for the tests that hold for all of them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from tiny_policy import SPEC, actor_critic, load_encoder

from gr00t_rl_ext.policy.actor import Actor
from gr00t_rl_ext.policy.actor_critic import Gr00tActorCritic
from gr00t_rl_ext.policy.categorical_actor import Gr00tCategoricalActor
from gr00t_rl_ext.policy.flow_actor import Gr00tFlowActor
from gr00t_rl_ext.policy.gaussian_actor import Gr00tGaussianActor
from gr00t_rl_ext.policy.residual_actor import Gr00tResidualActor
from gr00t_rl_ext.policy.stages import FreezingOptions
from gr00t_rl_ext.policy.steering import Gr00tSteeringActor
from gr00t_rl_ext.robot.task_spec import TaskSpec

DISCRETE_SPEC = dataclasses.replace(SPEC, action_terms={"action": 2}, action_choices=(3, 4))
"""A task with two discrete actions."""

H = 4
"""Control steps per decision."""


@dataclass(frozen=True)
class Policy:
    """How to build a policy."""

    actor_class: type[Actor]
    settings: dict[str, Any] = field(default_factory=dict)
    """Sections and fields of ``agent.actor``."""
    train: tuple[str, ...] = ()
    """Parts of GR00T that train."""
    spec: TaskSpec = SPEC

    def build(
        self, seed: int = 0, critic: dict[str, Any] | None = None, chunk_length: int = H, **encoder: Any
    ) -> Gr00tActorCritic:
        """The pair of actor and critic over a GR00T of its own."""
        freezing = FreezingOptions(train=list(self.train), lora_rank=4)
        actor_class = self.actor_class
        loaded = load_encoder(self.spec, freezing, actor_class.reads_head, actor_class.encoder_class, **encoder)
        return actor_critic(loaded, chunk_length, seed, self.actor_class, critic, **self.settings)


HEAD = ("projector", "dit")
POLICIES = {
    "gaussian": Policy(Gr00tGaussianActor),
    "gaussian, state-dependent std": Policy(Gr00tGaussianActor, {"distribution_cfg": {"state_dependent_std": True}}),
    "squashed": Policy(Gr00tGaussianActor, {"distribution_cfg": {"squash": True}}),
    "residual": Policy(Gr00tResidualActor),
    "steering": Policy(Gr00tSteeringActor),
    "categorical": Policy(Gr00tCategoricalActor, spec=DISCRETE_SPEC),
    "flow, sde, one step": Policy(Gr00tFlowActor, train=HEAD),
    "flow, sde, all steps": Policy(Gr00tFlowActor, {"flow": {"score": "all_steps"}}, HEAD),
    "flow, learned, one step": Policy(Gr00tFlowActor, {"flow": {"noise": "learned"}}, HEAD),
    "flow, learned, all steps": Policy(Gr00tFlowActor, {"flow": {"noise": "learned", "score": "all_steps"}}, HEAD),
    "flow, lora": Policy(Gr00tFlowActor, train=("dit_lora",)),
    "flow, VL self-attention": Policy(Gr00tFlowActor, train=("vl_self_attention", *HEAD)),
}
"""By name."""
