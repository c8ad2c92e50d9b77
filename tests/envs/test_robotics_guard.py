# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Whether the guard for Gymnasium-Robotics is still needed."""

from __future__ import annotations

from typing import Any

import mujoco
import pytest

from gr00t_rl_ext.envs.gymnasium import robotics_guard

MODEL = """<mujoco><worldbody><body>
  <joint name="hinge" type="hinge"/><geom size="1"/>
</body></worldbody></mujoco>"""


@pytest.fixture
def robotics(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, as it comes."""
    from gymnasium_robotics.utils import mujoco_utils

    monkeypatch.setattr(mujoco_utils, "mujoco", mujoco)
    return mujoco_utils


def test_the_guard_is_needed(robotics: Any) -> None:
    model = mujoco.MjModel.from_xml_string(MODEL)
    data = mujoco.MjData(model)
    try:
        robotics.set_joint_qpos(model, data, "hinge", 0.5)
    except AssertionError:
        return
    pytest.fail("Gymnasium-Robotics works with this MuJoCo: remove envs/gymnasium/robotics_guard.py and this test.")


def test_the_guard_helps(robotics: Any) -> None:
    model = mujoco.MjModel.from_xml_string(MODEL)
    data = mujoco.MjData(model)
    for _ in range(2):
        robotics_guard.install()
    robotics.set_joint_qpos(model, data, "hinge", 0.5)
    assert data.qpos.tolist() == [0.5]
    assert robotics.get_joint_qvel(model, data, "hinge").tolist() == [0.0]
    assert robotics.mujoco.mjtObj is mujoco.mjtObj
