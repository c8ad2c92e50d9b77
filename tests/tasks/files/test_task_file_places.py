# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Where a task file has what a run found something about."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from gr00t_rl_ext.tasks.files.places import place_of_error, where_in_file

FILE = """\
base: Isaac-Reach-Franka
instruction: reach
cameras:
  table_cam: {pose: {position: [1.5, 0.0, 0.9], look_at: [0.4, 0.0, 0.3]}}
  wrist_cam: {body: panda_hand, pose: {position: [0.1, 0.0, -0.1], look_at: [0.0, 0.0, 0.15]}}
state:
  terms: [joint_pos]
success: success
"""


@pytest.mark.parametrize(
    ("subject", "line"),
    [
        ("camera wrist_cam", 5),
        ("state.joint_pos", 7),
        ("state", 6),
        ("success", 8),
        ("instruction", 2),
        # the file leaves it to the base task
        ("reward", None),
        ("disk", None),
        ("joints of arm", None),
    ],
)
def test_findings(tmp_path: Path, subject: str, line: int | None) -> None:
    file = tmp_path / "reach.yaml"
    file.write_text(FILE)
    assert where_in_file(SimpleNamespace(task_file=str(file)), subject) == (
        "" if line is None else f"{str(file)!r}, line {line}"
    )


def test_a_file_that_is_gone(tmp_path: Path) -> None:
    assert where_in_file(SimpleNamespace(task_file=str(tmp_path / "none.yaml")), "success") == ""
    assert where_in_file(SimpleNamespace(), "success") == ""


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("`groups.state.joints` reads the entry 'a'", ("state", "terms", "joints")),
        ("`cameras.top.model_camera` is 'x'", ("cameras", "top")),
        ("A camera reads the entry", ("cameras",)),
        ("refuses its arguments {} (`env_kwargs`): x", ("kwargs",)),
        ("`env.success_key=a` needs", ("success",)),
        ("is registered without a time limit", ("base",)),
    ],
)
def test_errors(text: str, place: tuple[str, ...]) -> None:
    assert place_of_error(text) == place
