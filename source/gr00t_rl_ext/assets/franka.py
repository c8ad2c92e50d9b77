# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

# The type stubs of pxr declare that constructors such as Define() and Open() return None.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportReturnType=false, reportGeneralTypeIssues=false

"""Franka Panda as a USD articulation, converted from the URDF of ``example-robot-data``.

The result has the prim paths of Isaac Lab's own ``franka_panda.usda``, so that task configurations resolve either
asset: ``<root>/Geometry/panda_link0/panda_link1/.../panda_link7/panda_hand/panda_leftfinger`` for the bodies and
``<root>/Physics/<joint>`` for the joints, with the variant sets ``Physics`` and ``Colliders`` on the root prim.

Two files are written: a crate file with everything that does not depend on a variant, and the ``.usda`` that
references it and holds the variants.
"""

from __future__ import annotations

import math
import shutil
import tempfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gr00t_rl_ext.assets.urdf import convert

if TYPE_CHECKING:
    from pxr import Usd

URDF_PACKAGE = "example-robot-data"
URDF_PATH = Path("robots") / "panda_description" / "urdf" / "panda.urdf"

# Frames without mass or geometry. Isaac Lab's asset has neither, and a frame between link 7 and the hand would
# change the prim path of the hand and of the cameras mounted on it.
_MASSLESS_FRAMES = ("panda_link8", "panda_hand_tcp")


class JointDrive(NamedTuple):
    """Position drive of one joint, in SI units (rad for revolute joints, m for prismatic ones)."""

    stiffness: float
    """Proportional gain [N m/rad] or [N/m]."""
    damping: float
    """Derivative gain [N m s/rad] or [N s/m]."""
    effort: float
    """Largest torque [N m] or force [N]."""


# Stiff enough that gravity bends no joint by more than half a degree. A task whose actuator names its own gains
# (the inverse-kinematics ones do) replaces these; the plain joint-position tasks leave them unset and rely on them.
DRIVES = {
    **dict.fromkeys(("panda_joint1", "panda_joint2"), JointDrive(stiffness=4500.0, damping=450.0, effort=87.0)),
    **dict.fromkeys(("panda_joint3", "panda_joint4"), JointDrive(stiffness=3500.0, damping=350.0, effort=87.0)),
    **dict.fromkeys((f"panda_joint{i}" for i in (5, 6, 7)), JointDrive(stiffness=2000.0, damping=200.0, effort=12.0)),
    # Each finger has a drive of its own for tasks that use it. The stock actuators switch the second one off and leave
    # it to the mimic constraint of the physics variant, which agrees with a driven second finger.
    **dict.fromkeys((f"panda_finger_joint{i}" for i in (1, 2)), JointDrive(stiffness=400.0, damping=80.0, effort=20.0)),
}

ARMATURE = 0.1
"""Rotor inertia seen at each joint [kg m^2] or [kg]."""


def write_franka(output: Path, data_root: Path) -> None:
    """Write the robot as ``output`` (``*.usda``) and ``<stem>_geometry.usdc`` beside it.

    Args:
        output: File to write. Its folder must exist.
        data_root: Folder of the package ``example-robot-data`` that holds ``robots/``.

    Raises:
        FileNotFoundError: If the URDF is not below ``data_root``.
        RuntimeError: If the converted stage lacks a body or joint that the stock tasks name.
    """
    geometry = output.with_name(f"{output.stem}_geometry.usdc")
    with tempfile.TemporaryDirectory(prefix="gr00t_rl_ext_urdf_") as scratch:
        urdf = _write_plain_urdf(data_root / URDF_PATH, Path(scratch))
        shutil.move(convert(urdf, {URDF_PACKAGE: data_root}, Path(scratch) / "usd"), geometry)
    _author_physics(geometry)
    _author_variants(output, geometry)


def _write_plain_urdf(source: Path, scratch: Path) -> Path:
    """Copy of the URDF without massless frames and without the mimic joint, which each variant adds in its schema."""
    if not source.is_file():
        raise FileNotFoundError(
            f"No Panda URDF at {source}. Expected it in the PyPI package '{URDF_PACKAGE}'; the installed version may "
            f"have moved it. Reinstall with: pip install --force-reinstall {URDF_PACKAGE}"
        )
    tree = ElementTree.parse(source)
    robot = tree.getroot()
    for joint in robot.findall("joint"):
        if any(joint.find(f"child[@link='{frame}']") is not None for frame in _MASSLESS_FRAMES):
            robot.remove(joint)
        for parent in joint.findall("parent[@link='panda_link8']"):
            # The flange frame sits 0.107 m along the z axis of link 7, unrotated.
            parent.set("link", "panda_link7")
            for origin in joint.findall("origin"):
                origin.set("xyz", "0 0 0.107")
        for mimic in joint.findall("mimic"):
            joint.remove(mimic)
    for link in robot.findall("link"):
        if link.get("name") in _MASSLESS_FRAMES:
            robot.remove(link)
    plain = scratch / source.name
    tree.write(plain)
    return plain


