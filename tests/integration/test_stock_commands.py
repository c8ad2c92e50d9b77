# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Isaac Lab's own commands on the adapter: train, play, resume, export."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from programs import SMALL, TASK, export, isaaclab, run_directory, succeeded, train

UNFREEZING = (
    "agent.actor.freezing.language_layers=1",
    "agent.actor.freezing.schedule=[{'train':['language_lora'],'at_iteration':1,'learning_rate':1e-3}]",
)
"""The adapter alone for an iteration, then adapters on the last language layer too."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory in which the stock command trained GR00T for three iterations."""
    cwd = tmp_path_factory.mktemp("stock")
    settings = ("--num_envs", "4", "--max_iterations", "3", "agent.num_steps_per_env=3", *UNFREEZING)
    settings += ("agent.algorithm.critic_warmup_iterations=0",)
    (cwd / "output.txt").write_text(succeeded(train(*settings, cwd=cwd)))
    return cwd


def test_stock_train(trained: Path) -> None:
    from gr00t_rl_ext.cli.summary import read_scalars

    output = (trained / "output.txt").read_text()
    assert "GR00T N1.5 from" in output
    assert "memory at the peak, MiB   rollout    update" in output
    assert "stage 0 of 1: trains no part of GR00T; keeps the tokens that the policy reads" in output
    assert "Iteration 0: gradients: frozen parameters have none; norms: nothing of GR00T trains" in output
    assert "Iteration 1: stage 1 of 1: trains language_lora" in output
    assert "Iteration 1: gradients: frozen parameters have none; norms: language_lora" in output
    assert "Preflight (2 random and 2 policy decisions" in output
    run_dir = run_directory(trained, "gr00t_adapter_stack_cube_franka")
    tried = json.loads((run_dir / "params" / "preflight.json").read_text())["findings"]
    assert {"camera table_cam", "camera wrist_cam", "joints of arm_action", "action.arm_action"} <= {
        finding["subject"] for finding in tried
    }
    scalars = read_scalars(run_dir)
    assert all(value <= 1e-5 for _, value in scalars["train/first_ratio_error"])
    # the bootstrap is one more than the decisions; the next rollout begins with it, unless a stage opened in between
    assert [value for _, value in scalars["perf/backbone_calls"]] == [4.0, 4.0, 3.0]
    assert [value for _, value in scalars["train/stage"]] == [0.0, 1.0, 1.0]
    for tag in ("train/policy_loss", "train/kl_to_base", "train/explained_variance", "charts/SPS"):
        assert len(scalars[tag]) == 3, tag
    saved = torch.load(run_dir / "model_2.pt", weights_only=True)
    assert not any("encoder" in name or "backbone" in name for name in saved["actor_state_dict"])
    assert all("lora" in name for name in saved["gr00t_state_dict"])


def test_a_run_is_exported(trained: Path) -> None:
    """To a checkpoint with another backbone than the base's, which acts like the trained policy."""
    changed = export(trained, run_directory(trained, "gr00t_adapter_stack_cube_franka") / "model_2.pt", tolerance=1e-5)
    assert changed
    assert all(name.startswith("backbone.language_model.layers.1.") for name in changed)


def test_stock_play_records_the_policy(trained: Path) -> None:
    from moviepy.editor import VideoFileClip

    succeeded(
        isaaclab(
            *("play", "--rl_library", "rsl_rl", "--task", TASK, "--agent", "gr00t_adapter_ppo", "--num_envs", "2"),
            *("--checkpoint", "latest", "--video", "--video_length", "4", *SMALL, *UNFREEZING),
            cwd=trained,
        )
    )
    run_dir = run_directory(trained, "gr00t_adapter_stack_cube_franka")
    (video,) = (run_dir / "videos" / "play").glob("*.mp4")
    with VideoFileClip(str(video)) as clip:
        # four decisions of 16 control steps at 20 Hz, every control step a frame
        assert clip.fps == 20
        frames = list(clip.iter_frames())
    assert len(frames) == pytest.approx(64, abs=1)
    assert abs(frames[0].astype(int) - frames[-1].astype(int)).max() > 30, "the arm does not move"
    assert (run_dir / "exported" / "policy.pt").is_file()
    assert (run_dir / "exported" / "policy.onnx").is_file()


def test_stock_resume(trained: Path) -> None:
    output = succeeded(
        train(
            *("--checkpoint", "latest", "--num_envs", "4", "--max_iterations", "1", "agent.num_steps_per_env=3"),
            *UNFREEZING,
            cwd=trained,
        )
    )
    assert "Loading model checkpoint from" in output
    assert "Learning iteration 3/4" in output
    assert "Iteration 3: gradients: frozen parameters have none; norms: language_lora" in output
