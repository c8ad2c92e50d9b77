# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""group_advantages: advantages, weights and health metrics of groups against values computed by hand."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from gr00t_rl_ext.algorithms import group_advantages as ga

NAN = math.nan


def close(actual: Tensor, expected: Any) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), rtol=1e-6, atol=1e-7)


def floored(outcomes: Tensor) -> Tensor:
    return ga.group_relative(outcomes, std_floor=1e-3)


WITHIN_GROUPS = [floored, ga.mean_only, ga.leave_one_out]


def test_group_relative_by_hand() -> None:
    # mean 0.25, unbiased variance (0.75^2 + 3 * 0.25^2) / 3 = 0.25; the other group has 2, 4: mean 3, variance 2
    close(ga.group_relative(torch.tensor([[1.0, 0.0, 0.0, 0.0]]), 0.1), [[1.5, -0.5, -0.5, -0.5]])
    close(ga.group_relative(torch.tensor([[2.0, 4.0]]), 0.1), [[-1 / math.sqrt(2), 1 / math.sqrt(2)]])


def test_a_small_standard_deviation_counts_as_the_floor() -> None:
    # deviations -0.01 and 0.01, standard deviation 0.0141
    close(ga.group_relative(torch.tensor([0.99, 1.01]), std_floor=0.5), [-0.02, 0.02])
    close(ga.group_relative(torch.tensor([0.99, 1.01]), std_floor=0.001), [-1 / math.sqrt(2), 1 / math.sqrt(2)])


def test_mean_only_by_hand() -> None:
    close(
        ga.mean_only(torch.tensor([[1.0, 0.0, 0.0, 0.0], [5.0, 7.0, 3.0, 1.0]])), [[0.75, *[-0.25] * 3], [1, 3, -1, -3]]
    )


def test_leave_one_out_by_hand() -> None:
    # 6 - (1 + 2) / 2, 1 - (6 + 2) / 2, 2 - (6 + 1) / 2
    close(ga.leave_one_out(torch.tensor([6.0, 1.0, 2.0])), [4.5, -3.0, -1.5])


@pytest.mark.parametrize("function", WITHIN_GROUPS)
def test_two_members_have_opposite_advantages(function: Callable[[Tensor], Tensor]) -> None:
    first, second = function(torch.tensor([3.0, 8.0])).tolist()
    assert first == -second < 0


@pytest.mark.parametrize("function", WITHIN_GROUPS)
@pytest.mark.parametrize("value", [0.1, 1 / 3, -7.3, 1e-30, 123456.7, 0.0])
@pytest.mark.parametrize("members", [2, 3, 7, 10, 13])
def test_equal_outcomes_give_exactly_nothing(function: Callable[[Tensor], Tensor], value: float, members: int) -> None:
    assert (function(torch.full((4, members), value)) == 0.0).all()


def test_the_float_mean_of_equal_numbers_may_differ_from_them() -> None:
    """Why the test before is not one of subtracting the mean."""
    values = torch.full((13,), 0.1)
    assert (values - values.mean() != 0.0).all()


@pytest.mark.parametrize("function", WITHIN_GROUPS)
def test_advantages_of_a_group_sum_to_zero_and_keep_the_order(function: Callable[[Tensor], Tensor]) -> None:
    outcomes = torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(0)) * 10 + 100
    advantages = function(outcomes)
    assert advantages.shape == outcomes.shape
    assert advantages.sum(dim=-1).abs().max() < 1e-4
    assert (advantages.argsort(dim=-1) == outcomes.argsort(dim=-1)).all()


@pytest.mark.parametrize("function", WITHIN_GROUPS)
def test_groups_and_segments_do_not_influence_each_other(function: Callable[[Tensor], Tensor]) -> None:
    outcomes = torch.randn(5, 3, 8, generator=torch.Generator().manual_seed(0))
    changed = outcomes.clone()
    changed[2, 1] += torch.arange(8.0)
    same = torch.ones(5, 3, dtype=torch.bool)
    same[2, 1] = False
    assert (function(outcomes)[same] == function(changed)[same]).all()
    assert (function(outcomes)[2, 1] != function(changed)[2, 1]).any()
    close(function(outcomes)[4, 2], function(outcomes[4, 2]))


def test_scale_and_offset_of_the_outcomes() -> None:
    outcomes = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))
    moved = 5.0 * outcomes - 3.0
    torch.testing.assert_close(floored(moved), floored(outcomes), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ga.mean_only(moved), 5.0 * ga.mean_only(outcomes), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ga.leave_one_out(outcomes), ga.mean_only(outcomes) * 8 / 7)


