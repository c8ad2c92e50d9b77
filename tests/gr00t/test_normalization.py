# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Normalisation modes: hand values, and round trips over random statistics."""

from __future__ import annotations

import math

import pytest
import torch

from gr00t_rl_ext.gr00t.normalization import NORMALIZATION_MODES, VectorNormalizer, VectorSpec

STATISTICS = {
    "arm": {
        "min": [-2.0, 0.0, 3.0],
        "max": [2.0, 1.0, 3.0],
        "mean": [0.5, 0.5, 3.0],
        "std": [2.0, 0.25, 0.0],
        "q01": [-1.0, 0.0, 3.0],
        "q99": [1.0, 0.5, 3.0],
    },
    "gripper": {"min": [0.0], "max": [0.08], "mean": [0.04], "std": [0.02], "q01": [0.0], "q99": [0.08]},
}
X = torch.tensor([[1.0, 0.75, 3.0]])


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("min_max", [0.5, 0.5, 0.0]),  # min == max gives 0
        ("q99", [1.0, 1.0, 1.0]),  # clipped; q01 == q99 keeps the value, then clips
        ("min_max_bounded", [0.5, 0.5, 0.0]),
        ("q99_bounded", [1.0, 1.0, 0.0]),  # clipped; unlike in q99, q01 == q99 gives 0
        ("min_max_bounded_output", [0.5, 0.5, 0.0]),
        ("q99_bounded_output", [1.0, 2.0, 0.0]),  # not clipped
        ("mean_std", [0.25, 1.0, 3.0]),  # std == 0 keeps the value
        ("mean_std_bounded_input", [0.25, 1.0, 1.0]),  # std == 0 keeps the value, which is clipped
        ("mean_std_passing", [0.25, 1.0, 3.0]),
        ("binary", [1.0, 1.0, 1.0]),
        ("sin_cos", [math.sin(1), math.sin(0.75), math.sin(3), math.cos(1), math.cos(0.75), math.cos(3)]),
    ],
)
def test_modes_by_hand(mode: str, expected: list[float]):
    vector = VectorNormalizer([VectorSpec("arm", 3, mode)], STATISTICS)
    torch.testing.assert_close(vector.normalize(X), torch.tensor([expected]))
    assert vector.dim == len(expected)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("min_max", [4.0, 1.25, 3.0]),
        ("q99", [2.0, 0.625, 3.0]),
        ("min_max_bounded", [2.0, 1.0, 3.0]),  # clipped
        ("q99_bounded", [1.0, 0.5, 3.0]),
        ("min_max_bounded_output", [2.0, 1.0, 3.0]),
        ("q99_bounded_output", [1.0, 0.5, 3.0]),
        ("mean_std", [4.5, 0.875, 3.0]),  # std == 0 gives the mean
        ("mean_std_bounded_input", [4.5, 0.875, -0.5]),  # std == 0 keeps the value
        ("mean_std_passing", [4.5, 0.875, -0.5]),
        ("binary", [1.0, 1.0, 0.0]),
    ],
)
def test_inverses_by_hand(mode: str, expected: list[float]):
    vector = VectorNormalizer([VectorSpec("arm", 3, mode)], STATISTICS)
    torch.testing.assert_close(vector.denormalize(torch.tensor([[2.0, 1.5, -0.5]])), torch.tensor([expected]))


