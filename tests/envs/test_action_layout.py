# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""action_layout: what is read from an action space, and which actions are refused."""

from __future__ import annotations

import re

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete, MultiDiscrete

from gr00t_rl_ext.envs.action_layout import ActionLayout


@pytest.mark.parametrize(
    ("space", "width", "choices", "chunk"),
    [
        (Box(-1.0, 1.0, (2, 3)), 6, (), Box(-0.5, 0.5, (12,))),
        (Discrete(3), 1, (3,), MultiDiscrete([3, 3])),
        (MultiDiscrete([3, 2]), 2, (3, 2), MultiDiscrete([3, 2, 3, 2])),
    ],
)
def test_layouts(space: gym.Space, width: int, choices: tuple[int, ...], chunk: gym.Space) -> None:
    layout = ActionLayout(space, "cpu")
    assert (layout.width, layout.choices) == (width, choices)
    assert layout.chunk_space(2, -0.5, 0.5) == chunk


def test_tasks_get_integers_from_their_start_on() -> None:
    layout = ActionLayout(MultiDiscrete([3, 2], start=[-1, 5]), "cpu")
    action = layout.for_task(torch.tensor([[0.0, 1.0], [2.0, 0.0]]))
    assert action.dtype == torch.int64
    assert action.tolist() == [[-1, 6], [1, 5]]
    numbers = torch.rand(2, 4)
    assert ActionLayout(Box(-1.0, 1.0, (4,)), "cpu").for_task(numbers) is numbers


def test_existing_choices_pass() -> None:
    chunk = torch.tensor([0.0, 1.0, 2.0, 0.0, 1.0, 1.0]).view(1, 3, 2)
    ActionLayout(MultiDiscrete([3, 2]), "cpu").check(chunk)
    ActionLayout(Box(-1.0, 1.0, (2,)), "cpu").check(chunk + 0.3)


@pytest.mark.parametrize("value", [-1.0, 0.5, 3.0, float("nan"), float("inf")])
def test_other_choices_are_refused(value: float) -> None:
    chunk = torch.zeros(12, 2, 2)
    chunk[1, 1, 0] = value
    expected = f"actions of 1 environments (1) are no choices of this task: {value:g}. Expected integers, stored as"
    with pytest.raises(ValueError, match=re.escape(expected) + r" floats, in 0\.\.2, 0\.\.1 per control step"):
        ActionLayout(MultiDiscrete([3, 2]), "cpu").check(chunk)


def test_many_environments_are_not_all_named() -> None:
    chunk = torch.zeros(12, 1, 2)
    chunk[..., 1] = 2.0
    with pytest.raises(ValueError, match=r"12 environments \(0, 1, 2, 3, 4, 5, 6, 7, \.\.\.\) are no choices.*: 2\."):
        ActionLayout(MultiDiscrete([3, 2]), "cpu").check(chunk)


def test_neutral_actions() -> None:
    assert ActionLayout(MultiDiscrete([3, 2]), "cpu").neutral(()).tolist() == [0.0, 0.0]
    assert ActionLayout(MultiDiscrete([3, 2]), "cpu").neutral((1, 1)).tolist() == [1.0, 1.0]
    assert ActionLayout(Box(-1.0, 1.0, (1,)), "cpu").neutral((0.5,)).tolist() == [0.5]
    with pytest.raises(ValueError, match=r"`neutral_action` has 1 values, \(1,\), but an action .* has 2"):
        ActionLayout(MultiDiscrete([3, 2]), "cpu").neutral((1,))
    with pytest.raises(ValueError, match=r"`neutral_action` is \(3,\); expected integers, .* in 0\.\.2 per control"):
        ActionLayout(Discrete(3), "cpu").neutral((3,))


@pytest.mark.parametrize(
    "space",
    [
        gym.spaces.Dict({"arm": Box(-1.0, 1.0, (2,))}),
        gym.spaces.Tuple((Discrete(2), Discrete(3))),
        gym.spaces.MultiBinary(3),
        MultiDiscrete(np.array([[2, 3], [2, 2]])),
    ],
)
def test_other_spaces_are_refused(space: gym.Space) -> None:
    expected = re.escape(f"action space is {space}. Supported are Box, Discrete, and MultiDiscrete of one dimension")
    with pytest.raises(ValueError, match=expected):
        ActionLayout(space, "cpu")