@pytest.mark.parametrize("function", WITHIN_GROUPS)
def test_successes_may_be_bool(function: Callable[[Tensor], Tensor]) -> None:
    successes = torch.tensor([[True, False, False], [True, True, True]])
    advantages = function(successes)
    assert advantages.dtype == torch.float32
    assert (advantages == function(successes.float())).all()


# Running baseline


def test_running_baseline_by_hand() -> None:
    baseline = ga.RunningBaseline(momentum=0.75)
    # first batch: its own mean, over both groups: (1 + 0 + 1 + 1) / 4
    close(baseline.advantages(torch.tensor([[1.0, 0.0], [1.0, 1.0]])), [[0.25, -0.75], [0.25, 0.25]])
    # the baseline stays for this batch, then comes to 0.75 * 0.75 + 0.25 * 0.5
    close(baseline.advantages(torch.tensor([[1.0, 0.0]])), [[0.25, -0.75]])
    close(baseline.advantages(torch.zeros(1, 2)), [[-0.6875] * 2])


def test_a_group_that_succeeds_as_a_whole_is_better_than_the_baseline() -> None:
    baseline = ga.RunningBaseline(momentum=0.9)
    baseline.advantages(torch.tensor([[True, False]]))
    assert (baseline.advantages(torch.tensor([[True, True]])) == 0.5).all()


def test_without_momentum_the_baseline_is_the_batch_before() -> None:
    baseline = ga.RunningBaseline(momentum=0.0)
    for outcome, advantage in [(3.0, 0.0), (5.0, 2.0), (5.0, 0.0), (1.0, -4.0)]:
        assert (baseline.advantages(torch.full((1, 4), outcome)) == advantage).all()


@pytest.mark.parametrize("momentum", [0.9, 0.7, 0.3])
@pytest.mark.parametrize("value", [0.1, 1 / 3, -7.3, 123456.7])
def test_outcomes_like_all_before_give_exactly_nothing(value: float, momentum: float) -> None:
    baseline = ga.RunningBaseline(momentum=momentum)
    for _ in range(9):
        assert (baseline.advantages(torch.full((3, 13), value)) == 0.0).all()


def test_running_baseline_of_segments() -> None:
    outcomes = torch.randn(4, 3, 8, generator=torch.Generator().manual_seed(0))
    ones, segments = ga.RunningBaseline(0.5), ga.RunningBaseline(0.5)
    for _ in range(2):
        whole, each = ones.advantages(outcomes.flatten(1)), segments.advantages(outcomes)
        torch.testing.assert_close(each.flatten(1), whole)


def test_a_resumed_baseline_goes_on_where_it_was() -> None:
    outcomes = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0))
    original = ga.RunningBaseline(0.9)
    original.advantages(outcomes[0])
    file = io.BytesIO()
    torch.save(original.state_dict(), file)
    file.seek(0)
    resumed = ga.RunningBaseline(0.9)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    for batch in outcomes[1:]:
        assert (resumed.advantages(batch) == original.advantages(batch)).all()


def test_a_saved_baseline_does_not_change_with_the_next_batch() -> None:
    baseline = ga.RunningBaseline(0.5)
    baseline.advantages(torch.full((1, 2), 4.0))
    saved = baseline.state_dict()
    baseline.advantages(torch.zeros(1, 2))
    assert saved["baselines"].item() == 4.0


def test_each_task_has_a_baseline_of_its_own() -> None:
    baseline = ga.RunningBaseline(momentum=0.5, tasks=("lift", "stack"))
    tasks = torch.tensor([[0, 0], [1, 1]])
    close(baseline.advantages(torch.tensor([[1.0, 0.0], [8.0, 6.0]]), tasks), [[0.5, -0.5], [1.0, -1.0]])
    # a task that is not there keeps its own
    close(baseline.advantages(torch.tensor([[1.0, 1.0]]), tasks[:1]), [[0.5, 0.5]])
    close(baseline.advantages(torch.tensor([[0.75, 0.75], [7.0, 7.0]]), tasks), [[0.0, 0.0], [0.0, 0.0]])


