# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Other tasks, agents, back ends and commands, on the real simulator."""

from __future__ import annotations

import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from programs import ROOT, TASK, TASK_IK, isaaclab, run, run_directory, succeeded, train


def test_stock_train_of_discrete_actions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And with Weights & Biases as the logger, which gets every metric that TensorBoard gets."""
    from gr00t_rl_ext.cli.summary import read_scalars

    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    settings = ("--num_envs", "4", "--max_iterations", "2", "agent.num_steps_per_env=4", "agent.logger=wandb")
    task = "Isaac-Cartpole-Camera-Discrete-v0"
    succeeded(train(*settings, cwd=tmp_path, task=task, agent="gr00t_categorical_ppo"))
    scalars = read_scalars(run_directory(tmp_path, "gr00t_categorical_cartpole"))
    assert all(value <= 1e-5 for _, value in scalars["train/first_ratio_error"])
    # two control steps per decision, three choices each
    assert scalars["train/entropy_loss"][0][1] == pytest.approx(-2 * math.log(3), abs=0.05)
    (log,) = tmp_path.glob("**/offline-run-*/run-*.wandb")
    recorded = log.read_bytes()
    names = [name for name in scalars if name.startswith(("train/", "charts/", "perf/backbone"))]
    assert len(names) >= 20
    assert [name for name in names if name.encode() not in recorded] == []


def test_stock_list_envs(tmp_path: Path) -> None:
    output = succeeded(isaaclab("list_envs", cwd=tmp_path))
    assert f" {TASK} " in output
    assert f" {TASK_IK} " in output
    assert "ChunkedManagerBasedRLEnv" in output


@pytest.mark.slow  # the message itself is tested where it is made
def test_stock_train_explains_a_checkpoint_that_does_not_fit(tmp_path: Path) -> None:
    """Isaac Lab's command asks nobody before the simulator runs; the last line of its traceback is the message."""
    from gr00t_rl_ext.gr00t import build_tiny_checkpoint

    build_tiny_checkpoint(tmp_path / "small_robot", state_keys={"joint_position": 6}, action_keys={"arm": 6})
    result = train(
        *("--num_envs", "2"),
        f"agent.actor.gr00t.checkpoint={tmp_path / 'small_robot'}",
        cwd=tmp_path,
    )
    assert result.returncode != 0
    assert "Error: The task's state has 16 dimensions (joint_position 9, eef_pose 7)" in result.stderr
    assert "describe 6" in result.stderr
    assert not list(tmp_path.glob("logs/rsl_rl/*/*/model_*.pt"))


def test_the_printed_play_command_plays(tmp_path: Path) -> None:
    """Of the agent that README recommends, whose 13 decisions do not divide into the mini-batches of an update of 3
    environments; with the cameras that it was trained with."""
    task = ("--task", "Isaac-Lift-Cube-Franka-IK-Rel-v0", "--agent", "gr00t_flow_ppo_small", "--device", "cpu")
    output = succeeded(
        run(
            *(sys.executable, str(ROOT / "scripts" / "rsl_rl" / "train.py"), *task, "--num_envs", "8"),
            *("--max_iterations", "1", "--no-record", "presets=small_cameras", "physics=ovphysx"),
            cwd=tmp_path,
        )
    )
    (command,) = re.findall(r"^play: +isaaclab (.*)$", output, re.MULTILINE)
    assert command.endswith("--video --video_length 8 presets=small_cameras physics=ovphysx")
    succeeded(isaaclab(*shlex.split(command.replace("--num_envs 4", "--num_envs 3")), cwd=tmp_path))
    (video,) = tmp_path.glob("logs/rsl_rl/*/*/videos/play/*.mp4")
    assert video.stat().st_size > 1000


def test_the_printed_play_command_of_a_task_without_a_recorder(tmp_path: Path) -> None:
    """Of rsl_rl's own baseline. It plays until it is interrupted."""
    baseline = ("--agent", "rsl_rl_cfg_entry_point")
    task = ("--task", "Isaac-Cartpole-State-v0", *baseline, "--device", "cpu", "--num_envs", "4")
    script = str(ROOT / "scripts" / "rsl_rl" / "train.py")
    output = succeeded(run(sys.executable, script, *task, "--max_iterations", "1", cwd=tmp_path))
    assert "MLPModel" in output
    (command,) = re.findall(r"^play: +isaaclab (.*)$", output, re.MULTILINE)
    assert "--video" not in command
    environment = {**os.environ, "GR00T_RL_EXT_ASSETS": "offline"}
    played = subprocess.Popen(
        [sys.executable, "-m", "isaaclab", *shlex.split(command)],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # shells let what they start in the background ignore it, and the tests may be in the background
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        while not list(tmp_path.glob("logs/rsl_rl/*/*/exported/policy.onnx")):
            assert played.poll() is None, played.stdout and played.stdout.read()[-3000:]
            time.sleep(0.5)
        time.sleep(2.0)
        assert played.poll() is None, "it goes on"
    finally:
        played.send_signal(signal.SIGINT)
        try:
            printed, _ = played.communicate(timeout=60)
        finally:
            # else it would play, and slow all others, for ever
            played.kill()
    assert "Traceback" not in printed, printed[-3000:]


@pytest.mark.slow
def test_train_on_newton(tmp_path: Path) -> None:
    """Newton compiles its kernels for a minute, which a new machine has not kept."""
    output = succeeded(
        train(
            *("physics=newton_mjwarp", "--num_envs", "2", "--max_iterations", "1", "agent.num_steps_per_env=1"),
            *("agent.algorithm.num_mini_batches=1", "agent.actor.chunk_length=4"),
            cwd=tmp_path,
        )
    )
    assert "Physics       newton_mjwarp" in output
    assert "decides 4 control steps" in output
