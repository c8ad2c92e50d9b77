# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""run_lock: two trainings never write into one directory."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from training import AGENTS, training

from gr00t_rl_ext.cli.run_directory import reserved
from gr00t_rl_ext.runs.run_lock import RunLock
from gr00t_rl_ext.runs.supervision import Supervision, of_runner


def test_a_directory_belongs_to_one_training_as_long_as_it_lives(tmp_path: Path) -> None:
    first = RunLock(str(tmp_path))
    with pytest.raises(ValueError, match=r"Another training writes into .* in the same second.*--run_name"):
        RunLock(str(tmp_path))
    (tmp_path / "named").mkdir()
    other = RunLock(str(tmp_path / "named"))
    del first
    RunLock(str(tmp_path))
    assert other
    assert [path.name for path in tmp_path.iterdir()] == ["named"], "nothing is left there"


def test_a_place_that_cannot_be_kept_is_used_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = str(tmp_path / "missing")
    assert RunLock(missing) is not RunLock(missing)

    def without_locks(*_: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", without_locks)
    unkept = RunLock(str(tmp_path))
    monkeypatch.undo()
    kept = RunLock(str(tmp_path))
    with pytest.raises(ValueError, match="Another training writes into"):
        RunLock(str(tmp_path))
    assert unkept is not kept


@pytest.mark.parametrize("agent", ["ppo", "rsl_rl"])
def test_training_keeps_it_until_it_ends(tmp_path: Path, agent: str) -> None:
    with training(tmp_path / "run", AGENTS[agent]) as runner:
        with Supervision(runner, 1), training(tmp_path / "run", AGENTS[agent]) as other:
            with pytest.raises(ValueError, match="a run that has not ended"):
                other.learn(1)
            assert of_runner(other) is None
        runner.learn(1)


def test_a_run_that_still_trains_is_not_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    trains = RunLock(run)
    with pytest.raises(ValueError, match="a run that has not ended"), reserved("task", "", "run", run):
        pass
    del trains
    with reserved("task", "", "run", run) as (directory, _):
        assert directory == run