def test_saved_baselines_are_found_by_their_tasks() -> None:
    saved = ga.RunningBaseline(0.5, tasks=("lift", "stack"))
    saved.advantages(torch.tensor([[1.0, 3.0], [8.0, 6.0]]), torch.tensor([[0, 0], [1, 1]]))
    state = saved.state_dict()
    other = ga.RunningBaseline(0.5, tasks=("reach", "stack"))
    other.load_state_dict(state)
    batch = torch.tensor([[5.0, 6.0], [7.0, 7.0]])
    # the first of reaching has its own mean
    close(other.advantages(batch, torch.tensor([[0, 0], [1, 1]])), [[-0.5, 0.5], [0.0, 0.0]])
    # of one task, as version 0.1 wrote it
    one = ga.RunningBaseline(0.5)
    one.advantages(torch.tensor([[4.0, 4.0]]))
    older = {name: value for name, value in one.state_dict().items() if name != "tasks"}
    resumed = ga.RunningBaseline(0.5)
    resumed.load_state_dict(older)
    close(resumed.advantages(torch.tensor([[4.0, 5.0]])), [[0.0, 1.0]])
    several = ga.RunningBaseline(0.5, tasks=("lift", "stack"))
    several.load_state_dict(older)
    close(several.advantages(batch, torch.tensor([[0, 0], [1, 1]])), [[-0.5, 0.5], [0.0, 0.0]])


# Normalisation


def test_advantages_of_each_task_have_a_spread_of_their_own() -> None:
    advantages, tasks = torch.tensor([1.0, -1.0, 30.0, -40.0, 5.0]), torch.tensor([0, 0, 1, 1, 2])
    weights = torch.tensor([1.0, 1.0, 1.0, 1.0, 0.0])
    found = ga.spread_of_tasks(advantages, tasks, 3, 0.1, weights)
    expected = [ga.spread(advantages[tasks == task], 0.1, weights[tasks == task]) for task in tasks.tolist()]
    torch.testing.assert_close(found, torch.stack(expected))


def normalize(advantages: Tensor, std_floor: float, weights: Tensor | None = None) -> Tensor:
    counted = advantages if weights is None else torch.where(weights > 0, advantages, 0.0)
    return counted / ga.spread(advantages, std_floor, weights)


def test_normalize_by_hand() -> None:
    # mean square (9 + 16) / 2 = 12.5; the mean, 3.5, is not subtracted
    close(normalize(torch.tensor([3.0, 4.0]), 1e-3), [3 / math.sqrt(12.5), 4 / math.sqrt(12.5)])
    # a mask: (9 + 9) / 2
    masked = normalize(torch.tensor([[3.0, NAN], [-3.0, 900.0]]), 1e-3, torch.tensor([[True, False], [True, False]]))
    close(masked, [[1.0, 0.0], [-1.0, 0.0]])
    # weights: (3 * 1 + 1 * 13) / 4 = 4
    weighted = normalize(torch.tensor([1.0, math.sqrt(13.0), NAN]), 1e-3, torch.tensor([3.0, 1.0, 0.0]))
    close(weighted, [0.5, math.sqrt(13.0) / 2, 0.0])


def test_normalized_advantages_have_scale_one_whatever_their_scale() -> None:
    outcomes = torch.randn(6, 8, generator=torch.Generator().manual_seed(0))
    advantages = ga.mean_only(outcomes)
    for scale in (1e-4, 1.0, 1e4):
        normalized = normalize(advantages * scale, 1e-8)
        assert normalized.square().mean().item() == pytest.approx(1.0, rel=1e-5)
        torch.testing.assert_close(normalized, normalize(advantages, 1e-8))
    # complete groups: as REINFORCE++, which subtracts the mean
    torch.testing.assert_close(
        normalize(advantages, 1e-8), (advantages - advantages.mean()) / advantages.std(correction=0)
    )


def test_a_group_without_signal_keeps_none_where_long_episodes_fail() -> None:
    advantages = ga.mean_only(torch.tensor([[1.0, 0.0], [1.0, 1.0]]))
    decisions = torch.tensor([[2.0, 10.0], [4.0, 4.0]])
    normalized = normalize(advantages, 1e-3, decisions)
    assert (normalized[1] == 0.0).all()
    assert normalized[0, 0] > 0.0 > normalized[0, 1]


@pytest.mark.parametrize(
    ("advantages", "weights"),
    [
        (torch.zeros(3, 4), None),
        (torch.zeros(3, 4), torch.ones(3, 4, dtype=torch.bool)),
        (torch.full((3, 4), NAN), torch.zeros(3, 4, dtype=torch.bool)),
        (torch.full((3, 4), NAN), torch.zeros(3, 4)),
        (torch.zeros(0), None),
    ],
)
def test_nothing_normalizes_to_nothing(advantages: Tensor, weights: Tensor | None) -> None:
    normalized = normalize(advantages, 1e-3, weights)
    assert normalized.shape == advantages.shape
    assert (normalized == 0.0).all()


def test_rounding_errors_do_not_become_a_signal() -> None:
    close(normalize(torch.tensor([1e-7, -1e-7]), 1e-3), [1e-4, -1e-4])


# Weights of decisions


