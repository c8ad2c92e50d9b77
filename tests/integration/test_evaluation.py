# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""scripts/rsl_rl/eval.py on the real simulator."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gr00t_rl_ext.evaluation import report
from gr00t_rl_ext.imitation.video import read_video

ROOT = Path(__file__).parents[2]
TASK = "Isaac-Stack-Cube-Franka-IK-Rel-v0"


def run(script: str, *arguments: str, cwd: Path) -> None:
    """Run a script of ours on the plain MLP agent."""
    common = ("--task", TASK, "--agent", "mlp_ppo", "--device", "cpu", "presets=small_cameras")
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "rsl_rl" / script), *common, *arguments],
        cwd=cwd,
        env={**os.environ, "GR00T_RL_EXT_ASSETS": "offline"},
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def test_checkpoints_begin_in_the_same_states(tmp_path: Path) -> None:
    """The base, a checkpoint of it, and one that acts differently, in two batches, of which the last is not full."""
    train = ("--num_envs", "2", "--max_iterations", "1", "--run_timestamp", "run", "agent.num_steps_per_env=2")
    run("train.py", *train, cwd=tmp_path)
    checkpoint = tmp_path / "logs" / "rsl_rl" / "mlp_stack_cube_franka" / "run" / "model_0.pt"
    saved = torch.load(checkpoint, weights_only=True)
    for name, value in saved["actor_state_dict"].items():
        if name.endswith("mlp.6.bias"):
            value.fill_(0.5)
    torch.save(saved, tmp_path / "other.pt")
    saved["actor_state_dict"] = saved["reference_state_dict"]
    torch.save(saved, tmp_path / "same.pt")
    settings = ("--num_envs", "3", "--episodes", "5", "--half-width", "0.4", "--videos", "1")
    checkpoints = ("--checkpoint", "base", "other.pt", "same.pt", "env.episode_length_s=0.6")
    run("eval.py", *settings, *checkpoints, "--out", "results.json", cwd=tmp_path)
    base, other, same = report.load(tmp_path / "results.json")
    assert len(set(base.initial_states)) == 5
    assert base.lengths == (12,) * 5
    assert base.successes == (False,) * 5
    # what another policy did in between leaves no trace, but for the contacts that PhysX keeps: 2e-6 of a return
    assert same.returns == pytest.approx(base.returns, rel=1e-4)
    pairs = zip(other.returns, base.returns, strict=True)
    assert all(ours != pytest.approx(theirs, rel=1e-3) for ours, theirs in pairs)
    videos = list((tmp_path / "results" / "base").iterdir())
    assert [video.name for video in videos] == ["failure_0000.mp4"]
    # every fourth control step, and the last image for 0.4 s
    assert read_video(videos[0], 3 + 2).shape[1:] == (64, 128, 3)
