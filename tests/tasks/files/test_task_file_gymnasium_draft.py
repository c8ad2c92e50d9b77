# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The draft of a file for an environment of Gymnasium is a file, once it is edited."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from gr00t_rl_ext.cli import new_task
from gr00t_rl_ext.tasks.files.draft import to_edit
from gr00t_rl_ext.tasks.files.gymnasium_draft import _name, _text, gymnasium_draft
from gr00t_rl_ext.tasks.files.reading import Source, TaskFileError
from gr00t_rl_ext.tasks.files.registration import register_task
from gr00t_rl_ext.tasks.gymnasium.resolution import resolve

pytestmark = pytest.mark.usefixtures("no_task_files")


def written(folder: Path, text: str) -> Path:
    file = folder / "draft.yaml"
    file.write_text(text)
    return file


def test_pictures_of_the_observation(tmp_path: Path) -> None:
    text = gymnasium_draft("gym:gymnasium_toys:Seen-v0", 32)
    assert to_edit(text) == ["instruction", "success"]
    with pytest.raises(TaskFileError, match="instruction: it is still to be edited"):
        Source(written(tmp_path, text))
    edited = text.replace("instruction: EDIT ME", "instruction: count").replace(
        "success: EDIT ME", "success: {reward: 1}"
    )
    task = register_task(written(tmp_path, edited))
    cfg = resolve(task, "gr00t_ppo_small")[0]
    assert cfg.observed_pictures == {"pixels_front": "pixels.front", "pixels_wrist": "pixels.wrist"}
    assert {name: term.key for name, term in cfg.groups["state"].items()} == {
        "arm_joints": "arm.joints",
        "arm_mode": "arm.mode",
    }
    assert (cfg.max_episode_steps, cfg.image_size, cfg.success_reward) == (10, (32, 32), 1.0)
    assert task == "gym:Gr00t-Seen-v0"


def test_what_info_tells_and_cameras_of_the_model(tmp_path: Path) -> None:
    text = gymnasium_draft("gym:FetchReach-v4", 64)
    assert "success: {info: is_success}" in text
    assert "# cameras of the model: head_camera_rgb, gripper_camera_rgb, " in text
    assert "    desired_goal: {key: desired_goal}  # 3 numbers" in text
    assert to_edit(text) == ["instruction"]
    Source(written(tmp_path, text.replace("EDIT ME", "reach")))


def test_without_a_time_limit_and_a_view() -> None:
    text = gymnasium_draft("gym:gymnasium_toys:Endless-v0", 64)
    assert to_edit(text) == ["instruction", "success", "episode_steps"]
    assert "# it has no time limit of its own" in text
    assert "it names no render mode rgb_array, which a view needs" in gymnasium_draft("gym:gymnasium_toys:Blind-v0", 64)


def test_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new.yaml"
    assert new_task.main(["--base", "gym:gymnasium_toys:Seen-v0", "--out", str(out)]) == 0
    assert "Edit what only you know: instruction, success" in capsys.readouterr().out
    assert new_task.main(["--base", "gym:gymnasium_toys:Sen-v0", "--out", str(tmp_path / "b.yaml")]) == 2
    assert "--base: The module 'gymnasium_toys' registers no environment 'Sen-v0'" in capsys.readouterr().err
    assert not (tmp_path / "b.yaml").exists()


def test_pictures_alone_and_choices(tmp_path: Path) -> None:
    text = gymnasium_draft("gym:gymnasium_toys:Screen-v0", 32)
    assert "  entry_class: {observation: class}" in text
    assert "    elapsed_time: {key: elapsed_time}  # it observes pictures only" in text
    assert "agents: [mlp_ppo]" in text
    edited = text.replace("instruction: EDIT ME", "instruction: look").replace(
        "success: EDIT ME", "success: {reward: 1}"
    )
    cfg = resolve(register_task(written(tmp_path, edited)), "mlp_ppo")[0]
    assert cfg.observed_pictures == {"entry_class": "class"}


def test_names_and_texts_that_yaml_knows_otherwise() -> None:
    names = {"agent-pos": "agent_pos", "a/b.c": "a_b_c", "yes": "entry_yes", "2d": "entry_2d", "ok": "ok"}
    assert {name: _name(name) for name in names} == names
    for text in ("agent-pos", "yes", "pixels.front", "a: b", "1", "it's"):
        assert yaml.safe_load(f"{{key: {_text(text)}}}") == {"key": text}


def test_an_environment_that_cannot_be_stepped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--base", "gym:gymnasium_toys:Broken-v0", "--out", str(tmp_path / "a.yaml")]
    assert new_task.main(command) == 2
    assert "gym:gymnasium_toys:Broken-v0 cannot be tried: ArithmeticError: the toy is broken" in capsys.readouterr().err
