# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A task file is read as a whole, or refused with file, line and field."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gr00t_rl_ext.tasks import files
from gr00t_rl_ext.tasks.files.reading import Source, TaskFileError
from gr00t_rl_ext.tasks.files.schema import AGENTS, SCHEMA, TaskFile

GOOD = """\
base: Isaac-Reach-Franka
instruction: move the gripper to the goal
cameras:
  table_cam:
    pose: {position: [1.5, 0.0, 0.9], look_at: [0.4, 0.0, 0.3]}
state:
  terms: [joint_pos, pose_command]
success: success
agents: [gr00t_ppo, mlp_ppo]
overrides:
  gr00t_ppo:
    algorithm: {gamma: 0.9}
"""


def write(folder: Path, text: str) -> Path:
    file = folder / "task.yaml"
    file.write_text(text)
    return file


def test_defaults(tmp_path: Path) -> None:
    task = Source(write(tmp_path, GOOD)).task
    assert task.task_id == "Gr00t-Reach-Franka"
    camera = task.cameras["table_cam"]
    assert (camera.size, camera.body, camera.pose.up) == ((224, 224), None, (0.0, 0.0, 1.0))
    assert (task.rewards, task.chunk_length, task.num_envs) == ("keep", None, 64)
    assert TaskFile.model_fields["agents"].default == list(AGENTS)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("base: Isaac-Reach-Franka\n", "", r"task\.yaml', line 1, base: it is missing"),
        (
            "instruction:",
            "instructions:",
            r"line 2, instructions: there is no such field; did you mean instruction.*Fields: base, id, .*instruction",
        ),
        ("move the gripper to the goal", "''", r"line 2, instruction.*: it is empty; expected what the policy is told"),
        (
            "look_at: [0.4, 0.0, 0.3]}",
            "look_at: [1.5, 0.0, 0.9]}",
            r"line 5, cameras\.table_cam\.pose: look_at is the position itself",
        ),
        (
            "look_at: [0.4, 0.0, 0.3]}",
            "look_at: [1.5, 0.0, 0.0]}",
            r"line 5, cameras\.table_cam\.pose: up is the direction of view",
        ),
        ("look_at: [0.4, 0.0, 0.3]", "lookat: [0.4, 0.0, 0.3]", r"line 5, .*lookat: .*did you mean look_at"),
        ("[1.5, 0.0, 0.9]", "[1.5, 0.0]", r"line 5, cameras\.table_cam\.pose\.position.*: "),
        ("terms: [joint_pos, pose_command]", "terms: []", r"line 7, state\.terms: list should have at least 1 item"),
        ("[gr00t_ppo, mlp_ppo]", "[gr00t_pro]", r"line 9, agents\.0: input should be 'gr00t_ppo'.*found 'gr00t_pro'"),
        (
            "  gr00t_ppo:\n    alg",
            "  gr00t_flow_ppo:\n    alg",
            r"overrides names gr00t_flow_ppo; agents has gr00t_ppo",
        ),
        ("success: success", "success: [1]", r"line 8, success"),
        ("success: success", "success: success\nnum_envs: 0", r"line 9, num_envs: input should be greater than 0"),
        ("terms: [", "terms: [[", r"task\.yaml', line \d+ is no YAML"),
        ("success: success", "success: success\nbase: Isaac-Ant", r"line 9 is no YAML: the key 'base' is there twice"),
        ("success: success", "? [a]\n: 1", r"is no YAML: found unhashable key"),
        ("table_cam:", "table-cam:", r"line 4, cameras\.table-cam.*: it is no name: expected letters"),
        ("table_cam:", "class:", r"cameras\.class.*: it is no name"),
        (
            "[joint_pos, pose_command]",
            "[joint_pos, joint_pos]",
            r"line 7, state\.terms: joint_pos is there more than once",
        ),
        ("[joint_pos, pose_command]", "[{}]", r"line 7, state\.terms"),
        ("success: success", "success: success\nnum_envs: true", r"line 9, num_envs: "),
        ("success: success", "success: success\nepisode_length_s: .inf", r"line 9, episode_length_s: "),
        ("[1.5, 0.0, 0.9]", "[.nan, 0.0, 0.9]", r"cameras\.table_cam\.pose\.position.*finite"),
        ("success: success", "success: success\nid: My Task", r"the id is 'My Task'; expected letters"),
        (
            "state:\n",
            "  other: {size: [64, 64], pose: {position: [1, 1, 1], look_at: [0, 0, 0]}}\nstate:\n",
            r"line 3, cameras: all cameras need one size.*table_cam 224 x 224, other 64 x 64",
        ),
        ("success: success", "success: 2024-13-45", r"no YAML|success"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(TaskFileError, match=message):
        Source(write(tmp_path, GOOD.replace(old, new)))


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    text = GOOD.replace("success: success", "success: {func: f, params: {threshold: 1e-3}}")
    task = Source(write(tmp_path, text)).task
    assert not isinstance(task.success, str)
    assert task.success.params == {"threshold": 0.001}


def test_what_is_no_task_file(tmp_path: Path) -> None:
    with pytest.raises(TaskFileError, match=r"missing\.yaml' cannot be read: No such file"):
        Source(tmp_path / "missing.yaml")
    with pytest.raises(TaskFileError, match="holds no mapping; expected fields such as base"):
        Source(write(tmp_path, "- 1\n"))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TaskFileError, match="no YAML"):
        Source(tmp_path / "binary.yaml")


def test_the_schema_for_editors_is_that_of_the_code() -> None:
    """``python -m gr00t_rl_ext.tasks.files`` writes it."""
    shipped = json.loads((Path(files.__file__).parent / "schema.json").read_text())
    assert shipped == SCHEMA.json_schema()


def test_the_schema_for_editors_takes_what_is_read() -> None:
    properties = SCHEMA.json_schema()["$defs"]["TaskFile"]["properties"]
    assert {"type": "string"} in properties["success"]["anyOf"]