INVERTIBLE = [name for name, mode in NORMALIZATION_MODES.items() if mode.denormalize is not None]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("mode", INVERTIBLE)
def test_round_trip_over_random_statistics(mode: str, seed: int):
    """Values that the statistics allow come back, within 1e-6 of the largest number involved.

    A third of the dimensions have no spread, others a spread from 1e-6 to 1e6 around centres from 1e-6 to 1e6.
    """
    dim, count = 24, 64
    g = torch.Generator().manual_seed(seed)
    centre, spread = 10 ** (torch.rand(2, dim, generator=g, dtype=torch.float64) * 12 - 6)
    centre = centre * torch.where(torch.rand(dim, generator=g) < 0.5, -1, 1)
    spread = torch.where(torch.rand(dim, generator=g) < 1 / 3, 0.0, spread)
    low, high = (centre - spread).float(), (centre + spread).float()
    unrelated = {"min": low - 1, "max": high + 1, "q01": low - 1, "q99": high + 1}
    limits = {"q01": low, "q99": high} if mode.startswith("q99") else {"min": low, "max": high}
    statistics = unrelated | limits | {"mean": centre.float(), "std": spread.float()}
    vector = VectorNormalizer([VectorSpec("x", dim, mode)], {"x": statistics})
    share = torch.rand(count, dim, generator=g)
    raw = (low + share * (high - low)).clamp(low, high)
    if mode == "binary":
        raw = (share > 0.5).float()
    elif mode == "mean_std_bounded_input":
        # without spread, the value itself is clipped to [-1, 1]
        raw = torch.where(spread == 0, raw.clamp(-1, 1), raw)
    back = vector.denormalize(vector.normalize(raw))
    scale = torch.stack([raw.abs(), low.abs().expand_as(raw), high.abs().expand_as(raw)]).amax(0)
    tolerance = 1e-6 * scale
    if "bounded" in mode and "mean" not in mode:
        # N1.7 takes limits that nearly agree for one value, the middle
        tolerance = torch.where(torch.isclose(high, low), tolerance + (high - low) / 2, tolerance)
    worst = ((back - raw).abs() - tolerance).amax()
    assert worst <= 0, f"{mode}: off by {worst} more than allowed"


def test_binary_round_trip():
    vector = VectorNormalizer([VectorSpec("gripper", 1, "binary")], STATISTICS)
    assert vector.denormalize(vector.normalize(torch.tensor([[0.4], [0.6]]))).tolist() == [[0.0], [1.0]]


def test_keys_of_different_modes():
    specs = [VectorSpec("gripper", 1, "min_max"), VectorSpec("arm", 3, "sin_cos"), VectorSpec("gripper", 1, "binary")]
    vector = VectorNormalizer(specs, STATISTICS)
    out = vector.normalize(torch.tensor([[0.06, 0.0, 0.0, 0.0, 0.9]]))
    assert vector.raw_dim == 5
    torch.testing.assert_close(out, torch.tensor([[0.5, 0, 0, 0, 1, 1, 1, 1]]))
    with pytest.raises(ValueError, match=r"cannot be denormalised, a mode has no inverse: .*arm \(3, sin_cos\)"):
        vector.denormalize(out)


def test_sin_cos_treats_each_key_by_itself():
    stats = {"a": {}, "b": {}}
    vector = VectorNormalizer([VectorSpec("a", 1, "sin_cos"), VectorSpec("b", 1, "sin_cos")], stats)
    expected = [[math.sin(1), math.cos(1), math.sin(2), math.cos(2)]]
    torch.testing.assert_close(vector.normalize(torch.tensor([[1.0, 2.0]])), torch.tensor(expected))


def limits(mode: str, **statistics: list[float]) -> list[list[float]]:
    dim = len(next(iter(statistics.values())))
    return VectorNormalizer([VectorSpec("x", dim, mode)], {"x": statistics}).limits().tolist()


def test_limits_of_the_data():
    """Its extremes, percentiles in their place, or three standard deviations to both sides of the mean."""
    percentiles = {"q01": [0.0], "q99": [1.0]}
    assert limits("min_max", min=[-2.0, 0.0], max=[2.0, 1.0]) == [[-2.0, 0.0], [2.0, 1.0]]
    assert limits("q99", **percentiles) == [[0.0], [1.0]]
    assert limits("q99_bounded", min=[-5.0], max=[5.0], **percentiles) == [[-5.0], [5.0]]
    assert limits("mean_std", mean=[1.0], std=[2.0]) == [[-5.0], [7.0]]
    assert limits("sin_cos", min=[-1.0], max=[3.0]) == [[-1.0], [3.0]]


@pytest.mark.parametrize(
    ("mode", "statistics"),
    [
        ("binary", {"other": [0.0]}),
        ("min_max", {"min": [0.3], "max": [0.3]}),
        ("min_max_bounded", {"min": [1.0], "max": [1.000001]}),  # 0, to N1.7
        ("mean_std", {"mean": [1.0], "std": [0.0]}),
    ],
)
def test_limits_that_nothing_follows_from(mode: str, statistics: dict):
    assert all(math.isnan(value) for (value,) in limits(mode, **statistics))


def test_a_narrow_range_that_is_stretched_has_limits():
    assert limits("min_max", min=[1.0], max=[1.000001])[0] == [1.0]
