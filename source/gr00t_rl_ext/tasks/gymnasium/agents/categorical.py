# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A categorical distribution for rsl_rl's MLP, so that its PPO can be the baseline on discrete actions.

rsl_rl 5.5 has distributions of continuous actions only.
"""

from __future__ import annotations

import torch
from rsl_rl.modules.distribution import Distribution
from torch import Tensor, nn
from torch.distributions import Categorical
from torch.distributions import kl_divergence as kl


class CategoricalDistribution(Distribution):
    """One categorical for each component of the action, over the same number of choices.

    Args:
        output_dim: Components A of the action.
        num_choices: Choices C of each.
    """

    def __init__(self, output_dim: int, num_choices: int) -> None:
        super().__init__(output_dim)
        self._shape = output_dim, num_choices
        self._distribution = Categorical(logits=torch.zeros(1, *self._shape))

    @property
    def input_dim(self) -> int:
        """Logits A * C."""
        return self._shape[0] * self._shape[1]

    def update(self, mlp_output: Tensor) -> None:
        """Take logits (B, A * C)."""
        self._distribution = Categorical(logits=mlp_output.unflatten(-1, self._shape))

    def sample(self) -> Tensor:
        """Choices (B, A), as floats."""
        return self._distribution.sample().float()

    def deterministic_output(self, mlp_output: Tensor) -> Tensor:
        """Likeliest choices (B, A), as floats."""
        return mlp_output.unflatten(-1, self._shape).argmax(-1).float()

    def as_deterministic_output_module(self) -> nn.Module:
        """For rsl_rl's export."""
        return _Likeliest(self._shape)

    @property
    def mean(self) -> Tensor:
        """Likeliest choices (B, A)."""
        return self._distribution.probs.argmax(-1).float()

    @property
    def std(self) -> Tensor:
        """Probability of another choice than the likeliest (B, A): what rsl_rl logs as the spread."""
        return 1.0 - self._distribution.probs.amax(-1)

    @property
    def entropy(self) -> Tensor:
        """(B,)."""
        return self._distribution.entropy().sum(-1)

    @property
    def params(self) -> tuple[Tensor, ...]:
        """Logits (B, A, C)."""
        return (self._distribution.logits,)

    def log_prob(self, outputs: Tensor) -> Tensor:
        """Of choices (B, A); (B,)."""
        return self._distribution.log_prob(outputs).sum(-1)

    def kl_divergence(self, old_params: tuple[Tensor, ...], new_params: tuple[Tensor, ...]) -> Tensor:
        """KL(old || new), (B,)."""
        (old,), (new,) = old_params, new_params
        return kl(Categorical(logits=old), Categorical(logits=new)).sum(-1)


class _Likeliest(nn.Module):
    def __init__(self, shape: tuple[int, int]) -> None:
        super().__init__()
        self.components, self.choices = shape

    def forward(self, mlp_output: Tensor) -> Tensor:
        return mlp_output.view(-1, self.components, self.choices).argmax(-1).float()
