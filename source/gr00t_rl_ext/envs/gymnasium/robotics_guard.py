# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Let Gymnasium-Robotics' MuJoCo environments start with mujoco 3.12.

``gymnasium_robotics.utils.mujoco_utils`` 1.4.2 asserts ``joint_type in (mjtJoint.mjJNT_HINGE, mjtJoint.mjJNT_SLIDE)``
for a ``numpy.int32``. In mujoco 3.12 no enum equals one when the enum stands on the left, which is where ``in`` puts
it, so that every environment with a hinge fails.

:func:`install` gives that one module plain integers for the joint types.
``tests/envs/test_robotics_guard.py`` fails when the installed versions no longer need it: this module can
then go.
"""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

_TYPES = ("mjJNT_FREE", "mjJNT_BALL", "mjJNT_SLIDE", "mjJNT_HINGE")


class _WithIntegerJointTypes(ModuleType):
    """The module ``mujoco``, but for the joint types."""

    def __init__(self, mujoco: Any) -> None:
        super().__init__(mujoco.__name__)
        self._mujoco = mujoco
        self.mjtJoint = SimpleNamespace(**{name: int(getattr(mujoco.mjtJoint, name)) for name in _TYPES})

    def __getattr__(self, name: str) -> Any:
        return getattr(self._mujoco, name)


def install() -> None:
    """Put the guard in place. Idempotent."""
    from gymnasium_robotics.utils import mujoco_utils

    if not isinstance(mujoco_utils.mujoco, _WithIntegerJointTypes):
        mujoco_utils.mujoco = _WithIntegerJointTypes(mujoco_utils.mujoco)
