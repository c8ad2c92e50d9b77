# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Directories of runs: no two trainings share one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from gr00t_rl_ext.cli import run_directory


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
