# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Training and playing on Gymnasium tasks, with the arguments of Isaac Lab's commands, which know only its own tasks.

The runners, logs and checkpoints are those of rsl_rl, the manifest of a run is Isaac Lab's. No simulator of Isaac Lab
is imported.
"""

from __future__ import annotations

import argparse
import contextlib
import time
from pathlib import Path
from typing import Any, NoReturn

from gr00t_rl_ext.cli import before_after, checks, profile, summary
from gr00t_rl_ext.cli.arguments import Arguments
from gr00t_rl_ext.cli.filming import Filming
from gr00t_rl_ext.cli.handler import UsageError
from gr00t_rl_ext.cli.processes import Process
from gr00t_rl_ext.cli.run_directory import find_checkpoint, reserved
from gr00t_rl_ext.runs.resumption import record_command, started_by
from gr00t_rl_ext.tasks import compatibility
from gr00t_rl_ext.tasks.files.registration import registering
from gr00t_rl_ext.tasks.gymnasium import resolution

PLAYED = 8
"""Episodes to play, if nobody tells how many environments."""


def train(arguments: Arguments) -> int:
    """Train. Returns the exit code."""
    if (starter := profile.starter_profile(arguments)) is not None:
        profile.apply(starter, arguments)
    checks.check_at_least(0, arguments, "evaluate")
    _parse_rest(arguments, playing=False)
    process = Process.current(arguments.distributed)
    arguments.device = process.device(str(arguments.device))
    with process.quiet():
        return _train(arguments, process)


def _train(arguments: Arguments, process: Process) -> int:
    env_cfg, agent_cfg = _resolve(arguments)
    compatibility.check_agent(agent_cfg, resolution.observations_of(env_cfg), env_cfg.num_envs)
    checks.check_logger(agent_cfg.logger)
    resumed = _checkpoint(arguments) if arguments.checkpoint else None
    checks.check_plays(agent_cfg, resumed)
    names = agent_cfg.experiment_name, agent_cfg.run_name
    # explore apart, as Isaac Lab's processes do
    agent_cfg.seed += process.rank
    env_cfg = env_cfg.model_copy(update={"seed": env_cfg.seed + process.rank})
    with contextlib.ExitStack() as stack:
        stack.enter_context(started_by(arguments.given, arguments.continued))
        run = None
        if process.rank == 0:
            run = stack.enter_context(reserved(*names, arguments.run_timestamp, arguments.continued))
            record_command(run[0], *names)
        run_dir, _ = process.share_run(run)
        summary.print_table("Training", _description(arguments, env_cfg, agent_cfg, process.count))
        seconds, video = _learn(arguments, env_cfg, agent_cfg, run_dir, resumed, writes=process.rank == 0)
        if process.rank > 0 or checks.only_tries(agent_cfg):
            return 0
        places = summary.places(run_dir)
        if video is not None:
            places["video"] = video
    task = str(arguments.task)
    command = " ".join((*registering(task), "./isaaclab.sh -p scripts/rsl_rl/play.py --task", task))
    command += f" --agent {arguments.agent}"
    command += f" --device {arguments.device} --checkpoint {places['checkpoint']} --video"
    summary.print_summary(seconds, places, command, arguments.overrides)
    if arguments.evaluate:
        checkpoint = Path(str(places["checkpoint"]))
        return before_after.evaluate(arguments, checkpoint, arguments.overrides, arguments.evaluate)
    return 0


def play(arguments: Arguments) -> int:
    """Play one episode in each environment, from the initial states of a seed. Returns the exit code."""
    _parse_rest(arguments, playing=True)
    arguments.num_envs = arguments.num_envs or PLAYED
    env_cfg, agent_cfg = _resolve(arguments)
    arguments.checkpoint = arguments.checkpoint or "latest"
    checkpoint = _checkpoint(arguments)
    checks.check_plays(agent_cfg, checkpoint)
    print(f"Playing {checkpoint}")
    print(_play(str(arguments.task), env_cfg, agent_cfg, checkpoint, arguments.video))
    return 0


def _checkpoint(arguments: Arguments) -> Path:
    found = find_checkpoint(str(arguments.checkpoint), arguments.task, arguments.agent)
    if found is None:
        raise UsageError(f"--checkpoint is {arguments.checkpoint!r}, which has no use for a Gymnasium task.")
    return found


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def _parse_rest(arguments: Arguments, playing: bool) -> None:
    """Add those of Isaac Lab's arguments that mean something here, in place; the others are refused."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--experiment_name")
    parser.add_argument("--video", action="store_true")
    if not playing:
        # Isaac Lab's default
        parser.add_argument("--video_interval", type=int, default=2000)
        parser.add_argument("--run_name")
        parser.add_argument("--logger", choices=["tensorboard", "wandb", "neptune"])
        parser.add_argument("--log_project_name")
        parser.add_argument("--distributed", action="store_true")
        parser.add_argument("--resume_optimizer_state", action=argparse.BooleanOptionalAction, default=True)
    given = [item for item in arguments.rest if item not in arguments.overrides]
    _, unknown = parser.parse_known_args(given, arguments)
    if unknown:
        known = ", ".join(name for action in parser._actions for name in action.option_strings)
        raise UsageError(
            f"{' '.join(unknown)} has no use for a Gymnasium task. Besides the arguments of --help, there are: {known}."
        )


