# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""task_sampling: weights of tasks from their success rates, by hand."""

from __future__ import annotations

import pytest

from gr00t_rl_ext.algorithms.task_sampling import TaskSampler

NAMES = ("lift", "stack")


def sampler(mode: str, *rates: dict[str, float | None], floor: float = 0.0) -> TaskSampler:
    made = TaskSampler(NAMES, mode, floor)
    for one in rates:
        made.update(one)
    return made


def test_all_alike() -> None:
    assert sampler("uniform", {"lift": 0.9, "stack": 0.1}).weights() == {"lift": 0.5, "stack": 0.5}


def test_those_that_fail() -> None:
    weights = sampler("inverse_success", {"lift": 0.9, "stack": 0.3}).weights()
    assert weights == pytest.approx({"lift": 0.125, "stack": 0.875})
    weights = sampler("inverse_success", {"lift": 0.9, "stack": 0.3}, floor=0.2).weights()
    assert weights == pytest.approx({"lift": 0.1 + 0.8 * 0.125, "stack": 0.1 + 0.8 * 0.875})


def test_one_that_is_not_known_weighs_most() -> None:
    assert sampler("inverse_success", {"lift": 0.9, "stack": None}).weights() == {"lift": 0.5, "stack": 0.5}
    assert sampler("learning_progress").weights() == {"lift": 0.5, "stack": 0.5}


def test_where_nothing_fails_all_are_alike() -> None:
    assert sampler("inverse_success", {"lift": 1.0, "stack": 1.0}).weights() == {"lift": 0.5, "stack": 0.5}


def test_those_whose_success_changes() -> None:
    """Up by 0.4 and down by 0.2: after one step the means differ by 0.5 - 0.1 of that."""
    made = sampler("learning_progress", {"lift": 0.2, "stack": 0.5}, {"lift": 0.6, "stack": 0.3})
    assert made.means == {"lift": pytest.approx((0.4, 0.24)), "stack": pytest.approx((0.4, 0.48))}
    assert made.weights() == pytest.approx({"lift": 2 / 3, "stack": 1 / 3})


def test_it_goes_on_where_it_was() -> None:
    rates = [{"lift": 0.2, "stack": 0.5}, {"lift": 0.6, "stack": 0.3}, {"lift": 0.7, "stack": None}]
    whole, resumed = sampler("learning_progress", *rates), TaskSampler(NAMES, "learning_progress", 0.0)
    resumed.load_state_dict(sampler("learning_progress", *rates[:2]).state_dict() | {})
    resumed.update(rates[2])
    assert resumed.weights() == whole.weights()
    other = TaskSampler(("lift", "pour"), "learning_progress", 0.0)
    other.load_state_dict(whole.state_dict())
    assert set(other.means) == {"lift"}
