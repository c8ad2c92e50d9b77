# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Actions that are relative to the robot's state, as GR00T N1.7 calls them (``use_relative_action``).

All actions of a chunk are relative to the state in which the chunk was decided, not to each other. Joint actions are
differences. Poses are expressed in the frame of the state's pose: with homogeneous matrices, ``T_relative =
T_state^-1 T_action``. A pose is position and "rot6d", the first two rows of the rotation matrix (Zhou et al., "On the
Continuity of Rotation Representations in Neural Networks", arXiv 1812.07035, which takes columns).

Read in ``gr00t/data/state_action/state_action_processor.py`` of NVIDIA/Isaac-GR00T and in ``policies/groot`` of lerobot
0.6.1, whose decoding agrees.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

POSE_DIM = 9
"""Position (3) and two rows of the rotation matrix (6)."""


@dataclass(frozen=True)
class RelativeAction:
    """What the actions of one key are relative to."""

    state_key: str
    """State key that they refer to, of the same width."""

    pose: bool = False
    """Whether they are poses, composed with the state's pose, instead of joint values, added to the state's."""

    def to_relative(self, action: Tensor, reference: Tensor) -> Tensor:
        """Absolute actions (..., H, D) and the state's key (..., D) -> relative actions (..., H, D)."""
        reference = reference[..., None, :]
        if not self.pose:
            return action - reference
        frame = _rotation(reference)
        position = _apply(frame.mT, action[..., :3] - reference[..., :3])
        return torch.cat([position, _rows(frame.mT @ _rotation(action))], dim=-1)

    def to_absolute(self, action: Tensor, reference: Tensor) -> Tensor:
        """The inverse of :meth:`to_relative`."""
        reference = reference[..., None, :]
        if not self.pose:
            return action + reference
        frame = _rotation(reference)
        position = _apply(frame, action[..., :3]) + reference[..., :3]
        return torch.cat([position, _rows(frame @ _rotation(action))], dim=-1)


def _rotation(pose: Tensor) -> Tensor:
    """Rotation matrices (..., 3, 3) of poses (..., 9), whose rows need not be exactly orthonormal (Gram-Schmidt)."""
    first, second = F.normalize(pose[..., 3:6], dim=-1), pose[..., 6:9]
    second = F.normalize(second - (first * second).sum(-1, keepdim=True) * first, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-2)


def _rows(rotation: Tensor) -> Tensor:
    return rotation[..., :2, :].flatten(-2)


def _apply(rotation: Tensor, vector: Tensor) -> Tensor:
    return (rotation @ vector[..., None])[..., 0]
