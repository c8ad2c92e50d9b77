# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A run that goes on is the run that was never interrupted."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from faults import curves, differences
from training import AGENTS, PPO, training

from gr00t_rl_ext.runs import resumption
from gr00t_rl_ext.runs.resumption import Command, check_flag, read_command, record_command, resume_command, started_by


@pytest.mark.parametrize("name", AGENTS)
def test_six_iterations_are_three_and_three(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    agent, whole, cut = AGENTS[name], tmp_path / "whole", tmp_path / "cut"
    with training(whole, agent) as runner:
        runner.learn(6)
    with training(cut, agent) as runner:
        # it was to make six, and was killed in the fifth, after the fourth had been logged and not saved
        runner.learn(4)
        (cut / "model_3.pt").unlink()
    assert len(curves(cut)["Loss/surrogate"]) == 4
    with started_by([], cut), training(cut, agent) as runner:
        runner.load(str(cut / "model_2.pt"))
        runner.learn(6)
    assert "The environments go on where they were." in capsys.readouterr().out
    assert differences(whole / "model_5.pt", cut / "model_5.pt") == []
    assert curves(whole) == curves(cut)
    assert [step for step, _ in curves(cut)["Loss/surrogate"]] == [0, 1, 2, 3, 4, 5]


def test_the_iteration_in_a_checkpoint_is_the_next_one(tmp_path: Path) -> None:
    with training(tmp_path, PPO) as runner:
        runner.learn(2)
    saved = torch.load(tmp_path / "model_1.pt", weights_only=True)
    assert saved["iter"] == saved["iteration"] == 2


def test_a_checkpoint_of_another_run_begins_a_run_of_its_own(tmp_path: Path) -> None:
    with training(tmp_path / "first", PPO) as runner:
        runner.learn(2)
    with training(tmp_path / "second", PPO) as runner:
        runner.load(str(tmp_path / "first" / "model_1.pt"))
        runner.learn(2)
    assert torch.load(tmp_path / "second" / "model_3.pt", weights_only=True)["iter"] == 4


def test_a_run_from_another_runs_checkpoint_goes_on_to_its_own_end(tmp_path: Path) -> None:
    first, whole, cut = tmp_path / "first", tmp_path / "whole", tmp_path / "cut"
    with training(first, PPO) as runner:
        runner.learn(2)
    for directory, count in ((whole, 6), (cut, 3)):
        with training(directory, PPO) as runner:
            runner.load(str(first / "model_1.pt"))
            runner.learn(count)
    with started_by([], cut), training(cut, PPO) as runner:
        runner.load(str(cut / "model_4.pt"))
        # as many as the run was to make, not counting those before it
        runner.learn(6)
    assert differences(whole / "model_7.pt", cut / "model_7.pt") == []
    assert curves(whole) == curves(cut)


def test_only_rank_zero_goes_on_with_the_random_numbers_of_the_checkpoint(tmp_path: Path) -> None:
    """Else all ranks would explore alike."""
    with training(tmp_path, PPO) as runner:
        runner.learn(1)
        for other, goes_on in ((False, True), (True, False)):
            torch.manual_seed(11)
            own = torch.randn(3)
            torch.manual_seed(11)
            runner.logger.disable_logs = other
            runner.load(str(tmp_path / "model_0.pt"))
            assert torch.equal(torch.randn(3), own) is not goes_on


def test_a_run_that_is_at_its_end(tmp_path: Path) -> None:
    with training(tmp_path, PPO) as runner:
        runner.learn(2)
    with started_by([], tmp_path), training(tmp_path, PPO) as runner:
        runner.load(str(tmp_path / "model_1.pt"))
        with pytest.raises(ValueError, match=r"has made 2 iterations, of 2 .*such as --max_iterations 102\."):
            runner.learn(2)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"num_envs": 2}, "the checkpoint has 4 environments of Pendulum-v1, here are 2 of Pendulum-v1"),
        ({"task": "gym:MountainCarContinuous-v0"}, "here are 4 of MountainCarContinuous-v0"),
    ],
)
def test_environments_that_cannot_go_on(
    changes: dict[str, Any], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = AGENTS["rsl_rl"]
    with training(tmp_path, agent) as runner:
        runner.learn(1)
        state = runner.env.state()
    with training(None, agent, **changes) as runner:
        assert reason in runner.env.load_state(state)


def test_a_state_that_is_damaged_begins_new_episodes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "model_0.pt"
    with training(tmp_path, PPO) as runner:
        runner.learn(1)
    for change in ({"states": [torch.zeros(3, dtype=torch.uint8)] * 4}, {"flat": "none"}):
        content = torch.load(file, weights_only=True)
        content["environments"] |= change
        torch.save(content, file)
        with started_by([], tmp_path), training(tmp_path, PPO) as runner:
            runner.load(str(file))
            runner.learn(2)
        assert "The environments begin new episodes: the state " in capsys.readouterr().out


def test_an_environment_that_nobody_can_copy_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "envs")
    secret = {"task": "gym:gymnasium_toys:Count-v0", "env_kwargs": {"secret": True}}
    with training(tmp_path, PPO, **secret) as runner:
        runner.learn(1)
    with started_by([], tmp_path), training(tmp_path, PPO, **secret) as runner:
        runner.load(str(tmp_path / "model_0.pt"))
        runner.learn(2)
    assert "begin new episodes: the checkpoint does not hold their state." in capsys.readouterr().out


