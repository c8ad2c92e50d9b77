# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Directories of runs: no two trainings share one."""

from __future__ import annotations

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from gr00t_rl_ext.cli import run_directory
from gr00t_rl_ext.runs.resumption import record_command, started_by


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def reserve_and_write(number: int, stamp: str | None = None) -> Path:
    with run_directory.reserved("mlp", "sweep", stamp) as (directory, used):
        assert directory.name == f"{used}_sweep"
        (directory / "model_0.pt").write_text(str(number))
    return directory


def test_trainings_that_start_in_the_same_second_have_directories_of_their_own() -> None:
    with ThreadPoolExecutor(8) as pool:
        directories = list(pool.map(reserve_and_write, range(8)))
    assert len(set(directories)) == 8
    assert sorted((directory / "model_0.pt").read_text() for directory in directories) == [str(n) for n in range(8)]
    assert {directory.parent for directory in directories} == {run_directory.LOGS.absolute() / "mlp"}


def test_a_stamp_of_the_user_is_kept_and_never_shared() -> None:
    assert reserve_and_write(0, "mine").name == "mine_sweep"
    with (
        pytest.raises(ValueError, match=r"--run_timestamp is 'mine', but .* holds another run"),
        run_directory.reserved("mlp", "sweep", "mine"),
    ):
        pass
    assert (run_directory.LOGS / "mlp" / "mine_sweep" / "model_0.pt").read_text() == "0"


def test_a_run_that_wrote_nothing_leaves_nothing() -> None:
    with pytest.raises(RuntimeError, match="before anything"), run_directory.reserved("mlp", "", None):
        raise RuntimeError("before anything was written")
    assert not list((run_directory.LOGS / "mlp").iterdir())


def test_a_run_that_only_tells_its_command_leaves_nothing() -> None:
    with run_directory.reserved("mlp", "", None) as (directory, _), started_by(["--task", "T"], None):
        record_command(directory, "mlp", "")
        assert (directory / "params" / "command.json").is_file()
    assert not list((run_directory.LOGS / "mlp").iterdir())


@pytest.mark.parametrize(("experiment", "name"), [("../..", ""), ("/abs", ""), ("mlp", "../x"), ("a/b", "")])
def test_names_stay_below_the_folder_of_logs(experiment: str, name: str) -> None:
    with pytest.raises(ValueError, match="expected a plain name"), run_directory.reserved(experiment, name, None):
        pass


def test_the_last_checkpoint_is_that_of_the_last_iteration(tmp_path: Path) -> None:
    for name in ("model_9.pt", "model_10.pt", "model_best.pt", "model_10.pt.part"):
        (tmp_path / name).touch()
    assert run_directory.model_file(tmp_path) == tmp_path / "model_10.pt"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"has no model_<iteration>.pt; it holds nothing"):
        run_directory.model_file(tmp_path / "empty")


