# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""``scripts/rsl_rl/train.py``: Isaac Lab's training command with checks before, and a video and a summary after."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from gr00t_rl_ext.cli.arguments import Arguments
from gr00t_rl_ext.cli.frame import run

VIDEO_DECISIONS = 8
"""Length of the video of the policy, in decisions."""


def main(argv: Sequence[str] | None = None) -> int:
    """Train. Returns the exit code: 0, or 2 if the command line cannot work."""
    return run(
        sys.argv[1:] if argv is None else argv,
        "train.py",
        "Fine-tune a GR00T policy by reinforcement learning.",
        _train,
    )


def _train(arguments: Arguments) -> int:
    if arguments.is_gymnasium:
        from gr00t_rl_ext.cli import gymnasium_run

        return gymnasium_run.train(arguments)

    from gr00t_rl_ext.cli import preflight, profile, summary

    agent_cfg = preflight.check_arguments(arguments)
    is_gr00t = preflight.gr00t_config(agent_cfg) is not None
    chosen = profile.choose(arguments, agent_cfg)
    user_overrides = list(arguments.overrides)
    profile.apply(chosen, arguments)
    env_cfg, agent_cfg = preflight.check_configs(arguments)
    preflight.check_algorithm(agent_cfg.algorithm, arguments.num_envs or env_cfg.scene.num_envs)
    summary.print_table("Training", profile.describe(chosen, arguments, env_cfg, agent_cfg))

    from isaaclab_rl.entrypoints import run_train_cli

    from gr00t_rl_ext.cli.runner import algorithms_runner

    stamp = arguments.run_timestamp or datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    start = time.perf_counter()
    with algorithms_runner():
        status = run_train_cli(["--rl_library", "rsl_rl", *arguments.forwarded, "--run_timestamp", stamp])
    seconds = time.perf_counter() - start
    if status:
        return status
    run_dirs = sorted(Path("logs", "rsl_rl").glob(f"*/{stamp}*"))
    checkpoint = summary.latest_checkpoint(run_dirs[-1]) if run_dirs else None
    if checkpoint is None:
        print("error: the training wrote no checkpoint; see the output above.", file=sys.stderr)
        return 1
    run_dir = run_dirs[-1].resolve()
    places: dict[str, object] = {"run": run_dir, "checkpoint": checkpoint.resolve()}
    if arguments.record and is_gr00t:
        video = record(arguments, checkpoint.resolve(), user_overrides)
        places["video"] = video or f"none was recorded; see {run_dir / 'play.log'}"
    play = f"isaaclab play --rl_library rsl_rl --task {arguments.task} --agent {arguments.agent}"
    play += f" --device {arguments.device} --num_envs 4 --checkpoint {checkpoint.resolve()} --video"
    summary.print_summary(run_dir, seconds, places, play, user_overrides)
    return 0


def record(arguments: Arguments, checkpoint: Path, overrides: Sequence[str]) -> Path | None:
    """Record the deterministic policy with ``isaaclab play`` in a process of its own, at the cameras' full size.

    Returns:
        The video, or None if there is none; the command's output is in ``play.log`` beside the checkpoint.
    """
    command = [sys.executable, "-m", "isaaclab", "play", "--rl_library", "rsl_rl"]
    command += ["--task", str(arguments.task), "--agent", arguments.agent, "--device", str(arguments.device)]
    command += ["--num_envs", "1", "--checkpoint", str(checkpoint), "--video", "--video_length", str(VIDEO_DECISIONS)]
    print(f"Recording {VIDEO_DECISIONS} decisions of the trained policy ...", flush=True)
    with (checkpoint.parent / "play.log").open("w") as log:
        subprocess.run([*command, *overrides], stdout=log, stderr=subprocess.STDOUT, check=False)
    videos = sorted(checkpoint.parent.glob("videos/play/*.mp4"))
    return videos[-1] if videos else None
