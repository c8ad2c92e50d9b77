# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The cabinet: names of the stock configs, parts that do not touch, and a handle that a gripper can hold."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from gr00t_rl_ext.assets import build, cabinet

DRAWERS = ("drawer_top_joint", "drawer_bottom_joint")
DOORS = ("door_left_joint", "door_right_joint")


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Any:
    from pxr import Usd

    file = tmp_path_factory.mktemp("cabinet") / "cabinet.usd"
    cabinet.write_cabinet(file)
    return Usd.Stage.Open(str(file))


def bounds(stage: Any, path: str) -> tuple[list[float], list[float]]:
    """Lowest and highest corner of a prim [m], where everything is closed."""
    from pxr import Usd, UsdGeom

    boxes = UsdGeom.BBoxCache(Usd.TimeCode.Default(), [UsdGeom.Tokens.default_])
    found = boxes.ComputeWorldBound(stage.GetPrimAtPath(f"/cabinet/{path}")).ComputeAlignedRange()
    return list(found.GetMin()), list(found.GetMax())


def test_it_lies_where_isaac_lab_looks_it_up() -> None:
    from isaaclab_tasks.core.cabinet.cabinet_env_cfg import CABINET_CFG

    assert CABINET_CFG.spawn is not None
    assert Path(CABINET_CFG.spawn.usd_path).as_posix().endswith(build.CABINET_USD)  # type: ignore[attr-defined]


def test_bodies_and_joints_have_the_stock_names(stage: Any) -> None:
    from isaaclab_tasks.core.cabinet.cabinet_env_cfg import CABINET_CFG
    from isaaclab_tasks.core.cabinet.config.franka.joint_pos_env_cfg import FrankaCabinetEnvCfg
    from pxr import UsdPhysics

    root = stage.GetDefaultPrim()
    assert root.HasAPI(UsdPhysics.ArticulationRootAPI)
    joints = {prim.GetName() for prim in stage.Traverse() if prim.HasAPI(UsdPhysics.DriveAPI)}
    assert joints == set(CABINET_CFG.init_state.joint_pos) == {*DRAWERS, *DOORS}
    bodies = {prim.GetName() for prim in root.GetChildren() if prim.HasAPI(UsdPhysics.RigidBodyAPI)}
    assert {path.rsplit("/", 1)[-1] for path in _frames(FrankaCabinetEnvCfg().scene.cabinet_frame)} <= bodies
    assert bodies == {
        *("sektion", "door_left_link", "door_right_link", "drawer_top", "drawer_bottom"),
        *("drawer_handle_top", "drawer_handle_bottom"),
    }


def _frames(cfg: Any) -> list[str]:
    return [cfg.prim_path, *(frame.prim_path for frame in cfg.target_frames)]


def test_drawers_slide_and_doors_turn_outwards(stage: Any) -> None:
    from pxr import UsdPhysics

    for name in DRAWERS:
        slide = UsdPhysics.PrismaticJoint(stage.GetPrimAtPath(f"/cabinet/joints/{name}"))
        assert slide.GetAxisAttr().Get() == "X"
        assert slide.GetLowerLimitAttr().Get() == 0.0
        assert slide.GetUpperLimitAttr().Get() == pytest.approx(0.4)
    limits = {}
    for name in DOORS:
        turn = UsdPhysics.RevoluteJoint(stage.GetPrimAtPath(f"/cabinet/joints/{name}"))
        assert turn.GetAxisAttr().Get() == "Z"
        limits[name] = (turn.GetLowerLimitAttr().Get(), turn.GetUpperLimitAttr().Get())
    assert limits == {"door_left_joint": (0.0, 90.0), "door_right_joint": (-90.0, 0.0)}


def test_a_gripper_fits_around_the_bar_of_a_handle(stage: Any) -> None:
    for name, height in cabinet.DRAWERS.items():
        low, high = bounds(stage, f"drawer_handle_{name}/bar")
        center = [(a + b) / 2 for a, b in zip(low, high, strict=True)]
        # the stock frame of the handle, in that of its drawer
        assert center == pytest.approx([0.305, 0.0, height + 0.01], abs=1e-6)
        assert high[2] - low[2] == pytest.approx(0.02), "fingers open 8 cm"
        front = bounds(stage, f"drawer_{name}/front")[1][0]
        assert low[0] - front > 0.04
        posts = [bounds(stage, f"drawer_handle_{name}/post_{end}") for end in ("left", "right")]
        # from the drawer to the bar, and beside the fingers
        assert all(post[0][0] == pytest.approx(front) and post[1][0] == pytest.approx(low[0]) for post in posts)
        assert posts[0][0][1] - posts[1][1][1] > 0.1


def test_the_bar_of_a_handle_is_rough(stage: Any) -> None:
    from pxr import UsdPhysics, UsdShade

    for name in cabinet.DRAWERS:
        bar = stage.GetPrimAtPath(f"/cabinet/drawer_handle_{name}/bar")
        material, _ = UsdShade.MaterialBindingAPI(bar).ComputeBoundMaterial("physics")
        friction = UsdPhysics.MaterialAPI(material.GetPrim())
        found = (friction.GetStaticFrictionAttr().Get(), friction.GetDynamicFrictionAttr().Get())
        assert found == pytest.approx((1.25, 1.25))
        paint, _ = UsdShade.MaterialBindingAPI(bar).ComputeBoundMaterial()
        assert paint.GetPrim().GetName() == f"drawer_handle_{name}_bar"


def test_nothing_overlaps_where_everything_is_closed(stage: Any) -> None:
    from pxr import UsdPhysics

    parts = [prim for prim in stage.Traverse() if prim.HasAPI(UsdPhysics.CollisionAPI)]
    assert len(parts) == 6 + 2 * 5 + 2 * 3 + 2 * 2
    for one, other in itertools.combinations(parts, 2):
        if one.GetParent() == other.GetParent():
            continue
        a, b = (bounds(stage, str(part.GetPath().MakeRelativePath("/cabinet"))) for part in (one, other))
        depth = min(min(a[1][i], b[1][i]) - max(a[0][i], b[0][i]) for i in range(3))
        assert depth < 1e-6, f"{one.GetPath()} and {other.GetPath()} overlap by {depth:g} m"


def test_it_stands_on_the_ground_at_the_stock_height(stage: Any) -> None:
    from isaaclab_tasks.core.cabinet.cabinet_env_cfg import CABINET_CFG

    low, high = bounds(stage, "sektion")
    assert CABINET_CFG.init_state.pos[2] + low[2] == pytest.approx(0.0, abs=1e-6)
    assert high[2] == pytest.approx(0.4)
