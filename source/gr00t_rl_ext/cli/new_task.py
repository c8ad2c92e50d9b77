# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""``scripts/new_task.py``: a task file for a base task, and a check of one."""

from __future__ import annotations

import argparse
import contextlib
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gr00t_rl_ext.cli.arguments import DEFAULT_AGENT, is_gymnasium
from gr00t_rl_ext.cli.handler import UsageError, default_device, guarded, in_own_process, prepare_assets
from gr00t_rl_ext.files import write_whole

DECISIONS = 20
"""Random decisions of a check, and as many of a policy."""


def main(argv: Sequence[str] | None = None) -> int:
    """Write or check. Returns the exit code: 0, or 2 if the command line cannot work."""
    arguments = parse(argv)
    return guarded(lambda: _run(arguments))


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line."""
    parser = argparse.ArgumentParser(
        prog="new_task.py",
        description="Write a task file over a task, with what that task has as comments; or check one.",
        allow_abbrev=False,
    )
    parser.add_argument("--base", help="A task of Isaac Lab, such as Isaac-Reach-Franka, or gym:ID.")
    parser.add_argument("--out", type=Path, help="The file to write.")
    parser.add_argument("--check", type=Path, metavar="FILE", help="Try a task file with a tiny policy.")
    parser.add_argument("--image_size", type=int, default=224, help="Height and width of the cameras (default: 224).")
    parser.add_argument("--agent", default=DEFAULT_AGENT, help="Agent of the check (default: %(default)s).")
    parser.add_argument("--overwrite", action="store_true", help="Replace a file that is there.")
    parser.add_argument("--device", help="cpu, cuda:0, ... (default: the GPU if there is one).")
    parser.add_argument("--assets", choices=["auto", "offline", "online"], help="As in train.py.")
    return parser.parse_args(argv)


def _run(arguments: argparse.Namespace) -> int:
    if arguments.check is not None:
        if arguments.base is not None or arguments.out is not None:
            raise UsageError("--check tries a file that is there; --base and --out write a new one. Give one of them.")
        return _check(arguments)
    if arguments.base is None or arguments.out is None:
        raise UsageError("--base and --out are needed to write a task file, or --check FILE to try one.")
    if arguments.image_size < 16:
        raise UsageError(f"--image_size is {arguments.image_size}; expected at least 16.")
    if arguments.out.exists() and not arguments.overwrite:
        raise UsageError(f"{str(arguments.out)!r} is there already. Choose another name, or give --overwrite.")
    from gr00t_rl_ext.tasks.files.draft import draft, numbers, to_edit

    found = {}
    if is_gymnasium(arguments.base):
        text = _of_gymnasium(arguments.base, arguments.image_size)
    else:
        prepare_assets(arguments.base, arguments.assets)
        scene = _scene(arguments.base, arguments.device or default_device())
        text, found = draft(scene, arguments.image_size), numbers(scene)
    write_whole(arguments.out, text)
    if found:
        print(f"{arguments.base}: " + ", ".join(f"{count} {name}" for name, count in found.items()))
    print(f"Wrote {arguments.out}.")
    if fields := to_edit(text):
        print(f"Edit what only you know: {', '.join(fields)} (marked EDIT ME).")
    print(f"Then: ./isaaclab.sh -p scripts/new_task.py --check {arguments.out}")
    return 0


def _of_gymnasium(base: str, image_size: int) -> str:
    from gr00t_rl_ext.envs.gymnasium.registry import TaskError
    from gr00t_rl_ext.tasks.files.gymnasium_draft import gymnasium_draft

    try:
        return gymnasium_draft(base, image_size)
    except TaskError as error:
        raise UsageError(f"--base: {error}") from error
    except Exception as error:
        # whatever an environment raises that is made and stepped once
        raise UsageError(f"--base: {base} cannot be tried: {type(error).__name__}: {error}") from error


def _scene(base: str, device: str) -> Any:
    """Start the base task once, and look at it."""
    from gr00t_rl_ext.cli.checks import check_device
    from gr00t_rl_ext.tasks.files.base import UnknownBaseError, base_cfg, make_ready

    check_device(device)
    try:
        cfg = base_cfg(base)
    except UnknownBaseError as error:
        raise UsageError(f"--base: {error}") from error
    make_ready(cfg)

    from isaaclab.app import launch_simulation
    from isaaclab_tasks.utils.hydra import resolve_presets

    from gr00t_rl_ext.envs import cuda_guard

    cfg: Any = resolve_presets(cfg)
    cfg.scene.num_envs, cfg.sim.device, cfg.seed = 1, device, 0
    cuda_guard.install()
    launcher = argparse.Namespace(device=device, headless=True, visualizer=None, enable_cameras=True)
    missing: FileNotFoundError | None = None
    with launch_simulation(cfg, launcher):
        import gymnasium as gym
        from isaaclab.envs import DirectRLEnvCfg, ManagerBasedRLEnv
        from rsl_rl.utils import resolve_callable

        from gr00t_rl_ext.tasks.files.draft import read_scene

        # not raised in here, where it would be printed with all that led to it
        try:
            direct = isinstance(cfg, DirectRLEnvCfg)
            kind: Any = resolve_callable(gym.spec(base).entry_point) if direct else ManagerBasedRLEnv  # type: ignore[arg-type]
            env = kind(cfg)
        except FileNotFoundError as error:
            missing = error
        else:
            with contextlib.closing(env):
                env.reset(seed=0)
                return read_scene(env, base)
    raise UsageError(
        f"{base} needs an asset that is not there. {missing}. The offline assets hold the Franka arm, cubes, a"
        " cabinet and the cartpole. --assets online takes others from Isaac Lab's server, ISAACSIM_ASSET_ROOT from a"
        " copy."
    )


def _check(arguments: argparse.Namespace) -> int:
    """By the preflight of a training, in a process of its own."""
    command = [*in_own_process("train"), "--task_config", str(arguments.check), "--agent", arguments.agent]
    command += ["--preflight", "--num_envs", "8", f"agent.preflight.decisions={DECISIONS}"]
    # of a policy that knows nothing
    command += ["agent.preflight.episodes=4"]
    for flag, value in (("--device", arguments.device), ("--assets", arguments.assets)):
        command += [flag, value] if value else []
    return subprocess.run(command, check=False).returncode
