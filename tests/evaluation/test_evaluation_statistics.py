# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""statistics: intervals and paired tests against published examples, definitions and values computed by hand."""

from __future__ import annotations

import itertools
import math
import re
import warnings

import numpy as np
import pytest

from gr00t_rl_ext.evaluation import statistics
from gr00t_rl_ext.evaluation.statistics import Comparison, Interval

Z = 1.959963984540054
"""97.5% quantile of the normal distribution."""


def pairs(both: int, only_first: int, only_second: int, neither: int) -> tuple[list[bool], list[bool]]:
    """Episodes of two policies with these counts."""
    counts = both, only_first, only_second, neither
    outcomes = (True, True), (True, False), (False, True), (False, False)
    listed = [pair for pair, count in zip(outcomes, counts, strict=True) for _ in range(count)]
    return [first for first, _ in listed], [second for _, second in listed]


@pytest.mark.parametrize(
    ("successes", "episodes", "low", "high"),
    [
        # Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        # z^2 / (n + z^2) where there is no success
        (0, 10, 0.0, Z**2 / (10 + Z**2)),
        (10, 10, 10 / (10 + Z**2), 1.0),
        (0, 1, 0.0, Z**2 / (1 + Z**2)),
    ],
)
def test_wilson_intervals(successes: int, episodes: int, low: float, high: float) -> None:
    assert statistics.wilson_interval(successes, episodes) == pytest.approx((low, high), abs=5e-5)


def test_no_episode_has_no_interval() -> None:
    with pytest.raises(ValueError, match=r"^An evaluation without a finished episode has no success rate. Expected 1 "):
        statistics.wilson_interval(0, 0)


@pytest.mark.parametrize("wanted", [0.01, 0.03, 0.05, 0.1, 0.25, 0.4])
def test_episodes_needed_is_the_fewest(wanted: float) -> None:
    needed = statistics.episodes_needed(wanted)
    assert statistics.half_width(needed) <= wanted < statistics.half_width(needed - 1)


@pytest.mark.parametrize("episodes", [1, 2, 10, 51, 200])
def test_no_interval_is_wider_than_half_width_says(episodes: int) -> None:
    intervals = [statistics.wilson_interval(successes, episodes) for successes in range(episodes + 1)]
    widest = max((high - low) / 2 for low, high in intervals)
    bound = statistics.half_width(episodes)
    assert widest <= bound + 1e-12
    if episodes % 2 == 0:
        assert widest == pytest.approx(bound), "a success rate of 1/2 is possible"


def test_episodes_needed_by_hand() -> None:
    # z^2 (1 / (4 h^2) - 1) = 3.8415 * 99 = 380.3 and 3.8415 * 24 = 92.2
    assert statistics.episodes_needed(0.05) == 381
    assert statistics.episodes_needed(0.1) == 93


@pytest.mark.parametrize("wanted", [0.0, -0.1, 0.5, 5.0, math.nan])
def test_an_impossible_half_width_is_refused(wanted: float) -> None:
    with pytest.raises(ValueError, match=rf"is to be {wanted}. Expected more than 0 and less than 0.5, such as 0.05"):
        statistics.episodes_needed(wanted)


