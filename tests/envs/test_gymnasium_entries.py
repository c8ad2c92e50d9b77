# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Entries of observations: columns of numbers, and pictures."""

from __future__ import annotations

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, Sequence

from gr00t_rl_ext.envs.gymnasium.entries import Entries
from gr00t_rl_ext.envs.gymnasium.registry import TaskError
from gr00t_rl_ext.envs.gymnasium.tasks import make, task_cfg

SEEN = "gym:gymnasium_toys:Seen-v0"
PICTURE = Box(0, 255, (8, 12, 3), np.uint8)
CAMERAS = {"front": {"observation": "pixels.front"}, "hand": {"observation": "pixels.wrist"}}
SETTINGS = {"num_envs": 2, "num_workers": 1, "rgb": True, "cameras": CAMERAS, "image_size": (4, 4)}


def test_columns_are_those_of_gymnasium() -> None:
    space = Dict({"b": Box(-1, 1, (2, 2)), "a": Dict({"y": Discrete(3), "x": Box(-1, 1, (1,))})})
    entries = Entries(space, "Some-v0")
    observation = space.sample()
    np.testing.assert_array_equal(entries.flatten(observation), gym.spaces.flatten(space, observation))
    assert list(entries.columns) == [*(f"a.{name}" for name in space["a"].spaces), "b"]
    assert sum(map(len, entries.columns.values())) == 8
    assert Entries(Box(-1, 1, (3,)), "Some-v0").columns == {"observation": range(3)}


def test_pictures_are_no_columns() -> None:
    space = Dict({"pixels": Dict({"front": PICTURE, "top": PICTURE}), "joints": Box(-1, 1, (2,))})
    entries = Entries(space, "Some-v0", ["pixels.front"])
    assert entries.columns == {"joints": range(2)}
    observation = space.sample()
    assert entries.picture(observation, "pixels.front") is observation["pixels"]["front"]
    # a picture alone: nothing else is observed
    only = Entries(PICTURE, "Some-v0", ["observation"])
    assert (only.columns, only.flatten(PICTURE.sample()).shape) == ({}, (0,))


def test_boards_and_pictures_that_are_read_are_columns() -> None:
    space = Dict(
        {"board": Box(0, 255, (4, 4, 3), np.uint8), "planes": Box(0, 255, (9, 9, 2), np.uint8), "shown": PICTURE}
    )
    assert list(Entries(space, "Some-v0").columns) == ["board", "planes"]
    assert list(Entries(space, "Some-v0", (), {"shown"}).columns) == ["board", "planes", "shown"]


def test_columns_do_not_depend_on_whether_images_are_looked_at() -> None:
    cfg = SETTINGS | {"cameras": {"front": {"observation": "pixels.front"}}}
    shapes = []
    for rgb in (False, True):
        env = make(SEEN, **cfg | {"rgb": rgb})
        shapes.append(env.observation_manager.group_obs_term_dim["state"])
        env.close()
    assert shapes[0] == shapes[1] == [(2,), (2,)]


def test_states_of_environments_are_not_restored_where_cameras_read_the_observation() -> None:
    without = make(SEEN, num_envs=2, num_workers=1)
    state = without.state()
    without.close()
    assert state is not None
    env = make(SEEN, **SETTINGS)
    try:
        assert env.load_state(state) == "cameras read the observation, which a checkpoint does not hold"
        env.configure_decisions(2)
        env.step(chunk(2))
    finally:
        env.close()


