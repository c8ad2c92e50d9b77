# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Representations of rotations against scipy's; ``test_conformance`` compares with NVIDIA's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor

from gr00t_rl_ext.gr00t.rotations import ROTATIONS, convert, from_matrix, matrix_of

RANDOM = Rotation.random(200, random_state=7)
SPECIAL = Rotation.from_rotvec(
    [[0, 0, 0], [np.pi, 0, 0], [0, np.pi, 0], [0, 0, -np.pi], [1e-9, 0, 0], [np.pi / 2, 0, 0], [0, np.pi / 2, 0]]
)
"""No rotation, half turns, where a quaternion's w is 0, a tiny one, and where Euler angles lock."""

ALL = Rotation.concatenate([RANDOM, SPECIAL])
MATRIX = torch.from_numpy(ALL.as_matrix())


def as_scipy_has_it(name: str) -> Tensor | None:
    """Values of ``ALL``, where scipy gives them."""
    if name.startswith("euler_angles_"):
        order = name.removeprefix("euler_angles_").translate(str.maketrans("rpy", "XYZ"))
        return torch.from_numpy(RANDOM.as_euler(order))
    values = {
        "quaternion_wxyz": lambda: ALL.as_quat(canonical=True, scalar_first=True),
        "quaternion_xyzw": lambda: ALL.as_quat(canonical=True),
        "axis_angle": ALL.as_rotvec,
        "matrix": lambda: ALL.as_matrix().reshape(-1, 9),
        "rotation_6d": lambda: ALL.as_matrix()[:, :2].reshape(-1, 6),
        "euler_xyz": lambda: RANDOM.as_euler("xyz"),
        "euler_xyz_degrees": lambda: RANDOM.as_euler("xyz", degrees=True),
    }
    return torch.from_numpy(np.ascontiguousarray(values[name]()))


@pytest.mark.parametrize("name", ROTATIONS)
def test_both_ways_agree_with_scipy(name: str):
    theirs = as_scipy_has_it(name)
    assert theirs.shape[-1] == ROTATIONS[name]
    torch.testing.assert_close(matrix_of(name, theirs), MATRIX[: len(theirs)], rtol=0, atol=1e-12)
    ours = from_matrix(name, MATRIX[: len(theirs)])
    same = (ours - theirs).abs().amax(-1) < 1e-9
    # at a half turn, both signs of a quaternion or a vector are the same rotation
    assert same[:200].all()
    torch.testing.assert_close(matrix_of(name, from_matrix(name, MATRIX)), MATRIX, rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", ROTATIONS)
def test_in_single_precision(name: str):
    """Every representation of every rotation, the special ones included, is finite and exact to 1e-3."""
    matrix = MATRIX.float()
    values = from_matrix(name, matrix)
    assert values.isfinite().all()
    torch.testing.assert_close(matrix_of(name, values), matrix, rtol=0, atol=1e-3)


def test_from_one_to_another():
    turn = torch.tensor([[0.0, 0.0, torch.pi / 2]])
    half = 0.5**0.5
    torch.testing.assert_close(convert(turn, "axis_angle", "quaternion_wxyz"), torch.tensor([[half, 0.0, 0.0, half]]))
    torch.testing.assert_close(convert(turn, "axis_angle", "quaternion_xyzw"), torch.tensor([[0.0, 0.0, half, half]]))
    rows = convert(turn, "axis_angle", "rotation_6d")
    torch.testing.assert_close(rows, torch.tensor([[0.0, -1.0, 0.0, 1.0, 0.0, 0.0]]))
    torch.testing.assert_close(convert(turn, "axis_angle", "euler_xyz_degrees"), torch.tensor([[0.0, 0.0, 90.0]]))
    assert convert(turn, "axis_angle", "axis_angle") is turn


def test_a_quaternion_need_not_be_of_length_1():
    scaled = torch.tensor([[2.0, 0.0, 0.0, 2.0]])
    torch.testing.assert_close(
        matrix_of("quaternion_wxyz", scaled)[0], torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    )
