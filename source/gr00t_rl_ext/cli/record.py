# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""``scripts/record_demonstrations.py``: a scripted expert's episodes become a dataset that GR00T reads."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gr00t_rl_ext.cli.arguments import as_typed, is_gymnasium, parse_with_overrides, with_quoted_names
from gr00t_rl_ext.cli.environments import environments
from gr00t_rl_ext.cli.handler import UsageError, guarded, prepare_assets, with_task
from gr00t_rl_ext.envs.gymnasium.configs import PREFIX

if TYPE_CHECKING:
    from gr00t_rl_ext.imitation.lerobot_dataset import Mode

GROUPS_FIELD = "agent.obs_groups.actor"
"""What ``--groups`` overrides."""


def main(argv: Sequence[str] | None = None) -> int:
    """Record. Returns the exit code: 0, 1 if no episode succeeded, 2 if the command line cannot work."""
    return guarded(lambda: _record(parse(with_task(argv))))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line."""
    parser = argparse.ArgumentParser(
        prog="record_demonstrations.py",
        description="Record demonstrations of a scripted expert as a LeRobot v2.1 dataset with GR00T's modality file.",
        epilog="Config fields are overridden as in train.py, e.g. `presets=small_cameras env.episode_length_s=8`, or"
        " `env.cameras=[front] env.image_size=[64,64]` for a task of Gymnasium; give training the same.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--task", required=True, help="Task id, e.g. Isaac-Lift-Cube-Franka-IK-Rel-v0 or gym:FetchPickAndPlace-v4."
    )
    parser.add_argument("--task_config", metavar="FILE", help="A task file, whose task is taken.")
    parser.add_argument("--out", required=True, type=Path, help="Directory of the dataset.")
    parser.add_argument("--episodes", type=int, default=50, help="Episodes to record (default: %(default)s).")
    parser.add_argument(
        "--agent",
        help="Recorded is what this agent's policy observes of the task (default: gr00t_flow_ppo, for a task of"
        " Gymnasium gr00t_flow_ppo_small).",
    )
    parser.add_argument(
        "--groups",
        nargs="+",
        metavar="GROUP",
        help="Observation groups to record instead, in order, e.g. rgb state object: short for"
        f" {GROUPS_FIELD}=[rgb,state,object], which training then needs as well.",
    )
    parser.add_argument("--num_envs", type=int, default=8, help="Environments to simulate (default: %(default)s).")
    parser.add_argument("--seed", type=int, default=0, help="Of the initial states and the noise.")
    parser.add_argument(
        "--noise_std",
        type=float,
        default=0.0,
        help="Gaussian noise on what the arm does, in units of the action; recorded is the action without it. With"
        " 0.03 the experts of the cube tasks still succeed, with 0.1 few towers stand; those of the Fetch tasks take"
        " 0.2 (default: %(default)s).",
    )
    parser.add_argument(
        "--states",
        type=Path,
        metavar="FILE",
        help="Keep the simulator's states of the successful episodes as well, in a .safetensors file, for `starts` of a"
        " task file (docs/task_files.md).",
    )
    parser.add_argument("--keep_failures", action="store_true", help="Record episodes without success as well.")
    parser.add_argument("--resume", action="store_true", help="Add to the dataset that is there.")
    parser.add_argument("--overwrite", action="store_true", help="Replace the dataset that is there.")
    return parse_with_overrides(parser, argv, "groups")


def _record(arguments: argparse.Namespace) -> int:
    from gr00t_rl_ext.cli import checks
    from gr00t_rl_ext.imitation.lerobot_dataset import check_target

    prepare_assets(arguments.task, arguments.assets)
    checks.check_at_least(1, arguments, "episodes", "num_envs")
    checks.check_at_least(0, arguments, "seed")
    if not 0.0 <= arguments.noise_std <= 1.0:
        raise UsageError(f"--noise_std is {arguments.noise_std}; expected 0 to 1, the range of an action.")
    if arguments.resume and arguments.overwrite:
        raise UsageError("--resume adds to a dataset and --overwrite replaces it; give one of them.")
    if arguments.states is not None:
        if is_gymnasium(arguments.task):
            raise UsageError(f"--states is for tasks of Isaac Lab; {arguments.task} is one of Gymnasium.")
        if arguments.states.suffix != ".safetensors":
            raise UsageError(f"--states is '{arguments.states}'; expected a file that ends in .safetensors.")
    _apply_groups(arguments)
    mode: Mode = "resume" if arguments.resume else "overwrite" if arguments.overwrite else "new"
    check_target(arguments.out.expanduser(), mode)
    arguments.task = _find_task(arguments.task)
    if arguments.agent is None:
        arguments.agent = "gr00t_flow_ppo_small" if is_gymnasium(arguments.task) else "gr00t_flow_ppo"
    with environments(arguments) as (env, agent_cfg):
        return record_from(env, arguments.task, agent_cfg, mode, arguments)


def _apply_groups(arguments: argparse.Namespace) -> None:
    """Make an override of ``--groups``."""
    if arguments.groups is None:
        return
    if given := [item for item in arguments.overrides if item.startswith(GROUPS_FIELD)]:
        raise UsageError(f"--groups {' '.join(arguments.groups)} and {given[0]} say the same thing; give one of them.")
    if not arguments.groups:
        raise UsageError("--groups is empty; name observation groups, e.g. --groups rgb state.")
    names = ",".join(arguments.groups)
    arguments.overrides.append(with_quoted_names(f"{GROUPS_FIELD}=[{names}]"))


def _find_task(task: str) -> str:
    """The full id of a task that has an expert."""
    from gr00t_rl_ext.cli import checks
    from gr00t_rl_ext.tasks.gymnasium import resolution

    if is_gymnasium(task):
        resolution.check_exists(task)
    else:
        task = checks.find_task(task).id
    expert_of(task)
    return task


def expert_of(task: str) -> Any:
    """The class of the expert of a task.

    Raises:
        UsageError: There is none.
        TaskFileError: The one that its file names is none.
    """
    from gr00t_rl_ext.imitation.experts import EXPERTS
    from gr00t_rl_ext.tasks.files import registered

    source = registered.source_of(task.removeprefix(PREFIX))
    if source is not None and source.task.expert is not None:
        from gr00t_rl_ext.tasks.files.terms import expert_class

        return expert_class(source)
    if task not in EXPERTS:
        raise UsageError(
            f"There is no scripted expert for {task}. There is one for: {', '.join(EXPERTS)}. A task file names its own"
            " with `expert`. Demonstrations of other tasks can be recorded elsewhere, as a LeRobot dataset with GR00T's"
            " meta/modality.json (docs/sft.md)."
        )
    return EXPERTS[task]


def record_from(env: Any, task: str, agent_cfg: Any, mode: Mode, arguments: argparse.Namespace) -> int:
    """Record from running environments of the task, as rsl_rl sees them. Returns the exit code."""
    from gr00t_rl_ext.cli import summary
    from gr00t_rl_ext.imitation import recording
    from gr00t_rl_ext.imitation.lerobot_dataset import LeRobotWriter
    from gr00t_rl_ext.robot.task_spec import TASK, TaskSpec

    groups = list(agent_cfg.obs_groups["actor"])
    told = [TASK] if getattr(env.unwrapped, "task_set", None) else []
    expert_class = expert_of(task)
    env.unwrapped.configure_decisions(1, observation_groups=[*dict.fromkeys([*groups, *expert_class.groups, *told])])
    obs = env.get_observations()
    try:
        spec = TaskSpec.from_env(env.unwrapped, obs, groups)
    except ValueError as error:
        raise UsageError(f"{error} (--groups)") from error
    expert = expert_class(env.num_envs, env.device)
    dataset_format = recording.dataset_format(spec, obs, env.unwrapped.step_dt, expert.robot_type)
    writer = LeRobotWriter(arguments.out, dataset_format, mode)
    keeper = None
    if arguments.states is not None:
        from gr00t_rl_ext.envs.state_copy import check_scene, scene_rows

        scene = env.unwrapped.scene
        check_scene(scene)
        keeper = recording.StateKeeper(lambda: scene_rows(scene), env.num_envs)
    about = {"task": task, "agent": arguments.agent, "overrides": list(map(as_typed, arguments.overrides))}
    quality = recording.record(
        env,
        spec,
        expert,
        writer,
        about | {"groups": groups},
        episodes=arguments.episodes,
        keep_failures=arguments.keep_failures,
        noise_std=arguments.noise_std,
        seed=arguments.seed,
        keeper=keeper,
    )
    if not quality.succeeded:
        print(
            f"\nerror: none of {quality.attempted} episodes succeeded: there is nothing to learn from. Recorded were"
            f" {quality.recorded}. Less noise (--noise_std) or more time (env.episode_length_s; for a task of Gymnasium"
            " env.max_episode_steps) may help.",
            file=sys.stderr,
        )
        return 1
    states = {}
    if keeper is not None and arguments.states is not None:
        from gr00t_rl_ext.tasks.starts import keep_states

        keep_states(arguments.states, keeper.states, keeper.progress)
        states = {"states": f"{len(keeper.states)} of successful episodes in {arguments.states.resolve()}"}
    several = quality.of_instruction if len(quality.of_instruction) > 1 else {}
    if missing := [told for told, counts in several.items() if not counts[2]]:
        print(f"\nwarning: no episode of {', '.join(map(repr, missing))} was recorded.", file=sys.stderr)
    steps, sizes = quality.summary()["steps"], dataset_format.cameras.items()
    summary.print_table(
        "Demonstrations",
        {
            "task": f"{task}: {', '.join(map(repr, spec.all_instructions))}",
            "success": f"{quality.succeeded} of {quality.attempted} episodes that were tried",
            **{f"  {told!r}": f"{counts[1]} of {counts[0]}, {counts[2]} recorded" for told, counts in several.items()},
            "length": f"{steps['median']:.0f} control steps (median; {steps['shortest']} to {steps['longest']}), limit"
            f" {env.max_episode_length}",
            "cameras": ", ".join(f"{name} {width} x {height} px" for name, (height, width) in sizes),
            "state": f"{spec.state_dim} numbers of {', '.join(spec.state_groups)}",
            "recorded": f"{quality.recorded} episodes; the dataset has {len(writer)}",
            "dataset": str(writer.directory.resolve()),
            **states,
        },
    )
    print(f"{'SFT:':<12}{sft_command(writer.directory, agent_cfg)}")
    return 0


def sft_command(dataset: Path, agent_cfg: Any) -> str:
    """The command that fine-tunes the small model on a dataset, for the agent that shall go on from there."""
    # None: the agent executes all that the checkpoint predicts
    length = getattr(agent_cfg.actor, "chunk_length", None)
    horizon = "" if length is None else f" --horizon {length}"
    where = shlex.quote(str(dataset.resolve()))
    return f"./isaaclab.sh -p scripts/sft.py --dataset {where} --checkpoint small{horizon} --out CHECKPOINT"
