# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The stock stacking scene on the offline assets: healthy, and fit to grasp a cube, under both kit-less back ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gr00t_rl_ext.assets import build, root

pytest.importorskip("isaaclab", reason="Isaac Lab is not installed")

SCRIPT = Path(__file__).with_name("stack_scene.py")
RESTING_HEIGHT = 0.0203  # [m], where the stock reset event puts a cube
JOINTS = [f"panda_joint{index}" for index in range(1, 8)] + ["panda_finger_joint1", "panda_finger_joint2"]


def _run(folder: Path, *arguments: str, timeout: float = 300.0) -> dict:
    report = folder / "report.json"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for name in (root.ASSET_ROOT_ENV_VAR, root.MODE_ENV_VAR):
        environment.pop(name, None)
    result = subprocess.run(
        [sys.executable, str(SCRIPT), *arguments, "--report", str(report)],
        cwd=folder,  # Isaac Lab writes logs into the working directory
        env=environment,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert report.is_file(), f"exit status {result.returncode}\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}"
    return json.loads(report.read_text())


@pytest.fixture(scope="module")
def physx(tmp_path_factory):
    pytest.importorskip("ovphysx", reason="ovphysx is not installed: pip install 'isaaclab[ovphysx]==3.0.0'")
    return _run(
        tmp_path_factory.mktemp("physx"),
        *("--physics", "ovphysx", "--num_envs", "16", "--random_steps", "200", "--lift"),
    )


@pytest.fixture(scope="module")
def newton(tmp_path_factory):
    # Newton's cost on a CPU grows with the number of environments; the first run compiles kernels for over a minute.
    return _run(
        tmp_path_factory.mktemp("newton"),
        *("--physics", "newton_mjwarp", "--num_envs", "4", "--random_steps", "300", "--lift"),
        timeout=500.0,
    )


def _assert_healthy(report: dict) -> None:
    assert report["asset_root"] == str(build.offline_root_path())
    assert report["joints"] == JOINTS
    assert report["fixed_base"]
    assert report["random"]["non_finite"] == 0
    assert report["random"]["base_drift"] < 1e-5
    # The real joints reach 2.6 rad/s; an exploding solver is far above what a commanded jump gives.
    assert report["random"]["largest_joint_speed"] < 60.0


def _assert_lifts(report: dict) -> None:
    heights = report["lift"]
    for phase in ("start", "approach", "descend"):
        assert heights[phase] == pytest.approx([RESTING_HEIGHT] * len(heights[phase]), abs=1e-3)
    assert min(heights["hold"]) > 0.12
    assert heights["release"] == pytest.approx([RESTING_HEIGHT] * len(heights["release"]), abs=1e-3)


def test_random_actions_are_healthy_under_physx(physx):
    _assert_healthy(physx)


def test_stock_actuators_lift_and_release_a_cube_under_physx(physx):
    _assert_lifts(physx)


@pytest.mark.slow
def test_random_actions_are_healthy_under_newton(newton):
    _assert_healthy(newton)


@pytest.mark.slow
def test_stock_actuators_lift_and_release_a_cube_under_newton(newton):
    _assert_lifts(newton)


def test_joint_position_task_relies_on_the_drives_of_the_asset(tmp_path):
    pytest.importorskip("ovphysx", reason="ovphysx is not installed: pip install 'isaaclab[ovphysx]==3.0.0'")
    report = _run(
        tmp_path,
        *("--physics", "ovphysx", "--control", "joint_pos", "--num_envs", "16", "--random_steps", "100"),
    )
    _assert_healthy(report)
    from gr00t_rl_ext.assets.franka import DRIVES

    # The stock configuration switches the second finger's drive off: it follows the first by a mimic constraint.
    expected = [DRIVES[name].stiffness for name in JOINTS[:-1]] + [0.0]
    assert report["stiffness"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.slow
def test_64_environments_are_healthy_under_newton(tmp_path):
    report = _run(
        tmp_path,
        *("--physics", "newton_mjwarp", "--num_envs", "64", "--random_steps", "300"),
        timeout=1500.0,
    )
    _assert_healthy(report)
