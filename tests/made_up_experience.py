# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Drives an algorithm as rsl_rl's runner does, over made-up experience."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDict
from tiny_policy import observations

from gr00t_rl_ext.algorithms.ppo import Gr00tPPO
from gr00t_rl_ext.envs.decision import Outcome

N, T, H, A = 4, 6, 4, 8
"""Environments, decisions per iteration, control steps per decision, actions per control step."""


def extras_of(num_envs: int = N, **changes: Any) -> dict[str, Any]:
    """What the environment reports of a decision in which nothing ended."""
    outcome = Outcome(
        executed_steps=torch.full((num_envs,), H),
        step_rewards=torch.zeros(num_envs, H),
        episode_return=torch.zeros(num_envs),
        episode_steps=torch.zeros(num_envs, dtype=torch.long),
    )
    return outcome.to_extras() | changes


class Runner:
    """The rollout loop of rsl_rl's OnPolicyRunner over made-up experience, which depends on the seed alone."""

    def __init__(self, alg: Gr00tPPO, seed: int = 0, encoded: bool = False) -> None:
        self.alg = alg
        self.generator = torch.Generator().manual_seed(seed)
        self.encoded = encoded
        self.obs = self.observe()
        self.logs: list[dict[str, Any]] = []

    def observe(self) -> TensorDict:
        obs = observations(self.alg.storage.num_envs, int(torch.randint(1 << 30, (1,), generator=self.generator)))
        if self.encoded:
            with torch.inference_mode():
                return self.alg.encoder.encode(obs)
        return obs

    def rollout(self, executed: torch.Tensor | None = None) -> None:
        alg, num_envs = self.alg, self.alg.storage.num_envs
        self.logs = []
        with torch.inference_mode():
            for step in range(alg.storage.num_steps):
                alg.act(self.obs)
                self.obs = self.observe()
                extras = extras_of(num_envs)
                if executed is not None:
                    extras["executed_steps"] = executed[step]
                rewards = torch.randn(num_envs, generator=self.generator)
                extras["step_rewards"] = rewards.unsqueeze(1).expand(-1, H) / H
                alg.process_env_step(self.obs, rewards, torch.zeros(num_envs, dtype=torch.long), extras)
                self.logs.append(extras["log"])
            alg.compute_returns(self.obs)

    def iterate(self, count: int = 1) -> dict[str, Any]:
        for _ in range(count):
            self.rollout()
            self.alg.update()
        return self.logs[-1]


def weights(alg: Gr00tPPO) -> dict[str, torch.Tensor]:
    modules = {"actor": alg.actor, "critic": alg.critic}
    return {f"{m}.{n}": value.clone() for m, module in modules.items() for n, value in module.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
