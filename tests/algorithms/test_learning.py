# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Each policy learns a small task with the rates and penalties of its shipped recipe.

Whether the first action of a decision shall be above or below what the untrained policy does, is told by the first
number of the state. A policy that is frozen, or random, is right half of the time.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from made_up_experience import extras_of
from policies import H, Policy
from tensordict import TensorDict

from gr00t_rl_ext.algorithms.options import PpoOptions
from gr00t_rl_ext.algorithms.ppo import Gr00tPPO
from gr00t_rl_ext.policy.gaussian_actor import Gr00tGaussianActor
from gr00t_rl_ext.policy.residual_actor import Gr00tResidualActor
from gr00t_rl_ext.policy.steering import Gr00tSteeringActor
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
            self.middle = self.first_action(alg.actor(self.observe())).median()

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


SHIPPED = {
    "gr00t_ppo_small": (Gr00tSteeringActor, fetch_cfg.Gr00tPpoSmallRunnerCfg(), 60),
    "gr00t_adapter_ppo_small": (Gr00tGaussianActor, fetch_cfg.Gr00tAdapterPpoSmallRunnerCfg(), 25),
    "gr00t_residual_ppo_small": (Gr00tResidualActor, fetch_cfg.Gr00tResidualPpoSmallRunnerCfg(), 60),
}
"""Agent -> its policy, its recipe, and iterations. Those that train GR00T itself have rates for one that can do a task
already; docs/results shows what they learn."""


@pytest.mark.parametrize(
    "agent", [pytest.param(agent, marks=[] if "adapter" in agent else pytest.mark.slow) for agent in SHIPPED]
)
def test_a_recipe_learns(agent: str) -> None:
    actor_class, recipe, iterations = SHIPPED[agent]
    actor = settings(recipe.actor, actor_class.OPTIONS, "gr00t", "freezing", "chunk_length")
    pair = Policy(actor_class, actor).build()
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
    options = settings(recipe.algorithm, PpoOptions, "num_mini_batches")
    alg = Gr00tPPO(pair, obs, NUM_STEPS, max_iterations=iterations, num_mini_batches=4, **options)
    alg.train_mode()
    task = Sides(alg, seed=0)
    assert task.success() < 0.6
    for _ in range(iterations):
        task.iterate()
    assert task.success() > 0.7
