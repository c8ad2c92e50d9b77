# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The processes of a training on Gymnasium tasks."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_resume import made_run

from gr00t_rl_ext.cli.processes import Process
from gr00t_rl_ext.cli.resume import expand


def several(monkeypatch: pytest.MonkeyPatch, rank: int = 1, count: int = 2) -> None:
    for name, value in (("RANK", rank), ("LOCAL_RANK", rank), ("WORLD_SIZE", count)):
        monkeypatch.setenv(name, str(value))


def test_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Process.current(distributed=False) == Process(0, 0, 1)
    assert Process.current(False).device("cuda:3") == "cuda:3"
    assert Process.current(False).share_run((Path("run"), "stamp")) == (Path("run"), "stamp")


def test_of_several_each_has_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    several(monkeypatch)
    process = Process.current(distributed=True)
    assert process == Process(1, 1, 2)
    assert (process.device("cuda:0"), process.device("cpu")) == ("cuda:1", "cpu")


def test_what_was_started_and_what_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"torch\.distributed\.run --nproc_per_node 2 scripts/rsl_rl/train\.py"):
        Process.current(distributed=True)
    several(monkeypatch)
    with pytest.raises(ValueError, match="There are 2 processes. Add --distributed, so that they train one policy."):
        Process.current(distributed=False)


def test_rank_zero_alone_prints(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for rank, printed in ((0, "hello\n"), (1, "")):
        with Process(rank, rank, 2).quiet():
            print("hello")
        assert capsys.readouterr().out == printed


def test_a_run_goes_on_in_another_number_of_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = made_run(recorded=["--task", "T-v0", "--distributed"])
    assert "--distributed" not in expand(["--resume", str(run)])[0]
    several(monkeypatch)
    assert expand(["--resume", str(run)])[0].count("--distributed") == 1
