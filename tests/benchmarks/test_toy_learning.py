# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The curves of the toy task: rows, summary and files."""

from __future__ import annotations

import csv
from pathlib import Path

import curves
import pytest
import toy_learning


def test_it_writes_the_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, picture = tmp_path / "new" / "curves.csv", tmp_path / "new" / "curves.png"
    toy_learning.main(
        ["--seeds", "1", "--iterations", "2", "--every", "1", "--csv", str(table), "--plot", str(picture)]
    )
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["algorithm"], row["iteration"]) for row in rows] == [
        (name, str(done)) for name in toy_learning.LEARNERS for done in range(3)
    ]
    steps = [int(row["control_steps"]) for row in rows[:3]]
    assert steps == sorted(set(steps)), "more with every iteration"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert not list(table.parent.glob("*.partial"))
    assert "GRPO, groups of 8: 95% in 0 of 1 seeds, never" in capsys.readouterr().out


def test_the_summary_takes_the_first_time_that_the_target_is_reached() -> None:
    rows = [
        {"seed": seed, "iteration": done, "control_steps": 100 * done, "success": success}
        for seed, curve in enumerate([(0.1, 0.96, 0.9), (0.1, 0.2, 0.99)])
        for done, success in enumerate(curve)
    ]
    text = curves.summary(toy_learning.curves("GRPO", rows), 0.95, "control steps", percent=True)
    assert text == "GRPO: 95% in 2 of 2 seeds, after 150 control steps (median); median at the end 94.5%"


def test_a_number_of_seeds_below_one_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        toy_learning.main(["--seeds", "0"])
    assert "must be at least 1" in capsys.readouterr().err
