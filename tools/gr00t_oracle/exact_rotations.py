# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The functions of pytorch3d.transforms that NVIDIA's N1.5 calls, by scipy; no registry has that package.

Conventions are those that pytorch3d documents: quaternions begin with their real part, Euler angles are intrinsic, and
the six numbers of a rotation are the first two rows of its matrix (arXiv 1812.07035).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
from scipy.spatial.transform import Rotation
from torch import Tensor


def _to_matrix(read: Callable[..., Rotation]) -> Callable[..., Tensor]:
    def convert(x: Tensor, **convention: str) -> Tensor:
        flat = x.double().reshape(-1, x.shape[-1]).cpu().numpy()
        matrices = torch.from_numpy(read(flat, **convention).as_matrix())
        return matrices.view(*x.shape[:-1], 3, 3).to(x)

    return convert


def _from_matrix(write: Callable[..., np.ndarray]) -> Callable[..., Tensor]:
    def convert(x: Tensor, **convention: str) -> Tensor:
        rotation = Rotation.from_matrix(x.double().reshape(-1, 3, 3).cpu().numpy())
        values = torch.from_numpy(np.ascontiguousarray(write(rotation, **convention)))
        return values.view(*x.shape[:-2], -1).to(x)

    return convert


def rotation_6d_to_matrix(x: Tensor) -> Tensor:
    """(..., 6) -> (..., 3, 3): the first row keeps its direction, the second one is made orthogonal to it."""
    first = torch.nn.functional.normalize(x[..., :3], dim=-1)
    second = x[..., 3:] - (first * x[..., 3:]).sum(-1, keepdim=True) * first
    second = torch.nn.functional.normalize(second, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-2)


def matrix_to_rotation_6d(x: Tensor) -> Tensor:
    """(..., 3, 3) -> (..., 6)."""
    return x[..., :2, :].flatten(-2)


FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "axis_angle_to_matrix": _to_matrix(Rotation.from_rotvec),
    "matrix_to_axis_angle": _from_matrix(Rotation.as_rotvec),
    "quaternion_to_matrix": _to_matrix(lambda x: Rotation.from_quat(x, scalar_first=True)),
    "matrix_to_quaternion": _from_matrix(lambda x: x.as_quat(canonical=True, scalar_first=True)),
    "euler_angles_to_matrix": _to_matrix(lambda x, convention: Rotation.from_euler(convention, x)),
    "matrix_to_euler_angles": _from_matrix(lambda x, convention: x.as_euler(convention)),
    "rotation_6d_to_matrix": rotation_6d_to_matrix,
    "matrix_to_rotation_6d": matrix_to_rotation_6d,
}
"""Name in pytorch3d.transforms -> function."""


def install() -> None:
    """Make them the package pytorch3d of this process, where it is not installed."""
    try:
        import pytorch3d.transforms  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        package, transforms = ModuleType("pytorch3d"), ModuleType("pytorch3d.transforms")
        vars(transforms).update(FUNCTIONS)
        vars(package)["transforms"] = transforms
        sys.modules |= {"pytorch3d": package, "pytorch3d.transforms": transforms}
