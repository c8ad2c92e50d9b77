# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Actions that are relative to the robot's state, as GR00T N1.6 and N1.7 call them (``use_relative_action``).

All actions of a chunk are relative to the state in which the chunk was decided, not to each other. Joint actions are
differences. Poses, a position and a rotation, are expressed in the frame of the state's pose: with homogeneous
matrices, ``T_relative = T_state^-1 T_action``.

Read in ``gr00t/data/state_action/state_action_processor.py`` of NVIDIA/Isaac-GR00T and in ``policies/groot`` of lerobot
0.6.1, whose decoding agrees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .rotations import ROTATIONS, from_matrix, matrix_of

POSE_FORMATS: Mapping[str, str] = {"XYZ_ROT6D": "rotation_6d", "XYZ_ROTVEC": "axis_angle"}
"""GR00T's name of a pose -> how its rotation is given, an entry of ``rotations.ROTATIONS``."""


@dataclass(frozen=True)
class RelativeAction:
    """What the actions of one key are relative to."""

    state_key: str
    """State key that they refer to, of the same width."""

    rotation: str | None = None
    """Of poses, which are composed with the state's pose: how their rotation is given, after the position. None: they
    are joint values, which are added to the state's."""

    @property
    def width(self) -> int | None:
        """Numbers of a pose; None for joint values, of which there may be any number."""
        return None if self.rotation is None else 3 + ROTATIONS[self.rotation]

    def to_relative(self, action: Tensor, reference: Tensor) -> Tensor:
        """Absolute actions (..., H, D) and the state's key (..., D) -> relative actions (..., H, D)."""
        reference = reference[..., None, :]
        if self.rotation is None:
            return action - reference
        frame = matrix_of(self.rotation, reference[..., 3:])
        position = _apply(frame.mT, action[..., :3] - reference[..., :3])
        rotation = from_matrix(self.rotation, frame.mT @ matrix_of(self.rotation, action[..., 3:]))
        return torch.cat([position, rotation], dim=-1)

    def to_absolute(self, action: Tensor, reference: Tensor) -> Tensor:
        """The inverse of :meth:`to_relative`."""
        reference = reference[..., None, :]
        if self.rotation is None:
            return action + reference
        frame = matrix_of(self.rotation, reference[..., 3:])
        position = _apply(frame, action[..., :3]) + reference[..., :3]
        rotation = from_matrix(self.rotation, frame @ matrix_of(self.rotation, action[..., 3:]))
        return torch.cat([position, rotation], dim=-1)


def _apply(rotation: Tensor, vector: Tensor) -> Tensor:
    return (rotation @ vector[..., None])[..., 0]
