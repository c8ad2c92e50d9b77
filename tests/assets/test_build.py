# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The offline asset root: complete or absent, licensed, and laid out as the stock task expects."""

from __future__ import annotations

import importlib.metadata
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gr00t_rl_ext.assets import build, props
from gr00t_rl_ext.cache import CACHE_ENV_VAR

# The converter's mesh reader uses an idiom that NumPy deprecates.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:collada")


@pytest.fixture(scope="module")
def shared_cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of its own."""
    monkeypatch.setenv(CACHE_ENV_VAR, str(tmp_path))
    return tmp_path


@pytest.fixture
def root(shared_cache, monkeypatch):
    """A built root, shared by the tests that only read it."""
    monkeypatch.setenv(CACHE_ENV_VAR, str(shared_cache))
    return build.build_offline_root()


def _write_small_root(monkeypatch):
    """Replace the recipe by one file, for tests of how a root is published."""
    monkeypatch.setattr(build, "_populate", lambda folder: (folder / "file.txt").write_text("content"))


def test_every_file_the_stock_scene_looks_up_is_there(root):
    names = [build.FRANKA_USD, build.CABINET_USD, build.CARTPOLE_USD, build.TABLE_USD, build.GROUND_PLANE_USD]
    names += [build.BLOCK_USD.format(color=color) for color in ("blue", "red", "green")]
    assert [name for name in names if not (root / name).is_file()] == []


def test_manifest_names_the_packages_and_every_file(root):
    manifest = json.loads((root / build.MANIFEST).read_text())
    assert manifest["packages"] == {name: importlib.metadata.version(name) for name in build.SOURCE_PACKAGES}
    on_disk = {file.relative_to(root).as_posix() for file in root.rglob("*") if file.is_file()}
    assert on_disk - {build.MANIFEST} == set(manifest["files"])


def test_licence_and_origin_lie_beside_the_robot(root):
    folder = (root / build.FRANKA_USD).parent
    assert "Apache License" in (folder / "LICENSE").read_text()
    notice = (folder / "NOTICE").read_text()
    assert "SPDX-License-Identifier: Apache-2.0" in notice
    assert importlib.metadata.version("example-robot-data") in notice


def test_no_file_refers_outside_the_root(root):
    from pxr import UsdUtils

    blocks = [build.BLOCK_USD.format(color="red")]
    others = [build.CABINET_USD, build.CARTPOLE_USD, build.TABLE_USD, build.GROUND_PLANE_USD]
    for name in (build.FRANKA_USD, *others, *blocks):
        layers, assets, unresolved = UsdUtils.ComputeAllDependencies(str(root / name))
        assert unresolved == []
        assert assets == []
        assert all(Path(layer.realPath).is_relative_to(root.resolve()) for layer in layers)


def test_robot_has_the_prims_and_variants_of_the_stock_configuration(root):
    from pxr import Usd, UsdPhysics

    stage = Usd.Stage.Open(str(root / build.FRANKA_USD))
    robot = stage.GetDefaultPrim()
    variants = robot.GetVariantSets()
    assert set(variants.GetVariantSet("Physics").GetVariantNames()) == {"physx", "mujoco"}
    assert set(variants.GetVariantSet("Colliders").GetVariantNames()) == {"primitives", "gripper_only"}
    links = "/".join(f"panda_link{index}" for index in range(8))
    for body in ("", "/panda_hand", "/panda_hand/panda_leftfinger", "/panda_hand/panda_rightfinger"):
        assert stage.GetPrimAtPath(f"{robot.GetPath()}/Geometry/{links}{body}").HasAPI(UsdPhysics.RigidBodyAPI)
    roots = [prim.GetPath() for prim in stage.Traverse() if prim.HasAPI(UsdPhysics.ArticulationRootAPI)]
    assert roots == [robot.GetPath()]


def test_cartpole_has_the_bodies_and_joints_of_the_stock_asset(root):
    """Sizes from Newton's copy of it (newton/examples/assets/cartpole_single_pendulum.usda)."""
    from pxr import Usd, UsdGeom, UsdPhysics

    stage = Usd.Stage.Open(str(root / build.CARTPOLE_USD))
    robot = stage.GetDefaultPrim()
    assert robot.HasAPI(UsdPhysics.ArticulationRootAPI)
    boxes = UsdGeom.BBoxCache(Usd.TimeCode.Default(), [UsdGeom.Tokens.default_])
    sizes = {
        name: boxes.ComputeWorldBound(stage.GetPrimAtPath(f"/cartpole/{name}")).ComputeAlignedRange()
        for name in ("slider", "cart", "pole")
    }
    assert [list(size.GetMin()) for size in sizes.values()] == [
        pytest.approx([-0.015, -4.0, -0.015]),
        pytest.approx([-0.1, -0.125, -0.1]),
        pytest.approx([0.1, -0.03, -0.03]),
    ]
    assert [list(size.GetMax()) for size in sizes.values()] == [
        pytest.approx([0.015, 4.0, 0.015]),
        pytest.approx([0.1, 0.125, 0.1]),
        pytest.approx([0.14, 0.03, 0.97]),
    ]
    joints = {prim.GetName(): prim for prim in stage.Traverse() if prim.IsA(UsdPhysics.Joint)}
    assert joints.keys() == {"root_joint", "slider_to_cart", "cart_to_pole"}
    slide = UsdPhysics.PrismaticJoint(joints["slider_to_cart"])
    assert (slide.GetAxisAttr().Get(), slide.GetLowerLimitAttr().Get(), slide.GetUpperLimitAttr().Get()) == ("Y", -4, 4)
    turn = UsdPhysics.RevoluteJoint(joints["cart_to_pole"])
    assert turn.GetAxisAttr().Get() == "X"
    assert turn.GetLowerLimitAttr().Get() == -float("inf"), "the pole turns freely"
    assert slide.GetPrim().HasAPI(UsdPhysics.DriveAPI, "linear")
    assert turn.GetPrim().HasAPI(UsdPhysics.DriveAPI, "angular")


