# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

# The type stubs of pxr declare that constructors such as Define() and Open() return None.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportReturnType=false, reportGeneralTypeIssues=false

"""Cubes, table and ground plane of the stacking scene, authored with ``pxr``.

Sizes follow the numbers in the stock task: cubes with an edge of 4.68 cm (its success term asks for that height
between stacked cubes) whose centres rest at z = 0.0203 m (where its reset event puts them).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pxr import Usd

Vector = tuple[float, float, float]
"""Position or size [m], or linear RGB in [0, 1]."""

CUBE_EDGE = 0.0468
"""Edge of a cube [m]."""

TABLE_TOP = 0.0203 - CUBE_EDGE / 2
"""Height of the table top relative to the robot's base [m]: 3.1 mm below it, so that a cube placed at the stock
reset height touches the table instead of penetrating it."""

TABLE_FOOT = -1.05
"""Height of the ground on which the table stands [m]; the stock ground plane is there."""

CUBE_COLORS: dict[str, Vector] = {
    "blue": (0.02, 0.12, 0.65),
    "red": (0.65, 0.02, 0.03),
    "green": (0.02, 0.45, 0.08),
}

_WOOD, _METAL, _FLOOR = (0.42, 0.30, 0.20), (0.10, 0.10, 0.11), (0.30, 0.31, 0.33)


def write_cube(output: Path, color: Vector) -> None:
    """A rigid cube of edge :data:`CUBE_EDGE`, mass 0.1 kg, static and dynamic friction 1.0."""
    stage = new_stage(output, "Cube", {"physics:mass": 0.1}, ["PhysicsRigidBodyAPI", "PhysicsMassAPI"])
    half = CUBE_EDGE / 2
    shape = {"size": CUBE_EDGE, "extent": [(-half,) * 3, (half,) * 3]}
    cube = define(stage, "/Cube/geometry", "Cube", shape, ["PhysicsCollisionAPI"])
    paint(cube, "/Cube/Looks/Paint", color, roughness=0.45)
    roughen(cube, "/Cube/Looks/Friction", 1.0)
    stage.GetRootLayer().Save()


def write_table(output: Path) -> None:
    """A static table of 1.5 m by 1.2 m; the origin of the file is the robot's base height, above the table's centre.

    The stock scene turns the table by 90 degrees about z and puts its origin 0.5 m before the robot: the long side
    is therefore the file's x axis, and the robot's base stands near the edge of the table.
    """
    stage = new_stage(output, "Table")
    length, width, thickness, leg = 1.5, 1.2, 0.05, 0.07
    top = (0.0, 0.0, TABLE_TOP - thickness / 2)
    paint(box(stage, "/Table/Top", (length, width, thickness), top), "/Table/Looks/Wood", _WOOD, roughness=0.6)
    leg_height = TABLE_TOP - thickness - TABLE_FOOT
    for index, (x, y) in enumerate(((1, 1), (1, -1), (-1, 1), (-1, -1))):
        center = (x * (length - leg) / 2, y * (width - leg) / 2, TABLE_FOOT + leg_height / 2)
        prim = box(stage, f"/Table/Leg_{index}", (leg, leg, leg_height), center)
        paint(prim, "/Table/Looks/Metal", _METAL, roughness=0.35)
    stage.GetRootLayer().Save()


def write_ground_plane(output: Path) -> None:
    """A ground plane of 100 m by 100 m with the prims that Isaac Lab's spawner edits.

    The spawner binds friction to the first ``Plane``, scales ``Environment`` and rewrites the texture coordinates
    of ``Environment/Geometry``; ``Looks/theGrid/Shader.inputs:diffuse_tint`` tints it.
    """
    from pxr import Gf, Sdf, UsdGeom

    stage = new_stage(output, "GroundPlane")
    plane = {"axis": "Z", "purpose": UsdGeom.Tokens.guide}
    define(stage, "/GroundPlane/CollisionPlane", "Plane", plane, ["PhysicsCollisionAPI"])
    UsdGeom.Xform.Define(stage, "/GroundPlane/Environment").AddScaleOp().Set(Gf.Vec3f(1.0))
    corners = [(-50.0, -50.0), (50.0, -50.0), (50.0, 50.0), (-50.0, 50.0)]
    square = {
        "points": [(x, y, 0.0) for x, y in corners],
        "faceVertexCounts": [4],
        "faceVertexIndices": [0, 1, 2, 3],
        "normals": [(0.0, 0.0, 1.0)] * 4,
        "extent": [(-50.0, -50.0, 0.0), (50.0, 50.0, 0.0)],
        "subdivisionScheme": UsdGeom.Tokens.none,
    }
    mesh = define(stage, "/GroundPlane/Environment/Geometry", "Mesh", square)
    texture_coordinates = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar(
        "st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.vertex
    )
    texture_coordinates.Set([(x / 2, y / 2) for x, y in corners])
    paint(mesh, "/GroundPlane/Looks/theGrid", _FLOOR, roughness=0.8)
    stage.GetRootLayer().Save()


def new_stage(
    output: Path, name: str, attributes: Mapping[str, Any] | None = None, schemas: Sequence[str] = ()
) -> Usd.Stage:
    """A new file, with its folder, in metres and kilograms, z up, which the caller saves. Name, attributes and schemas
    are those of its default prim."""
    from pxr import Usd, UsdGeom, UsdPhysics

    output.parent.mkdir(parents=True, exist_ok=True)
    stage = Usd.Stage.CreateNew(str(output))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
    stage.SetDefaultPrim(define(stage, f"/{name}", "Xform", attributes, schemas))
    return stage


def define(
    stage: Usd.Stage, path: str, kind: str, attributes: Mapping[str, Any] | None = None, schemas: Sequence[str] = ()
) -> Usd.Prim:
    """A prim of a type with API schemas applied, and values of attributes that type and schemas declare."""
    prim = stage.DefinePrim(path, kind)
    for schema in schemas:
        prim.AddAppliedSchema(schema)
    for name, value in (attributes or {}).items():
        prim.GetAttribute(name).Set(value)
    return prim


def box(stage: Usd.Stage, path: str, size: Vector, center: Vector) -> Usd.Prim:
    """A colliding box of ``size`` [m] around ``center`` [m]; static unless a prim above it is a rigid body."""
    from pxr import Gf, UsdGeom

    unit = {"size": 1.0, "extent": [(-0.5,) * 3, (0.5,) * 3]}
    prim = define(stage, path, "Cube", unit, ["PhysicsCollisionAPI"])
    xform = UsdGeom.Xformable(prim)
    xform.AddTranslateOp().Set(Gf.Vec3d(*center))
    xform.AddScaleOp().Set(Gf.Vec3f(*size))
    return prim


def paint(prim: Usd.Prim, path: str, color: Vector, roughness: float) -> None:
    """Give a prim a preview material, and the same display colour for renderers that read no materials."""
    from pxr import Sdf, UsdShade

    prim.GetAttribute("primvars:displayColor").Set([color])
    material = UsdShade.Material.Define(prim.GetStage(), path)
    shader = UsdShade.Shader.Define(prim.GetStage(), f"{path}/Shader")
    shader.CreateIdAttr("UsdPreviewSurface")
    shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).Set(color)
    for name, value in (("roughness", roughness), ("metallic", 0.0)):
        shader.CreateInput(name, Sdf.ValueTypeNames.Float).Set(value)
    material.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
    UsdShade.MaterialBindingAPI.Apply(prim).Bind(material)


def roughen(prim: Usd.Prim, path: str, friction: float) -> None:
    """Give a collider a physics material with that static and dynamic friction, which does not bounce."""
    from pxr import UsdShade

    values = {"physics:staticFriction": friction, "physics:dynamicFriction": friction, "physics:restitution": 0.0}
    material = define(prim.GetStage(), path, "Material", values, ["PhysicsMaterialAPI"])
    UsdShade.MaterialBindingAPI.Apply(prim).Bind(
        UsdShade.Material(material), UsdShade.Tokens.weakerThanDescendants, materialPurpose="physics"
    )
