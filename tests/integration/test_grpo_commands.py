# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""GRPO by Isaac Lab's own command and by ours."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from programs import ROOT, SMALL, TASK, export, isaaclab, run, run_directory, succeeded, train

RETURNS = ("agent.num_steps_per_env=3", "agent.algorithm.outcome=return", "agent.algorithm.std_floor=1e-6")
"""A random policy succeeds never, but groups differ in their returns."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory in which the stock command trained by GRPO."""
    cwd = tmp_path_factory.mktemp("grpo")
    settings = ("--num_envs", "4", "--max_iterations", "1", "agent.algorithm.group_size=2", *RETURNS)
    rounds = ("agent.algorithm.num_rounds=2", "agent.algorithm.max_resamples=0")
    (cwd / "output.txt").write_text(succeeded(train(*settings, *rounds, cwd=cwd, agent="gr00t_grpo")))
    return cwd


def test_stock_train_of_grpo(trained: Path) -> None:
    """Isaac Lab's own script and runner: rounds as many as asked for, and no critic."""
    from gr00t_rl_ext.cli.summary import read_scalars

    output = (trained / "output.txt").read_text()
    assert ", no critic" in output
    assert "An episode has up to 38 decisions, a rollout 3: outcomes are what is reached until then" in output
    run_dir = run_directory(trained, "gr00t_grpo_stack_cube_franka")
    scalars = read_scalars(run_dir)
    assert scalars["train/first_ratio_error"][0][1] <= 1e-5
    assert scalars["train/num_updates"][0][1] > 0
    assert scalars["grpo/kept_groups"][0][1] > 0
    # one pass per decision of both rounds: nothing is bootstrapped
    assert scalars["perf/backbone_calls"][0][1] == 2 * 3
    saved = torch.load(run_dir / "model_0.pt", weights_only=True)
    assert saved["iteration"] == 1
    assert not any("critic" in name for name in saved)


@pytest.mark.slow
def test_stock_play_of_grpo(trained: Path) -> None:
    """The next test loads a policy without a critic as well, to export it."""
    succeeded(
        isaaclab(
            *("play", "--rl_library", "rsl_rl", "--task", TASK, "--agent", "gr00t_grpo", "--num_envs", "1"),
            *("--checkpoint", "latest", "--video", "--video_length", "1", *SMALL),
            cwd=trained,
        )
    )
    assert list(run_directory(trained, "gr00t_grpo_stack_cube_franka").glob("videos/play/*.mp4"))


def test_train_script_of_the_flow_by_grpo(tmp_path: Path) -> None:
    """With GrpoRunner: the rollout ends with the episodes, here by the time limit. What is left open, the small profile
    fills in."""
    from gr00t_rl_ext.cli.summary import read_scalars

    script = (sys.executable, str(ROOT / "scripts" / "rsl_rl" / "train.py"))
    command = (*script, "--task", TASK, "--agent", "gr00t_flow_grpo", "--num_envs", "4", "--max_iterations", "2")
    # 32 control steps are two decisions
    settings = ("agent.algorithm.group_size=2", "agent.algorithm.num_rounds=2", "env.episode_length_s=1.6", *RETURNS)
    output = succeeded(run(*command, *settings, "--device", "cpu", "--no-record", cwd=tmp_path))
    assert "small (cpu)" in output
    assert "tiny random GR00T: a demonstration of the pipeline, not a trained policy" in output
    assert "table_cam 64 x 64 px, wrist_cam 64 x 64 px" in output
    summary = output[output.index("Summary") :]
    for text in (
        "groups with a signal",
        "mean reward per control step",
        "first",
        "last",
        "env steps/s",
        "checkpoint: ",
        "tensorboard --logdir",
    ):
        assert text in summary, text
    run_dir = run_directory(tmp_path, "gr00t_flow_grpo_stack_cube_franka")
    scalars = read_scalars(run_dir)
    assert [value for _, value in scalars["perf/backbone_calls"]] == [4.0, 4.0], "two rounds of two decisions"
    assert all(value <= 1e-5 for _, value in scalars["train/first_ratio_error"])
    # a random policy may push a cube off the table before
    assert all(28.0 < value <= 32.0 for _, value in scalars["charts/episodic_length"])
    assert export(tmp_path, run_dir / "model_1.pt", tolerance=1e-4), "other weights than the base's"