@pytest.mark.parametrize(
    ("space", "picture", "message"),
    [
        (Dict({"pixels": PICTURE}), "image", "reads the entry 'image' .* does not have it. It has: pixels"),
        (Dict({"pixels": PICTURE, "a": Box(-1, 1, (2,))}), "a", "'a' .* is no picture but .* Pictures are: pixels"),
        (Dict({"pixels": PICTURE, "a": Sequence(Discrete(2))}), "pixels", "has no fixed number of columns"),
    ],
)
def test_observations_that_do_not_fit(space: gym.Space, picture: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        Entries(space, "Some-v0", [picture])


def chunk(steps: int) -> torch.Tensor:
    return torch.zeros(2, 2 * steps)


def test_cameras_read_the_observation() -> None:
    env = make(SEEN, **SETTINGS)
    try:
        assert env.observation_manager.active_terms == {"state": ["arm.joints", "arm.mode"], "rgb": ["front", "hand"]}
        env.configure_decisions(3, final_observation_groups=["rgb"])
        shown = env.get_observations()["rgb"]
        assert shown.shape == (2, 4, 4, 6)
        assert shown[..., :3].unique().tolist() == [0]
        assert shown[..., 3:].unique().tolist() == [100]
        env.step(chunk(3))
        env.step(chunk(3))
        shown = env.get_observations()
        assert shown["rgb"][..., :3].unique().tolist() == [6]
        assert shown["state"][:, 1].tolist() == [6.0, 6.0]
        # the time limit, 10 steps: the last picture, and the first of the next episode
        env.step(chunk(3))
        _, _, _, extras = env.step(chunk(3))
        assert extras["final_observations"]["rgb"][..., :3].unique().tolist() == [10]
        assert env.get_observations()["rgb"][..., :3].unique().tolist() == [0]
        assert env.state() is None
    finally:
        env.close()


def test_pictures_that_are_looked_at_later_and_in_groups() -> None:
    env = make(SEEN, **SETTINGS)
    try:
        env.configure_decisions(2, observation_groups=["state"])
        env.step(chunk(2))
        env.configure_decisions(2, observation_groups=["state", "rgb"])
        assert env.get_observations()["rgb"][..., :3].unique().tolist() == [2]
    finally:
        env.close()


def test_the_own_view_beside_a_picture() -> None:
    """The toy's own view shows the number of steps as well."""
    env = make(SEEN, **SETTINGS | {"cameras": {"hand": {"observation": "pixels.wrist"}, "view": {}}})
    try:
        env.configure_decisions(2)
        env.step(chunk(2))
        shown = env.get_observations()["rgb"]
        assert shown[..., :3].unique().tolist() == [102]
        assert shown[..., 3:].unique().tolist() == [2]
    finally:
        env.close()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cameras": {"front": {"observation": "pixels.left"}}}, "It has: arm.joints, arm.mode, pixels.front"),
        ({"cameras": {"front": {"observation": "a", "model_camera": "b"}}}, "got observation, model_camera"),
        ({"groups": {"state": {"all": {"key": "pixels.front"}}}}, "does not have. It has: arm.joints, arm.mode"),
        ({"success_key": "done", "success_reward": 1.0}, "there are `success_key` and `success_reward`"),
    ],
)
def test_settings_that_do_not_fit(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(SEEN, **SETTINGS | settings)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "info['is_success'] or info['success'], if there"),
        ({"success_key": "done"}, "info['done']"),
        ({"success_reward": 0.5}, "a reward of at least 0.5"),
        ({"success_at_termination": True}, "the environment ends the episode before its time"),
    ],
)
def test_what_tells_success_in_words(settings: dict, text: str) -> None:
    assert task_cfg(SEEN, **settings).success_told_by == text


def test_other_units() -> None:
    groups = {"state": {"joints": {"key": "arm.joints", "start": 1, "scale": 2.0, "offset": -1.0}}}
    env = make(SEEN, num_envs=2, num_workers=1, groups=groups)
    try:
        env.configure_decisions(3)
        env.step(chunk(3))
        assert env.get_observations()["state"].tolist() == [[5.0], [5.0]]
    finally:
        env.close()


@pytest.mark.parametrize(
    ("settings", "ends", "success"),
    [
        # the reward is the action's first number
        ({"success_reward": 0.5, "terminate_on_success": True}, True, True),
        ({"success_reward": 0.5, "max_episode_steps": 2}, True, True),
        ({"success_reward": 0.9, "max_episode_steps": 2}, True, False),
        ({"success_at_termination": True, "env_kwargs": {"end": 2}}, True, True),
        ({"success_at_termination": True}, False, False),
    ],
)
def test_what_tells_success(settings: dict, ends: bool, success: bool) -> None:
    env = make("gym:gymnasium_toys:Count-v0", num_envs=2, num_workers=1, reward="sparse_success", **settings)
    try:
        env.configure_decisions(2)
        _, _, dones, extras = env.step(torch.tensor([0.0, 0.0, 0.6, 0.0]).expand(2, -1))
        assert dones.bool().tolist() == [ends, ends]
        assert extras["success"].tolist() == [success, success]
        assert extras["step_rewards"].tolist() == [[0.0, float(success)]] * 2
    finally:
        env.close()
