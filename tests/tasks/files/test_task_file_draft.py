# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A draft is a task file but for what only a person knows."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gr00t_rl_ext.cli import new_task
from gr00t_rl_ext.tasks.files.draft import Scene, camera_poses, draft, to_edit
from gr00t_rl_ext.tasks.files.reading import Source, TaskFileError

SCENE = Scene(
    "Isaac-Reach-Franka",
    {"policy": {"joint_pos": (9,), "pose_command": (7,), "actions": (7,), "depth": (8, 8, 1)}},
    {"arm_action": 7},
    {"success": False, "time_out": True},
    {"reach": -0.2},
    {"robot": (["panda_joint1"], ["panda_link0", "panda_hand", "panda_leftfinger"])},
    ["robot"],
    (-0.1, -0.4, 0.0),
    (0.7, 0.4, 0.6),
)


def test_a_draft_names_what_is_to_be_edited_and_nothing_else_is_wrong(tmp_path: Path) -> None:
    text = draft(SCENE, 64)
    assert to_edit(text) == ["instruction"]
    file = tmp_path / "task.yaml"
    file.write_text(text)
    with pytest.raises(TaskFileError, match=r"line \d+, instruction: it is still to be edited"):
        Source(file)
    file.write_text(text.replace("EDIT ME", "reach"))
    task = Source(file).task
    assert task.state.terms == ["joint_pos", "pose_command"]
    assert task.success.term == "success"
    assert task.cameras["wrist_cam"].body == "panda_hand"
    for comment in (
        "# bodies of robot: panda_link0, panda_hand",
        "time_out (time limit)",
        "reach -0.2",
        "arm_action 7",
    ):
        assert comment in text


def test_what_a_base_task_lacks_is_to_be_edited() -> None:
    bare = Scene("Isaac-Cartpole", {}, {}, {"time_out": True})
    text = draft(bare, 64)
    assert to_edit(text) == ["instruction", "terms", "success"]
    assert yaml.safe_load(text)["cameras"].keys() == {"front_cam", "side_cam"}


def test_the_box_lies_in_the_picture() -> None:
    pose = camera_poses(SCENE)["front_cam"]["pose"]
    assert pose["look_at"] == [0.3, 0.0, 0.3]
    distance = sum((a - b) ** 2 for a, b in zip(pose["position"], pose["look_at"], strict=True)) ** 0.5
    # half of the box, 0.4 m, under half of the field of view of 45 degrees
    assert 0.4 / distance < 0.414


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--base and --out are needed"),
        (["--base", "Isaac-Ant"], "--base and --out are needed"),
        (["--check", "a.yaml", "--base", "Isaac-Ant"], "Give one of them"),
        (["--base", "Isaac-Antt", "--out", "a.yaml"], "there is no task 'Isaac-Antt'; did you mean Isaac-Ant"),
        (
            ["--base", "Isaac-Pendulum-MARL-Direct", "--out", "a.yaml"],
            "for tasks of one agent, with managers or direct",
        ),
        (["--base", "Isaac-Ant", "--out", "a.yaml", "--image_size", "1"], "--image_size is 1; expected at least 16"),
        (["--base", "Isaac-Ant", "--out", "there.yaml"], "'there.yaml' is there already"),
    ],
)
def test_what_cannot_work(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.yaml").write_text("mine")
    assert new_task.main([*arguments, "--device", "cpu"]) == 2
    assert message in capsys.readouterr().err
    assert [file.name for file in tmp_path.iterdir()] == ["there.yaml"]
    assert (tmp_path / "there.yaml").read_text() == "mine"
