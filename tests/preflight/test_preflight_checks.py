# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Each check on what it is made for, and on what is as it should be."""

from __future__ import annotations

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tensordict import TensorDict

from gr00t_rl_ext.preflight import checks
from gr00t_rl_ext.preflight.findings import Finding
from gr00t_rl_ext.preflight.sightings import CameraSight, Sightings


def only(findings: Iterator[Finding]) -> Finding:
    (finding,) = findings
    return finding


def sightings(**fields: Any) -> Sightings:
    return Sightings(TensorDict({}, batch_size=[2]), **fields)


# The task


@pytest.mark.parametrize(
    ("rewards", "knows_success", "level", "text"),
    [
        ([0.0, 1.0], True, "ok", "0 to 1 per control step"),
        ([0.0, 0.0], True, "ok", "0 in every control step so far"),
        ([0.5, 0.5], True, "warning", "It is 0.5 in every one of 2 control steps"),
        ([0.0, 0.0], False, "warning", "tells nothing of success"),
        ([], False, "not checked", "No control step"),
    ],
)
def test_rewards(rewards: list[float], knows_success: bool, level: str, text: str) -> None:
    finding = only(checks.of_rewards(sightings(rewards=[torch.tensor(rewards)], knows_success=knows_success)))
    assert finding.level == level
    assert text in finding.text


@pytest.mark.parametrize(
    ("knows", "at_once", "level", "text"),
    [
        (True, 0, "ok", "false at the start of 10 episodes"),
        (True, 1, "warning", "1 of 10 episodes ended in success at their first control step"),
        # a run of a task that chance solves at once in some episodes goes on
        (True, 6, "warning", "6 of 10 episodes"),
        (True, 8, "warning", "8 of 10 episodes"),
        (True, 10, "error", "10 of 10 episodes"),
        (False, 0, "warning", "tells nothing of success"),
    ],
)
def test_success(knows: bool, at_once: int, level: str, text: str) -> None:
    finding = only(checks.of_success(sightings(knows_success=knows, begun=10, solved_at_once=at_once), 50))
    assert finding.level == level
    assert text in finding.text


@pytest.mark.parametrize(("begun", "level"), [(1, "warning"), (6, "warning"), (7, "error"), (8, "error")])
def test_success_at_once_is_an_error_where_it_is_certain(begun: int, level: str) -> None:
    """n of n: the lower end is n / (n + 6.635), above one half from 7 on."""
    seen = sightings(knows_success=True, begun=begun, solved_at_once=begun)
    assert only(checks.of_success(seen, 50)).level == level


def test_success_of_short_episodes_is_no_error() -> None:
    assert only(checks.of_success(sightings(knows_success=True, begun=10, solved_at_once=10), 1)).level == "ok"


def test_movement() -> None:
    seen = sightings(rewards=[torch.zeros(1)], states=[torch.zeros(2, 3)])
    assert "No number of the state changed" in only(checks.of_movement(seen)).text
    seen.moved = 0.1
    assert only(checks.of_movement(seen)).level == "ok"
    assert not list(checks.of_movement(sightings()))


@pytest.mark.parametrize(
    ("name", "sight", "mount", "level", "text"),
    [
        ("table", CameraSight(100.0, 40.0, False, 0.1), None, "ok", "up to 10.0% of its pixels"),
        ("table", CameraSight(3.0, 40.0, False, 0.1), None, "error", "black"),
        ("table", CameraSight(100.0, 0.5, False, 0.1), None, "warning", "one colour"),
        ("table", CameraSight(100.0, 40.0, True, 0.1), None, "warning", "the same in all environments"),
        ("table", CameraSight(100.0, 40.0, False, 0.0), None, "warning", "No pixel changed"),
        ("wrist_cam", CameraSight(100.0, 40.0, False, 0.01), None, "warning", "at most 1.0% of its pixels"),
        ("wrist_cam", CameraSight(100.0, 40.0, False, 0.1), None, "ok", ""),
        ("wrist_cam", CameraSight(100.0, 40.0, False, 0.1), ("/World/cam", False), "warning", "but it is '/World/cam'"),
        ("wrist_cam", CameraSight(100.0, 40.0, False, 0.01), ("/R/hand/cam", True), "ok", ""),
    ],
)
def test_cameras(name: str, sight: CameraSight, mount: Any, level: str, text: str) -> None:
    finding = only(checks.of_cameras({name: sight}, {} if mount is None else {name: mount}))
    assert finding.level == level
    assert finding.subject == f"camera {name}"
    assert text in finding.text


# The match of task and checkpoint

RANGE = torch.tensor([[-1.0] * 6, [1.0] * 6])
JOINTS = {"joints": slice(0, 6)}


def test_states_in_and_out_of_the_data() -> None:
    inside = torch.linspace(-0.9, 0.9, 12).view(2, 6)
    assert only(checks.of_states(inside, RANGE, JOINTS)).text == "all of its numbers lie in the data's range."
    degrees = inside * 180 / math.pi
    finding = only(checks.of_states(degrees, RANGE, JOINTS))
    assert finding.level == "warning"
    assert "by more than its width" in finding.text
    assert "units" in finding.fix
    millimetres = inside.clone()
    millimetres[:, 1:3] *= 1000
    finding = only(checks.of_states(millimetres, RANGE, JOINTS))
    assert finding.level == "warning"
    assert "Far outside: dimension 1, 2." in finding.text
    bare = torch.full((2, 6), math.nan)
    assert only(checks.of_states(inside, bare, JOINTS)).level == "not checked"
    broken = inside.clone()
    broken[0, 3] = math.nan
    assert only(checks.of_states(broken, RANGE, JOINTS)).level == "error"


