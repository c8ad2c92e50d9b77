# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The commands that users type, on the real simulator, each in a process of its own."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
TASK = "Isaac-Stack-Cube-Franka-v0"
TASK_IK = "Isaac-Stack-Cube-Franka-IK-Rel-v0"
SMALL = ("--device", "cpu", "presets=small_cameras")


def isaaclab(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of Isaac Lab."""
    return run(sys.executable, "-m", "isaaclab", *arguments, cwd=cwd)


def train(*arguments: str, cwd: Path, task: str = TASK, agent: str = "gr00t_ppo") -> subprocess.CompletedProcess[str]:
    """Run the stock training command on the CPU with small cameras."""
    return isaaclab(*("train", "--rl_library", "rsl_rl", "--task", task, "--agent", agent, *SMALL, *arguments), cwd=cwd)


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command and return its output; the environment is the user's, with offline assets."""
    environment = {**os.environ, "GR00T_RL_EXT_ASSETS": "offline", "COLUMNS": "120"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=400)


def succeeded(result: subprocess.CompletedProcess[str]) -> str:
    """The output of a command that must have succeeded."""
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    return result.stdout


def run_directory(cwd: Path, experiment: str) -> Path:
    """The newest run of an experiment."""
    return sorted((cwd / "logs" / "rsl_rl" / experiment).iterdir())[-1]


def export(cwd: Path, checkpoint: Path, tolerance: float) -> set[str]:
    """Export the run of a training checkpoint, which must act alike; names of the parameters that the base has others
    of."""
    from gr00t_rl_ext.gr00t import load_gr00t

    script = str(ROOT / "scripts" / "export_gr00t.py")
    output = succeeded(run(sys.executable, script, str(checkpoint.parent), "exported", cwd=cwd))
    differences = [float(line.split()[5].rstrip(",")) for line in output.splitlines() if line.startswith("parity of")]
    assert len(differences) == 2
    assert max(differences) < tolerance
    saved = torch.load(checkpoint, weights_only=True)
    base, exported = (load_gr00t(path, dtype=torch.float32) for path in (saved["base_name"], cwd / "exported"))
    return {name for name, value in base.named_parameters() if not torch.equal(value, exported.get_parameter(name))}


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
    run_dir = run_directory(trained, "gr00t_stack_cube_franka")
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
    changed = export(trained, run_directory(trained, "gr00t_stack_cube_franka") / "model_2.pt", tolerance=1e-5)
    assert changed
    assert all(name.startswith("backbone.language_model.layers.1.") for name in changed)


def test_stock_play_records_the_policy(trained: Path) -> None:
    from moviepy.editor import VideoFileClip

    succeeded(
        isaaclab(
            *("play", "--rl_library", "rsl_rl", "--task", TASK, "--agent", "gr00t_ppo", "--num_envs", "2"),
            *("--checkpoint", "latest", "--video", "--video_length", "4", *SMALL, *UNFREEZING),
            cwd=trained,
        )
    )
    run_dir = run_directory(trained, "gr00t_stack_cube_franka")
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
    assert "Learning iteration 2/3" in output
    assert "Iteration 3: gradients: frozen parameters have none; norms: language_lora" in output


@pytest.fixture(scope="module")
def trained_flow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory in which the stock command trained adapters on GR00T's own action head."""
    cwd = tmp_path_factory.mktemp("flow")
    settings = ("--num_envs", "4", "--max_iterations", "2", "agent.num_steps_per_env=3")
    quick = ("agent.algorithm.critic_warmup_iterations=0", "agent.algorithm.learning_rate=1e-3")
    succeeded(train(*settings, *quick, cwd=cwd, agent="gr00t_lora_ppo"))
    return cwd


def test_stock_train_and_play_of_the_flow_policy(trained_flow: Path) -> None:
    from gr00t_rl_ext.cli.summary import read_scalars

    run_dir = run_directory(trained_flow, "gr00t_lora_stack_cube_franka")
    scalars = read_scalars(run_dir)
    assert all(value <= 1e-5 for _, value in scalars["train/first_ratio_error"])
    assert all(value > 0 for _, value in scalars["train/grad_norm_dit_lora"])
    assert scalars["train/kl_to_base"][-1][1] > 0
    play = ("play", "--rl_library", "rsl_rl", "--task", TASK, "--agent", "gr00t_lora_ppo", "--num_envs", "2")
    video = ("--checkpoint", "latest", "--video", "--video_length", "2")
    succeeded(isaaclab(*play, *video, *SMALL, cwd=trained_flow))
    assert list((run_dir / "videos" / "play").glob("*.mp4"))


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


RETURNS = ("agent.num_steps_per_env=3", "agent.algorithm.outcome=return", "agent.algorithm.std_floor=1e-6")
"""A random policy succeeds never, but groups differ in their returns."""


def test_stock_train_resume_and_play_of_grpo(tmp_path: Path) -> None:
    """Isaac Lab's own script and runner: a fixed number of steps, and no critic."""
    from gr00t_rl_ext.cli.summary import read_scalars

    settings = ("--num_envs", "4", "--max_iterations", "1", "agent.algorithm.group_size=2", *RETURNS)
    output = succeeded(train(*settings, cwd=tmp_path, agent="gr00t_grpo"))
    assert ", no critic" in output
    assert "An episode has up to 38 decisions, a rollout 3: outcomes are what is reached until then" in output
    succeeded(train(*settings, "--checkpoint", "latest", cwd=tmp_path, agent="gr00t_grpo"))
    run_dir = run_directory(tmp_path, "gr00t_grpo_stack_cube_franka")
    scalars = read_scalars(run_dir)
    assert scalars["train/first_ratio_error"][0][1] <= 1e-5
    assert scalars["train/num_updates"][0][1] > 0
    assert scalars["grpo/kept_groups"][0][1] > 0
    # one pass per decision: nothing is bootstrapped
    assert scalars["perf/backbone_calls"][0][1] == 3
    saved = torch.load(run_dir / "model_0.pt", weights_only=True)
    assert saved["iteration"] == 2
    assert not any("critic" in name for name in saved)
    succeeded(
        isaaclab(
            *("play", "--rl_library", "rsl_rl", "--task", TASK, "--agent", "gr00t_grpo", "--num_envs", "1"),
            *("--checkpoint", "latest", "--video", "--video_length", "1", *SMALL),
            cwd=tmp_path,
        )
    )
    assert list((run_dir / "videos" / "play").glob("*.mp4"))


def test_train_script_of_the_flow_by_grpo(tmp_path: Path) -> None:
    """With GrpoRunner: the rollout ends with the episodes, here by the time limit."""
    from gr00t_rl_ext.cli.summary import read_scalars

    script = (sys.executable, str(ROOT / "scripts" / "rsl_rl" / "train.py"))
    command = (*script, "--task", TASK, "--agent", "gr00t_flow_grpo", "--num_envs", "4", "--max_iterations", "2")
    # 32 control steps are two decisions
    settings = ("agent.algorithm.group_size=2", "agent.algorithm.num_rounds=2", "env.episode_length_s=1.6", *RETURNS)
    output = succeeded(run(*command, *settings, "--no-record", cwd=tmp_path))
    assert "groups with a signal" in output
    run_dir = run_directory(tmp_path, "gr00t_flow_grpo_stack_cube_franka")
    scalars = read_scalars(run_dir)
    assert [value for _, value in scalars["perf/backbone_calls"]] == [4.0, 4.0], "two rounds of two decisions"
    assert all(value <= 1e-5 for _, value in scalars["train/first_ratio_error"])
    assert [value for _, value in scalars["charts/episodic_length"]] == [32.0, 32.0]
    assert export(tmp_path, run_dir / "model_1.pt", tolerance=1e-4), "other weights than the base's"
    refused = run(*command[:-4], "--num_envs", "5", "agent.algorithm.group_size=2", cwd=tmp_path)
    assert refused.returncode == 2
    assert "5 environments do not divide into groups of 2. Use `--num_envs` 4 or 6" in refused.stderr


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