def test_episode_weights_by_hand() -> None:
    lengths = torch.tensor([2, 0, 6, 4])
    # 12 decisions of 3 episodes: 4 per episode
    close(ga.episode_weights(lengths, "episode"), [2.0, 0.0, 4 / 6, 1.0])
    close(ga.episode_weights(lengths, "decision"), [1.0, 0.0, 1.0, 1.0])


@pytest.mark.parametrize("mode", ["episode", "decision"])
def test_the_mean_weight_over_all_decisions_is_one(mode: str) -> None:
    lengths = torch.randint(0, 30, (5, 8), generator=torch.Generator().manual_seed(0))
    weights = ga.episode_weights(lengths, mode)
    assert weights.dtype == torch.float32
    assert ((weights * lengths).sum() / lengths.sum()).item() == pytest.approx(1.0)
    totals = (weights * lengths)[lengths > 0]
    assert (totals.std() < 1e-4) == (mode == "episode"), "an episode's decisions weigh the same together"


@pytest.mark.parametrize("mode", ["episode", "decision"])
def test_episodes_of_equal_length_all_weigh_one(mode: str) -> None:
    assert (ga.episode_weights(torch.full((7,), 5), mode) == 1.0).all()


@pytest.mark.parametrize("mode", ["episode", "decision"])
def test_without_a_decision_all_weights_are_zero(mode: str) -> None:
    assert (ga.episode_weights(torch.zeros(4, dtype=torch.int64), mode) == 0.0).all()


# Dynamic sampling


def test_which_groups_have_a_signal() -> None:
    outcomes = torch.tensor([[[1.0, 1.0, 1.0], [0.1, 0.1, 0.1]], [[0.0, 1.0, 1.0], [1.0, 1.01, 1.0]]])
    assert ga.has_signal(outcomes).tolist() == [[False, False], [True, True]]
    assert ga.has_signal(outcomes, tolerance=0.1).tolist() == [[False, False], [True, False]]
    assert ga.has_signal(torch.tensor([[True, True], [False, True]])).tolist() == [False, True]


def test_the_bounds_of_the_success_range_are_inside() -> None:
    successes = torch.arange(10) < torch.tensor([0, 1, 5, 7, 9, 10]).unsqueeze(1)
    expected = [False, True, True, True, True, False]
    assert ga.within_success_range(successes, 0.1, 0.9).tolist() == expected
    assert ga.within_success_range(successes.float(), 0.1, 0.9).tolist() == expected
    assert ga.within_success_range(successes, 0.7, 0.7).tolist() == [False, False, False, True, False, False]
    thirds = torch.arange(3) < torch.tensor([1, 2]).unsqueeze(1)
    assert ga.within_success_range(thirds, 1 / 3, 0.5).tolist() == [True, False]


# Health


@pytest.mark.parametrize(
    ("outcomes", "diversity"),
    [
        ([[0.0, 1.0], [1.0, 0.0]], 1.0),  # groups agree, members do not
        ([[0.0, 0.0], [1.0, 1.0]], 0.0),  # members agree, groups do not
        ([[0.1, 0.1, 0.1], [0.1, 0.1, 0.1]], 0.0),
        ([[0.0, 1.0], [1.0, 1.0]], 2 / 3),  # within (1/4 + 0) / 2, between 1/16
        ([[1.0, 3.0], [5.0, 7.0]], 0.2),  # within 1, between 4
    ],
)
def test_return_diversity_by_hand(outcomes: list[list[float]], diversity: float) -> None:
    assert ga.return_diversity(torch.tensor(outcomes)).item() == pytest.approx(diversity)


def test_return_diversity_is_the_share_of_the_variance() -> None:
    generator = torch.Generator().manual_seed(0)
    outcomes = torch.randn(6, 3, 8, generator=generator) + torch.randn(6, 3, 1, generator=generator)
    within = outcomes.var(dim=-1, correction=0).mean() / outcomes.var(correction=0)
    diversity = ga.return_diversity(outcomes)
    torch.testing.assert_close(diversity, within)
    torch.testing.assert_close(ga.return_diversity(3.0 * outcomes + 7.0), diversity)


def test_success_histogram_by_hand() -> None:
    successes = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 0, 1], [1, 1, 1]])
    assert ga.success_histogram(successes).tolist() == [1, 2, 0, 1]
    assert ga.success_histogram(successes.bool()).tolist() == [1, 2, 0, 1]
    assert ga.success_histogram(successes.float().reshape(2, 2, 3)).tolist() == [1, 2, 0, 1]
    assert ga.success_histogram(successes[:2]).tolist() == [1, 1, 0, 0]
