# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Isaac Lab's own commands on GR00T's own action head, and beside it."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import SMALL, TASK, export, isaaclab, run_directory, succeeded, train


@pytest.fixture(scope="module")
def trained_flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory in which the stock command trained adapters on GR00T's own action head."""
    cwd = tmp_path_factory.mktemp("flow")
    settings = ("--num_envs", "4", "--max_iterations", "2", "agent.num_steps_per_env=3")
    quick = ("agent.algorithm.critic_warmup_iterations=0", "agent.algorithm.learning_rate=1e-3")
    succeeded(train(*settings, *quick, cwd=cwd, agent="gr00t_lora_ppo"))
    return cwd


def test_stock_train_of_the_flow_policy(trained_flow: Path) -> None:
    from gr00t_rl_ext.cli.summary import read_scalars

    run_dir = run_directory(trained_flow, "gr00t_lora_stack_cube_franka")
    scalars = read_scalars(run_dir)
    assert all(value <= 1e-5 for _, value in scalars["train/first_ratio_error"])
    assert all(value > 0 for _, value in scalars["train/grad_norm_dit_lora"])
    assert scalars["train/kl_to_base"][-1][1] > 0


@pytest.mark.slow
def test_stock_play_of_adapters(trained_flow: Path) -> None:
    play = ("play", "--rl_library", "rsl_rl", "--task", TASK, "--agent", "gr00t_lora_ppo", "--num_envs", "2")
    video = ("--checkpoint", "latest", "--video", "--video_length", "2")
    succeeded(isaaclab(*play, *video, *SMALL, cwd=trained_flow))
    assert list(run_directory(trained_flow, "gr00t_lora_stack_cube_franka").glob("videos/play/*.mp4"))


@pytest.mark.slow
def test_a_residual_policy_is_exported_beside_gr00t_as_it_was(tmp_path: Path) -> None:
    from gr00t_rl_ext.cli.summary import read_scalars

    settings = ("--num_envs", "4", "--max_iterations", "2", "agent.num_steps_per_env=3")
    quick = ("agent.algorithm.critic_warmup_iterations=0", "agent.algorithm.learning_rate=1e-3")
    succeeded(train(*settings, *quick, cwd=tmp_path, agent="gr00t_residual_ppo"))
    run_dir = run_directory(tmp_path, "gr00t_residual_stack_cube_franka")
    scalars = read_scalars(run_dir)
    assert all(value <= 1e-5 for _, value in scalars["train/first_ratio_error"])
    assert scalars["train/kl_to_base"][-1][1] > 0
    assert not export(tmp_path, run_dir / "model_1.pt", tolerance=1e-4)
    assert (tmp_path / "exported" / "rl_policy" / "actor.safetensors").is_file()


def test_a_flow_policy_is_exported_into_gr00ts_own_head(trained_flow: Path) -> None:
    changed = export(
        trained_flow, run_directory(trained_flow, "gr00t_lora_stack_cube_franka") / "model_1.pt", tolerance=1e-4
    )
    assert changed
    assert all(name.startswith("action_head.model.transformer_blocks.") for name in changed)
