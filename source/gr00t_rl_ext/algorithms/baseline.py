# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""rsl_rl's PPO with an MLP: the baseline that every claim is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from rsl_rl.algorithms import PPO
from rsl_rl.env import VecEnv
from rsl_rl.modules.distribution import Distribution
from rsl_rl.utils import resolve_callable
from tensordict import TensorDict
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.distributions import kl_divergence as kl

from gr00t_rl_ext.policy.scored import mode
from gr00t_rl_ext.runs.guard import guard


class RslRlPPO(PPO):
    """rsl_rl's PPO, unchanged, on an environment that computes only the observation groups in use.

    rsl_rl stores every group that the environment returns; without this, an agent without cameras would still render
    and store images.
    """

    @staticmethod
    def construct_algorithm(obs: TensorDict, env: VecEnv, cfg: dict, device: str) -> PPO:
        """Narrow the environment to ``agent.obs_groups`` and one control step per decision, then do as rsl_rl does.

        Raises:
            ValueError: The task's actions are discrete, and the agent has a distribution of numbers.
        """
        guard(cfg)
        unwrapped: Any = env.unwrapped  # type: ignore[attr-defined]
        used = list(dict.fromkeys(group for groups in cfg["obs_groups"].values() for group in groups))
        unwrapped.configure_decisions(1, observation_groups=used)
        if choices := unwrapped.action_choices:
            given = cfg["actor"].get("distribution_cfg")
            if given is None:
                given = {"class_name": f"{__name__}:CategoricalDistribution", "choices": choices}
                cfg = cfg | {"actor": cfg["actor"] | {"distribution_cfg": given}}
            elif not issubclass(resolve_callable(given["class_name"]), CategoricalDistribution):  # type: ignore[arg-type]
                raise ValueError(
                    "`agent.actor.distribution_cfg` is set, but the task's actions are discrete"
                    f" ({', '.join(map(str, choices))} choices): each choice has a logit of its own, and there is"
                    " nothing to configure. Set `agent.actor.distribution_cfg=null`."
                )
        return PPO.construct_algorithm(env.get_observations().to(device), env, cfg, device)


MlpPPO = RslRlPPO
"""What it was called in version 0.1: users' configs name it."""


class CategoricalDistribution(Distribution):
    """One categorical for each component of the action. rsl_rl 5.5 has distributions of continuous actions only.

    Args:
        output_dim: Components A of the action.
        choices: How many choices each has.
    """

    def __init__(self, output_dim: int, choices: Sequence[int]) -> None:
        super().__init__(output_dim)
        self._choices = list(choices)
        self.update(torch.zeros(1, self.input_dim))

    @property
    def input_dim(self) -> int:
        """Logits L, one per choice of each component."""
        return sum(self._choices)

    def update(self, mlp_output: Tensor) -> None:
        """Take logits (B, L)."""
        self._components = self._categoricals(mlp_output)

    def sample(self) -> Tensor:
        """Choices (B, A), as floats."""
        return torch.stack([component.sample() for component in self._components], dim=-1).float()

    def deterministic_output(self, mlp_output: Tensor) -> Tensor:
        """Likeliest choices (B, A), as floats."""
        return mode(mlp_output, self._choices).float()

    def as_deterministic_output_module(self) -> nn.Module:
        """For rsl_rl's export."""
        return _Likeliest(self._choices)

    @property
    def mean(self) -> Tensor:
        """Likeliest choices (B, A)."""
        return self.deterministic_output(*self.params)

    @property
    def std(self) -> Tensor:
        """Probability of another choice than the likeliest (B, A): what rsl_rl logs as the spread."""
        return torch.stack([1.0 - component.probs.amax(-1) for component in self._components], dim=-1)

    @property
    def entropy(self) -> Tensor:
        """(B,)."""
        return torch.stack([component.entropy() for component in self._components]).sum(0)

    @property
    def params(self) -> tuple[Tensor, ...]:
        """Normalised logits (B, L)."""
        return (torch.cat([component.logits for component in self._components], dim=-1),)

    def log_prob(self, outputs: Tensor) -> Tensor:
        """Of choices (B, A); (B,)."""
        pairs = zip(self._components, outputs.unbind(-1), strict=True)
        return torch.stack([component.log_prob(chosen) for component, chosen in pairs]).sum(0)

    def kl_divergence(self, old_params: tuple[Tensor, ...], new_params: tuple[Tensor, ...]) -> Tensor:
        """KL(old || new), (B,)."""
        pairs = zip(self._categoricals(*old_params), self._categoricals(*new_params), strict=True)
        return torch.stack([kl(old, new) for old, new in pairs]).sum(0)

    def _categoricals(self, logits: Tensor) -> list[Categorical]:
        return [Categorical(logits=part) for part in logits.split(self._choices, dim=-1)]


class _Likeliest(nn.Module):
    def __init__(self, choices: list[int]) -> None:
        super().__init__()
        self.choices = choices

    def forward(self, mlp_output: Tensor) -> Tensor:
        return mode(mlp_output, self.choices).float()