def _author_physics(geometry: Path) -> None:
    """Drives, armature and articulation root: what both physics variants share."""
    from pxr import Usd, UsdPhysics

    stage = Usd.Stage.Open(str(geometry))
    root = stage.GetDefaultPrim()
    base = _require_prim(stage, f"{root.GetPath()}/Geometry/panda_link0")
    # On the rigid body itself PhysX would take the arm for a floating base, and the states turn NaN.
    for schema in ("PhysicsArticulationRootAPI", "NewtonArticulationRootAPI"):
        base.RemoveAppliedSchema(schema)
    UsdPhysics.ArticulationRootAPI.Apply(root)

    for name, drive in DRIVES.items():
        joint = _require_prim(stage, f"{root.GetPath()}/Physics/{name}")
        revolute = joint.IsA(UsdPhysics.RevoluteJoint)
        # UsdPhysics counts angles in degrees.
        per_unit = math.pi / 180.0 if revolute else 1.0
        api = UsdPhysics.DriveAPI.Apply(joint, "angular" if revolute else "linear")
        api.CreateTypeAttr("force")
        api.CreateStiffnessAttr(drive.stiffness * per_unit)
        api.CreateDampingAttr(drive.damping * per_unit)
        api.CreateMaxForceAttr(drive.effort)
        api.CreateTargetPositionAttr(0.0)
        # PhysxSchema has no Python bindings here; the schema's name and attributes are enough.
        joint.AddAppliedSchema("PhysxJointAPI")
        for solver in ("newton", "physxJoint"):
            _set_float(joint, f"{solver}:armature", ARMATURE)
    stage.GetRootLayer().Save()


def _author_variants(output: Path, geometry: Path) -> None:
    """The ``.usda`` with the variant sets that the stock robot configuration selects.

    ``Physics`` differs in gravity compensation and in the schema of the finger constraint. ``Colliders`` chooses
    between all colliders (``primitives``: convex hulls of the links, boxes for the fingers) and those of the hand and
    the fingers alone (``gripper_only``).
    """
    from pxr import Usd, UsdGeom, UsdPhysics

    stage = Usd.Stage.CreateNew(str(output))
    UsdGeom.SetStageUpAxis(stage, UsdGeom.Tokens.z)
    UsdGeom.SetStageMetersPerUnit(stage, 1.0)
    root = stage.DefinePrim("/panda", "Xform")
    stage.SetDefaultPrim(root)
    root.GetReferences().AddReference(f"./{geometry.name}")
    bodies = [prim for prim in stage.Traverse() if prim.HasAPI(UsdPhysics.RigidBodyAPI)]
    colliders = [prim for prim in stage.Traverse() if prim.HasAPI(UsdPhysics.CollisionAPI)]

    joints = f"{root.GetPath()}/Physics"
    follower = _require_prim(stage, f"{joints}/panda_finger_joint2")

    physics = root.GetVariantSets().AddVariantSet("Physics")
    for name, schema, leader in (
        ("mujoco", "NewtonMimicAPI", "newton:mimicJoint"),
        # Stock actuators leave the second finger without a drive and expect a constraint that moves it with the first.
        ("physx", "PhysxMimicJointAPI:rotX", "physxMimicJoint:rotX:referenceJoint"),
    ):
        physics.AddVariant(name)
        physics.SetVariantSelection(name)
        with physics.GetVariantEditContext():
            for body in bodies if name == "mujoco" else ():
                # The real robot's controller compensates gravity. PhysX gets it from the task (``disable_gravity``),
                # which the MuJoCo solver does not read.
                _set_float(body, "mjc:gravcomp", 1.0)
            follower.AddAppliedSchema(schema)
            follower.CreateRelationship(leader, custom=False).SetTargets([f"{joints}/panda_finger_joint1"])
    # the edits go into the variant that is selected, which stays the default
    with physics.GetVariantEditContext():
        _set_float(follower, "physxMimicJoint:rotX:gearing", -1.0)

    scopes = root.GetVariantSets().AddVariantSet("Colliders")
    for name in ("primitives", "gripper_only"):
        scopes.AddVariant(name)
    scopes.SetVariantSelection("gripper_only")
    with scopes.GetVariantEditContext():
        for collider in colliders:
            if "/panda_hand/" not in str(collider.GetPath()):  # the links of the arm
                UsdPhysics.CollisionAPI(collider).CreateCollisionEnabledAttr(False)
    scopes.SetVariantSelection("primitives")
    stage.GetRootLayer().Save()


def _require_prim(stage: Usd.Stage, path: str) -> Usd.Prim:
    prim = stage.GetPrimAtPath(path)
    if not prim:
        found = ", ".join(str(other.GetPath()) for other in stage.Traverse() if other.GetName().startswith("panda_"))
        raise RuntimeError(
            f"The converted Panda has no prim {path}; it has: {found}. The installed urdf-usd-converter lays the "
            "robot out differently from the version this extension was written for (0.3)."
        )
    return prim


def _set_float(prim: Usd.Prim, name: str, value: float) -> None:
    from pxr import Sdf

    prim.CreateAttribute(name, Sdf.ValueTypeNames.Float, custom=False).Set(value)