def test_files_that_are_not_whole_are_passed_over_and_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for iteration in (1, 2, 3):
        torch.save({"iter": iteration, "w": torch.zeros(1000)}, tmp_path / f"model_{iteration}.pt")
    content = (tmp_path / "model_3.pt").read_bytes()
    (tmp_path / "model_3.pt").write_bytes(content[: len(content) // 2])
    (tmp_path / "model_4.pt").touch()
    assert run_directory.model_file(tmp_path) == tmp_path / "model_2.pt"
    printed = capsys.readouterr().out
    assert printed == f"model_4.pt, model_3.pt in {str(tmp_path)!r} is not whole: model_2.pt is taken instead.\n"
    # one that was asked for is not replaced
    assert run_directory.model_file(tmp_path / "model_3.pt") == tmp_path / "model_3.pt"


# Names of checkpoints


def made_run(
    name: str, task: str = "T-v0", agent: str = "a", models: tuple[int, ...] = (0, 10), age: float = 0.0
) -> Path:
    """The directory of a run with checkpoints, as old as told [s]."""
    run = run_directory.LOGS / "experiment" / name
    run.mkdir(parents=True)
    for number in models:
        torch.save({}, run / f"model_{number}.pt")
    manifest = run / "run.json"
    manifest.write_text(json.dumps({"library": "rsl_rl", "task": task, "metadata": {"agent": agent}}))
    os.utime(manifest, (1e9 - age, 1e9 - age))
    return run


def test_a_checkpoint_by_all_of_its_names(capsys: pytest.CaptureFixture[str]) -> None:
    run = made_run("one")
    last = (run / "model_10.pt").resolve()
    for name in (run / "model_10.pt", run, run / "latest", Path("latest")):
        assert run_directory.model_file(name) == last
        assert run_directory.names_checkpoint(name)
    assert capsys.readouterr().out == ""
    # nothing tells
    assert run_directory.model_file(run / "best") == last
    assert f"Nothing tells which checkpoint of '{run}' is the best: the last one is taken." in capsys.readouterr().out
    index: dict[str, dict[str, Any]] = {"model_0.pt": {"score": 0.9}, "model_10.pt": {"score": 0.5}}
    (run / "checkpoints.json").write_text(json.dumps(index))
    assert run_directory.model_file(Path("best")) == (run / "model_0.pt").resolve()
    assert f"model_0.pt is the best checkpoint of '{run}' while training." in capsys.readouterr().out
    index["model_0.pt"]["evaluated"], index["model_10.pt"]["evaluated"] = 0.2, 0.6
    (run / "checkpoints.json").write_text(json.dumps(index))
    assert run_directory.model_file(run / "best") == last
    assert "in evaluations." in capsys.readouterr().out
    # one that is torn, or gone, is not the best
    (run / "model_10.pt").write_bytes(b"torn")
    assert run_directory.model_file(run / "best").name == "model_0.pt"


def test_a_word_alone_is_of_the_newest_run_of_task_and_agent() -> None:
    old, new = made_run("old", age=10.0), made_run("new")
    made_run("without", models=())
    other = made_run("other", task="U-v0", agent="b", age=20.0)
    for task, agent, run in (
        (None, None, new),
        ("T-v0", "a", new),
        ("gym:T-v0", None, new),
        ("U-v0", None, other),
        (None, "b", other),
    ):
        assert run_directory.model_file(Path("latest"), task, agent).parent == run.resolve()
    os.utime(old / "run.json", (2e9, 2e9))
    assert run_directory.model_file(Path("latest")).parent == old.resolve()
    (old / "run.json").write_text("{")
    assert run_directory.model_file(Path("latest")).parent == new.resolve()
    with pytest.raises(
        ValueError, match=r"There is no run of task T-v0 of agent b with a model_\*.pt below 'logs/rsl_rl'"
    ):
        run_directory.model_file(Path("best"), "T-v0", "b")


def test_names_that_are_none() -> None:
    made_run("one", models=())
    for name, text in (
        ("nowhere.pt", "There is no checkpoint 'nowhere.pt'. Expected a model_*.pt, the directory of a run, latest or"),
        ("nowhere/best", "The directory 'nowhere' has no model_<iteration>.pt; it holds nothing. Give"),
        ("logs/rsl_rl/experiment/one", "has no model_<iteration>.pt; it holds run.json. Give the directory of a run"),
    ):
        with pytest.raises(ValueError, match=re.escape(text)):
            run_directory.model_file(Path(name))
        assert name.endswith("best") or not run_directory.names_checkpoint(Path(name))


def test_what_isaac_lab_fetches_is_left_to_it() -> None:
    assert run_directory.find_checkpoint("pretrained") is None
    assert run_directory.find_checkpoint("https://example.org/model_1.pt") is None
    run = made_run("one")
    assert run_directory.find_checkpoint("latest", "T-v0", "a") == (run / "model_10.pt").resolve()
