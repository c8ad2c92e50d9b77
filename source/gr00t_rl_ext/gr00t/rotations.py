# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Representations of a rotation, and the way from one to another.

All go through the rotation matrix R, which takes a vector's coordinates in the rotated frame to those in the fixed one.
Conventions are those of NVIDIA/Isaac-GR00T:

- ``rotation_6d``: the first two rows of R, row by row (Zhou et al., arXiv 1812.07035, take columns);
- ``euler_angles_rpy`` and its five orders, of N1.5: intrinsic, r, p and y about X, Y and Z, in radians, so that
  ``rpy`` is ``Rx(a) Ry(b) Rz(c)``;
- ``euler_xyz``, of the poses of N1.6 and N1.7: extrinsic, ``Rz(c) Ry(b) Rx(a)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

_AXES = {"r": 0, "p": 1, "y": 2}


def _about(axis: int, angle: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) about a coordinate axis by angles (...) in radians."""
    one, zero, cos, sin = torch.ones_like(angle), torch.zeros_like(angle), angle.cos(), angle.sin()
    rows = {
        0: (one, zero, zero, zero, cos, -sin, zero, sin, cos),
        1: (cos, zero, sin, zero, one, zero, -sin, zero, cos),
        2: (cos, -sin, zero, sin, cos, zero, zero, zero, one),
    }
    return torch.stack(rows[axis], dim=-1).unflatten(-1, (3, 3))


def _from_euler(angles: Tensor, order: tuple[int, int, int]) -> Tensor:
    first, second, third = (_about(axis, angle) for axis, angle in zip(order, angles.unbind(-1), strict=True))
    return first @ second @ third


def _to_euler(matrix: Tensor, order: tuple[int, int, int]) -> Tensor:
    """Angles a, b, c with R = R_i(a) R_j(b) R_k(c), for three different axes i, j, k; b in [-pi / 2, pi / 2].

    Where b is plus or minus pi / 2, only a plus or minus c is determined, and c is 0.
    """
    i, j, k = order
    sign = 1.0 if (j - i) % 3 == 1 else -1.0
    b = torch.atan2(sign * matrix[..., i, k], torch.hypot(matrix[..., i, i], matrix[..., i, j]))
    is_locked = matrix[..., i, k].abs() > 1 - 1e-12
    a = torch.atan2(-sign * matrix[..., j, k], matrix[..., k, k])
    c = torch.atan2(-sign * matrix[..., i, j], matrix[..., i, i])
    locked = torch.atan2(sign * matrix[..., k, j], matrix[..., j, j])
    return torch.stack([torch.where(is_locked, locked, a), b, c.masked_fill(is_locked, 0.0)], dim=-1)


def _from_quaternion(wxyz: Tensor) -> Tensor:
    w, x, y, z = F.normalize(wxyz, dim=-1).unbind(-1)
    rows = (
        *(1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)),
    )
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def _to_quaternion(matrix: Tensor) -> Tensor:
    """Unit quaternions (..., 4) as w, x, y, z with w >= 0."""
    r = matrix.flatten(-2).unbind(-1)
    # 4 q q^T, of whose rows the one with the largest diagonal is far from 0
    ww, xx = 1 + r[0] + r[4] + r[8], 1 + r[0] - r[4] - r[8]
    yy, zz = 1 - r[0] + r[4] - r[8], 1 - r[0] - r[4] + r[8]
    wx, wy, wz = r[7] - r[5], r[2] - r[6], r[3] - r[1]
    xy, xz, yz = r[1] + r[3], r[2] + r[6], r[5] + r[7]
    rows = torch.stack((ww, wx, wy, wz, wx, xx, xy, xz, wy, xy, yy, yz, wz, xz, yz, zz), dim=-1).unflatten(-1, (4, 4))
    best = torch.stack((ww, xx, yy, zz), dim=-1).argmax(-1)
    quaternion = F.normalize(rows.take_along_dim(best[..., None, None], dim=-2)[..., 0, :], dim=-1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


def _from_axis_angle(vector: Tensor) -> Tensor:
    half = vector.norm(dim=-1, keepdim=True) / 2
    # sin(h) / h, which is 1 for no rotation
    return _from_quaternion(torch.cat([half.cos(), vector / 2 * torch.sinc(half / math.pi)], dim=-1))


def _to_axis_angle(matrix: Tensor) -> Tensor:
    w, xyz = _to_quaternion(matrix).tensor_split([1], dim=-1)
    length = xyz.norm(dim=-1, keepdim=True)
    half = torch.atan2(length, w)
    return 2 * xyz / torch.sinc(half / math.pi)


def orthonormal(rows: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of two rows (..., 6) that need not be exactly orthonormal (Gram-Schmidt)."""
    first, second = F.normalize(rows[..., :3], dim=-1), rows[..., 3:]
    second = F.normalize(second - (first * second).sum(-1, keepdim=True) * first, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-2)


def _orders() -> dict[str, tuple[int, int, int]]:
    names = ("rpy", "ryp", "pry", "pyr", "yrp", "ypr")
    return {f"euler_angles_{name}": (_AXES[name[0]], _AXES[name[1]], _AXES[name[2]]) for name in names}


_Convert = Callable[[Tensor], Tensor]

_CONVERSIONS: Mapping[str, tuple[int, _Convert, _Convert]] = {
    "quaternion_wxyz": (4, _from_quaternion, _to_quaternion),
    "quaternion_xyzw": (4, lambda x: _from_quaternion(x.roll(1, -1)), lambda r: _to_quaternion(r).roll(-1, -1)),
    "axis_angle": (3, _from_axis_angle, _to_axis_angle),
    "rotation_6d": (6, orthonormal, lambda r: r[..., :2, :].flatten(-2)),
    "matrix": (9, lambda x: x.unflatten(-1, (3, 3)), lambda r: r.flatten(-2)),
    "euler_xyz": (3, lambda x: _from_euler(x.flip(-1), (2, 1, 0)), lambda r: _to_euler(r, (2, 1, 0)).flip(-1)),
    "euler_xyz_degrees": (
        3,
        lambda x: _from_euler(x.deg2rad().flip(-1), (2, 1, 0)),
        lambda r: _to_euler(r, (2, 1, 0)).flip(-1).rad2deg(),
    ),
    **{
        name: (3, lambda x, order=order: _from_euler(x, order), lambda r, order=order: _to_euler(r, order))
        for name, order in _orders().items()
    },
}

ROTATIONS: Mapping[str, int] = {name: width for name, (width, _, _) in _CONVERSIONS.items()}
"""Representation -> how many numbers it has."""


def matrix_of(rotation: str, values: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of values (..., width) in an entry of :data:`ROTATIONS`."""
    return _CONVERSIONS[rotation][1](values)


def from_matrix(rotation: str, matrix: Tensor) -> Tensor:
    """Values (..., width) in an entry of :data:`ROTATIONS` of rotation matrices (..., 3, 3)."""
    return _CONVERSIONS[rotation][2](matrix)


def convert(values: Tensor, source: str, target: str) -> Tensor:
    """Values (..., width) of one representation as those of another; as they are where both are the same.

    Args:
        values: In ``source``.
        source: Entry of :data:`ROTATIONS`.
        target: Entry of :data:`ROTATIONS`.
    """
    return values if source == target else from_matrix(target, matrix_of(source, values))
