# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""shares: also small ones are had, on average as often as they weigh; starts."""

from __future__ import annotations

import pytest
import torch

from gr00t_rl_ext.envs.shares import Shares
from gr00t_rl_ext.envs.start_set import WHOLE, StartSet

SMALL = {"solved": 0.05, "a": 0.3, "b": 0.3, "c": 0.35}


def had(weights: dict[str, float], groups: int, alone: bool, draws: int) -> torch.Tensor:
    """Which part of the time each has, where all begin anew together, or one after the other."""
    torch.manual_seed(0)
    shares = Shares(tuple(weights), weights)
    current, total = torch.zeros(groups, dtype=torch.long), torch.zeros(len(weights))
    for draw in range(draws):
        begin = torch.tensor([draw % groups]) if alone else torch.arange(groups)
        for group, number in shares.choose(current, begin).items():
            current[group] = number
        total += torch.bincount(current, minlength=len(weights))
    return total / total.sum()


@pytest.mark.parametrize("groups", [1, 3, 8])
@pytest.mark.parametrize("alone", [False, True])
def test_a_small_weight_is_not_given_up(groups: int, alone: bool) -> None:
    """0.05 of 8 is less than half a group: rounded, it would be none, for ever."""
    shares = had(SMALL, groups, alone, 6000 * (groups if alone else 1))
    torch.testing.assert_close(shares, torch.tensor(list(SMALL.values())), atol=0.03, rtol=0)
    assert shares[0] > 0.03


def test_a_weight_of_0_is_never_had() -> None:
    assert had({"a": 0.0, "b": 1.0, "c": 1.0}, 5, True, 500)[0] < 0.01


def test_episodes_begin_with_the_tasks_own_states_until_somebody_asks() -> None:
    starts = StartSet(("near", "grasped"), 9)
    assert starts.names == (WHOLE, "near", "grasped")
    starts.draw(torch.arange(9))
    assert starts.index.tolist() == [0] * 9
    starts.set_weights(dict.fromkeys(starts.names, 1.0))
    starts.draw(torch.arange(9))
    assert torch.bincount(starts.index).tolist() == [3, 3, 3]
    before = starts.index.clone()
    starts.copy(torch.tensor([0, 0]), torch.tensor([4, 5], dtype=torch.int32))
    assert starts.index.tolist() == [*before[:4].tolist(), int(before[0]), int(before[0]), *before[6:].tolist()]
    starts.begin_whole()
    starts.draw(torch.tensor([1, 2]))
    assert starts.index[1:3].tolist() == [0, 0]
