# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Build the offline asset root once, from PyPI packages only.

The root is a folder that ``ISAACSIM_ASSET_ROOT`` can name: it holds, below ``Isaac/``, each file that the stock
Stack-Cube-Franka, Open-Drawer and Cartpole tasks look up. It lives in the user's cache under a name that is a hash of
the recipe (the source packages' versions and the modules that author the files), so that a changed recipe builds anew
and never edits a root that another process reads.

One process builds at a time, in a folder beside the destination that is renamed into place as the last step. The
manifest in it lists each file with its SHA-256; a root whose files do not match is replaced.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import json
import shutil
import sys
from pathlib import Path

from gr00t_rl_ext.assets import cabinet, cartpole, franka, props, urdf
from gr00t_rl_ext.cache import cache_directory

MANIFEST = "manifest.json"

SOURCE_PACKAGES = ("example-robot-data", "urdf-usd-converter")
"""Distributions the root is made from; their versions are part of its name."""

FRANKA_USD = "Isaac/IsaacLab/Robots/FrankaEmika/franka_panda.usda"
BLOCK_USD = "Isaac/Props/Blocks/{color}_block.usd"
CARTPOLE_USD = "Isaac/IsaacLab/Robots/Classic/Cartpole/cartpole.usd"
CABINET_USD = "Isaac/Props/Sektion_Cabinet/sektion_cabinet_instanceable.usd"
TABLE_USD = "Isaac/Props/Mounts/SeattleLabTable/table_instanceable.usd"
GROUND_PLANE_USD = "Isaac/IsaacLab/Environments/Grid/default_ground_plane_checker_v1/default_ground_plane.usda"


class AssetBuildError(RuntimeError):
    """The offline asset root cannot be built; the message says what is missing and how to install it."""


def offline_root_path() -> Path:
    """Where the offline root of this recipe lives, whether or not it is built. An :class:`AssetBuildError` if a source
    package is not installed, since its version is part of the name."""
    return cache_directory() / "assets" / _recipe_hash()


def build_offline_root() -> Path:
    """Return a complete offline asset root, building it if there is none (a few seconds, once).

    Safe to call from several processes at once: the first one builds, the others wait for it.

    Returns:
        Folder to set ``ISAACSIM_ASSET_ROOT`` to.

    Raises:
        AssetBuildError: If a source package is missing or has changed in a way the recipe does not know.
        OSError: If the cache folder cannot be written.
    """
    target = offline_root_path()
    if is_complete(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    building = target.with_suffix(".building")
    with open(target.parent.with_suffix(".lock"), "w") as lock:
        # some network file systems have no locks: of two that build there at once one may fail, and succeeds later
        with contextlib.suppress(OSError):
            # given back by the system, even if this process is killed
            fcntl.flock(lock, fcntl.LOCK_EX)
        if is_complete(target):
            return target
        print(f"[gr00t_rl_ext] Building the offline assets in {target} (once) ...", file=sys.stderr, flush=True)
        # what a killed process left
        shutil.rmtree(building, ignore_errors=True)
        try:
            building.mkdir()
            _populate(building)
            _write_manifest(building)
            shutil.rmtree(target, ignore_errors=True)
            building.rename(target)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    return target


def is_complete(root: Path) -> bool:
    """Whether ``root`` holds each file of its manifest, unchanged."""
    try:
        files = json.loads((root / MANIFEST).read_text(encoding="utf-8"))["files"]
        return bool(files) and all(_sha256(root / name) == digest for name, digest in files.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _populate(root: Path) -> None:
    """Write all assets below ``root``."""
    data_root, licence = _robot_sources()
    robot = root / FRANKA_USD
    robot.parent.mkdir(parents=True)
    try:
        franka.write_franka(robot, data_root)
    except (FileNotFoundError, RuntimeError, ValueError) as error:
        raise AssetBuildError(f"Cannot convert the Franka Panda: {error}") from error
    shutil.copyfile(licence, robot.parent / "LICENSE")
    (robot.parent / "NOTICE").write_text(_notice(), encoding="utf-8")
    for name, color in props.CUBE_COLORS.items():
        props.write_cube(root / BLOCK_USD.format(color=name), color)
    cartpole.write_cartpole(root / CARTPOLE_USD)
    cabinet.write_cabinet(root / CABINET_USD)
    props.write_table(root / TABLE_USD)
    props.write_ground_plane(root / GROUND_PLANE_USD)


def _robot_sources() -> tuple[Path, Path]:
    """Data folder of ``example-robot-data`` and the licence file of its Panda.

    Located through the package's own list of files: its installation prefix is not importable.
    """
    wanted = franka.URDF_PATH.as_posix()
    listed = importlib.metadata.distribution("example-robot-data").files or ()
    file = next((Path(str(file.locate())).resolve() for file in listed if file.as_posix().endswith(wanted)), None)
    if file is None:
        raise AssetBuildError(
            f"The installed example-robot-data {_version('example-robot-data')} lists no file {wanted}. "
            "Reinstall with: pip install --force-reinstall example-robot-data"
        )
    licence = file.parents[1] / "LICENSE"
    if not licence.is_file():
        raise AssetBuildError(
            f"No licence text at {licence}. The Panda's description is under Apache-2.0, which asks that its "
            "text goes with each copy. Reinstall with: pip install --force-reinstall example-robot-data"
        )
    return file.parents[len(franka.URDF_PATH.parts) - 1], licence


def _notice() -> str:
    return (
        "Franka Panda, converted to USD.\n\n"
        f"Origin: panda_description of the PyPI package example-robot-data {_version('example-robot-data')},\n"
        "itself from franka_description of franka_ros (Franka Emika GmbH).\n"
        "SPDX-License-Identifier: Apache-2.0 (the text is in LICENSE)\n\n"
        f"Changes: converted with urdf-usd-converter {_version('urdf-usd-converter')}; frames without mass left\n"
        "out; joint drives, armature, articulation root, finger constraint and variants added.\n"
    )


def _write_manifest(root: Path) -> None:
    """List what the root was made from and the digest of each file. Written last: no manifest, no root."""
    files = {file.relative_to(root).as_posix(): _sha256(file) for file in sorted(root.rglob("*")) if file.is_file()}
    manifest = {
        "recipe": _recipe_hash(),
        "packages": {name: _version(name) for name in SOURCE_PACKAGES},
        "files": files,
    }
    (root / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def _recipe_hash() -> str:
    """Name of the root: hash of the source packages' versions and of the modules that author the files."""
    digest = hashlib.sha256()
    for name in SOURCE_PACKAGES:
        digest.update(f"{name}=={_version(name)}\n".encode())
    for module in (cabinet, cartpole, franka, props, urdf, sys.modules[__name__]):
        assert module.__file__ is not None
        digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()[:16]


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError as error:
        raise AssetBuildError(
            f"The offline assets are built from the packages {' and '.join(SOURCE_PACKAGES)}, and {distribution} is "
            f"not installed. Install them with: pip install {' '.join(SOURCE_PACKAGES)}\n"
            "Or point ISAACSIM_ASSET_ROOT to a folder with Isaac Sim's assets."
        ) from error


def _sha256(file: Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
