# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What reaches W&B, in a run that is logged to files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gr00t_rl_ext.imitation.video import write_video


def test_a_video_is_uploaded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wandb = pytest.importorskip("wandb")
    from gr00t_rl_ext.runs.wandb_writer import WandbWriter

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staged"))
    # it reads the environment once in a process, where another test may have used it
    wandb.teardown()
    run = tmp_path / "run"
    (run / "videos").mkdir(parents=True)
    write_video(run / "videos" / "iteration_0.mp4", np.zeros((4, 32, 32, 3), np.uint8), 10)
    writer = WandbWriter(str(run), "project")
    try:
        # as rsl_rl's logger does it in every iteration; W&B's own copies lie below the run as well
        for iteration in range(4):
            writer.add_scalar("reward", 0.0, iteration)
            for video in list(run.rglob("*.mp4")):
                writer.save_video(video, iteration)
    finally:
        writer.stop()
    assert len(list(run.rglob("*.mp4"))) == 2, "the video and the copy of it"
    assert "WARNING" not in capsys.readouterr().out
