# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""``scripts/rsl_rl/play.py``: Isaac Lab's playback command with checks before."""

from __future__ import annotations

from collections.abc import Sequence

from gr00t_rl_ext.cli.arguments import Arguments, is_gymnasium
from gr00t_rl_ext.cli.handler import run


def main(argv: Sequence[str] | None = None) -> int:
    """Play a checkpoint. Returns the exit code: 0, or 2 if the command line cannot work."""
    return run(argv, "play.py", "Play a trained policy.", _play)


def _play(arguments: Arguments) -> int:
    if is_gymnasium(arguments.task):
        from gr00t_rl_ext.cli import gymnasium_run

        return gymnasium_run.play(arguments)

    from gr00t_rl_ext.cli import checks, profile
    from gr00t_rl_ext.tasks import compatibility

    agent_cfg = checks.check_arguments(arguments)
    _, resolved = checks.check_resolved(str(arguments.task), arguments.agent, arguments.overrides)
    checks.check_plays(resolved, checks.choose_checkpoint(arguments))
    if arguments.num_envs is None and arguments.device == "cpu" and compatibility.gr00t_config(agent_cfg):
        arguments.forwarded += ["--num_envs", str(profile.SMALL_GR00T.num_envs)]

    from isaaclab_rl.entrypoints import run_play_cli

    return run_play_cli(["--rl_library", "rsl_rl", *arguments.forwarded])
