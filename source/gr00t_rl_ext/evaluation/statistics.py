# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What may be concluded from the episodes of an evaluation: intervals and paired tests.

Episode i of two policies begins in the same initial state, so that they are compared episode by episode: what the
initial states differ in difficulty does not count as noise. Arguments hold one entry per episode. Differences are
those of the second policy minus the first. Tests are two-sided. What is random has a fixed seed: the same episodes
give the same figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

CONFIDENCE = 0.95
"""Of every interval."""

RESAMPLES = 9999
"""Of the bootstrap and of the sign-flip test, whose smallest p-value is therefore 2 / 10,000."""

_SEED = 0
_Z_SQUARED = float(stats.norm.ppf(0.5 + CONFIDENCE / 2)) ** 2


class Interval(NamedTuple):
    """Confidence interval."""

    low: float
    high: float


class Comparison(NamedTuple):
    """Second policy minus the first."""

    difference: float
    interval: Interval
    p_value: float
    """Of a difference like this or larger if the policies were equal."""


def wilson_interval(successes: int, episodes: int) -> Interval:
    """Score interval of a success rate (Wilson 1927); not empty for 0 or all successes. In [0, 1].

    Raises:
        ValueError: There is no episode.
    """
    if episodes < 1:
        raise ValueError("An evaluation without a finished episode has no success rate. Expected 1 episode or more.")
    interval = stats.binomtest(successes, episodes).proportion_ci(CONFIDENCE, method="wilson")
    return Interval(float(interval.low), float(interval.high))


def half_width(episodes: int) -> float:
    """Largest half width that the Wilson interval of ``episodes`` episodes may have: that of a success rate of 1/2."""
    return math.sqrt(_Z_SQUARED / (episodes + _Z_SQUARED)) / 2


def episodes_needed(wanted: float) -> int:
    """Fewest episodes whose interval is at most ``wanted`` to both sides of its middle, whatever the success rate.

    Args:
        wanted: Half width as a fraction, e.g. 0.05.

    Raises:
        ValueError: It is not between 0 and 0.5.
    """
    if not 0.0 < wanted < 0.5:
        raise ValueError(
            f"The half width of the interval of a success rate is to be {wanted}. Expected more than 0 and less than"
            " 0.5, such as 0.05 for plus or minus 5 percentage points."
        )
    return max(1, math.ceil(_Z_SQUARED / (4 * wanted**2) - _Z_SQUARED))


def check_episodes(episodes: int, wanted: float) -> None:
    """Check, before an evaluation starts, that it can tell what it is for.

    Args:
        episodes: Episodes of the evaluation.
        wanted: Half width of the interval of the success rate, as a fraction.

    Raises:
        ValueError: It has fewer episodes than the interval needs.
    """
    needed = episodes_needed(wanted)
    if episodes < needed:
        possible = half_width(episodes)
        raise ValueError(
            f"{episodes} episode(s) give a {CONFIDENCE:.0%} interval of up to ±{100 * possible:.1f} percentage points"
            f" around the success rate, but ±{100 * wanted:.1f} is wanted. Evaluate at least {needed} episodes, or"
            f" accept a half width of {math.ceil(100 * possible) / 100}."
        )


def compare_successes(first: Sequence[bool], second: Sequence[bool]) -> Comparison:
    """Success rates of two policies on the same initial states.

    The interval is Newcombe's for paired proportions (1998, Statistics in Medicine 17, 2635-2650, method 10): Wilson's
    intervals of both rates, combined by their correlation with a continuity correction. The p-value is that of the
    exact McNemar test: the episodes in which one policy alone succeeds are a fair coin if the policies are equal. It is
    the more careful of the two: with few such episodes the interval may exclude 0 and p be above 0.05.
    """
    a, b = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    _check_pairs(a, b)
    both, only_first = int((a & b).sum()), int((a & ~b).sum())
    only_second, neither = int((~a & b).sum()), int((~a & ~b).sum())
    discordant = only_first + only_second
    p_value = float(stats.binomtest(only_second, discordant).pvalue) if discordant else 1.0

    n = len(a)
    rate_a, rate_b = (both + only_first) / n, (both + only_second) / n
    interval_a, interval_b = wilson_interval(both + only_first, n), wilson_interval(both + only_second, n)
    association = both * neither - only_first * only_second
    corrected = max(association - n / 2, 0.0) if association > 0 else float(association)
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    phi = corrected / math.sqrt(margins) if margins else 0.0

    def combined(one: float, other: float) -> float:
        return math.sqrt(one**2 - 2 * phi * one * other + other**2)

    difference = rate_b - rate_a
    low = difference - combined(rate_b - interval_b.low, interval_a.high - rate_a)
    high = difference + combined(interval_b.high - rate_b, rate_a - interval_a.low)
    return Comparison(difference, Interval(low, high), p_value)


def compare_returns(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """Mean returns of two policies on the same initial states.

    The interval is the bootstrap's over the episodes' differences, bias-corrected and accelerated (Efron 1987, JASA
    82, 171-185). The p-value is that of the sign-flip permutation test of their mean: exact for few episodes, else from
    :data:`RESAMPLES` random flips. No shape of the distribution is assumed. One episode says nothing: an unbounded
    interval and p 1.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    _check_pairs(a, b)
    differences = b - a
    difference = float(differences.mean())
    if len(differences) == 1:
        return Comparison(difference, Interval(-math.inf, math.inf), 1.0)
    if (differences == differences[0]).all():
        # nothing varies, so nothing can be resampled
        interval = Interval(difference, difference)
    else:
        resampled = stats.bootstrap(
            (differences,),
            np.mean,
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            method="BCa",
            rng=np.random.default_rng(_SEED),
        )
        interval = Interval(*map(float, resampled.confidence_interval))
    flipped = stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        vectorized=True,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(_SEED),
    )
    return Comparison(difference, interval, float(flipped.pvalue))


def _check_pairs(first: np.ndarray, second: np.ndarray) -> None:
    if len(first) != len(second) or not len(first):
        raise ValueError(
            f"One policy has {len(first)} episodes, the other {len(second)}. A paired comparison needs as many of both,"
            " and at least 1, from the same initial states."
        )
