# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""run_lock: two trainings never write into one directory."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest
from policies import POLICIES
from tiny_policy import observations

from gr00t_rl_ext.algorithms.ppo import Gr00tPPO
from gr00t_rl_ext.runs.run_lock import RunLock


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
    RunLock(str(tmp_path / "missing"))

    def without_locks(*_: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", without_locks)
    RunLock(str(tmp_path))


def test_training_keeps_it_and_playing_does_not(tmp_path: Path) -> None:
    def make() -> Gr00tPPO:
        alg = Gr00tPPO(POLICIES["gaussian"].build(), observations(2), 2, num_mini_batches=2)
        alg.run_directory = str(tmp_path)
        return alg

    first, second = make(), make()
    first.train_mode()
    first.train_mode()
    second.eval_mode()
    with pytest.raises(ValueError, match="Another training writes into"):
        second.train_mode()
