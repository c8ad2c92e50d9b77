# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""task_set: which environment has which task, by shares."""

from __future__ import annotations

import pytest
import torch

from gr00t_rl_ext.envs.task_set import TaskSet

TOLD = {"red": ["lift the red cube", "pick up the red cube"], "green": ["lift the green cube"], "blue": ["lift blue"]}


def drawn(num_envs: int, seed: int = 0, group_size: int = 1, **weights: float) -> TaskSet:
    torch.manual_seed(seed)
    tasks = TaskSet(TOLD, num_envs)
    if weights:
        tasks.set_weights(weights)
    tasks.draw(torch.arange(num_envs), group_size)
    return tasks


def counts(tasks: TaskSet) -> list[int]:
    return torch.bincount(tasks.index, minlength=3).tolist()


def test_names_and_columns() -> None:
    tasks = TaskSet(TOLD, 2)
    assert tasks.names == ("red", "green", "blue")
    assert tasks.instructions == (*TOLD["red"], *TOLD["green"], *TOLD["blue"])
    assert tasks.tasks == ("red", "red", "green", "blue")
    tasks.column[:] = torch.tensor([1, 3])
    assert tasks.index.tolist() == [0, 2]
    assert tasks.one_hot.tolist() == [[0, 1, 0, 0], [0, 0, 0, 1]]


def test_each_task_has_its_share() -> None:
    assert counts(drawn(9)) == [3, 3, 3]
    assert sorted(counts(drawn(10))) == [3, 3, 4]
    assert counts(drawn(10, red=3, green=1, blue=1)) == [6, 2, 2]
    assert counts(drawn(10, red=0, green=1, blue=1)) == [0, 5, 5]


def test_an_environment_keeps_its_task_where_shares_are_even() -> None:
    tasks = drawn(6)
    before = tasks.index
    for env in (3, 0, 5, 3):
        tasks.draw(torch.tensor([env]))
    assert torch.equal(tasks.index, before)


def test_new_weights_are_reached_as_episodes_begin() -> None:
    tasks = drawn(9)
    tasks.set_weights({"red": 7, "green": 1, "blue": 1})
    for env in range(9):
        tasks.draw(torch.tensor([env]))
    assert counts(tasks) == [7, 1, 1]


def test_few_environments_get_every_task_in_time() -> None:
    found = {int(drawn(1, seed).index) for seed in range(30)}
    assert found == {0, 1, 2}


def test_an_episode_has_one_of_a_tasks_instructions() -> None:
    tasks = drawn(3)
    env, said = int((tasks.index == 0).nonzero()), set()
    for _ in range(30):
        tasks.draw(torch.tensor([env]))
        said.add(tasks.instructions[int(tasks.column[env])])
    assert said == set(TOLD["red"])


def test_the_same_seed_draws_the_same() -> None:
    assert torch.equal(drawn(16, seed=4).column, drawn(16, seed=4).column)
    assert not torch.equal(drawn(16, seed=4).column, drawn(16, seed=5).column)


def test_members_of_a_group_get_the_same() -> None:
    tasks = drawn(24, group_size=4)
    columns = tasks.column.view(6, 4)
    assert (columns == columns[:, :1]).all()
    assert counts(tasks) == [8, 8, 8]


def test_what_is_not_possible() -> None:
    with pytest.raises(ValueError, match="The task 'green' has no instruction"):
        TaskSet({"red": ["a"], "green": []}, 1)
    tasks = TaskSet(TOLD, 1)
    with pytest.raises(ValueError, match="Weights are of red, pink; expected of red, green, blue"):
        tasks.set_weights({"red": 1, "pink": 1})
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected numbers of at least 0"):
            tasks.set_weights({"red": wrong, "green": 1, "blue": 1})
    with pytest.raises(ValueError, match="not all of them 0"):
        tasks.set_weights({"red": 0, "green": 0, "blue": 0})
