# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

# The type stubs of pxr declare that constructors such as Define() and Open() return None.
# pyright: reportAttributeAccessIssue=false, reportArgumentType=false, reportGeneralTypeIssues=false

"""Robots from URDF files, as USD that PhysX runs without Isaac Sim."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from gr00t_rl_ext.cache import cache_directory


class UrdfError(ValueError):
    """A URDF file cannot be converted."""


def convert(urdf: Path, packages: Mapping[str, Path], output_dir: Path) -> Path:
    """Convert with ``urdf-usd-converter`` into one self-contained crate file; returns its path.

    Args:
        urdf: The file.
        packages: Folders of ROS packages by name, for ``package://NAME/...``.
        output_dir: Where it is written.
    """
    import usdex.core
    from urdf_usd_converter import Converter

    known = [{"name": name, "path": str(folder.resolve())} for name, folder in packages.items()]
    converter = Converter(layer_structure=False, scene=False, ros_packages=known)
    # The converter prints a line for each mesh it finds and each line set it skips; errors are raised anyway.
    level, active = usdex.core.getDiagnosticsLevel(), usdex.core.isDiagnosticsDelegateActive()
    usdex.core.activateDiagnosticsDelegate()
    usdex.core.setDiagnosticsLevel(usdex.core.DiagnosticsLevel.eError)
    try:
        return Path(converter.convert(str(urdf), str(output_dir)).path)
    finally:
        usdex.core.setDiagnosticsLevel(level)
        if not active:
            usdex.core.deactivateDiagnosticsDelegate()


def robot_usd(urdf: Path) -> Path:
    """The USD of a robot with a fixed base, made once and kept in the cache.

    Meshes of ``package://NAME/...`` are looked for in the folder NAME above the file. Limits of effort are the file's.

    Args:
        urdf: The file.

    Raises:
        UrdfError: It cannot be converted.
    """
    text = urdf.read_text(errors="replace")
    _check(urdf, text)
    packages = _packages(urdf, text)
    digest = hashlib.sha256(Path(__file__).read_bytes() + importlib.metadata.version("urdf-usd-converter").encode())
    digest.update(f"{urdf.resolve()}{text}".encode())
    for mesh in _meshes(urdf, text, packages):
        digest.update(mesh.read_bytes())
    target = cache_directory() / "robots" / digest.hexdigest()[:16]
    made = target / f"{urdf.stem}.usdc"
    if made.is_file():
        return made
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        folder = Path(scratch) / "robot"
        try:
            converted = convert(urdf, packages, folder)
            _complete(converted)
        except Exception as error:
            # whatever the converter raises of what is in the file
            raise UrdfError(f"{str(urdf)!r} cannot be converted ({type(error).__name__}: {error})") from error
        converted.rename(folder / made.name)
        # there completely or not at all; another process may have been first
        with contextlib.suppress(OSError):
            folder.rename(target)
    return made


def _check(urdf: Path, text: str) -> None:
    """Refuse what would move otherwise than the file says."""
    for pattern, what in (
        (r"<mimic\b", "joints that follow others (mimic), which nothing would move"),
        (r"type=[\"']floating[\"']", "a floating base or joint"),
    ):
        if re.search(pattern, text):
            raise UrdfError(f"{str(urdf)!r} has {what}. Take a USD of the robot, or remove it from the file")


def _meshes(urdf: Path, text: str, packages: Mapping[str, Path]) -> list[Path]:
    """Files of meshes that a file names, as far as they are there."""
    found = []
    for name in sorted(set(re.findall(r"filename=[\"']([^\"']+)[\"']", text))):
        package, _, rest = name.removeprefix("package://").partition("/")
        file = packages[package] / rest if name.startswith("package://") else urdf.parent / name.removeprefix("file://")
        found += [file] if file.is_file() else []
    return found


def _packages(urdf: Path, text: str) -> dict[str, Path]:
    """Folders of the ROS packages that a file names."""
    names = set(re.findall(r"package://([^/\"']+)/", text))
    above = {folder.name: folder for folder in reversed(urdf.resolve().parents)}
    if missing := sorted(names - above.keys()):
        raise UrdfError(
            f"{str(urdf)!r} has meshes in package://{missing[0]}/, but no folder above it is called {missing[0]!r}. Put"
            " the file into its package, or write paths relative to it"
        )
    return {name: above[name] for name in names}


def _complete(file: Path) -> None:
    """What PhysX without Isaac Sim needs beside links and joints."""
    from pxr import Usd, UsdPhysics

    stage = Usd.Stage.Open(str(file))
    root = stage.GetDefaultPrim()
    for prim in stage.Traverse():
        # on the rigid body itself PhysX would take the arm for a floating one, and the states turn NaN
        for schema in ("PhysicsArticulationRootAPI", "NewtonArticulationRootAPI"):
            if schema in prim.GetAppliedSchemas():
                prim.RemoveAppliedSchema(schema)
        is_angular = prim.IsA(UsdPhysics.RevoluteJoint)
        if is_angular or prim.IsA(UsdPhysics.PrismaticJoint):
            # without a drive the damping of actuators is ignored
            drive = UsdPhysics.DriveAPI.Apply(prim, "angular" if is_angular else "linear")
            drive.CreateTypeAttr("force")
            drive.CreateStiffnessAttr(0.0)
            drive.CreateDampingAttr(0.0)
            # in the converter's own attribute, which no simulator reads
            if (effort := prim.GetAttribute("urdf:limit:effort").Get()) is not None:
                drive.CreateMaxForceAttr(effort)
    UsdPhysics.ArticulationRootAPI.Apply(root)
    stage.GetRootLayer().Save()
