# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

# The type stubs of pxr declare that constructors such as Define() and Open() return None.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportReturnType=false, reportGeneralTypeIssues=false

"""A cartpole of three boxes, authored with ``pxr`` for ``isaaclab_assets.CARTPOLE_CFG`` (isaaclab_assets 3.0.0).

Names, sizes and masses are those of Isaac Lab's asset, so that its tasks behave alike: a rail of 8 m along y, a cart
of 1 kg that slides on it, and a pole of 1 m and 1 kg that turns about x on the cart's front.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gr00t_rl_ext.assets.props import Color, new_stage, paint

if TYPE_CHECKING:
    from pxr import Usd

RAIL_HALF_LENGTH = 4.0
"""How far the cart can go to either side [m]."""

PIVOT_X = 0.12
"""Distance of the pole's plane from the cart's centre [m]."""

POLE_CENTER = 0.47
"""Height of the pole's centre of mass above the pivot [m]; 3 cm of the pole are below."""

_STEEL: Color = (0.22, 0.23, 0.25)
_BLUE: Color = (0.03, 0.20, 0.60)
_ORANGE: Color = (0.85, 0.30, 0.03)


def write_cartpole(output: Path) -> None:
    """The cartpole, with the joints ``slider_to_cart`` and ``cart_to_pole``.

    Args:
        output: File to write.
    """
    from pxr import Gf, UsdPhysics

    stage, root = new_stage(output, "cartpole")
    # on the root, not on the slider: PhysX without Isaac Sim takes the articulation for a floating one otherwise
    UsdPhysics.ArticulationRootAPI.Apply(root)
    _body(stage, "slider", (0.03, 2 * RAIL_HALF_LENGTH, 0.03), _STEEL)
    _body(stage, "cart", (0.2, 0.25, 0.2), _BLUE, mass=1.0)
    pole = _body(stage, "pole", (0.04, 0.06, 1.0), _ORANGE, mass=1.0, x=PIVOT_X, lift=POLE_CENTER)
    UsdPhysics.MassAPI(pole).CreateCenterOfMassAttr(Gf.Vec3f(0.0, 0.0, POLE_CENTER))

    UsdPhysics.FixedJoint.Define(stage, "/cartpole/root_joint").CreateBody1Rel().SetTargets(["/cartpole/slider"])
    slide = UsdPhysics.PrismaticJoint.Define(stage, "/cartpole/slider/slider_to_cart")
    slide.CreateBody0Rel().SetTargets(["/cartpole/slider"])
    slide.CreateBody1Rel().SetTargets(["/cartpole/cart"])
    slide.CreateAxisAttr("Y")
    slide.CreateLowerLimitAttr(-RAIL_HALF_LENGTH)
    slide.CreateUpperLimitAttr(RAIL_HALF_LENGTH)
    turn = UsdPhysics.RevoluteJoint.Define(stage, "/cartpole/cart/cart_to_pole")
    turn.CreateBody0Rel().SetTargets(["/cartpole/cart"])
    turn.CreateBody1Rel().SetTargets(["/cartpole/pole"])
    turn.CreateAxisAttr("X")
    turn.CreateLocalPos0Attr(Gf.Vec3f(PIVOT_X, 0.0, 0.0))
    for joint, kind in ((slide, "linear"), (turn, "angular")):
        # PhysX without Isaac Sim ignores the actuators' damping where a joint has no drive: carts ran 1.9 times faster
        drive = UsdPhysics.DriveAPI.Apply(joint.GetPrim(), kind)
        drive.CreateTypeAttr("force")
        drive.CreateStiffnessAttr(0.0)
        drive.CreateDampingAttr(0.0)
    stage.GetRootLayer().Save()


def _body(
    stage: Usd.Stage, name: str, size: Color, color: Color, mass: float | None = None, x: float = 0.0, lift: float = 0.0
) -> Usd.Prim:
    """A rigid box of ``size`` [m] whose centre is ``lift`` above the body's origin at (``x``, 0, 0) [m]."""
    from pxr import Gf, UsdGeom, UsdPhysics

    body = UsdGeom.Xform.Define(stage, f"/cartpole/{name}")
    body.AddTranslateOp().Set(Gf.Vec3d(x, 0.0, 0.0))
    UsdPhysics.RigidBodyAPI.Apply(body.GetPrim())
    mass_api = UsdPhysics.MassAPI.Apply(body.GetPrim())
    if mass is not None:
        mass_api.CreateMassAttr(mass)
    box = UsdGeom.Cube.Define(stage, f"/cartpole/{name}/geometry")
    box.CreateSizeAttr(1.0)
    box.CreateExtentAttr([Gf.Vec3f(-0.5), Gf.Vec3f(0.5)])
    box.AddTranslateOp().Set(Gf.Vec3d(0.0, 0.0, lift))
    box.AddScaleOp().Set(Gf.Vec3f(*size))
    UsdPhysics.CollisionAPI.Apply(box.GetPrim())
    paint(box.GetPrim(), f"/cartpole/Looks/{name}", color, roughness=0.5)
    return body.GetPrim()
