# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

# The type stubs of pxr declare that constructors such as Define() and Open() return None.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportReturnType=false, reportGeneralTypeIssues=false

"""Cubes, table and ground plane of the stacking scene, authored with ``pxr``.

Sizes follow the numbers in the stock task: cubes with an edge of 4.68 cm (its success term asks for that height
between stacked cubes) whose centres rest at z = 0.0203 m (where its reset event puts them).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pxr import Usd, UsdShade

Color = tuple[float, float, float]

CUBE_EDGE = 0.0468
"""Edge of a cube [m]."""

TABLE_TOP = 0.0203 - CUBE_EDGE / 2
"""Height of the table top relative to the robot's base [m]: 3.1 mm below it, so that a cube placed at the stock
reset height touches the table instead of penetrating it."""

TABLE_FOOT = -1.05
"""Height of the ground on which the table stands [m]; the stock ground plane is there."""

CUBE_COLORS: dict[str, Color] = {
    "blue": (0.02, 0.12, 0.65),
    "red": (0.65, 0.02, 0.03),
    "green": (0.02, 0.45, 0.08),
}
"""Linear RGB of each cube by its name."""

_WOOD: Color = (0.42, 0.30, 0.20)
_METAL: Color = (0.10, 0.10, 0.11)
_FLOOR: Color = (0.30, 0.31, 0.33)


def write_cube(output: Path, color: Color) -> None:
    """A rigid cube of edge :data:`CUBE_EDGE`, mass 0.1 kg, static and dynamic friction 1.0.

    Args:
        output: File to write.
        color: Linear RGB in [0, 1].
    """
    from pxr import Gf, UsdGeom, UsdPhysics, UsdShade

    stage, root = new_stage(output, "Cube")
    UsdPhysics.RigidBodyAPI.Apply(root)
    UsdPhysics.MassAPI.Apply(root).CreateMassAttr(0.1)
    cube = UsdGeom.Cube.Define(stage, "/Cube/geometry")
    cube.CreateSizeAttr(CUBE_EDGE)
    half = CUBE_EDGE / 2
    cube.CreateExtentAttr([Gf.Vec3f(-half), Gf.Vec3f(half)])
    UsdPhysics.CollisionAPI.Apply(cube.GetPrim())
    paint(cube.GetPrim(), "/Cube/Looks/Paint", color, roughness=0.45)

    material = UsdShade.Material.Define(stage, "/Cube/Looks/Friction")
    friction = UsdPhysics.MaterialAPI.Apply(material.GetPrim())
    friction.CreateStaticFrictionAttr(1.0)
    friction.CreateDynamicFrictionAttr(1.0)
    friction.CreateRestitutionAttr(0.0)
    UsdShade.MaterialBindingAPI.Apply(cube.GetPrim()).Bind(
        material, UsdShade.Tokens.weakerThanDescendants, materialPurpose="physics"
    )
    stage.GetRootLayer().Save()


def write_table(output: Path) -> None:
    """A static table of 1.5 m by 1.2 m; the origin of the file is the robot's base height, above the table's centre.

    The stock scene turns the table by 90 degrees about z and puts its origin 0.5 m before the robot: the long side
    is therefore the file's x axis, and the robot's base stands near the edge of the table.

    Args:
        output: File to write.
    """
    stage, _ = new_stage(output, "Table")
    length, width, thickness, leg = 1.5, 1.2, 0.05, 0.07
    top_z = TABLE_TOP - thickness / 2
    _box(stage, "/Table/Top", (length, width, thickness), (0.0, 0.0, top_z), _WOOD, roughness=0.6)
    leg_height = TABLE_TOP - thickness - TABLE_FOOT
    for index, (x, y) in enumerate(((1, 1), (1, -1), (-1, 1), (-1, -1))):
        center = (x * (length - leg) / 2, y * (width - leg) / 2, TABLE_FOOT + leg_height / 2)
        _box(stage, f"/Table/Leg_{index}", (leg, leg, leg_height), center, _METAL, roughness=0.35)
    stage.GetRootLayer().Save()


def write_ground_plane(output: Path) -> None:
    """A ground plane of 100 m by 100 m with the prims that Isaac Lab's spawner edits.

    The spawner binds friction to the first ``Plane``, scales ``Environment`` and rewrites the texture coordinates
    of ``Environment/Geometry``; ``Looks/theGrid/Shader.inputs:diffuse_tint`` tints it.

    Args:
        output: File to write.
    """
    from pxr import Gf, Sdf, UsdGeom, UsdPhysics

    stage, _ = new_stage(output, "GroundPlane")
    collision = UsdGeom.Plane.Define(stage, "/GroundPlane/CollisionPlane")
    collision.CreateAxisAttr("Z")
    collision.CreatePurposeAttr(UsdGeom.Tokens.guide)
    UsdPhysics.CollisionAPI.Apply(collision.GetPrim())

    environment = UsdGeom.Xform.Define(stage, "/GroundPlane/Environment")
    environment.AddScaleOp().Set(Gf.Vec3f(1.0))
    mesh = UsdGeom.Mesh.Define(stage, "/GroundPlane/Environment/Geometry")
    half = 50.0
    mesh.CreatePointsAttr([(-half, -half, 0.0), (half, -half, 0.0), (half, half, 0.0), (-half, half, 0.0)])
    mesh.CreateFaceVertexCountsAttr([4])
    mesh.CreateFaceVertexIndicesAttr([0, 1, 2, 3])
    mesh.CreateNormalsAttr([(0.0, 0.0, 1.0)] * 4)
    mesh.CreateExtentAttr([(-half, -half, 0.0), (half, half, 0.0)])
    mesh.CreateSubdivisionSchemeAttr(UsdGeom.Tokens.none)
    texture_coordinates = UsdGeom.PrimvarsAPI(mesh).CreatePrimvar(
        "st", Sdf.ValueTypeNames.TexCoord2fArray, UsdGeom.Tokens.vertex
    )
    texture_coordinates.Set([Gf.Vec2f(-25, -25), Gf.Vec2f(25, -25), Gf.Vec2f(25, 25), Gf.Vec2f(-25, 25)])
    paint(mesh.GetPrim(), "/GroundPlane/Looks/theGrid", _FLOOR, roughness=0.8)
    stage.GetRootLayer().Save()


def new_stage(output: Path, name: str) -> tuple[Usd.Stage, Usd.Prim]:
    """A new file in metres and kilograms, z up, and its default prim.

    Args:
        output: File to write; the caller saves it.
        name: Name of the default prim.
    """
    from pxr import Usd, UsdGeom, UsdPhysics

    stage = Usd.Stage.CreateNew(str(output))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    UsdPhysics.SetStageKilogramsPerUnit(stage, 1.0)
    root = UsdGeom.Xform.Define(stage, f"/{name}").GetPrim()
    stage.SetDefaultPrim(root)
    return stage, root


def _box(stage: Usd.Stage, path: str, size: Color, center: Color, color: Color, roughness: float) -> None:
    """A static, colliding box of ``size`` [m] around ``center`` [m]."""
    from pxr import Gf, UsdGeom, UsdPhysics

    cube = UsdGeom.Cube.Define(stage, path)
    cube.CreateSizeAttr(1.0)
    cube.CreateExtentAttr([Gf.Vec3f(-0.5), Gf.Vec3f(0.5)])
    cube.AddTranslateOp().Set(Gf.Vec3d(*center))
    cube.AddScaleOp().Set(Gf.Vec3f(*size))
    UsdPhysics.CollisionAPI.Apply(cube.GetPrim())
    looks = f"{path.rsplit('/', 1)[0]}/Looks/{'Metal' if color == _METAL else 'Wood'}"
    paint(cube.GetPrim(), looks, color, roughness)


def paint(prim: Usd.Prim, path: str, color: Color, roughness: float) -> UsdShade.Material:
    """Give a prim a preview material, and the same display colour for renderers that read no materials."""
    from pxr import Gf, Sdf, UsdGeom, UsdShade

    stage = prim.GetStage()
    UsdGeom.Gprim(prim).CreateDisplayColorAttr([Gf.Vec3f(*color)])
    material = UsdShade.Material.Define(stage, path)
    shader = UsdShade.Shader.Define(stage, f"{path}/Shader")
    shader.CreateIdAttr("UsdPreviewSurface")
    shader.CreateInput("diffuseColor", Sdf.ValueTypeNames.Color3f).Set(Gf.Vec3f(*color))
    shader.CreateInput("roughness", Sdf.ValueTypeNames.Float).Set(roughness)
    shader.CreateInput("metallic", Sdf.ValueTypeNames.Float).Set(0.0)
    material.CreateSurfaceOutput().ConnectToSource(shader.ConnectableAPI(), "surface")
    UsdShade.MaterialBindingAPI.Apply(prim).Bind(material)
    return material
