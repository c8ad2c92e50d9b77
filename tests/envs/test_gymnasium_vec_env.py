# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The chunked rsl_rl environment over Gymnasium environments, on toys whose numbers are known by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium_toys import DRAW, GIVEN, NOISE, STEP

from gr00t_rl_ext.envs.gymnasium.tasks import make

COUNT = "gym:gymnasium_toys:Count-v0"
N = 3


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., Any]]:
    """A function that makes a task's environments, in one process unless told otherwise. Equal ones are used again."""
    made: dict[str, Any] = {}

    def start(task: str = COUNT, **settings: Any) -> Any:
        key = f"{task} {settings}"
        if key not in made:
            made[key] = make(task, **{"num_envs": N, "num_workers": 1, **settings})
        env = made[key]
        env.configure_decisions(1)
        env.reset(seed=env.cfg.seed)
        return env

    yield start
    for env in made.values():
        env.close()


def given(*values: float) -> torch.Tensor:
    """The chunk in which these are the first numbers of the actions, for all environments, with a 2-number action."""
    return torch.tensor([number for value in values for number in (value, 0.0)]).expand(N, -1)


def state(env: Any, column: int) -> list[float]:
    return env.get_observations()["state"][:, column].tolist()


def test_a_chunk_is_executed_step_by_step(start) -> None:
    env = start()
    env.configure_decisions(4, step_discount=0.5)
    assert env.num_actions == 8
    obs, rewards, dones, extras = env.step(given(0.25, 0.5, -0.5, 1.0))
    assert obs["state"].dtype == torch.float32
    assert obs["state"][:, STEP].tolist() == [4] * N
    assert obs["state"][:, GIVEN].tolist() == [1.0] * N
    assert rewards.tolist() == [0.25 + 0.25 - 0.125 + 0.125] * N
    assert extras["step_rewards"].tolist() == [[0.25, 0.5, -0.5, 1.0]] * N
    assert extras["executed_steps"].tolist() == [4] * N
    assert dones.tolist() == [0] * N
    assert dones.dtype == torch.int64
    assert not extras["time_outs"].any()
    assert extras["episode_return"].tolist() == [0.0] * N
    assert "final_observations" not in extras
    assert "success" not in extras


def test_actions_are_clipped_to_the_environments_box(start) -> None:
    env = start()
    obs, rewards, _, _ = env.step(given(7.0))
    assert obs["state"][:, GIVEN].tolist() == rewards.tolist() == [1.0] * N


def test_an_episode_that_ends_inside_a_chunk_rests_until_the_boundary(start) -> None:
    env = start(env_kwargs={"end": 6})
    env.configure_decisions(4, final_observation_groups=["state"])
    first = state(env, DRAW)
    env.step(given(1.0, 1.0, 1.0, 1.0))
    obs, rewards, dones, extras = env.step(given(0.5, 0.5, 0.5, 0.5))
    assert dones.tolist() == [1] * N
    assert extras["executed_steps"].tolist() == [2] * N
    assert extras["step_rewards"].tolist() == [[0.5, 0.5, 0.0, 0.0]] * N
    assert rewards.tolist() == [1.0] * N
    assert extras["episode_return"].tolist() == [5.0] * N
    assert extras["episode_steps"].tolist() == [6] * N
    # terminated: nothing to bootstrap from
    assert not extras["time_outs"].any()
    assert "final_observations" not in extras
    # the next episode has begun, with another draw
    assert obs["state"][:, STEP].tolist() == [0] * N
    assert all(after != before for after, before in zip(obs["state"][:, DRAW].tolist(), first, strict=True))
    assert env.episode_length_buf.tolist() == [0] * N


def test_a_time_out_is_told_apart_and_observed_before_the_reset(start) -> None:
    env = start()
    assert env.max_episode_length == 10
    env.configure_decisions(4, final_observation_groups=["state"])
    env.episode_length_buf = torch.tensor([0, 7, 5])  # rsl_rl spreads the ends of the first episodes
    obs, _, dones, extras = env.step(given(0.25, 0.5, 0.75, 1.0))
    assert dones.tolist() == [0, 1, 0]
    assert extras["time_outs"].tolist() == [False, True, False]
    assert extras["executed_steps"].tolist() == [4, 3, 4]
    final = extras["final_observations"]["state"]
    assert final[1, [STEP, GIVEN]].tolist() == [3, 0.75]
    assert not final[[0, 2]].any()
    assert obs["state"][:, STEP].tolist() == [4, 0, 4]
    assert env.episode_length_buf.tolist() == [4, 0, 9]
    # the length is what was executed
    assert extras["episode_steps"].tolist() == [0, 3, 0]


def test_a_termination_at_the_time_limit_is_a_termination(start) -> None:
    env = start(env_kwargs={"end": 2}, max_episode_steps=2)
    env.configure_decisions(2, final_observation_groups=["state"])
    _, _, dones, extras = env.step(given(0.0, 0.0))
    assert dones.tolist() == [1] * N
    assert not extras["time_outs"].any()


