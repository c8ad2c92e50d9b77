# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Other tasks, agents, back ends and commands, on the real simulator."""

from __future__ import annotations

import math
import sys
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


def test_stock_train_of_the_mlp_baseline(tmp_path: Path) -> None:
    output = succeeded(
        train(
            *("--num_envs", "16", "--max_iterations", "2", "agent.num_steps_per_env=8"),
            cwd=tmp_path,
            task=TASK_IK,
            agent="rsl_rl_cfg_entry_point",
        )
    )
    assert "MLPModel" in output
    assert (run_directory(tmp_path, "rsl_rl_stack_cube_franka") / "model_1.pt").is_file()


def test_stock_list_envs(tmp_path: Path) -> None:
    output = succeeded(isaaclab("list_envs", cwd=tmp_path))
    assert f" {TASK} " in output
    assert f" {TASK_IK} " in output
    assert "ChunkedManagerBasedRLEnv" in output


def test_stock_train_explains_a_checkpoint_that_does_not_fit(tmp_path: Path) -> None:
    """The stock command has no preflight: the message comes once the simulator runs, without a traceback."""
    from gr00t_rl_ext.gr00t import build_tiny_checkpoint

    build_tiny_checkpoint(tmp_path / "small_robot", state_keys={"joint_position": 6}, action_keys={"arm": 6})
    result = train(
        *("--num_envs", "2"),
        f"agent.actor.gr00t.checkpoint={tmp_path / 'small_robot'}",
        cwd=tmp_path,
    )
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert "error: The task's state has 16 dimensions (joint_position 9, eef_pose 7)" in result.stderr
    assert "describe 6" in result.stderr
    assert not list(tmp_path.glob("logs/rsl_rl/*/*/model_*.pt"))


def test_train_script_with_the_small_profile(tmp_path: Path) -> None:
    output = succeeded(
        run(
            *(sys.executable, str(ROOT / "scripts" / "rsl_rl" / "train.py"), "--task", TASK, "--agent", "gr00t_ppo"),
            *("--device", "cpu", "--max_iterations", "2", "agent.num_steps_per_env=2", "--no-record"),
            cwd=tmp_path,
        )
    )
    assert "small (cpu)" in output
    assert "tiny random GR00T: a demonstration of the pipeline, not a trained policy" in output
    assert "table_cam 64 x 64 px, wrist_cam 64 x 64 px" in output
    summary = output[output.index("Summary") :]
    for text in (
        "mean reward per control step",
        "first",
        "last",
        "env steps/s",
        "checkpoint: ",
        "tensorboard --logdir",
    ):
        assert text in summary, text
    assert (run_directory(tmp_path, "gr00t_stack_cube_franka") / "model_1.pt").is_file()


def test_train_on_newton(tmp_path: Path) -> None:
    output = succeeded(
        train(
            *("physics=newton_mjwarp", "--num_envs", "2", "--max_iterations", "1", "agent.num_steps_per_env=1"),
            *("agent.algorithm.num_mini_batches=1", "agent.actor.chunk_length=4"),
            cwd=tmp_path,
        )
    )
    assert "Physics       newton_mjwarp" in output
    assert "decides 4 control steps" in output
