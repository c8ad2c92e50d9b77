# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Whether LeRobot reads our datasets: the comparison, without LeRobot, and the command as a whole (slow)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tools.layered_environment import OracleError
from tools.lerobot import dataset_command

from gr00t_rl_ext.imitation import layout
from gr00t_rl_ext.imitation.dataset import DemonstrationDataset
from gr00t_rl_ext.imitation.lerobot_dataset import DatasetFormat, Episode, LeRobotWriter

SCRIPT = Path(__file__).parents[2] / "scripts/lerobot_dataset_check.py"
SIZE = (16, 24)


def episode(steps: int, task: str, success: bool = True) -> Episode:
    """An episode with random numbers and images."""
    random = np.random.default_rng(steps)
    return Episode(
        state=random.normal(size=(steps, 5)).astype(np.float32),
        action=random.uniform(-1, 1, size=(steps, 3)).astype(np.float32),
        reward=np.zeros(steps, np.float32),
        images={name: random.integers(0, 255, (steps, *SIZE, 3), dtype=np.uint8) for name in ("front", "side")},
        instruction=task,
        success=success,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks, an episode of one step, and a failure. Not to be changed."""
    directory = tmp_path_factory.mktemp("lerobot") / "data"
    keys = {"state": {"joints": 3, "pose": 2}, "action": {"arm": 2, "gripper": 1}}
    cameras = {"front": SIZE, "side": SIZE}
    writer = LeRobotWriter(directory, DatasetFormat(fps=20, cameras=cameras, robot_type="made", **keys))
    for one in (episode(6, "lift"), episode(1, "stack"), episode(4, "lift", success=False)):
        writer.add(one)
    return directory


Change = Callable[[dict[str, Any], dict[str, Any]], None]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[Change], None]:
    """Puts our reader in LeRobot's place; what it says of the dataset and of the second episode can be changed."""

    def put(change: Change) -> None:
        def read(dataset: Path, episodes: int, folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
            read_by_us = DemonstrationDataset(dataset, only_successes=False)
            vectors = {layout.STATE: "state", layout.ACTION: "action"}
            known = {column: read_by_us.statistics[kind] for column, kind in vectors.items()}
            facts: dict[str, Any] = {
                "episodes": len(read_by_us),
                "frames": sum(map(len, read_by_us)),
                "fps": 20,
                "tasks": [sorted(set(one.instructions)) for one in read_by_us][:episodes],
                "stats": {
                    column: {
                        name: [number for key in keys.values() for number in key[name]]
                        for name in ("mean", "std", "min", "max")
                    }
                    for column, keys in known.items()
                },
            }
            (folder / "outputs").mkdir()
            for index, one in enumerate(list(read_by_us)[:episodes]):
                columns = {column: np.hstack(list(getattr(one, kind).values())) for column, kind in vectors.items()}
                columns["timestamp"] = np.arange(len(one)) / 20
                for camera in read_by_us.cameras:
                    columns[layout.video_column(camera)] = np.moveaxis(one.images(camera), -1, 1)
                if index == 1:
                    change(facts, columns)
                np.savez(folder / "outputs" / f"episode_{index}.npz", **columns)
            return facts, {"lerobot": "0"}

        monkeypatch.setattr(dataset_command, "read_with_lerobot", read)

    return put


def _images(columns: dict[str, Any], change: int) -> None:
    columns["observation.images.side"] = columns["observation.images.side"].astype(int) + change


@pytest.mark.parametrize(
    ("change", "code", "shown"),
    [
        (lambda facts, columns: None, 0, "3 episodes, 11 frames, 20 fps: the same"),
        (lambda facts, columns: _images(columns, 2), 0, "2.0e+00"),
        (lambda facts, columns: _images(columns, 4), 1, "too large"),
        (lambda facts, columns: columns["action"].__iadd__(1e-6), 1, "too large"),
        (lambda facts, columns: columns["timestamp"].__iadd__(0.05), 1, "too large"),
        (lambda facts, columns: columns.update(action=np.zeros((2, 3))), 1, "too large"),
        (lambda facts, columns: facts["tasks"].__setitem__(1, ["lift"]), 1, "too large"),
        (lambda facts, columns: facts.update(frames=10), 1, "frames: ours 11, LeRobot's 10"),
        (lambda facts, columns: facts["stats"]["action"].update(std=[9.0] * 3), 1, "std of action: ours "),
    ],
)
def test_the_exit_code_says_whether_they_agree(
    data: Path,
    stand_in: Callable[[Change], None],
    capsys: pytest.CaptureFixture[str],
    change: Change,
    code: int,
    shown: str,
) -> None:
    stand_in(change)
    assert dataset_command.main([str(data)]) == code
    output = capsys.readouterr().out
    assert "differences to lerobot 0" in output
    assert "all 3 episodes" in output
    assert shown in output


def test_what_cannot_be_compared_is_said(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OracleError("LeRobot's process ended with 1")

    monkeypatch.setattr(dataset_command, "read_with_lerobot", fail)
    for arguments, text in (
        ([tmp_path / "nowhere"], "There is no directory"),
        ([data, "--episodes", "0"], "--episodes is 0; expected at least 1"),
        ([data], "LeRobot's process ended with 1"),
    ):
        assert dataset_command.main([str(argument) for argument in arguments]) == 2
        assert text in capsys.readouterr().err


@pytest.mark.slow
def test_lerobot_reads_what_we_wrote(data: Path) -> None:
    before = {file: file.read_bytes() for file in data.rglob("*") if file.is_file()}
    done = subprocess.run([sys.executable, str(SCRIPT), str(data)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 episodes, 11 frames, 20 fps: the same" in done.stdout
    assert before == {file: file.read_bytes() for file in data.rglob("*") if file.is_file()}