def test_cubes_are_4_68_cm_and_of_three_colours(root):
    from pxr import Usd, UsdGeom

    colors = set()
    for name in props.CUBE_COLORS:
        stage = Usd.Stage.Open(str(root / build.BLOCK_USD.format(color=name)))
        cube = UsdGeom.Cube(stage.GetPrimAtPath("/Cube/geometry"))
        assert cube.GetSizeAttr().Get() == pytest.approx(0.0468)
        colors.add(tuple(cube.GetDisplayColorAttr().Get()[0]))
    assert len(colors) == 3


def test_second_call_reuses_the_root(root, monkeypatch):
    monkeypatch.setattr(build, "_populate", lambda folder: pytest.fail("built again"))
    assert build.build_offline_root() == root


@pytest.mark.parametrize("damage", ["changed", "missing", "no manifest", "broken manifest"])
def test_damaged_root_is_replaced(cache, monkeypatch, damage):
    _write_small_root(monkeypatch)
    built = build.build_offline_root()
    if damage == "changed":
        (built / "file.txt").write_text("changed")
    elif damage == "missing":
        (built / "file.txt").unlink()
    elif damage == "no manifest":
        (built / build.MANIFEST).unlink()
    else:
        (built / build.MANIFEST).write_text('{"files": ')
    assert not build.is_complete(built)
    assert build.build_offline_root() == built
    assert build.is_complete(built)
    assert [folder.name for folder in (cache / "assets").iterdir()] == [built.name]


def test_failing_build_leaves_nothing(cache, monkeypatch):
    def fail(folder):
        (folder / "half.txt").write_text("half")
        raise KeyboardInterrupt

    monkeypatch.setattr(build, "_populate", fail)
    with pytest.raises(KeyboardInterrupt):
        build.build_offline_root()
    assert list((cache / "assets").iterdir()) == []


def test_killed_build_leaves_no_root_and_its_remains_are_removed(cache, monkeypatch):
    script = (
        "import time\n"
        "from gr00t_rl_ext.assets import build\n"
        "def hang(folder):\n"
        "    (folder / 'half.txt').write_text('half')\n"
        "    print('hanging', flush=True)\n"
        "    time.sleep(60)\n"
        "build._populate = hang\n"
        "build.build_offline_root()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "hanging\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not build.offline_root_path().exists()
    assert len(list((cache / "assets").iterdir())) == 1
    _write_small_root(monkeypatch)
    built = build.build_offline_root()
    assert [folder.name for folder in (cache / "assets").iterdir()] == [built.name]


def _build(folder, builds):
    os.environ[CACHE_ENV_VAR] = folder

    def populate(root):
        time.sleep(0.2)
        (root / "file.txt").write_text("content")
        builds.put(root)

    build._populate = populate
    build.build_offline_root()


def test_of_concurrent_builders_one_builds(cache):
    context = multiprocessing.get_context("spawn")
    builds = context.Queue()
    processes = [context.Process(target=_build, args=(str(cache), builds)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=30)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    builds.get(timeout=5)
    assert builds.empty()
    assert [folder.name for folder in (cache / "assets").iterdir()] == [build.offline_root_path().name]
    assert build.is_complete(build.offline_root_path())


def test_a_file_system_without_locks_is_built_on_all_the_same(cache, monkeypatch):
    def without_locks(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(build.fcntl, "flock", without_locks)
    _write_small_root(monkeypatch)
    assert build.is_complete(build.build_offline_root())


def test_missing_package_names_the_install_command(cache, monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(build.importlib.metadata, "version", missing)
    with pytest.raises(build.AssetBuildError, match="pip install example-robot-data urdf-usd-converter"):
        build.build_offline_root()
    assert not (cache / "assets").exists()
