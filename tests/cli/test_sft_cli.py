# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""scripts/sft.py: from a dataset to a checkpoint, resumed, and one message for what cannot work."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from gr00t_rl_ext.cli import sft
from gr00t_rl_ext.gr00t import build_tiny_checkpoint, load_gr00t
from gr00t_rl_ext.imitation import layout
from gr00t_rl_ext.imitation.dataset import DemonstrationDataset
from gr00t_rl_ext.imitation.lerobot_dataset import DatasetFormat, Episode, LeRobotWriter
from gr00t_rl_ext.imitation.sft_run import SftRun

SIZE = (32, 32)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three episodes of four steps with the state in place of the action."""
    directory = tmp_path_factory.mktemp("sft") / "data"
    one = DatasetFormat(fps=20, state={"arm": 2}, action={"arm": 2}, cameras={"front": SIZE}, robot_type="made")
    writer, random = LeRobotWriter(directory, one), np.random.default_rng(0)
    for _ in range(3):
        state = random.normal(size=(4, 2)).astype(np.float32)
        images = {"front": random.integers(0, 256, (4, *SIZE, 3), dtype=np.uint8)}
        writer.add(Episode(state, state, np.zeros(4, np.float32), images, "lift the red cube", success=True))
    return directory


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_checkpoint(tmp_path_factory.mktemp("sft") / "base", image_size=28, horizon=4)


def run(data: Path, checkpoint: Path | str, out: Path, *more: str) -> int:
    arguments = ["--dataset", str(data), "--checkpoint", str(checkpoint), "--out", str(out), "--device", "cpu"]
    return sft.main([*arguments, "--steps", "4", "--batch-size", "4", "--eval-every", "2", *more])


def test_a_run(
    data: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "200")
    assert run(data, base, tmp_path / "out") == 0
    printed = capsys.readouterr()
    for text in (
        "keeping 8 frames: 0.1 MiB in memory",
        "3 episodes, 12 frames, 1 cameras",
        "2 to learn from, 1 to measure on",
        "every 2 steps, actions sampled with noise scale 1",
        "arm ",
        f"--agent gr00t_flow_ppo agent.actor.gr00t.checkpoint={tmp_path / 'out'}",
    ):
        assert text in printed.out
    assert "step      2: loss" in printed.err
    rows = (tmp_path / "out/sft/curve.csv").read_text().splitlines()
    assert [row.partition(",")[0] for row in rows] == ["step", "2", "4"]
    assert load_gr00t(tmp_path / "out").action_horizon == 4


def test_small_is_made_for_the_dataset(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "200")
    assert run(data, "small", tmp_path / "out", "--horizon", "3", "--steps", "1", "--noise-scale", "0") == 0
    assert "every 2 steps, actions sampled with noise scale 0" in " ".join(capsys.readouterr().out.split())
    model = load_gr00t(tmp_path / "out")
    assert (model.action_horizon, model.backbone.image_size) == (3, 32)


def test_an_interrupted_run_goes_on(
    data: Path, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert run(data, base, tmp_path / "straight") == 0
    evaluate = SftRun.evaluate

    def interrupt(self: SftRun, train_loss: float):
        result = evaluate(self, train_loss)
        if self.trainer.steps_done == 2:
            raise KeyboardInterrupt
        return result

    with monkeypatch.context() as patch:
        patch.setattr(SftRun, "evaluate", interrupt)
        assert run(data, base, tmp_path / "out") == 130
    assert "the same command with --resume" in capsys.readouterr().out
    assert run(data, base, tmp_path / "out", "--resume") == 0
    straight, resumed = (load_gr00t(tmp_path / name, dtype=torch.float32) for name in ("straight", "out"))
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in straight.state_dict().items())
    rows = (tmp_path / "out/sft/curve.csv").read_text()
    assert rows == (tmp_path / "straight/sft/curve.csv").read_text()


def test_what_cannot_work(data: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def said(*arguments, code: int = 2) -> str:
        assert run(*arguments) == code
        text = capsys.readouterr().err.strip().splitlines()
        assert text[-1].startswith("error: ")
        return text[-1]

    out = tmp_path / "out"
    no_modality = shutil.copytree(data, tmp_path / "data")
    (no_modality / "meta/modality.json").unlink()
    assert "has no meta/modality.json" in said(no_modality, base, out)
    no_video = shutil.copytree(data, tmp_path / "no_video")
    next(no_video.glob("videos/*/*/*.mp4")).write_bytes(b"no")
    assert "cannot be decoded" in said(no_video, base, out)
    no_rows = shutil.copytree(data, tmp_path / "no_rows")
    (no_rows / "data/chunk-000/episode_000000.parquet").write_bytes(b"no")
    assert "episode_000000.parquet' cannot be read as parquet" in said(no_rows, base, out)
    no_success = shutil.copytree(data, tmp_path / "no_success")
    episodes = no_success / "meta/episodes.jsonl"
    episodes.write_text(episodes.read_text().replace("true", "false"))
    assert "None of the 3 episodes" in (text := said(no_success, base, out))
    assert "--keep-failures" in text
    narrow = build_tiny_checkpoint(tmp_path / "narrow", horizon=4, max_action_dim=1, action_keys={"gripper": 1})
    assert "2 dimensions exceed max_action_dim = 1: arm (2" in said(data, narrow, out)
    other = build_tiny_checkpoint(tmp_path / "other", horizon=4, action_keys={"arm": 3}, state_keys={"arm": 2})
    text = said(data, other, out, "--keep-statistics")
    assert "describe the action as arm 3, but the dataset has arm 2. Leave out --keep-statistics" in text
    assert "There is no directory" in said(tmp_path / "nothing", base, out)
    assert "no such directory" in said(data, tmp_path / "nothing", out)
    assert "has no config.json" in said(data, data, out)
    assert "no camera 'wrist'; it has front" in said(data, base, out, "--cameras", "wrist")
    assert "--eval-every is 0" in said(data, base, out, "--eval-every", "0")
    assert "--steps is 0" in said(data, base, out, "--steps", "0")
    for scale in ("-1", "inf"):
        text = said(data, base, out, "--noise-scale", scale)
        assert text.endswith(f"--noise-scale is {float(scale)}; expected a finite number of at least 0.")
    assert "holds no run to resume" in said(data, base, out, "--resume")
    assert "the checkpoint to start from" in said(data, base, base)
    assert not out.exists()
    assert list(tmp_path.glob(".*")) == [], "nothing half written"


@pytest.mark.parametrize(
    ("session", "cameras", "size", "command"),
    [
        (None, ["front"], 10**6, "--task TASK --agent gr00t_flow_ppo agent.actor.gr00t.checkpoint=/out"),
        (
            {"task": "gym:FetchReach-v4", "agent": "gr00t_flow_ppo", "overrides": ["env.image_size=[32,32]"]},
            ["front"],
            10**6,
            "--task gym:FetchReach-v4 --agent gr00t_flow_ppo_small 'env.image_size=[32,32]'"
            " agent.actor.gr00t.checkpoint=/out",
        ),
        (
            {"task": "gym:FetchReach-v4", "agent": "gr00t_flow_ppo_small", "overrides": ["env.cameras=[front,side]"]},
            ["side"],
            3 * 10**9,
            "--task gym:FetchReach-v4 --agent gr00t_flow_ppo_small 'env.cameras=[side]'"
            " agent.actor.gr00t.checkpoint=/out",
        ),
        (
            {"task": "Isaac-Lift-Cube-Franka-IK-Rel-v0", "overrides": ["presets=small_cameras"]},
            ["table_cam", "wrist_cam"],
            10**6,
            "--task Isaac-Lift-Cube-Franka-IK-Rel-v0 --agent gr00t_flow_ppo_small presets=small_cameras"
            " agent.actor.gr00t.checkpoint=/out",
        ),
        (
            {"task": "Isaac-Lift-Cube-Franka-IK-Rel-v0", "overrides": ["presets=small_cameras"]},
            ["table_cam", "wrist_cam"],
            3 * 10**9,
            "--task Isaac-Lift-Cube-Franka-IK-Rel-v0 --agent gr00t_flow_ppo presets=small_cameras"
            " agent.actor.gr00t.checkpoint=/out",
        ),
    ],
)
def test_the_command_that_comes_next_fits_the_demonstrations(
    data: Path, tmp_path: Path, session: dict | None, cameras: list[str], size: int, command: str
):
    directory = shutil.copytree(data, tmp_path / "data")
    if session is not None:
        content = {"sessions": [{"task": "another"}, session]}
        (directory / layout.RECORDING).write_text(json.dumps(content))
    dataset = DemonstrationDataset(directory)
    assert dataset.cameras == ["front"]
    known: Any = SimpleNamespace(dataset=dataset, settings={"cameras": cameras}, num_parameters=size)
    assert sft.training_command(known, Path("/out")) == f"./isaaclab.sh -p scripts/rsl_rl/train.py {command}"


def test_settings_of_a_resumed_run(data: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run(data, base, tmp_path / "out", "--steps", "1") == 0
    assert run(data, base, tmp_path / "out") == 2
    assert "is not empty" in capsys.readouterr().err
    assert run(data, base, tmp_path / "out", "--resume", "--seed", "3") == 2
    assert "now steps 4, then 1; seed 3, then 0" in capsys.readouterr().err