@pytest.mark.parametrize(
    ("settings", "returns", "time_outs", "steps"),
    [
        ({"terminate_on_success": True, "reward": "sparse_success"}, 1.0, False, 3),
        ({"terminate_on_success": True}, 1.5, False, 3),
        ({"reward": "sparse_success"}, 2.0, True, 4),
    ],
)
def test_success(start, settings: dict, returns: float, time_outs: bool, steps: int) -> None:
    env = start(env_kwargs={"goal": 3}, max_episode_steps=4, **settings)
    env.configure_decisions(2)
    extras = env.step(given(0.5, 0.5))[-1]
    assert extras["success"].tolist() == [False] * N
    extras = env.step(given(0.5, 0.5))[-1]
    assert extras["success"].tolist() == [True] * N
    assert extras["time_outs"].tolist() == [time_outs] * N
    assert extras["episode_return"].tolist() == [returns] * N
    assert extras["episode_steps"].tolist() == [steps] * N


def test_an_episode_that_ends_without_its_goal_is_no_success(start) -> None:
    env = start(env_kwargs={"goal": 9}, max_episode_steps=1)
    assert env.step(given(0.0))[-1]["success"].tolist() == [False] * N


@pytest.mark.parametrize(
    ("space", "choices", "action", "reward"),
    [("discrete", (3,), [0.0, 2.0], 5 + 7), ("multi", (3, 2), [1.0, 0.0, 2.0, 1.0], 1 + 2)],
)
def test_discrete_actions(start, space: str, choices: tuple[int, ...], action: list[float], reward: float) -> None:
    env = start(env_kwargs={"space": space})
    env.configure_decisions(2)
    assert env.action_choices == choices
    assert env.num_actions == 2 * len(choices)
    chunk = torch.tensor(action).expand(N, -1)
    assert env.step(chunk)[1].tolist() == [reward] * N
    with pytest.raises(ValueError, match=r"are no choices of this task: 9. Expected integers"):
        env.step(torch.full_like(chunk, 9.0))


def experience(env: Any, chunks: int = 6) -> tuple[list[list[float]], list[list[float]]]:
    """Observations and rewards of a fixed sequence of actions; the toy's noise shows its random stream."""
    generator = torch.Generator().manual_seed(1)
    env.configure_decisions(4)
    states, rewards = [env.get_observations()["state"].flatten().tolist()], []
    for _ in range(chunks):
        obs, reward, _, _ = env.step(2 * torch.rand(env.num_envs, 8, generator=generator) - 1)
        states.append(obs["state"].flatten().tolist())
        rewards.append(reward.tolist())
    return states, rewards


def test_every_environment_has_its_own_stream_whatever_the_number_of_workers(start) -> None:
    one = start(num_envs=5, seed=3)
    assert one.num_workers == 1
    draws = state(one, DRAW)
    assert len(set(draws)) == 5
    expected = experience(one)
    three = start(num_envs=5, seed=3, num_workers=3)
    assert three.num_workers == 3
    assert experience(three) == expected
    # again, in the same processes; and environment i does not depend on how many there are
    assert [three.reset(seed=3), experience(three)][1] == expected
    assert state(start(num_envs=2, seed=3), DRAW) == draws[:2]
    assert set(state(start(num_envs=5, seed=4), DRAW)).isdisjoint(draws)


def test_reset_without_seed_goes_on_to_the_next_episode(start) -> None:
    env = start()
    first = state(env, DRAW)
    env.step(given(0.0))
    env.reset()
    assert state(env, STEP) == [0] * N
    assert set(state(env, DRAW)).isdisjoint(first)
    assert env.episode_length_buf.tolist() == [0] * N


def test_without_a_config_the_whole_observation_is_the_state(start) -> None:
    env = start("gym:gymnasium_toys:Goal-v0")
    assert env.observation_manager.active_terms == {"state": ["aim", "choice", "place"]}
    assert env.observation_manager.group_obs_term_dim == {"state": [(2,), (3,), (2,)]}
    assert env.get_observations()["state"].tolist() == [[1.5, 4, 0, 1, 0, 1, 2]] * N
    assert env.action_manager is None


def test_groups_are_columns_and_differences(start) -> None:
    groups = {
        "state": {"y": {"key": "place", "start": 1}},
        "privileged": {"choice": {"key": "choice"}, "way": {"key": "aim", "minus": {"key": "place"}}},
    }
    env = start("gym:gymnasium_toys:Goal-v0", groups=groups, action_terms={"left": 1, "right": 1})
    obs = env.get_observations()
    assert obs["state"].tolist() == [[2.0]] * N
    assert obs["privileged"].tolist() == [[0, 1, 0, 0.5, 2.0]] * N
    assert env.observation_manager.group_obs_term_dim == {"state": [(1,)], "privileged": [(3,), (2,)]}
    assert (env.action_manager.active_terms, env.action_manager.action_term_dim) == (["left", "right"], [1, 1])
    env.configure_decisions(1, observation_groups=["privileged"])
    assert list(env.get_observations().keys()) == ["privileged"]


