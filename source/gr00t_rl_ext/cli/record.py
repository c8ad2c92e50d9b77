# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""``scripts/record_demonstrations.py``: a scripted expert's episodes become a dataset that GR00T reads."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gr00t_rl_ext.cli.frame import UsageError, default_device, guarded
from gr00t_rl_ext.cli.simulation import simulated

if TYPE_CHECKING:
    from gr00t_rl_ext.imitation.lerobot_dataset import Mode

GIVE_UP_AFTER = 20
"""Attempts, all of them failures, after which the recording stops."""


def main(argv: Sequence[str] | None = None) -> int:
    """Record. Returns the exit code: 0, 1 if no episode succeeded, 2 if the command line cannot work."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    from gr00t_rl_ext.imitation.layout import DatasetError

    return guarded(lambda: _record(arguments), arguments.task, arguments.assets, [DatasetError])


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse a command line."""
    parser = argparse.ArgumentParser(
        prog="record_demonstrations.py",
        description="Record demonstrations of a scripted expert as a LeRobot v2.1 dataset with GR00T's modality file.",
        epilog="Config fields are overridden as in Hydra, e.g. `presets=small_cameras env.episode_length_s=8`.",
        allow_abbrev=False,
    )
    parser.add_argument("--task", required=True, help="Task id, e.g. Isaac-Lift-Cube-Franka-IK-Rel-v0.")
    parser.add_argument("--out", required=True, type=Path, help="Directory of the dataset.")
    parser.add_argument("--episodes", type=int, default=50, help="Episodes to record (default: %(default)s).")
    parser.add_argument("--num_envs", type=int, default=8, help="Environments to simulate (default: %(default)s).")
    parser.add_argument("--seed", type=int, default=0, help="Of the initial states and the noise.")
    parser.add_argument(
        "--noise_std",
        type=float,
        default=0.0,
        help="Gaussian noise on what the arm does, in units of the action; recorded is the action without it. With"
        " 0.03 the experts of the cube tasks still succeed, with 0.1 few towers stand (default: %(default)s).",
    )
    parser.add_argument("--keep_failures", action="store_true", help="Record episodes without success as well.")
    parser.add_argument("--resume", action="store_true", help="Add to the dataset that is there.")
    parser.add_argument("--overwrite", action="store_true", help="Replace the dataset that is there.")
    parser.add_argument("--device", help="cpu, cuda:0, ... (default: the GPU if there is one).")
    parser.add_argument("--assets", choices=["auto", "offline", "online"], help="As in train.py.")
    parser.add_argument("overrides", nargs="*", metavar="FIELD=VALUE", help="Hydra overrides of the environment.")
    return parser.parse_args(list(argv))


def _record(arguments: argparse.Namespace) -> int:
    from gr00t_rl_ext.cli import preflight
    from gr00t_rl_ext.imitation.lerobot_dataset import check_target

    preflight.check_at_least(1, arguments, "episodes", "num_envs")
    if not 0.0 <= arguments.noise_std <= 1.0:
        raise UsageError(f"--noise_std is {arguments.noise_std}; expected 0 to 1, the range of an action.")
    if arguments.resume and arguments.overwrite:
        raise UsageError("--resume adds to a dataset and --overwrite replaces it; give one of them.")
    mode: Mode = "resume" if arguments.resume else "overwrite" if arguments.overwrite else "new"
    check_target(arguments.out.expanduser(), mode)
    task = preflight.find_task(arguments.task).id
    _check_expert(task)
    preflight.check_device(arguments.device)
    cfg, _ = preflight.resolve_configs(task, "rsl_rl_cfg_entry_point", arguments.overrides)
    preflight.check_physics(cfg)

    device = arguments.device or default_device()
    with simulated(task, cfg, arguments.num_envs, device, arguments.seed) as env:
        return record_from(env.unwrapped, task, mode, arguments)


def _check_expert(task: str) -> None:
    from gr00t_rl_ext.imitation.experts import EXPERTS

    if task not in EXPERTS:
        raise UsageError(f"There is no scripted expert for {task}. There is one for: {', '.join(EXPERTS)}.")


def record_from(env: Any, task: str, mode: Mode, arguments: argparse.Namespace) -> int:
    """Record from a running environment of the task. Returns the exit code."""
    import torch
    from tensordict import TensorDict

    from gr00t_rl_ext.cli import summary
    from gr00t_rl_ext.imitation import recording
    from gr00t_rl_ext.imitation.experts import EXPERTS
    from gr00t_rl_ext.imitation.lerobot_dataset import LeRobotWriter
    from gr00t_rl_ext.policy.task_spec import TaskSpec

    env.configure_decisions(1, observation_groups=recording.GROUPS)
    spec = TaskSpec.from_env(env, TensorDict(env.obs_buf, batch_size=[env.num_envs]), recording.GROUPS)
    writer = LeRobotWriter(arguments.out, recording.dataset_format(spec, env, robot_type="franka_panda"), mode)
    # other initial states than those of earlier sessions
    seed = arguments.seed + sum(session["attempted"] for session in writer.sessions)
    env.reset(seed=seed)
    expert = EXPERTS[task](env.num_envs, env.device)
    generator = torch.Generator().manual_seed(seed)
    about = {"task": task, "expert": type(expert).__name__, "noise_std": arguments.noise_std, "seed": seed}
    quality, recorded = recording.Quality(), 0
    with summary.progress() as progress:
        bar = progress.add_task("recording", total=arguments.episodes)
        for episode in recording.collect(env, spec, expert, noise_std=arguments.noise_std, generator=generator):
            quality.add(episode)
            if episode.success or arguments.keep_failures:
                writer.add(episode)
                recorded += 1
            if recorded:
                writer.describe(about | quality.summary())
            progress.update(
                bar, completed=recorded, description=f"recording ({quality.succeeded}/{quality.attempted} succeeded)"
            )
            if recorded == arguments.episodes or (quality.attempted == GIVE_UP_AFTER and not quality.succeeded):
                break
    if not quality.succeeded:
        print(
            f"\nerror: none of {quality.attempted} episodes succeeded: there is nothing to learn from. Recorded were"
            f" {recorded}. Less noise (--noise_std) or more time (env.episode_length_s) may help.",
            file=sys.stderr,
        )
        return 1
    steps = quality.summary()["steps"]
    summary.print_table(
        "Demonstrations",
        {
            "task": f"{task}: {spec.instruction!r}",
            "success": f"{quality.succeeded} of {quality.attempted} episodes that were tried",
            "length": f"{steps['median']:.0f} control steps (median; {steps['shortest']} to {steps['longest']}), limit"
            f" {env.max_episode_length}",
            "recorded": f"{recorded} episodes; the dataset has {len(writer)}",
            "dataset": str(writer.directory.resolve()),
        },
    )
    return 0
