# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

# The type stubs of pxr declare that constructors such as Define() and Open() return None.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportReturnType=false, reportGeneralTypeIssues=false

"""A kitchen cabinet of boxes with two drawers and two doors, authored with ``pxr`` for Isaac Lab's cabinet tasks
(isaaclab_tasks 3.0.0).

Names of bodies and joints are those that the tasks' configs refer to; the dimensions are this extension's own. The
origin of the file is the centre of the cabinet, whose front looks along +x. The handle of a drawer is a body of its
own, in the frame of its drawer, with the bar where the tasks' frame of the handle is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from gr00t_rl_ext.assets.props import Vector, box, define, new_stage, paint, roughen

if TYPE_CHECKING:
    from pxr import Usd

HANDLE = (0.305, 0.0, 0.01)
"""Centre of a handle's bar in the frame of its drawer [m]: the stock offset of the handle's frame."""

BAR = (0.016, 0.20, 0.02)
"""Size of the bar of a handle [m]."""

FRONT = 0.25
"""Where fronts of drawers and doors end, along x [m]: the bar stands off by 4.7 cm, so that fingers fit behind it."""

DEPTH, WIDTH, HEIGHT = 0.48, 0.76, 0.80
"""Outer size of the carcass, without the fronts [m]; the tasks put its centre 0.4 m above the ground."""

BAR_FRICTION = 1.25
"""Static and dynamic friction of the bar: in the middle of what the stock tasks draw at their start."""

DRAWER_TRAVEL = 0.4
"""How far a drawer opens [m]."""

DOOR_SWING = 90.0
"""How far a door opens [degrees]."""

DRAWERS: dict[str, float] = {"top": 0.28, "bottom": 0.08}
"""Drawer -> height of its origin, above the centre of the cabinet [m]."""

_BOARD, _PLATE, _GAP = 0.02, 0.02, 0.006
_BACK, _CARCASS_FRONT = FRONT - _PLATE - 0.002 - DEPTH, FRONT - _PLATE - 0.002
_DRAWER_HEIGHT, _DRAWER_DEPTH = 0.19, 0.42
_DOOR_LOW, _DOOR_HIGH = -HEIGHT / 2, -0.025
_WHITE, _GREY, _WOOD, _METAL = (0.62, 0.62, 0.60), (0.42, 0.46, 0.50), (0.50, 0.35, 0.20), (0.05, 0.05, 0.06)
_ROUGHNESS = 0.5


def write_cabinet(output: Path) -> None:
    """The cabinet, with the joints ``drawer_{top,bottom}_joint`` [m] and ``door_{left,right}_joint`` [rad], which are 0
    where it is closed and positive where it is open, except for the right door, which opens to the negative side."""
    # on the root, not on the carcass: PhysX without Isaac Sim takes the articulation for a floating one otherwise
    schemas = ["PhysicsArticulationRootAPI", "PhysxArticulationAPI", "NewtonArticulationRootAPI"]
    stage = new_stage(output, "cabinet", schemas=schemas)
    _forbid_self_collisions(stage.GetDefaultPrim())
    _write_carcass(stage)
    for name, height in DRAWERS.items():
        _write_drawer(stage, name, height)
    _write_door(stage, "left", 1.0)
    _write_door(stage, "right", -1.0)
    stage.GetRootLayer().Save()


def _forbid_self_collisions(root: Usd.Prim) -> None:
    """Drawers slide close to the boards beside them; their joints' limits hold them."""
    from pxr import Sdf

    for name in ("physxArticulation:enabledSelfCollisions", "newton:selfCollisionEnabled"):
        root.CreateAttribute(name, Sdf.ValueTypeNames.Bool, custom=False).Set(False)


def _write_carcass(stage: Usd.Stage) -> None:
    center = (_BACK + _CARCASS_FRONT) / 2
    side, level = (DEPTH, _BOARD, HEIGHT), (DEPTH, WIDTH - 2 * _BOARD, _BOARD)
    boards = {
        "left": (side, (center, (WIDTH - _BOARD) / 2, 0.0)),
        "right": (side, (center, -(WIDTH - _BOARD) / 2, 0.0)),
        "top": (level, (center, 0.0, (HEIGHT - _BOARD) / 2)),
        "shelf": (level, (center, 0.0, _DOOR_HIGH - _BOARD / 2)),
        "floor": (level, (center, 0.0, -(HEIGHT - _BOARD) / 2)),
        "back": ((_BOARD, WIDTH - 2 * _BOARD, HEIGHT - 2 * _BOARD), (_BACK + _BOARD / 2, 0.0, 0.0)),
    }
    _body(stage, "sektion", 30.0, (0.0, 0.0, 0.0), boards, _WHITE)
    fixed = define(stage, "/cabinet/root_joint", "PhysicsFixedJoint")
    fixed.GetRelationship("physics:body1").SetTargets(["/cabinet/sektion"])


