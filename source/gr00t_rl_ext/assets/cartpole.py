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
from typing import TYPE_CHECKING, Any

from gr00t_rl_ext.assets.props import Vector, box, define, new_stage, paint

if TYPE_CHECKING:
    from pxr import Usd

RAIL_HALF_LENGTH = 4.0
"""How far the cart can go to either side [m]."""

PIVOT_X = 0.12
"""Distance of the pole's plane from the cart's centre [m]."""

POLE_CENTER = 0.47
"""Height of the pole's centre of mass above the pivot [m]; 3 cm of the pole are below."""

_STEEL, _BLUE, _ORANGE = (0.22, 0.23, 0.25), (0.03, 0.20, 0.60), (0.85, 0.30, 0.03)


def write_cartpole(output: Path) -> None:
    """The cartpole, with the joints ``slider_to_cart`` and ``cart_to_pole``."""
    # on the root, not on the slider: PhysX without Isaac Sim takes the articulation for a floating one otherwise
    stage = new_stage(output, "cartpole", schemas=["PhysicsArticulationRootAPI"])
    _body(stage, "slider", (0.03, 2 * RAIL_HALF_LENGTH, 0.03), _STEEL, {})
    _body(stage, "cart", (0.2, 0.25, 0.2), _BLUE, {"physics:mass": 1.0})
    center = (0.0, 0.0, POLE_CENTER)
    pole = {"physics:mass": 1.0, "physics:centerOfMass": center}
    _body(stage, "pole", (0.04, 0.06, 1.0), _ORANGE, pole, x=PIVOT_X, center=center)

    fixed = define(stage, "/cartpole/root_joint", "PhysicsFixedJoint")
    fixed.GetRelationship("physics:body1").SetTargets(["/cartpole/slider"])
    limits = {"physics:lowerLimit": -RAIL_HALF_LENGTH, "physics:upperLimit": RAIL_HALF_LENGTH}
    _joint(stage, "slider", "cart", "Prismatic", "linear", {"physics:axis": "Y"} | limits)
    pivot = {"physics:axis": "X", "physics:localPos0": (PIVOT_X, 0.0, 0.0)}
    _joint(stage, "cart", "pole", "Revolute", "angular", pivot)
    stage.GetRootLayer().Save()


def _body(
    stage: Usd.Stage,
    name: str,
    size: Vector,
    color: Vector,
    mass: dict[str, Any],
    x: float = 0.0,
    center: Vector = (0.0, 0.0, 0.0),
) -> None:
    """A rigid box of ``size`` [m] around ``center`` in the frame of the body, whose origin is at (``x``, 0, 0) [m]."""
    from pxr import UsdGeom

    path = f"/cartpole/{name}"
    body = define(stage, path, "Xform", mass, ["PhysicsRigidBodyAPI", "PhysicsMassAPI"])
    UsdGeom.Xformable(body).AddTranslateOp().Set((x, 0.0, 0.0))
    paint(box(stage, f"{path}/geometry", size, center), f"/cartpole/Looks/{name}", color, roughness=0.5)


def _joint(stage: Usd.Stage, parent: str, child: str, kind: str, motion: str, attributes: dict[str, Any]) -> None:
    """The joint ``PARENT_to_CHILD``."""
    # PhysX without Isaac Sim ignores the actuators' damping where a joint has no drive: carts ran 1.9 times faster
    values = {"type": "force", "stiffness": 0.0, "damping": 0.0}
    drive = {f"drive:{motion}:physics:{name}": value for name, value in values.items()}
    path, schemas = f"/cartpole/{parent}/{parent}_to_{child}", [f"PhysicsDriveAPI:{motion}"]
    joint = define(stage, path, f"Physics{kind}Joint", attributes | drive, schemas)
    for end, body in (("body0", parent), ("body1", child)):
        joint.GetRelationship(f"physics:{end}").SetTargets([f"/cartpole/{body}"])
