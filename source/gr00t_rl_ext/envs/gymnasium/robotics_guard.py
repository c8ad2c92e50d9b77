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


def install() -> None:
    """Put the guard in place. Idempotent."""
    from gymnasium_robotics.utils import mujoco_utils

    mujoco: Any = mujoco_utils.mujoco
    if not isinstance(mujoco.mjtJoint, SimpleNamespace):
        joints = {name: int(joint) for name, joint in mujoco.mjtJoint.__members__.items()}
        mujoco_utils.mujoco = ModuleType(mujoco.__name__)
        vars(mujoco_utils.mujoco).update(vars(mujoco), mjtJoint=SimpleNamespace(**joints))