def test_a_quaternion_in_another_order_is_named() -> None:
    # a hand that looks down, xyzw near (1, 0, 0, 0)
    turns = torch.tensor([[1.0, 0.02, -0.03, 0.01], [0.999, -0.04, 0.02, 0.0]])
    turns = turns / turns.norm(dim=1, keepdim=True)
    limits = torch.tensor([[0.95, -0.1, -0.1, -0.1], [1.0, 0.1, 0.1, 0.1]])
    keys = {"rotation": slice(0, 4)}
    assert only(checks.of_states(turns, limits, keys)).level == "ok"
    for shift, order in ((1, "first number last"), (-1, "last number first")):
        finding = only(checks.of_states(turns.roll(shift, dims=1), limits, keys))
        assert finding.level == "warning"
        assert f"({order})" in finding.text
        assert "wxyz" in finding.fix


def test_joints_in_another_order_are_named() -> None:
    centres = torch.tensor([0.0, 1.0, 2.0, -2.0, 3.0, -1.0])
    limits = torch.stack([centres - 0.2, centres + 0.2])
    states = centres + torch.tensor([[0.1], [-0.1]])
    assert only(checks.of_states(states, limits, JOINTS)).level == "ok"
    order = [1, 0, 3, 2, 5, 4]
    finding = only(checks.of_states(states[:, order], limits, JOINTS))
    assert finding.level == "warning"
    assert "In another order of its dimensions they would fit: 1, 0, 3, 2, 5, 4." in finding.text
    assert "order of the robot's joints" in finding.fix


def test_clipped_actions() -> None:
    seen = sightings(clipped=[torch.tensor([True, False, False, False])], largest_action=57.0)
    assert only(checks.of_actions(seen)).level == "ok"
    seen.clipped.append(torch.tensor([True, True, True, False]))
    finding = only(checks.of_actions(seen))
    assert finding.level == "warning"
    assert "clips 50% of the policy's numbers; the largest is 57" in finding.text
    assert not list(checks.of_actions(sightings()))


def test_joint_targets_beyond_the_limits() -> None:
    limits = torch.tensor([[-1.0, 1.0], [-2.0, 0.0]]).expand(3, 2, 2)
    names = ["shoulder", "elbow"]
    inside = torch.tensor([[0.5, -1.0]] * 3)
    assert only(checks.of_joint_targets({"arm": (inside, limits, names)})).level == "ok"
    swapped = torch.tensor([[0.5, 1.0]] * 3)
    finding = only(checks.of_joint_targets({"arm": (swapped, limits, names)}))
    assert finding.level == "warning"
    assert "beyond the limits of elbow (100%)" in finding.text


def test_joints_of_action_and_state_in_one_order() -> None:
    state = {"joint_pos": ["a", "b", "c", "finger"]}
    assert only(checks.of_joint_names({"arm": ["a", "b", "c"]}, state)).level == "ok"
    finding = only(checks.of_joint_names({"arm": ["b", "a", "c"]}, state))
    assert finding.level == "warning"
    assert "in the order b, a, c" in finding.text
    assert "preserve_order=True" in finding.fix
    assert not list(checks.of_joint_names({"wheels": ["x", "y"]}, state))


@pytest.mark.parametrize(
    ("instruction", "decoded", "unknown", "level"),
    [
        ("Lift the cube.", "<s> lift the cube", 0, "ok"),
        ("perform the default behavior", "perform the default behavior", 0, "warning"),
        ("lift the cube", "li the", 0, "warning"),
        ("lift the cube", "lift the cube", 2, "warning"),
    ],
)
def test_instruction(instruction: str, decoded: str, unknown: int, level: str) -> None:
    finding = only(checks.of_instruction(instruction, "perform the default behavior", [1, 2, 3], decoded, unknown))
    assert finding.level == level


# The policy


def test_ratio() -> None:
    assert only(checks.of_ratio(1e-5, 0.05)).level == "ok"
    assert only(checks.of_ratio(0.2, 0.05)).level == "error"
    assert only(checks.of_ratio(math.nan, 0.05)).level == "error"
    assert only(checks.of_ratio(0.2, 0.05, corrected=True)).level == "warning"


@pytest.mark.parametrize(
    ("successes", "returns", "level", "text"),
    [
        ([True, False] * 5, [1.0, 0.0] * 5, "ok", "5 of 10 episodes solved before training (24% to 76%)"),
        ([False] * 4, [0.0] * 4, "warning", "nothing to reinforce"),
        ([False] * 4, [0.0, 1.0, 2.0, 3.0], "ok", "0 of 4"),
        ([True] * 4, [1.0] * 4, "warning", "4 of 4"),
        (None, [1.0, 2.0], "ok", "returns of 1 to 2 in 2 episodes"),
        (None, [1.0, 1.0], "warning", "nothing tells good decisions from bad"),
    ],
)
def test_episodes(successes: list[bool] | None, returns: list[float], level: str, text: str) -> None:
    finding = only(checks.of_episodes(successes, returns))
    assert finding.level == level
    assert text in finding.text + finding.fix


def test_what_is_no_isaac_lab_environment_has_no_joints() -> None:
    env = SimpleNamespace()
    assert checks.joint_names(env) == ({}, {})
    assert checks.joint_targets(env) == {}
    assert checks.camera_mounts(env) == {}