def test_a_group_may_have_the_time_that_has_passed(start) -> None:
    """The episode lasts 10 control steps."""
    env = start(groups={"state": {"all": {}}, "privileged": {"time": {"key": "elapsed_time"}}})
    assert env.max_episode_length == 10
    env.configure_decisions(4, final_observation_groups=["privileged"])
    assert env.step(given(0, 0, 0, 0))[0]["privileged"][:, 0].tolist() == pytest.approx([0.4] * N)
    env.episode_length_buf = torch.tensor([2, 8, 0])
    assert env.get_observations()["privileged"][:, 0].tolist() == pytest.approx([0.2, 0.8, 0.0])
    obs, _, _, extras = env.step(given(0, 0, 0, 0))
    assert obs["privileged"][:, 0].tolist() == pytest.approx([0.6, 0.0, 0.4])
    assert extras["final_observations"]["privileged"][:, 0].tolist() == [0.0, 1.0, 0.0]


def test_the_environments_own_picture(start) -> None:
    env = start(rgb=True, image_size=(10, 16))
    assert env.observation_manager.active_terms["rgb"] == ["view"]
    env.configure_decisions(4, observation_groups=["rgb"], final_observation_groups=["rgb"])
    image = env.step(given(0, 0, 0, 0))[0]["rgb"]
    assert image.dtype == torch.uint8
    assert image.shape == (N, 10, 16, 3)
    assert (image == 4).all()
    env.episode_length_buf = torch.tensor([0, 8, 0])
    obs, _, _, extras = env.step(given(0, 0, 0, 0))
    assert obs["rgb"].amax((1, 2, 3)).tolist() == [8, 0, 8]
    assert extras["final_observations"]["rgb"].amax((1, 2, 3)).tolist() == [0, 6, 0]
    # not asked for, not rendered; asked for again, rendered at once
    env.configure_decisions(1, observation_groups=["state"])
    assert "rgb" not in env.step(given(0))[0]
    env.configure_decisions(1)
    assert env.get_observations()["rgb"].amax((1, 2, 3)).tolist() == [9, 1, 9]


def test_observations_belong_to_the_caller(start) -> None:
    env = start(rgb=True)
    obs, _, _, extras = env.step(given(0.5))
    kept = [obs.clone(), extras["executed_steps"].clone()]
    env.step(given(0.25))
    assert (obs == kept[0]).all()
    assert (extras["executed_steps"] == kept[1]).all()


def test_rollouts_in_inference_mode(start) -> None:
    env = start()
    with torch.inference_mode():
        env.step(given(0.5))
    env.episode_length_buf = torch.randint_like(env.episode_length_buf, high=env.max_episode_length - 1)
    assert env.step(given(0.5))[0]["state"][:, STEP].tolist() == [2] * N


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda env: env.configure_decisions(0), "at least 1 control step, got 0"),
        (lambda env: env.configure_decisions(1, step_discount=1.5), r"must lie in \(0, 1\], got 1.5"),
        (
            lambda env: env.configure_decisions(1, observation_groups=["rgb"]),
            r"no observation group 'rgb'. It offers: state.*`env.rgb=true`",
        ),
        (lambda env: env.step(torch.zeros(N, 3)), r"shape \(3, 3\), expected \(3, 2\): 3 environments"),
        (lambda env: setattr(env, "episode_length_buf", torch.tensor([0, 10, 0])), "control steps in 0 .. 9"),
    ],
)
def test_bad_calls(start, call: Callable[[Any], None], message: str) -> None:
    env = start()
    with pytest.raises(ValueError, match=message):
        call(env)
    env.step(given(0.5))  # and it goes on


def test_a_cartpole_equals_gymnasiums_own(start) -> None:
    env = start("gym:CartPole-v1", num_envs=1, seed=5)
    env.configure_decisions(1)
    words = np.random.SeedSequence((5, 0, 0)).generate_state(2)
    reference = gym.make("CartPole-v1")
    observation, _ = reference.reset(seed=int(words[0]) << 32 | int(words[1]))
    for step in range(200):
        assert env.get_observations()["state"][0].tolist() == observation.tolist()
        observation, _, terminated, _, _ = reference.step(step % 2)
        assert env.step(torch.tensor([[step % 2.0]]))[2].item() == terminated
        if terminated:
            break
    assert terminated
    assert step > 10


def test_noise_is_drawn_in_the_step(start) -> None:
    """The toy's noise is what the tests on streams rest on."""
    env = start()
    env.step(given(0.0))
    first = state(env, NOISE)
    env.step(given(0.0))
    assert set(first).isdisjoint(state(env, NOISE))
