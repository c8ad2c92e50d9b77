# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""``train.py --resume``: the command line of a run that goes on."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from gr00t_rl_ext.cli.resume import expand
from gr00t_rl_ext.cli.run_directory import LOGS

RECORDED = ["--task", "T-v0", "--agent", "a", "agent.seed=3"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def made_run(
    directory: str = "2026-01-01_00-00-00_mine", name: str = "mine", recorded: Sequence[str] = RECORDED
) -> Path:
    run = LOGS / "experiment" / directory
    (run / "params").mkdir(parents=True)
    command = {"arguments": list(recorded), "experiment": "experiment", "run_name": name}
    for number in (0, 9, 10):
        torch.save({}, run / f"model_{number}.pt")
    (run / "params" / "command.json").write_text(json.dumps(command))
    (run / "run.json").write_text(json.dumps({"task": "T-v0", "metadata": {"agent": "a"}}))
    return run


def place(run: Path, stamp: str = "2026-01-01_00-00-00") -> list[str]:
    return ["--checkpoint", str((run / "model_10.pt").absolute()), "--run_timestamp", stamp]


def test_without_the_flag_nothing_changes() -> None:
    assert expand(["--task", "T"]) == (["--task", "T"], None)


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        ((), (), []),
        (("--max_iterations", "9"), (), ["--max_iterations", "9"]),
        (("--max_iterations", "9"), ("agent.seed=4",), ["--max_iterations", "9", "agent.seed=4"]),
    ],
)
def test_a_run_is_named(before: tuple[str, ...], after: tuple[str, ...], kept: list[str]) -> None:
    run = made_run()
    expected = [*RECORDED, *kept, *place(run)], run.absolute()
    assert expand([*before, "--resume", str(run), *after]) == expected
    assert expand([*before, f"--resume={run}", *after]) == expected


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["--resume"], []),
        (["--resume", "--max_iterations", "9"], ["--max_iterations", "9"]),
        (["--task", "T-v0", "--resume"], ["--task", "T-v0"]),
        (["--resume", "agent.seed=4"], ["agent.seed=4"]),
        (["--resume", "latest"], []),
    ],
)
def test_without_a_name_it_is_the_latest(given: list[str], kept: list[str]) -> None:
    run = made_run()
    expanded, directory = expand(given)
    assert directory == run.absolute()
    assert sorted(expanded) == sorted([*RECORDED, *kept, *place(run)])


def test_a_run_without_a_name_of_its_own() -> None:
    run = made_run("2026-01-01_00-00-00", "")
    assert expand(["--resume", str(run)])[0] == [*RECORDED, *place(run)]


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (["--resume", "nowhere"], "--resume needs the directory of a run, and 'nowhere' is none."),
        (["--resume", "{run}/model_9.pt"], "model_9.pt' is none. Give its directory: logs/rsl_rl/experiment/"),
        (["--resume", "{run}", "--checkpoint", "x"], "goes on from the last checkpoint of the run. Leave --checkpoint"),
        (["--resume", "--task", "U-v0"], "There is no run of task U-v0 with a command.json below 'logs/rsl_rl'"),
    ],
)
def test_what_cannot_be_resumed(given: list[str], text: str) -> None:
    run = made_run()
    with pytest.raises(ValueError, match=re.escape(text)):
        expand([item.format(run=run) for item in given])


def test_runs_that_cannot_go_on() -> None:
    run = made_run()
    moved = Path("moved")
    run.rename(moved)
    with pytest.raises(ValueError, match=r"lies elsewhere than in .*logs/rsl_rl/experiment.* Change to the directory"):
        expand(["--resume", str(moved)])
    moved.rename(run)
    (run / "params" / "command.json").unlink()
    with pytest.raises(ValueError, match=r"cannot be resumed by its directory alone: .*params/command\.json"):
        expand(["--resume", str(run)])


def test_a_run_that_ended_before_its_first_checkpoint_begins_again(capsys: pytest.CaptureFixture[str]) -> None:
    run = made_run()
    for file in run.glob("model_*"):
        file.unlink()
    expected = [*RECORDED, "--run_timestamp", "2026-01-01_00-00-00"], run.absolute()
    assert expand(["--resume", str(run)]) == expected
    assert "It ended before its first checkpoint, and begins again." in capsys.readouterr().out
