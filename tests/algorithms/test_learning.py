# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Each policy learns a small task with the rates and penalties of its shipped recipe.

Whether the first action of a decision shall be above or below what the untrained policy does, or another choice than
the first, is told by the first number of the state. A policy that is frozen, or random, is right half of the time.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from made_up_experience import extras_of
from policies import DISCRETE_SPEC, HEAD, H, Policy
from tensordict import TensorDict

from gr00t_rl_ext.algorithms.options import PpoOptions
from gr00t_rl_ext.algorithms.ppo import Gr00tPPO
from gr00t_rl_ext.policy.actor import Actor
from gr00t_rl_ext.policy.categorical_actor import Gr00tCategoricalActor
from gr00t_rl_ext.policy.flow_actor import Gr00tFlowActor
from gr00t_rl_ext.policy.gaussian_actor import Gr00tGaussianActor
from gr00t_rl_ext.policy.residual_actor import Gr00tResidualActor
from gr00t_rl_ext.policy.steering import Gr00tSteeringActor
from gr00t_rl_ext.tasks.cartpole.agents import rsl_rl_cfg as cartpole_cfg
from gr00t_rl_ext.tasks.gymnasium.agents import fetch_cfg

NUM_ENVS, NUM_STEPS = 64, 4


def settings(cfg: Any, options: type[Any], *without: str) -> dict[str, Any]:
    """The fields of ``agent.actor`` or ``agent.algorithm`` as a recipe has them."""
    names = (field.name for field in dataclasses.fields(options))
    values = {name: getattr(cfg, name) for name in names if name not in without}
    return {name: dataclasses.asdict(v) if dataclasses.is_dataclass(v) else v for name, v in values.items()}  # type: ignore[call-overload]


class Sides:
    """The task, in as many environments, whose episodes last one decision."""

    def __init__(self, alg: Gr00tPPO, seed: int) -> None:
        self.alg, self.generator = alg, torch.Generator().manual_seed(seed)
        with torch.no_grad():
            first = self.first_action(alg.actor(self.observe()))
        self.middle = torch.zeros(()) if alg.actor.encoder.spec.action_choices else first.median()

    def observe(self) -> TensorDict:
        black = torch.zeros(NUM_ENVS, 64, 64, 6, dtype=torch.uint8)
        numbers = (torch.randn(NUM_ENVS, width, generator=self.generator) for width in (16, 56))
        return TensorDict(dict(zip(("rgb", "state", "privileged"), (black, *numbers), strict=True)), [NUM_ENVS])

    def first_action(self, actions: torch.Tensor) -> torch.Tensor:
        return actions.view(NUM_ENVS, H, -1)[:, 0, 0]

    def right(self, obs: TensorDict, actions: torch.Tensor) -> torch.Tensor:
        return (self.first_action(actions) > self.middle) == (obs["state"][:, 0] > 0)

    @torch.no_grad()
    def success(self) -> float:
        """Of the deterministic policy."""
        tries = [(obs, self.alg.actor(obs)) for obs in (self.observe() for _ in range(4))]
        return float(torch.cat([self.right(*one) for one in tries]).float().mean())

    def iterate(self) -> None:
        with torch.inference_mode():
            for _ in range(NUM_STEPS):
                obs = self.observe()
                right = self.right(obs, self.alg.act(obs))
                extras = extras_of(NUM_ENVS, executed_steps=torch.ones(NUM_ENVS, dtype=torch.long), success=right)
                extras["step_rewards"] = torch.nn.functional.pad(right.float()[:, None], (0, H - 1))
                self.alg.process_env_step(obs, right.float(), torch.ones(NUM_ENVS, dtype=torch.long), extras)
            self.alg.compute_returns(obs)
        self.alg.update()


@dataclass(frozen=True)
class Shipped:
    """A policy and its recipe."""

    actor_class: type[Actor]
    recipe: Any
    iterations: int
    policy: dict[str, Any] = field(default_factory=dict)
    """Of :class:`Policy`."""
    actor: dict[str, Any] = field(default_factory=dict)
    """Fields of ``agent.actor`` that are not the recipe's."""


CENTRE = {"noise_scale": 0.0}
"""A random GR00T passes the noise that its flow begins with on to the actions: nearly all of what they do would be
that."""

SHIPPED = {
    "gr00t_ppo_small": Shipped(Gr00tSteeringActor, fetch_cfg.Gr00tPpoSmallRunnerCfg(), 60),
    "gr00t_adapter_ppo_small": Shipped(Gr00tGaussianActor, fetch_cfg.Gr00tAdapterPpoSmallRunnerCfg(), 25),
    "gr00t_categorical_ppo": Shipped(
        Gr00tCategoricalActor, cartpole_cfg.Gr00tCategoricalPpoRunnerCfg(), 25, {"spec": DISCRETE_SPEC}
    ),
    "gr00t_residual_ppo_small": Shipped(Gr00tResidualActor, fetch_cfg.Gr00tResidualPpoSmallRunnerCfg(), 60),
    "gr00t_flow_ppo_small": Shipped(
        Gr00tFlowActor, fetch_cfg.Gr00tFlowPpoSmallRunnerCfg(), 40, {"train": HEAD}, CENTRE
    ),
    "gr00t_lora_ppo_small": Shipped(
        Gr00tFlowActor, fetch_cfg.Gr00tLoraPpoSmallRunnerCfg(), 40, {"train": ("dit_lora",)}, CENTRE
    ),
}
"""Agent -> what it is."""

FAST = {"gr00t_adapter_ppo_small", "gr00t_categorical_ppo"}


@pytest.mark.parametrize(
    "agent", [pytest.param(agent, marks=[] if agent in FAST else pytest.mark.slow) for agent in SHIPPED]
)
def test_a_recipe_learns(agent: str) -> None:
    shipped = SHIPPED[agent]
    actor = settings(shipped.recipe.actor, shipped.actor_class.OPTIONS, "gr00t", "freezing", "chunk_length")
    pair = Policy(shipped.actor_class, actor | shipped.actor, **shipped.policy).build()
    backbone, seen = pair.encoder.model.backbone, {}
    from_images = backbone.hidden_states

    def once(**inputs: Any) -> torch.Tensor:
        # the images are always black
        size = len(inputs["input_ids"])
        if size not in seen:
            seen[size] = from_images(**inputs)
        return seen[size]

    backbone.hidden_states = once
    torch.manual_seed(0)
    obs = Sides.observe(type("Any", (), {"generator": torch.Generator().manual_seed(1)})())  # type: ignore[arg-type]
    options = settings(shipped.recipe.algorithm, PpoOptions, "num_mini_batches")
    alg = Gr00tPPO(pair, obs, NUM_STEPS, max_iterations=shipped.iterations, num_mini_batches=4, **options)
    alg.train_mode()
    task = Sides(alg, seed=0)
    assert task.success() < 0.6
    for _ in range(shipped.iterations):
        task.iterate()
    assert task.success() > 0.7
