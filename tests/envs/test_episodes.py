# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Every episode counts once, whatever its length, and policies are compared under equal conditions."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from countdown import CHUNK, Countdown
from tensordict import TensorDict

from gr00t_rl_ext.envs.episodes import EvaluationError, batch_seed, repeat, replay, run_episodes


def ones(obs: TensorDict) -> torch.Tensor:
    return torch.ones(obs.batch_size[0], CHUNK)


def noise(obs: TensorDict) -> torch.Tensor:
    return torch.randn(obs.batch_size[0], CHUNK)


def drawn_lengths(episodes: int, num_envs: int, seed: int) -> list[int]:
    lengths = []
    for batch in range(-(-episodes // num_envs)):
        torch.manual_seed(batch_seed(seed, batch))
        lengths += torch.randint(1, 10, (num_envs,)).tolist()
    return lengths[:episodes]


def test_each_initial_state_counts_once_whatever_the_length() -> None:
    told: list[int] = []
    episodes = run_episodes(Countdown(), ones, 7, seed=5, progress=told.append)
    expected = drawn_lengths(7, 3, seed=5)
    assert episodes.lengths == expected
    assert episodes.returns == [float(length) for length in expected]
    assert episodes.successes == [length % 2 == 1 for length in expected]
    assert episodes.initial[:, 0].tolist() == expected
    assert told[-1] == 7
    assert sorted(told) == told


def test_two_runs_give_the_same_and_another_seed_others() -> None:
    first, again, other = (run_episodes(Countdown(), noise, 6, seed) for seed in (1, 1, 2))
    assert first.returns == again.returns
    assert first.digests() == again.digests()
    assert first.differs_at(again) is None
    assert first.returns != other.returns
    assert first.digests() != other.digests()
    assert first.differs_at(other) == 0


def test_what_a_policy_draws_does_not_depend_on_other_draws() -> None:
    """Resets in mid-batch draw from the same generator; so does a policy that draws more."""

    def wasteful(obs: TensorDict) -> torch.Tensor:
        actions = noise(obs)
        torch.randn(100)
        return actions

    assert run_episodes(Countdown(), noise, 6, 1).returns == run_episodes(Countdown(), wasteful, 6, 1).returns


def test_a_task_without_success_term() -> None:
    assert run_episodes(Countdown(success=False), ones, 4, 0).successes is None


def test_a_state_that_depends_on_what_happened_before_is_noticed() -> None:
    env = Countdown()
    first = run_episodes(env, ones, 5, 0)
    env._carry_over = 0.5e-5
    assert run_episodes(env, ones, 5, 0).differs_at(first) is None
    env._carry_over = 0.1
    assert run_episodes(env, ones, 5, 0).differs_at(first) == 0


def test_episodes_can_be_seen_again() -> None:
    env = Countdown()
    episodes = run_episodes(env, ones, 7, 0)
    longest = int(np.argmax(episodes.lengths))
    footage = replay(env, episodes, 0, [longest, 6], "rgb", stride=1)
    assert set(footage) == {longest, 6}
    seen = footage[longest]
    assert seen.images.shape == (episodes.lengths[longest], 4, 8, 3)
    assert seen.images[:, 0, 0, 0].tolist() == list(range(episodes.lengths[longest]))
    assert seen.is_the_same
    env.reset()
    coarse = replay(env, episodes, 0, [longest], "rgb", stride=4)[longest]
    assert coarse.images[:, 0, 0, 0].tolist() == list(range(0, episodes.lengths[longest], 4))
    assert coarse.is_the_same
    # with the seed of other initial states it is another episode
    assert not replay(env, episodes, 99, [longest], "rgb", stride=1)[longest].is_the_same


def test_episodes_are_run_again_step_by_step() -> None:
    env = Countdown()
    episodes = run_episodes(env, noise, 7, 0)
    numbers = [1, 4, 5]
    env.configure_decisions(1, observation_groups=["state"])
    steps: dict[int, list[float]] = {number: [] for number in numbers}
    returns, successes = {}, {}
    for decision in repeat(env, episodes, 0, numbers, stride=1):
        for index, number in decision.running.items():
            assert number % 3 == index
            steps[number].append(float(decision.obs["state"][index, 1]))
        for index in decision.ended:
            number = decision.running[index]
            assert number not in returns, "once"
            returns[number] = float(decision.outcome.episode_return[index])
            successes[number] = bool(decision.outcome.success[index])  # type: ignore[index]
    assert steps == {number: list(range(episodes.lengths[number])) for number in numbers}
    assert returns == pytest.approx({number: episodes.returns[number] for number in numbers})
    assert successes == {number: episodes.lengths[number] % 2 == 1 for number in numbers}


def test_what_cannot_be_evaluated_is_said() -> None:
    stock = SimpleNamespace(unwrapped=SimpleNamespace())
    with pytest.raises(EvaluationError, match=r"SimpleNamespace cannot be evaluated: .*ChunkedDirectRLEnv"):
        run_episodes(stock, ones, 1, 0)
    endless = Countdown()
    endless.max_episode_length = 1
    with pytest.raises(EvaluationError, match="did not end within the task's 1 control steps"):
        run_episodes(endless, ones, 6, 0)
    blind = Countdown()
    blind._groups = ["rgb"]
    with pytest.raises(EvaluationError, match="observes images only"):
        run_episodes(blind, ones, 1, 0)