def test_too_few_episodes_are_refused() -> None:
    statistics.check_episodes(381, 0.05)
    message = (
        "50 episode(s) give a 95% interval of up to ±13.4 percentage points around the success rate, but ±5.0 is"
        " wanted. Evaluate at least 381 episodes, or accept a half width of 0.14."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        statistics.check_episodes(50, 0.05)


@pytest.mark.parametrize(
    ("counts", "interval"),
    [
        # Altman et al. 2000, Statistics with confidence, table 6.2, p. 52
        ((14, 5, 0, 22), (-0.226, -0.011)),
        # Bentur et al. 2009, in Fagerland, Lydersen and Laake 2014, Statistics in Medicine 33, 2850-2875
        ((1, 1, 7, 12), (0.026, 0.507)),
    ],
)
def test_newcombes_interval(counts: tuple[int, ...], interval: tuple[float, float]) -> None:
    assert statistics.compare_successes(*pairs(*counts)).interval == pytest.approx(interval, abs=5e-4)


def test_newcombes_interval_by_hand() -> None:
    # rates 0.5 and 0.8; 4 * 1 - 1 * 4 = 0, so phi is 0 and the widths add up as squares
    first, second = statistics.wilson_interval(5, 10), statistics.wilson_interval(8, 10)
    low = 0.3 - math.hypot(0.8 - second.low, first.high - 0.5)
    high = 0.3 + math.hypot(second.high - 0.8, 0.5 - first.low)
    comparison = statistics.compare_successes(*pairs(4, 1, 4, 1))
    assert comparison.difference == pytest.approx(0.3)
    assert comparison.interval == pytest.approx((low, high))


def test_newcombes_interval_covers_the_difference_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    true, covered = 0.9 - 0.7, 0
    for _ in range(400):
        difficulty = generator.random(60)
        noise = generator.random(60) < 0.8
        first = np.where(noise, difficulty, generator.random(60)) < 0.7
        second = np.where(noise, difficulty, generator.random(60)) < 0.9
        low, high = statistics.compare_successes(first.tolist(), second.tolist()).interval
        covered += low <= true <= high
    assert 0.92 <= covered / 400 <= 0.99


@pytest.mark.parametrize(
    ("counts", "p_value"),
    [
        # Bentur et al. 2009, in Fagerland, Lydersen and Laake 2013, BMC Medical Research Methodology 13:91: 0.0703
        ((1, 1, 7, 12), 2 * (1 + 8) / 2**8),
        ((5, 5, 0, 5), 2 / 2**5),
        ((0, 0, 10, 0), 2 / 2**10),
        ((9, 3, 3, 1), 1.0),
        ((5, 0, 0, 5), 1.0),
        ((0, 0, 0, 9), 1.0),
        ((9, 0, 0, 0), 1.0),
        # Agresti, Categorical data analysis, approval of the prime minister
        ((794, 150, 86, 570), 2 * sum(math.comb(236, k) for k in range(87)) / 2**236),
    ],
)
def test_exact_mcnemar_test(counts: tuple[int, ...], p_value: float) -> None:
    assert statistics.compare_successes(*pairs(*counts)).p_value == pytest.approx(p_value, rel=1e-3)


def test_the_exact_test_rarely_tells_equal_policies_apart() -> None:
    generator = np.random.default_rng(0)
    outcomes = generator.random((400, 2, 40)) < 0.6
    found = sum(statistics.compare_successes(*pair.tolist()).p_value < 0.05 for pair in outcomes)
    assert found <= 20


def test_concordant_episodes_do_not_matter_to_the_test() -> None:
    one, other = statistics.compare_successes(*pairs(0, 2, 9, 0)), statistics.compare_successes(*pairs(50, 2, 9, 99))
    assert one.p_value == other.p_value
    assert one.difference > other.difference


@pytest.mark.parametrize("counts", list(itertools.product((0, 1, 7), repeat=4))[1:])
def test_every_comparison_of_successes_is_possible_and_symmetric(counts: tuple[int, int, int, int]) -> None:
    first, second = pairs(*counts)
    forth, back = statistics.compare_successes(first, second), statistics.compare_successes(second, first)
    assert -1.0 <= forth.interval.low <= forth.difference <= forth.interval.high <= 1.0
    assert forth.interval.low < forth.interval.high
    assert forth.interval == pytest.approx((-back.interval.high, -back.interval.low))
    assert (forth.difference, forth.p_value) == pytest.approx((-back.difference, back.p_value))


# Returns


def test_compare_returns_by_hand() -> None:
    # differences 1, 2, 3: of the 8 sign patterns 2 have a mean at least as far from 0
    comparison = statistics.compare_returns([0.0, 1.0, 5.0], [1.0, 3.0, 8.0])
    assert comparison.difference == pytest.approx(2.0)
    assert comparison.p_value == pytest.approx(2 / 8)
    assert 1.0 <= comparison.interval.low < 2.0 < comparison.interval.high <= 3.0


def test_pairing_finds_a_small_difference_that_the_initial_states_hide() -> None:
    generator = np.random.default_rng(0)
    difficulty = generator.normal(scale=10.0, size=200)
    first, second = difficulty, difficulty + 0.2 + generator.normal(scale=0.5, size=200)
    paired = statistics.compare_returns(first.tolist(), second.tolist())
    assert paired.p_value == pytest.approx(2 / 10_000)
    assert paired.interval.low > 0
    # the t interval of the differences
    error = (second - first).std(ddof=1) / math.sqrt(200)
    assert paired.interval == pytest.approx((paired.difference - Z * error, paired.difference + Z * error), abs=0.01)
    assert statistics.compare_returns(first.tolist(), generator.permutation(second).tolist()).p_value > 0.05


def test_the_same_episodes_give_the_same_figures() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(2, 100)).tolist()
    assert statistics.compare_returns(first, second) == statistics.compare_returns(first, second)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ([1.0], [3.0], Comparison(2.0, Interval(-math.inf, math.inf), 1.0)),
        ([1.0, 2.0], [3.0, 4.0], Comparison(2.0, Interval(2.0, 2.0), 0.5)),
        ([0.1] * 30, [0.1] * 30, Comparison(0.0, Interval(0.0, 0.0), 1.0)),
    ],
)
def test_differences_that_do_not_vary(first: list[float], second: list[float], expected: Comparison) -> None:
    assert statistics.compare_returns(first, second) == expected


@pytest.mark.parametrize("episodes", [2, 3, 5, 20, 200])
def test_sparse_returns_have_an_interval(episodes: int) -> None:
    first, second = [0.0] * episodes, [1.0] + [0.0] * (episodes - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        comparison = statistics.compare_returns(first, second)
    assert 0.0 <= comparison.interval.low <= 1 / episodes <= comparison.interval.high <= 1.0
    assert comparison.p_value == 1.0


@pytest.mark.parametrize("compare", [statistics.compare_successes, statistics.compare_returns])
@pytest.mark.parametrize(("first", "second"), [([1.0], [1.0, 0.0]), ([], [])])
def test_unpaired_episodes_are_refused(compare: object, first: list[float], second: list[float]) -> None:
    message = (
        rf"^One policy has {len(first)} episodes, the other {len(second)}. A paired comparison needs as many of both"
    )
    with pytest.raises(ValueError, match=message):
        compare(first, second)  # type: ignore[operator]
