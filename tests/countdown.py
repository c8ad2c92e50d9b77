# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Environments whose episodes have a length that is drawn."""

from __future__ import annotations

from typing import Any

import torch
from tensordict import TensorDict

from gr00t_rl_ext.envs.decision import Outcome

CHUNK = 2


class Countdown:
    """Environments whose episodes are as long as a number that the reset draws, 1 to 9, and succeed if it is odd.

    The reward of a control step is the action. Images show the steps so far.
    """

    device = "cpu"
    max_episode_length = 9

    def __init__(self, num_envs: int = 3, success: bool = True) -> None:
        self.num_envs, self._success = num_envs, success
        self.chunk_length = CHUNK
        self._parked = torch.zeros(num_envs, dtype=torch.bool)
        self._carry_over = 0.0
        self._groups = ["state"]

    @property
    def unwrapped(self) -> Countdown:
        return self

    def configure_decisions(self, chunk_length: int, observation_groups: list[str]) -> None:
        self.chunk_length, self._groups = chunk_length, observation_groups

    def reset(self, seed: int | None = None) -> None:
        if seed is not None:
            torch.manual_seed(seed)
        self._parked = torch.zeros(self.num_envs, dtype=torch.bool)
        self._begin(torch.arange(self.num_envs))

    def _begin(self, envs: torch.Tensor) -> None:
        if not hasattr(self, "_length"):
            self._length = torch.zeros(self.num_envs, dtype=torch.long)
            self._steps, self._return = self._length.clone(), torch.zeros(self.num_envs)
        self._length[envs] = torch.randint(1, 10, (len(envs),))
        self._steps[envs], self._return[envs] = 0, 0.0

    def park(self, parked: torch.Tensor) -> None:
        self._parked = parked

    def get_observations(self) -> TensorDict:
        state = torch.stack((self._length + self._carry_over, self._steps.float()), dim=1)
        images = self._steps.view(-1, 1, 1, 1).expand(-1, 4, 4, 6).to(torch.uint8)
        everything = {"state": state, "rgb": images}
        return TensorDict({name: everything[name] for name in self._groups}, [self.num_envs])

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        done = torch.zeros(self.num_envs, dtype=torch.long)
        returns, steps = torch.zeros(self.num_envs), done.clone()
        succeeded = torch.zeros(self.num_envs, dtype=torch.bool)
        for env in (~self._parked).nonzero()[:, 0].tolist():
            for action in actions[env].tolist():
                self._steps[env] += 1
                self._return[env] += action
                if self._steps[env] == self._length[env]:
                    done[env], succeeded[env] = 1, bool(self._length[env] % 2)
                    returns[env], steps[env] = self._return[env], self._steps[env]
                    self._begin(torch.tensor([env]))
                    break
        outcome = Outcome(
            executed_steps=(~self._parked).long(),
            step_rewards=torch.zeros(self.num_envs, self.chunk_length),
            episode_return=returns,
            episode_steps=steps,
            success=succeeded if self._success else None,
        )
        return self.get_observations(), torch.zeros(self.num_envs), done, outcome.to_extras()
