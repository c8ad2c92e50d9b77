# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Groups: members go on from their leader's state, equal to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from gymnasium_toys import DRAW, STEP

from gr00t_rl_ext.envs.gymnasium.tasks import make

COUNT = "gym:gymnasium_toys:Count-v0"
FETCH = "gym:FetchPickAndPlace-v4"


@pytest.fixture
def start() -> Iterator[Callable[..., Any]]:
    """A function that makes a task's environments in groups of two."""
    made = []

    def start(task: str = COUNT, num_envs: int = 4, **settings: Any) -> Any:
        env = make(task, **{"num_envs": num_envs, "num_workers": 1, **settings})
        made.append(env)
        env.configure_groups(2)
        return env

    yield start
    for env in made:
        env.close()


def count(env: Any, *actions: float) -> tuple[Any, ...]:
    """A step of the toy with these first numbers of the actions of its environments."""
    return env.step(torch.tensor([[action, 0.0] for action in actions]))


def values(env: Any, column: int) -> list[float]:
    return env.get_observations()["state"][:, column].tolist()


def equal_pairs(obs: Any) -> bool:
    return all(torch.equal(group[0::2], group[1::2]) for group in obs.values())


@pytest.mark.parametrize(("task", "width", "settings"), [
    (FETCH, 4, {"terminate_on_success": False, "rgb": True, "image_size": (32, 32)}),
    ("gym:CartPole-v1", 1, {}),
    ("gym:Pendulum-v1", 1, {}),
    (COUNT, 2, {"max_episode_steps": 200}),
])  # fmt: skip
def test_members_stay_equal_under_equal_actions(start, task: str, width: int, settings: dict) -> None:
    env = start(task, **settings)
    chunk = 5
    env.configure_decisions(chunk, final_observation_groups=["object"] if task == FETCH else ["state"])
    # states that are not fresh, and different
    env.step(actions(env, chunk, width, seed=1))
    assert not equal_pairs(env.get_observations())
    env.start_groups([0, 1])
    first = env.get_observations()
    assert equal_pairs(first)
    assert not torch.equal(first["state"][0], first["state"][2])
    assert env.episode_length_buf.tolist() == [0] * 4
    for step in range(env.max_episode_length // chunk):
        if step == 3:
            # apart, and together again in mid-episode
            env.step(actions(env, chunk, width, seed=2))
            env.share_states([0, 2])
        chunk_actions = actions(env, chunk, width, seed=10 + step)
        chunk_actions[1::2] = chunk_actions[0::2]
        obs, rewards, dones, extras = env.step(chunk_actions)
        assert torch.equal(rewards[0::2], rewards[1::2])
        assert torch.equal(dones[0::2], dones[1::2])
        assert torch.equal(extras["episode_return"][0::2], extras["episode_return"][1::2])
        if dones.any():
            break
        assert equal_pairs(obs)
    assert dones.any()
    if task == FETCH:
        # the blocks were pushed
        pushed = extras["final_observations"]["object"][:, :3] - first["object"][:, :3]
        assert (pushed.norm(dim=1) > 0.01).all()
    if "final_observations" in extras:
        assert extras["time_outs"].any()
        assert equal_pairs(extras["final_observations"])


def actions(env: Any, chunk: int, width: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if env.action_choices:
        return torch.randint(env.action_choices[0], (env.num_envs, chunk * width), generator=generator).float()
    drawn = 2 * torch.rand(env.num_envs, chunk, width, generator=generator) - 1
    if env.cfg.env_id.startswith("Fetch"):
        # towards the block, with closed fingers: contacts
        drawn = 0.3 * drawn + 3 * env.get_observations()["object"][:, None, [3, 4, 5, 5]]
        drawn[:, :, 3] = -1.0
    return drawn.flatten(1)


def test_starting_a_group_leaves_the_others_alone(start) -> None:
    env = start()
    count(env, 0.1, 0.2, 0.3, 0.4)
    before = env.get_observations()["state"]
    env.start_groups([1])
    after = env.get_observations()["state"]
    assert torch.equal(after[:2], before[:2])
    assert after[2:, STEP].tolist() == [0, 0]
    assert after[2, DRAW] != before[2, DRAW]
    # its return begins anew, theirs goes on
    env.episode_length_buf = torch.tensor([9, 9, 9, 9])
    extras = count(env, 0.5, 0.5, 0.5, 0.5)[-1]
    assert extras["episode_return"].tolist() == pytest.approx([0.6, 0.7, 0.5, 0.5])
    assert extras["episode_steps"].tolist() == [2, 2, 1, 1]


def test_a_shared_state_takes_time_limit_and_return_along(start) -> None:
    env = start(max_episode_steps=4)
    count(env, 0.1, 0.2, 0.3, 0.4)
    env.park(torch.tensor([False, True, False, False]))
    count(env, 0.1, 0.2, 0.3, 0.4)
    env.share_states([0, 3])  # any member may lead
    assert values(env, STEP) == [2] * 4
    assert values(env, DRAW)[:2] == [values(env, DRAW)[0]] * 2
    assert env.episode_length_buf.tolist() == [2] * 4
    count(env, 0, 0, 0, 0)
    extras = count(env, 0, 0, 0, 0)[-1]
    assert extras["time_outs"].all()
    assert extras["episode_return"].tolist() == pytest.approx([0.2, 0.2, 0.8, 0.8])
    assert extras["episode_steps"].tolist() == [4] * 4


def test_after_the_episode_everyone_goes_on_with_episodes_of_their_own(start) -> None:
    env = start(max_episode_steps=1)
    env.start_groups([0, 1])
    assert values(env, DRAW)[0] == values(env, DRAW)[1]
    count(env, 0, 0, 0, 0)
    assert len(set(values(env, DRAW))) == 4


def test_the_parked_rest(start) -> None:
    env = start(env_kwargs={"end": 3})
    count(env, 0.5, 0.5, 0.5, 0.5)
    before = env.get_observations()["state"]
    env.park(torch.tensor([True, False, True, False]))
    for _ in range(2):
        obs, rewards, dones, extras = count(env, 0.5, 0.5, 0.5, 0.5)
    assert dones.tolist() == [0, 1, 0, 1]
    assert rewards.tolist() == [0.0, 0.5, 0.0, 0.5]
    assert extras["executed_steps"].tolist() == [0, 1, 0, 1]
    assert extras["step_rewards"].tolist() == [[0.0], [0.5], [0.0], [0.5]]
    assert extras["episode_return"].tolist() == [0.0, 1.5, 0.0, 1.5]
    assert torch.equal(obs["state"][0::2], before[0::2])
    # nobody asks the workers if all rest
    env.park(torch.ones(4, dtype=torch.bool))
    called = []
    env._fleet.call = lambda method, arguments: called.append(arguments)
    _, rewards, dones, extras = count(env, 0.5, 0.5, 0.5, 0.5)
    del env._fleet.call
    assert called == [{}]
    assert not rewards.any()
    assert not dones.any()
    # what they had gained is not lost
    env.park(torch.zeros(4, dtype=torch.bool))
    for _ in range(2):
        extras = count(env, 0.25, 0.25, 0.25, 0.25)[-1]
    assert extras["episode_return"].tolist() == [1.0, 0.0, 1.0, 0.0]


def test_a_worker_without_work_is_not_asked(start) -> None:
    env = start(num_workers=2)
    env.park(torch.tensor([True, True, False, True]))
    called = []
    call = env._fleet.call
    env._fleet.call = lambda method, arguments: called.append(list(arguments)) or call(method, arguments)
    count(env, 0, 0, 0, 0)
    assert called == [[1]]


def test_members_move_into_one_process_and_start_as_they_would_have(start) -> None:
    """6 environments in 4 workers are not in pairs."""
    one = start(num_envs=6)
    spread = make(COUNT, num_envs=6, num_workers=4)
    try:
        assert spread.num_workers == 4
        spread.configure_groups(2)
        assert spread.num_workers == 3
        assert values(spread, DRAW) == values(one, DRAW)
        for env in (one, spread):
            env.start_groups([0, 1, 2])
            count(env, *[0.5] * 6)
        assert torch.equal(spread.get_observations()["state"], one.get_observations()["state"])
    finally:
        spread.close()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda env: env.configure_groups(1), "group size is 1; expected at least 2"),
        (lambda env: env.configure_groups(3), "4 environments do not divide into groups of 3. Use `--num_envs` 3 or 6"),
        (lambda env: env.start_groups([2]), "no group 2: 4 environments make groups 0 to 1"),
        (lambda env: env.share_states([4]), "no environment 4 to lead: there are 4"),
        (lambda env: env.share_states([0, 1]), "environments 0 and 1 are both of group 0"),
    ],
)
def test_groups_that_cannot_be(shared_pairs: Any, call: Callable[[Any], None], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(shared_pairs)


@pytest.fixture(scope="module")
def shared_pairs() -> Iterator[Any]:
    env = make(COUNT, num_envs=4, num_workers=1)
    env.configure_groups(2)
    yield env
    env.close()


def test_environments_must_divide_into_groups() -> None:
    env = make(COUNT, num_envs=3, num_workers=1)
    try:
        with pytest.raises(ValueError, match="3 environments do not divide into groups of 2. Use `--num_envs` 2 or 4"):
            env.configure_groups(2)
    finally:
        env.close()


def test_unknown_state_is_refused() -> None:
    env = make(COUNT, num_envs=2, num_workers=1, env_kwargs={"secret": True})
    try:
        with pytest.raises(ValueError, match="its Count keeps a gymnasium_toys.Secret in `secret`"):
            env.configure_groups(2)
        with pytest.raises(ValueError, match="no groups yet; call `configure_groups"):
            env.start_groups([0])
    finally:
        env.close()