def _write_drawer(stage: Usd.Stage, name: str, height: float) -> None:
    """An open box with a front plate, and its handle. Origin: on the cabinet's axis, at ``height`` [m]."""
    front, inner = FRONT - _PLATE, WIDTH - 2 * _BOARD - 0.02
    middle, wall = front - _DRAWER_DEPTH / 2, 0.12
    parts = {
        "front": ((_PLATE, WIDTH - _GAP, _DRAWER_HEIGHT), (front + _PLATE / 2, 0.0, 0.0)),
        "floor": ((_DRAWER_DEPTH, inner, 0.01), (middle, 0.0, -0.065)),
        "left": ((_DRAWER_DEPTH, 0.01, wall), (middle, (inner - 0.01) / 2, 0.0)),
        "right": ((_DRAWER_DEPTH, 0.01, wall), (middle, -(inner - 0.01) / 2, 0.0)),
        "back": ((0.01, inner, wall), (front - _DRAWER_DEPTH + 0.005, 0.0, 0.0)),
    }
    origin = (0.0, 0.0, height)
    _body(stage, f"drawer_{name}", 3.0, origin, parts, _WOOD, {"front": _GREY})
    limits = {"physics:lowerLimit": 0.0, "physics:upperLimit": DRAWER_TRAVEL, "physics:axis": "X"}
    _joint(stage, f"drawer_{name}_joint", "Prismatic", f"drawer_{name}", origin, "linear", limits)

    x, y, z = HANDLE
    post = x - BAR[0] / 2 - FRONT
    grip = {"bar": (BAR, HANDLE)}
    for end, sign in (("left", 1.0), ("right", -1.0)):
        # fingers come over the middle of the bar, far from its posts
        center = (FRONT + post / 2, y + sign * (BAR[1] / 2 - 0.01), z)
        grip[f"post_{end}"] = ((post, 0.012, 0.012), center)
    _body(stage, f"drawer_handle_{name}", 0.2, origin, grip, _METAL)
    bar = stage.GetPrimAtPath(f"/cabinet/drawer_handle_{name}/bar")
    roughen(bar, f"/cabinet/Looks/drawer_handle_{name}_friction", BAR_FRICTION)
    fixed = define(stage, f"/cabinet/joints/drawer_handle_{name}_joint", "PhysicsFixedJoint")
    fixed.GetRelationship("physics:body0").SetTargets([f"/cabinet/drawer_{name}"])
    fixed.GetRelationship("physics:body1").SetTargets([f"/cabinet/drawer_handle_{name}"])


def _write_door(stage: Usd.Stage, name: str, side: float) -> None:
    """A door with a knob. Origin: its hinge, at the outer edge of the carcass; ``side``: 1 for +y, -1 for -y."""
    width, height = WIDTH / 2 - _GAP / 2, _DOOR_HIGH - _DOOR_LOW - _GAP
    origin = (FRONT - _PLATE, side * WIDTH / 2, (_DOOR_LOW + _DOOR_HIGH) / 2)
    parts = {
        "plate": ((_PLATE, width, height), (_PLATE / 2, -side * width / 2, 0.0)),
        "knob": ((0.025, 0.025, 0.025), (_PLATE + 0.0125, -side * (width - 0.04), height / 2 - 0.05)),
    }
    _body(stage, f"door_{name}_link", 4.0, origin, parts, _GREY, {"knob": _METAL})
    # looking at the front, with z up: a door that hangs on +y turns its free edge to +x by a positive angle
    low, high = (0.0, DOOR_SWING) if side > 0 else (-DOOR_SWING, 0.0)
    limits = {"physics:lowerLimit": low, "physics:upperLimit": high, "physics:axis": "Z"}
    _joint(stage, f"door_{name}_joint", "Revolute", f"door_{name}_link", origin, "angular", limits)


def _body(
    stage: Usd.Stage,
    name: str,
    mass: float,
    origin: Vector,
    parts: dict[str, tuple[Vector, Vector]],
    color: Vector,
    other_colors: dict[str, Vector] | None = None,
) -> None:
    """A rigid body of boxes.

    Args:
        stage: Of the cabinet.
        name: Of the body.
        mass: [kg].
        origin: Of its frame, in the cabinet's [m].
        parts: Name of a box -> its size and its centre in the body's frame [m].
        color: Linear RGB in [0, 1].
        other_colors: Those of boxes that differ.
    """
    from pxr import UsdGeom

    path = f"/cabinet/{name}"
    body = define(stage, path, "Xform", {"physics:mass": mass}, ["PhysicsRigidBodyAPI", "PhysicsMassAPI"])
    UsdGeom.Xformable(body).AddTranslateOp().Set(origin)
    for part, (size, center) in parts.items():
        shown = (other_colors or {}).get(part, color)
        paint(box(stage, f"{path}/{part}", size, center), f"/cabinet/Looks/{name}_{part}", shown, _ROUGHNESS)


def _joint(
    stage: Usd.Stage, name: str, kind: str, child: str, origin: Vector, motion: str, attributes: dict[str, Any]
) -> None:
    """A joint between the carcass and a body, at the body's origin."""
    # PhysX without Isaac Sim ignores the actuators' gains where a joint has no drive
    values = {"type": "force", "stiffness": 0.0, "damping": 0.0}
    drive = {f"drive:{motion}:physics:{key}": value for key, value in values.items()}
    place = {"physics:localPos0": origin}
    path = f"/cabinet/joints/{name}"
    joint = define(stage, path, f"Physics{kind}Joint", place | attributes | drive, [f"PhysicsDriveAPI:{motion}"])
    for end, body in (("body0", "sektion"), ("body1", child)):
        joint.GetRelationship(f"physics:{end}").SetTargets([f"/cabinet/{body}"])
