# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""statistics: counts of a rollout and of the latest episodes, by hand."""

from __future__ import annotations

import pytest
import torch

from gr00t_rl_ext.algorithms.statistics import WINDOW, RolloutStatistics


def record(statistics: RolloutStatistics, dones: list[int], rewards: list[float], **episodes: list[float]) -> None:
    statistics.record(torch.full((len(dones),), 3), torch.tensor(rewards))
    returns = torch.tensor(episodes.get("returns", rewards))
    successes = torch.tensor(episodes["success"]) if "success" in episodes else None
    statistics.report_episodes(torch.tensor(dones) > 0, returns, torch.ones(len(dones)), successes)


def test_rewards_and_control_steps_are_those_of_the_rollout() -> None:
    statistics = RolloutStatistics()
    record(statistics, [0, 0], [100.0, 100.0])
    statistics.start()
    record(statistics, [0, 0], [1.0, 2.0])
    record(statistics, [0, 0], [3.0, 6.0])
    metrics = statistics.metrics()
    assert metrics["charts/reward_per_step"] == 12.0 / (2 * 2 * 3)
    assert metrics["charts/SPS"] > 0
    assert metrics["charts/env_steps"] == 3 * 2 * 3, "all rollouts"
    assert metrics.keys() == {"charts/reward_per_step", "charts/SPS", "charts/env_steps"}, "no episode ended"


def test_episodes_are_those_that_ended_and_are_kept_over_rollouts() -> None:
    statistics = RolloutStatistics()
    record(statistics, [1, 0], [0.0, 0.0], returns=[5.0, 99.0], success=[True, True])
    assert statistics.success_rate(2) is None
    statistics.start()
    record(statistics, [0, 1], [0.0, 0.0], returns=[99.0, 8.0], success=[True, False])
    assert statistics.success_rate(2) == 0.5
    metrics = statistics.metrics()
    assert metrics["charts/episodic_return"] == 6.5
    assert metrics["charts/success_rate"] == 0.5
    assert metrics == pytest.approx(statistics.metrics() | {"charts/SPS": metrics["charts/SPS"]}), (
        "asking changes nothing"
    )


def test_only_the_latest_episodes_count() -> None:
    statistics = RolloutStatistics()
    record(statistics, [1] * WINDOW, [0.0] * WINDOW, success=[1.0] * WINDOW)
    assert statistics.success_rate(1) == 1.0
    statistics.start()
    record(statistics, [1] * (WINDOW // 4), [0.0] * (WINDOW // 4), success=[0.0] * (WINDOW // 4))
    assert statistics.success_rate(1) == 0.75


def test_all_episodes_of_a_rollout_count() -> None:
    """Those that succeed end first: the latest ones alone would say less than half of the truth."""
    statistics = RolloutStatistics()
    record(statistics, [1] * 2 * WINDOW, [0.0] * 2 * WINDOW, success=[1.0] * 2 * WINDOW)
    record(statistics, [1] * 2 * WINDOW, [0.0] * 2 * WINDOW, success=[0.0] * 2 * WINDOW)
    assert statistics.metrics()["charts/success_rate"] == 0.5
    statistics.start()
    record(statistics, [1] * 2 * WINDOW, [0.0] * 2 * WINDOW, success=[1.0] * 2 * WINDOW)
    assert statistics.metrics()["charts/success_rate"] == 1.0


def test_a_rollout_does_not_wait_for_the_device() -> None:
    """On a GPU, reading a number or choosing by a mask would; the meta device allows neither."""
    statistics = RolloutStatistics()
    numbers, ends = (torch.zeros(4, device="meta", dtype=dtype) for dtype in (torch.float32, torch.long))
    statistics.record(ends, numbers)
    statistics.report_episodes(ends > 0, numbers, ends, ends)
    with pytest.raises(NotImplementedError):
        statistics.metrics()


def test_each_task_has_figures_of_its_own() -> None:
    statistics = RolloutStatistics(("lift", "stack"))
    statistics.record(torch.full((4,), 3), torch.zeros(4))
    ended, tasks = torch.tensor([True, True, False, True]), torch.tensor([0, 1, 1, 0])
    returns, successes = torch.tensor([5.0, 8.0, 99.0, 7.0]), torch.tensor([True, False, True, True])
    statistics.report_episodes(ended, returns, torch.full((4,), 9), successes, tasks)
    metrics = statistics.metrics()
    # of three episodes, two are of one task
    assert metrics["charts/episodic_return"] == 7.0
    assert metrics["charts/success_rate"] == statistics.success_rate(1) == 0.5
    assert statistics.success_rate(2) is None, "one of the tasks has fewer"
    assert (metrics["tasks/lift/episodic_return"], metrics["tasks/lift/success_rate"]) == (6.0, 1.0)
    assert (metrics["tasks/stack/episodic_return"], metrics["tasks/stack/success_rate"]) == (8.0, 0.0)
    assert statistics.success_rate(2, "tasks", "lift") == 1.0
    assert statistics.success_rate(2, "tasks", "stack") is None
    other = RolloutStatistics(("lift", "stack"))
    other.load_state_dict(statistics.state_dict())
    assert other.success_rate(1, "tasks", "stack") == 0.0


def test_what_begins_nearer_to_success_counts_for_itself() -> None:
    """Or a training would look better than the task that it is for."""
    statistics = RolloutStatistics(("lift", "stack"), ("whole", "grasped"))
    statistics.record(torch.full((4,), 3), torch.zeros(4))
    ended, successes = torch.ones(4, dtype=torch.bool), torch.tensor([True, True, False, False])
    tasks, starts = torch.tensor([0, 0, 0, 1]), torch.tensor([1, 1, 0, 0])
    statistics.report_episodes(ended, torch.ones(4), torch.tensor([2, 4, 8, 8]), successes, tasks, starts)
    metrics = statistics.metrics()
    assert metrics["charts/success_rate"] == metrics["starts/whole/success_rate"] == 0.0
    assert metrics["charts/episodic_length"] == 8.0
    assert (metrics["starts/grasped/success_rate"], metrics["starts/grasped/episodic_length"]) == (1.0, 3.0)
    assert metrics["tasks/lift/success_rate"] == 0.0
    assert statistics.success_rate(2, "starts", "grasped") == 1.0
