# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""docs/metrics.md names what the code logs, no more and no less, and its curves are those of the committed files."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
import torch
from toy_agents import grpo_runner, ppo, stock_runner

from gr00t_rl_ext.algorithms.statistics import RolloutStatistics
from gr00t_rl_ext.cli.summary import read_scalars

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "metrics.md").read_text()
ROWS = re.findall(r"^\| `([\w/<>]+)` \|", PAGE, re.MULTILINE)
"""Names with a row of their own; ``<...>`` stands for a name or a number."""


def pattern(row: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"<\w+>", r"\\w+", row))


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """What PPO and GRPO write into TensorBoard."""
    names: set[str] = set()
    for name, runner in (
        ("ppo", lambda folder: stock_runner(ppo(schedule="adaptive", desired_kl=0.01), log_dir=folder)),
        ("grpo", lambda folder: grpo_runner(log_dir=folder, kl_to_base_coef=0.01, outcome="return")),
    ):
        folder = tmp_path_factory.mktemp(name)
        runner(folder).learn(2)
        names |= read_scalars(folder).keys()
    # of a worker that had to be started again
    statistics = RolloutStatistics()
    statistics.record(torch.ones(2), torch.ones(2))
    statistics.dropped = 1
    # of several tasks, see test_several_tasks.py
    several = RolloutStatistics(("lift",), ("whole",))
    several.record(torch.ones(2), torch.ones(2))
    some = torch.ones(2)
    several.report_episodes(some > 0, some, some, some > 0, torch.zeros(2, dtype=torch.long))
    return names | statistics.metrics().keys() | several.metrics().keys() | {"tasks/lift/share", "starts/whole/share"}


def test_every_metric_has_a_row(logged: set[str]) -> None:
    assert [name for name in sorted(logged) if not any(pattern(row).fullmatch(name) for row in ROWS)] == []


def test_every_row_is_a_metric(logged: set[str]) -> None:
    assert len(ROWS) == len(set(ROWS))
    assert [row for row in ROWS if not any(pattern(row).fullmatch(name) for name in logged)] == []


@pytest.mark.parametrize(
    ("heading", "file", "label"),
    [
        ("A healthy run", "lift.csv", "4 steps executed, 44 %"),
        ("An unhealthy run", "fetch_pick_and_place.csv", "Gaussian adapter, PPO"),
    ],
)
def test_curves_are_those_of_the_files(heading: str, file: str, label: str) -> None:
    with (DOCS / "results" / file).open() as lines:
        run = {row["iteration"]: row for row in csv.DictReader(lines) if (row["label"], row["seed"]) == (label, "1")}
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    header, *rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in re.findall(r"^\| *(?:Iteration|\d+) \|.*$", section, re.MULTILINE)
    ]
    assert len(rows) >= 5
    for iteration, *values in rows:
        for name, value in zip(header[1:], values, strict=True):
            decimals = len(value.partition(".")[2])
            assert round(float(run[iteration][name]), decimals) == float(value), (iteration, name)
