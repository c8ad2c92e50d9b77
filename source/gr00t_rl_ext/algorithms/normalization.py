# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Scaling of rewards by what was seen of them."""

from __future__ import annotations

import torch
from torch import nn

from gr00t_rl_ext.algorithms.ranks import Total, on_one_rank

EPSILON = 1e-8
"""Added to the variance under the root."""

PRIOR_COUNT = 1e-4
"""Weight, in samples, of the mean 0 and the variance 1 that the statistics begin with."""


class RewardNormalizer(nn.Module):
    """Divides rewards by the running standard deviation of the discounted return; the mean is not subtracted.

    Reward scaling and reward clipping of the "37 implementation details of PPO". Every environment sums its rewards,
    ``R <- gamma R + r``; the variance of all R ever seen is updated from batches (Chan, Golub and LeVeque 1979), before
    the batch is scaled. In this it equals ``gymnasium.wrappers.vector.NormalizeReward``, whose prior and epsilon it
    has. It differs at the end of an episode: here R includes the episode's last reward and starts at 0 afterwards,
    whatever ended it. Gymnasium 1.4 forgets R before the last reward of an episode that terminates, so that a reward at
    the goal is never seen together with those before it; in its next-step reset mode it carries R over a truncation
    into the next episode.

    A step is what the caller passes rewards of; for a learner of action chunks that is a decision, with its reward and
    its ``gamma``. The statistics are buffers of the state; the running sums are not, as episodes may start anew when a
    run resumes. They are written in place, so that they may be updated in ``torch.inference_mode`` and
    outside by turns. A NaN in a reward would stay in them: check first.

    Args:
        num_envs: N.
        gamma: Discount of the return, per step.
        clip: Largest magnitude of a scaled reward. None: unbounded.
        total: Sums a tensor over the ranks, whose rewards are one batch.
    """

    mean: torch.Tensor
    variance: torch.Tensor
    count: torch.Tensor
    running_returns: torch.Tensor

    def __init__(self, num_envs: int, gamma: float, clip: float | None = 10.0, total: Total = on_one_rank) -> None:
        super().__init__()
        self.gamma, self.clip, self._total = gamma, clip, total
        # fp64: in fp32 a count stands still once a batch is less than 6e-8 of it
        self.register_buffer("mean", torch.zeros((), dtype=torch.float64))
        self.register_buffer("variance", torch.ones((), dtype=torch.float64))
        self.register_buffer("count", torch.tensor(PRIOR_COUNT, dtype=torch.float64))
        self.register_buffer("running_returns", torch.zeros(num_envs), persistent=False)

    @property
    def scale(self) -> torch.Tensor:
        """What rewards are multiplied by, () fp32."""
        return (self.variance + EPSILON).rsqrt().float()

    def scaled(self, rewards: torch.Tensor) -> torch.Tensor:
        """Scaled and clipped by what was seen so far, e.g. rewards of control steps; any shape."""
        rewards = rewards * self.scale
        return rewards if self.clip is None else rewards.clamp(-self.clip, self.clip)

    @torch.no_grad()
    def forward(self, rewards: torch.Tensor, dones: torch.Tensor) -> torch.Tensor:
        """Take in the rewards of a step and scale them. (N,) and (N,), non-zero where an episode ended -> (N,)."""
        self.running_returns.mul_(self.gamma).add_(rewards)
        batch = self.running_returns.double()
        added, seen = self._total(torch.stack((batch.sum(), torch.full_like(self.count, batch.numel()))))
        count, mean = self.count + seen, added / seen
        shift = mean - self.mean
        squares = self.variance * self.count + self._total((batch - mean).square().sum())
        squares += shift.square() * self.count * seen / count
        self.mean.add_(shift * seen / count)
        self.variance.copy_(squares / count)
        self.count.copy_(count)
        self.running_returns.masked_fill_(dones.bool(), 0.0)
        return self.scaled(rewards)
