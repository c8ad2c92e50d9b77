# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""normalization: reward scaling against hand values, the definition and gymnasium."""

from __future__ import annotations

import copy
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import NormalizeReward

from gr00t_rl_ext.algorithms.normalization import EPSILON, PRIOR_COUNT, RewardNormalizer


class _Replay(gymnasium.vector.VectorEnv):
    """Environments that give recorded rewards and ends of episodes, (T, N) each."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}

    def __init__(self, rewards: np.ndarray, terminated: np.ndarray, truncated: np.ndarray) -> None:
        self.num_envs = rewards.shape[1]
        self._steps = iter(zip(rewards, terminated, truncated, strict=True))

    def reset(self, **_: Any) -> tuple[np.ndarray, dict]:
        return np.zeros(self.num_envs), {}

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict]:
        return np.zeros(self.num_envs), *next(self._steps), {}


def by_gymnasium(rewards: torch.Tensor, terminated: torch.Tensor, truncated: torch.Tensor, gamma: float) -> np.ndarray:
    env = NormalizeReward(_Replay(rewards.numpy(), terminated.numpy(), truncated.numpy()), gamma=gamma)
    env.reset()
    return np.stack([env.step(None)[1] for _ in rewards])


def scaled_by(normalizer: RewardNormalizer, rewards: torch.Tensor, dones: torch.Tensor) -> torch.Tensor:
    return torch.stack([normalizer(reward, done) for reward, done in zip(rewards, dones, strict=True)])


def seen_returns(rewards: torch.Tensor, dones: torch.Tensor, gamma: float) -> list[float]:
    """Discounted sums at every step of every environment, step by step."""
    seen = []
    for n in range(rewards.shape[1]):
        total = 0.0
        for reward, done in zip(rewards[:, n].tolist(), dones[:, n].tolist(), strict=True):
            total = gamma * total + reward
            seen.append(total)
            total = 0.0 if done else total
    return seen


def recorded(T: int = 200, N: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.randn(T, N) * 3.0 + 1.0, torch.rand(T, N) < 0.1


def test_by_hand() -> None:
    # returns 1, 3, then 0.5 * 1 + 2 = 2.5 and, after the end, 5; the prior weighs nearly nothing
    normalizer = RewardNormalizer(2, gamma=0.5, clip=None)
    first = normalizer(torch.tensor([1.0, 3.0]), torch.tensor([False, True]))
    torch.testing.assert_close(first, torch.tensor([1.0, 3.0]) / 1.0, rtol=1e-3, atol=0.0)
    second = normalizer(torch.tensor([2.0, 5.0]), torch.tensor([False, False]))
    std = np.std([1.0, 3.0, 2.5, 5.0])
    torch.testing.assert_close(second, torch.tensor([2.0, 5.0]) / std, rtol=1e-3, atol=0.0)


def test_the_scale_is_the_standard_deviation_of_all_returns() -> None:
    rewards, dones = recorded()
    normalizer = RewardNormalizer(8, gamma=0.97)
    scaled_by(normalizer, rewards, dones)
    returns = seen_returns(rewards, dones, 0.97)
    assert normalizer.mean.item() == pytest.approx(np.mean(returns), rel=1e-5)
    assert normalizer.scale.item() == pytest.approx(1.0 / np.std(returns), rel=1e-5)
    assert normalizer.count.item() == pytest.approx(len(returns), rel=1e-6)


def test_with_truncations_it_equals_gymnasium() -> None:
    rewards, dones = recorded()
    actual = scaled_by(RewardNormalizer(8, gamma=0.97, clip=None), rewards, dones)
    expected = by_gymnasium(rewards, torch.zeros_like(dones), dones, 0.97)
    np.testing.assert_allclose(actual.numpy(), expected, rtol=1e-4)


def test_a_termination_ends_a_return_and_does_not_cut_its_last_reward_off() -> None:
    """Gymnasium sees 10 at the termination; the return of the episode is 10 + 0.9."""
    rewards, dones = torch.tensor([[1.0], [10.0]]), torch.tensor([[False], [True]])
    normalizer = RewardNormalizer(1, gamma=0.9, clip=None)
    ours = scaled_by(normalizer, rewards, dones)[-1].item()
    theirs = by_gymnasium(rewards, dones, torch.zeros_like(dones), 0.9)[-1].item()
    assert ours == pytest.approx(10.0 / np.std([1.0, 10.9]), rel=1e-3)
    assert theirs == pytest.approx(10.0 / np.std([1.0, 10.0]), rel=1e-3)


def test_clip_bounds_both_sides() -> None:
    normalizer = RewardNormalizer(2, gamma=0.9, clip=1.5)
    for _ in range(100):
        normalizer(torch.tensor([1.0, -1.0]), torch.ones(2))
    outliers = normalizer(torch.tensor([50.0, -50.0]), torch.ones(2))
    assert outliers.tolist() == [1.5, -1.5]
    assert normalizer.scaled(torch.tensor([[0.0, 100.0]])).tolist() == [[0.0, 1.5]]


def test_rewards_of_control_steps_scale_alike() -> None:
    rewards, dones = recorded()
    normalizer = RewardNormalizer(8, gamma=0.97, clip=None)
    scaled_by(normalizer, rewards, dones)
    steps = torch.randn(8, 4)
    torch.testing.assert_close(normalizer.scaled(steps).sum(1), normalizer.scaled(steps.sum(1)))
    torch.testing.assert_close(normalizer.scaled(steps), steps * normalizer.scale)
    assert normalizer.scale.dtype == torch.float32


def test_rewards_that_are_all_zero_stay_zero() -> None:
    normalizer = RewardNormalizer(4, gamma=0.9)
    for _ in range(1000):
        scaled = normalizer(torch.zeros(4), torch.zeros(4, dtype=torch.bool))
    assert (scaled == 0.0).all()
    assert normalizer.scale.item() <= EPSILON**-0.5


def test_the_variance_of_a_large_offset_survives_cancellation() -> None:
    torch.manual_seed(0)
    rewards = 10_000.0 + torch.randn(500, 4)
    normalizer = RewardNormalizer(4, gamma=0.9)
    scaled_by(normalizer, rewards, torch.ones(500, 4))
    # the prior as two samples: mean 0, variance 1
    samples = np.append(rewards.double().flatten().numpy(), [-1.0, 1.0])
    weights = np.append(np.ones(2000), [PRIOR_COUNT / 2.0] * 2)
    variance = np.average((samples - np.average(samples, weights=weights)) ** 2, weights=weights)
    assert normalizer.variance.item() == pytest.approx(variance, rel=1e-6)


def test_inference_mode_and_normal_mode_by_turns() -> None:
    rewards, dones = recorded(T=6)
    plain, mixed = RewardNormalizer(8, gamma=0.9), RewardNormalizer(8, gamma=0.9)
    scaled_by(plain, rewards, dones)
    with torch.inference_mode():
        scaled_by(mixed, rewards[:2] + 0.0, dones[:2])
    mixed.load_state_dict(copy.deepcopy(mixed.state_dict()))
    scaled_by(mixed, rewards[2:4], dones[2:4])
    with torch.inference_mode():
        scaled_by(mixed, rewards[4:], dones[4:])
    assert mixed.scale == plain.scale
    assert torch.equal(mixed.running_returns, plain.running_returns)


def test_a_checkpoint_holds_the_statistics_and_fits_another_number_of_environments() -> None:
    rewards, dones = recorded()
    trained = RewardNormalizer(8, gamma=0.9)
    scaled_by(trained, rewards, dones)
    resumed = RewardNormalizer(3, gamma=0.9)
    resumed.load_state_dict(trained.state_dict())
    assert torch.equal(resumed.scale, trained.scale)
    assert (resumed.running_returns == 0.0).all()
    assert resumed.count == trained.count
