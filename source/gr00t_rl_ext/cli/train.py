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

VIDEO_DECISIONS = 8
"""Length of the video of the policy, in decisions."""


def main(argv: Sequence[str] | None = None) -> int:
    """Train. Returns the exit code: 0, or 2 if the command line cannot work."""
    from gr00t_rl_ext.assets.build import AssetBuildError
    from gr00t_rl_ext.assets.root import AssetRootError, apply_asset_root
    from gr00t_rl_ext.cli import arguments as cli_arguments
    from gr00t_rl_ext.cli.preflight import UsageError

    arguments = cli_arguments.parse(
        sys.argv[1:] if argv is None else argv, "train.py", "Fine-tune a GR00T policy by reinforcement learning."
    )
    try:
        # before anything imports isaaclab, which fixes the asset root
        apply_asset_root(arguments.assets)
        return _train(arguments)
    except (UsageError, AssetBuildError, AssetRootError) as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 2


def _train(arguments) -> int:  # noqa: ANN001
    import torch

    from gr00t_rl_ext.cli import preflight, profile, summary

    if arguments.device is None:
        arguments.device = "cuda:0" if torch.cuda.is_available() else "cpu"
        arguments.forwarded += ["--device", arguments.device]
    spec = preflight.find_task(arguments.task)
    preflight.find_agent(spec, arguments.agent)
    _, agent_cfg = preflight.resolve_configs(spec.id, arguments.agent, arguments.overrides)
    is_gr00t = hasattr(getattr(agent_cfg, "actor", None), "gr00t")
    chosen = profile.choose(arguments, is_gr00t)
    user_overrides = list(arguments.overrides)
    profile.apply(chosen, arguments, set(chosen.presets) if "gr00t_ppo" in spec.kwargs else set())
    env_cfg, agent_cfg = preflight.check(arguments)
    summary.print_table("Training", profile.describe(chosen, arguments, env_cfg, agent_cfg))

    from isaaclab_rl.entrypoints import run_train_cli

    stamp = arguments.run_timestamp or datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    start = time.perf_counter()
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
    content = summary.rows(run_dir, seconds)
    if arguments.record and is_gr00t:
        video = record(arguments, checkpoint.resolve(), user_overrides)
        content["video"] = str(video) if video else f"not recorded, see {run_dir / 'play.log'}"
    content["checkpoint"] = str(checkpoint.resolve())
    content["logs"] = f"tensorboard --logdir {run_dir}"
    content["next"] = (
        f"isaaclab play --rl_library rsl_rl --task {arguments.task} --agent {arguments.agent} --device"
        f" {arguments.device} --num_envs 4 --checkpoint {checkpoint.resolve()} --video"
    )
    summary.print_table("Summary", content)
    return 0


def record(arguments, checkpoint: Path, overrides: Sequence[str]) -> Path | None:  # noqa: ANN001
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
