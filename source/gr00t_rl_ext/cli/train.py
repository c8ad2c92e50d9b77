# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""``scripts/rsl_rl/train.py``: Isaac Lab's training command with checks before, and a video and a summary after."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gr00t_rl_ext.cli.arguments import Arguments, is_gymnasium
from gr00t_rl_ext.cli.handler import run
from gr00t_rl_ext.cli.resume import expand

VIDEO_DECISIONS = 8
"""Length of the video of the policy, in decisions."""

FILM = ("--video", "--video_length", str(VIDEO_DECISIONS))


def main(argv: Sequence[str] | None = None) -> int:
    """Train. Returns the exit code: 0, or 2 if the command line cannot work."""
    return run(argv, "train.py", "Fine-tune a GR00T policy by reinforcement learning.", _train, expand)


def _train(arguments: Arguments) -> int:
    if is_gymnasium(arguments.task):
        from gr00t_rl_ext.cli import gymnasium_run

        return gymnasium_run.train(arguments)

    from gr00t_rl_ext.cli import before_after, checks, profile, summary
    from gr00t_rl_ext.cli.run_directory import reserved
    from gr00t_rl_ext.runs.resumption import record_command, started_by
    from gr00t_rl_ext.tasks import compatibility

    agent_cfg = checks.check_arguments(arguments)
    chosen = profile.choose(arguments, agent_cfg)
    user_overrides = list(arguments.overrides)
    profile.apply(chosen, arguments)
    checks.check_at_least(0, arguments, "evaluate")
    env_cfg, agent_cfg = checks.check_resolved(str(arguments.task), arguments.agent, arguments.overrides)
    compatibility.check_agent(agent_cfg, env_cfg, arguments.num_envs or env_cfg.scene.num_envs)
    checks.check_plays(agent_cfg, checks.choose_checkpoint(arguments))
    checks.check_logger(arguments.option("logger") or getattr(agent_cfg, "logger", None))
    summary.print_table("Training", profile.describe(chosen, arguments, env_cfg, agent_cfg))

    from isaaclab_rl.entrypoints import run_train_cli

    experiment, run_name = (
        arguments.option(name) or getattr(agent_cfg, name) for name in ("experiment_name", "run_name")
    )
    run = reserved(experiment, run_name, arguments.run_timestamp, arguments.continued)
    with run as (run_dir, stamp), started_by(arguments.given, arguments.continued):
        record_command(run_dir, experiment, run_name)
        start = time.perf_counter()
        status = run_train_cli(["--rl_library", "rsl_rl", *arguments.forwarded, "--run_timestamp", stamp])
        seconds = time.perf_counter() - start
        if status or checks.only_tries(agent_cfg):
            return status
        places = summary.places(run_dir)
        # a policy sees what it was trained on; the random one of a demonstration is shown by the full cameras
        played = user_overrides if profile.is_random(arguments, agent_cfg) else arguments.overrides
        play = play_command(arguments, env_cfg, places["checkpoint"])
        checkpoint = Path(str(places["checkpoint"]))
        if arguments.record and not arguments.evaluate and compatibility.gr00t_config(agent_cfg) is not None:
            places["video"] = _record(arguments, checkpoint, played)
        summary.print_summary(seconds, places, play, played)
        if arguments.evaluate:
            return before_after.evaluate(arguments, checkpoint, played, arguments.evaluate)
    return 0


def play_command(arguments: Arguments, env_cfg: Any, checkpoint: object) -> str:
    """The command that plays what was trained. Without Isaac Sim, a task without a recorder cannot be filmed."""
    from gr00t_rl_ext.tasks.files.registration import registering

    film = FILM if getattr(env_cfg, "video_recorders", None) else ()
    return " ".join((*registering(str(arguments.task)), "isaaclab", *_play(arguments, checkpoint, num_envs=4), *film))


def _play(arguments: Arguments, checkpoint: object, num_envs: int) -> list[str]:
    command = ["play", "--rl_library", "rsl_rl", "--task", str(arguments.task), "--agent", arguments.agent]
    return [*command, "--device", str(arguments.device), "--num_envs", str(num_envs), "--checkpoint", str(checkpoint)]


def _record(arguments: Arguments, checkpoint: Path, overrides: Sequence[str]) -> str:
    """Record the deterministic policy with ``isaaclab play`` in a process of its own; the video, or where to look if
    there is none."""
    command = [sys.executable, "-m", "isaaclab", *_play(arguments, checkpoint, num_envs=1), *FILM, *overrides]
    print(f"Recording {VIDEO_DECISIONS} decisions of the trained policy ...", flush=True)
    log_file = checkpoint.parent / "play.log"
    with log_file.open("w") as log:
        subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False)
    videos = sorted(checkpoint.parent.glob("videos/play/*.mp4"))
    return str(videos[-1]) if videos else f"none was recorded; see {log_file}"