def _resolve(arguments: Arguments) -> tuple[Any, Any]:
    """Both configs, checked as far as that is possible without environments."""
    from isaaclab_rl.entrypoints.common import resolve_seed

    checks.check_at_least(1, arguments, "num_envs", "max_iterations")
    checks.check_counts(arguments)
    checks.check_conflicts(arguments)
    checks.check_device(arguments.device)
    seed = resolve_seed(-1) if arguments.seed == -1 else arguments.seed
    env_cfg, agent_cfg = resolution.resolve(
        str(arguments.task), arguments.agent, arguments.overrides, arguments.num_envs, str(arguments.device), seed
    )
    for field, option in {
        **{name: name for name in ("max_iterations", "experiment_name", "run_name", "logger")},
        "wandb_project": "log_project_name",
        "neptune_project": "log_project_name",
    }.items():
        if (value := getattr(arguments, option, None)) is not None:
            setattr(agent_cfg, field, value)
    return env_cfg, agent_cfg


def _description(arguments: Arguments, env_cfg: Any, agent_cfg: Any, processes: int = 1) -> dict[str, str]:
    """The settings in effect, for a table."""
    rows = {
        "task": str(arguments.task),
        **({} if env_cfg.task_file is None else {"task file": env_cfg.task_file}),
        "agent": arguments.agent,
        "device": str(arguments.device),
        "environments": f"{env_cfg.num_envs}" + (f" in each of {processes} processes" if processes > 1 else ""),
        "iterations": f"{agent_cfg.max_iterations} of {agent_cfg.num_steps_per_env} decisions per environment",
        "reward": "1 for success" if env_cfg.reward == "sparse_success" else "the environment's",
        "success": env_cfg.success_told_by,
    }
    cameras: dict[str, Any] = dict.fromkeys(env_cfg.cameras, env_cfg.image_size)
    return rows | profile.describe_gr00t(str(arguments.task), agent_cfg, cameras)


def _learn(
    arguments: Arguments, env_cfg: Any, agent_cfg: Any, run_dir: Path, resumed: Path | None, writes: bool
) -> tuple[float, str | None]:
    """Train; returns the wall time [s], and what to tell of the latest video. Of several processes one writes what the
    run was trained with."""
    import torch
    from isaaclab.utils.io import dump_yaml
    from isaaclab.utils.seed import configure_seed
    from isaaclab_rl.entrypoints.backends.cli_args_rsl_rl import checkpoint_load_cfg
    from isaaclab_rl.entrypoints.common import write_run_manifest
    from isaaclab_rl.rsl_rl import create_rsl_rl_runner

    from gr00t_rl_ext.runners.config import for_installed_rsl_rl
    from gr00t_rl_ext.runs.guard import guard

    # before the runner is made, which joins the processes
    guard()
    start = time.perf_counter()
    agent_cfg = for_installed_rsl_rl(agent_cfg)
    with contextlib.closing(resolution.start(str(arguments.task), env_cfg)) as env:
        configure_seed(agent_cfg.seed)
        runner = create_rsl_rl_runner(env, agent_cfg, log_dir=str(run_dir))
        if resumed is not None:
            print(f"Resuming {resumed}")
            load_cfg = checkpoint_load_cfg(arguments.resume_optimizer_state)
            runner.load(str(resumed), load_cfg=load_cfg, map_location=agent_cfg.device)
        if writes:
            metadata = {"agent": arguments.agent}
            write_run_manifest(str(run_dir), library="rsl_rl", task=str(arguments.task), metadata=metadata)
            dump_yaml(str(run_dir / "params" / "env.yaml"), env_cfg.to_dict())
            dump_yaml(str(run_dir / "params" / "agent.yaml"), agent_cfg)
        runner.add_git_repo_to_log(__file__)
        if agent_cfg.logger == "wandb":
            from isaaclab_rl.utils.wandb import announce_new_run, resolve_wandb_entity

            announce_new_run(agent_cfg.wandb_project, resolve_wandb_entity())
        interval = arguments.video_interval if arguments.video and writes else None
        filming = Filming(runner, env_cfg, interval, arguments.record and writes and not arguments.evaluate)
        with filming.watching():
            runner.learn(agent_cfg.max_iterations, init_at_random_ep_len=agent_cfg.init_at_random_ep_len)
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    return time.perf_counter() - start, filming.latest


def _play(task: str, env_cfg: Any, agent_cfg: Any, checkpoint: Path, film: bool) -> str:
    """Play an episode in each environment; a line on them, and one on the video."""
    from gr00t_rl_ext.envs.episodes import run_episodes
    from gr00t_rl_ext.evaluation import footage
    from gr00t_rl_ext.evaluation.policies import load_policy

    with contextlib.closing(resolution.start(task, env_cfg)) as env:
        policy = load_policy(env, agent_cfg, checkpoint)
        episodes = run_episodes(env, policy.decide, env.num_envs, agent_cfg.seed)
    count = len(episodes.returns)
    text = f"{count} episodes: mean return {sum(episodes.returns) / count:.4g}"
    text += f", mean length {sum(episodes.lengths) / count:.1f}"
    if episodes.successes is not None:
        text += f", {sum(episodes.successes)} successes"
    if film:
        video = checkpoint.parent / "videos" / "play" / f"{checkpoint.stem}.mp4"
        text += f"\nvideo: {footage.film(env, episodes, agent_cfg.seed, {video: range(min(count, 4))})}"
    return text
