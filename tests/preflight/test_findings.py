# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A report is read by people, by programs, and by the run that it stops."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from gr00t_rl_ext.preflight.findings import Finding, PreflightError, Report, picture_of

FINE = Finding("ok", "reward", "0 to 1 per control step.")
WARNED = Finding("warning", "camera wrist", "It shows nothing.", "Turn it round.")
WRONG = Finding("error", "success", "It is true at once.", "Check its threshold.")
OPEN = Finding("not checked", "memory", "There is no estimate.")


def test_errors_come_first_and_what_is_fine_only_when_all_is_asked_for() -> None:
    report = Report([FINE, WARNED, WRONG, OPEN], "2 random decisions")
    assert report.describe(whole=False).splitlines() == [
        "Preflight (2 random decisions): 1 error, 1 warning, 1 checks passed.",
        "  error   success: It is true at once.",
        "          fix: Check its threshold.",
        "  warning camera wrist: It shows nothing.",
        "          fix: Turn it round.",
    ]
    assert report.describe(whole=True).splitlines()[-2:] == [
        "  not checked memory: There is no estimate.",
        "  ok      reward: 0 to 1 per control step.",
    ]


def test_long_findings_are_wrapped() -> None:
    lines = Report([Finding("warning", "state", "word " * 60)], "").describe(whole=False).splitlines()
    assert len(lines) > 2
    assert all(len(line) <= 120 for line in lines)
    assert all(line.startswith(" " * 10) for line in lines[2:])


def test_it_is_saved_with_the_run(tmp_path: Path) -> None:
    pictures = {"wrist/left": torch.full((4, 6, 3), 200, dtype=torch.uint8)}
    file = Report([FINE, WRONG], "2 random decisions", {"full": False}, pictures).save(tmp_path)
    with Image.open(picture_of(tmp_path, "wrist/left")) as picture:
        assert picture.size == (6, 4)
        assert picture.getpixel((0, 0)) == (200, 200, 200)
    assert picture_of(tmp_path, "wrist/left").parent == file.parent
    assert file == tmp_path / "params" / "preflight.json"
    content = json.loads(file.read_text())
    assert content["basis"] == "2 random decisions"
    assert content["full"] is False
    assert content["findings"][1] == {
        "level": "error",
        "subject": "success",
        "text": "It is true at once.",
        "fix": "Check its threshold.",
        "where": "",
    }


def test_errors_stop_a_run_and_warnings_do_not() -> None:
    Report([FINE, WARNED, OPEN], "").require_no_error()
    with pytest.raises(PreflightError, match=r"1\. success: It is true at once\. Check its threshold\..*decisions=0"):
        Report([FINE, WRONG], "").require_no_error()
