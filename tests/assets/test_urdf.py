# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""urdf: robots become USD once, with what PhysX needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from pxr import Usd, UsdPhysics

from gr00t_rl_ext.assets import urdf

TEXT = """\
<robot name="arm">
  <link name="base">
    <inertial><mass value="2"/><inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial>
  </link>
  <link name="rod">
    <inertial><mass value="1"/><inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial>
  </link>
  <link name="tip"/>
  <joint name="turn" type="revolute">
    <parent link="base"/><child link="rod"/><axis xyz="0 0 1"/><limit lower="-1" upper="1" effort="5" velocity="1"/>
  </joint>
  <joint name="end" type="fixed"><parent link="rod"/><child link="tip"/></joint>
</robot>
"""


def test_what_is_added(tmp_path: Path) -> None:
    file = tmp_path / "arm.urdf"
    file.write_text(TEXT)
    made = urdf.robot_usd(file)
    stage = Usd.Stage.Open(str(made))
    prims = {prim.GetName(): prim for prim in stage.Traverse()}
    roots = [prim.GetPath() for prim in stage.Traverse() if prim.HasAPI(UsdPhysics.ArticulationRootAPI)]
    assert roots == [stage.GetDefaultPrim().GetPath()]
    assert UsdPhysics.DriveAPI(prims["turn"], "angular").GetStiffnessAttr().Get() == 0.0
    assert UsdPhysics.DriveAPI(prims["turn"], "angular").GetMaxForceAttr().Get() == 5.0
    assert UsdPhysics.MassAPI(prims["rod"]).GetMassAttr().Get() == 1.0
    assert not prims["tip"].HasAPI(UsdPhysics.RigidBodyAPI), "a frame without mass is part of what it hangs on"


def test_it_is_made_once_and_anew_for_another_content(tmp_path: Path) -> None:
    file = tmp_path / "arm.urdf"
    file.write_text(TEXT)
    first = urdf.robot_usd(file)
    at = first.stat().st_mtime_ns
    assert urdf.robot_usd(file) == first
    assert first.stat().st_mtime_ns == at
    file.write_text(TEXT.replace('mass value="1"', 'mass value="3"'))
    assert urdf.robot_usd(file) != first
    assert [entry.name for entry in first.parent.iterdir()] == ["arm.usdc"]


def test_what_cannot_be_converted(tmp_path: Path) -> None:
    file = tmp_path / "arm.urdf"
    file.write_text("no robot")
    with pytest.raises(urdf.UrdfError, match=r"arm.urdf' cannot be converted"):
        urdf.robot_usd(file)
    file.write_text(
        TEXT.replace(
            '<link name="tip"/>',
            '<link name="tip"><visual><geometry><mesh filename="package://elsewhere/tip.stl"/></geometry></visual></link>',
        )
    )
    for old, new, message in (
        ('<axis xyz="0 0 1"/>', '<axis xyz="0 0 1"/><mimic joint="end"/>', "joints that follow others"),
        ('type="fixed"', 'type="floating"', "a floating base or joint"),
    ):
        (tmp_path / "other.urdf").write_text(TEXT.replace(old, new))
        with pytest.raises(urdf.UrdfError, match=f"other.urdf' has {message}"):
            urdf.robot_usd(tmp_path / "other.urdf")
    with pytest.raises(urdf.UrdfError, match=r"package://elsewhere/, but no folder above it is called 'elsewhere'"):
        urdf.robot_usd(file)