# The command of a run


def test_the_command_of_a_run_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with started_by(["--task", "T", "agent.x=a b"], None):
        record_command(tmp_path, "experiment", "name")
    assert read_command(tmp_path) == Command(["--task", "T", "agent.x=a b"], "experiment", "name")
    # Isaac Lab's own, whose sys.argv is Hydra's by then
    stock = ["python", "/bin/isaaclab", "train", "--rl_library", "rsl_rl", "--task", "T", "agent.x=1"]
    monkeypatch.setattr(sys, "orig_argv", stock)
    record_command(tmp_path, "another", "")
    assert read_command(tmp_path).experiment == "experiment", "the first one stays"
    (tmp_path / "stock").mkdir()
    record_command(tmp_path / "stock", "experiment", "")
    expected = ["--task", "T", "agent.x=1", "--as_given", "--no-record"]
    assert read_command(tmp_path / "stock") == Command(expected, "experiment", "")
    # a program of somebody's own
    monkeypatch.setattr(sys, "orig_argv", ["python", "mine.py"])
    (tmp_path / "other").mkdir()
    record_command(tmp_path / "other", "experiment", "")
    assert not (tmp_path / "other" / "params").exists()


OTHERS = {"experiment": "experiment", "run_name": ""}


def test_a_command_that_cannot_be_read(tmp_path: Path) -> None:
    for content in (None, "{", "[]", json.dumps(OTHERS | {"arguments": [1]}), json.dumps(OTHERS | {"arguments": 3})):
        if content is not None:
            (tmp_path / "params").mkdir(exist_ok=True)
            (tmp_path / "params" / "command.json").write_text(content)
        with pytest.raises(ValueError, match=r"cannot be resumed by its directory alone: .*--checkpoint"):
            read_command(tmp_path)


def test_the_flag_that_isaac_lab_takes_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    check_flag()
    monkeypatch.setattr(sys, "orig_argv", ["python", "isaaclab", "train", "--task", "T", "--resume"])
    advice = re.escape(f"To go on with a run in its own directory: {resumption.RESUME} RUN")
    with pytest.raises(ValueError, match=advice):
        check_flag()
    # scripts/rsl_rl/train.py, which has taken it off
    with started_by(["--task", "T"], None):
        check_flag()


def test_the_command_to_go_on_bears_blanks() -> None:
    assert resume_command(Path("a b")) == "./isaaclab.sh -p scripts/rsl_rl/train.py --resume 'a b'"
