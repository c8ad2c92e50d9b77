# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Env steps per second of a Gymnasium task against the raw simulator's.

    ./isaaclab.sh -p benchmarks/gymnasium_steps.py                              # FetchPickAndPlace, chunks of 8
    ./isaaclab.sh -p benchmarks/gymnasium_steps.py --image_size 64              # and the cost of images
    ./isaaclab.sh -p benchmarks/gymnasium_steps.py --task gym:HalfCheetah-v5 --workers 4

The raw simulator is the same environment in a bare loop, without observation groups, shared memory or a learner: the
same number of environments in the same number of processes, the same time limit, resets included. Both take random
actions that are drawn in advance and do not end episodes early. Machines are shared and speeds drift: both run by
turns, and what counts is the ratio of neighbours, its median, and its quartiles.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from gr00t_rl_ext.envs.gymnasium.configs import GymnasiumEnvCfg
from gr00t_rl_ext.envs.gymnasium.registry import make_env, time_limit

WARM_UP = 1
"""Turns of each that are not counted."""


def run_bare(connection: Connection, cfg: GymnasiumEnvCfg, num_envs: int) -> None:
    """Main function of a process with the raw simulator: steps so many times whenever it is told."""
    envs = [make_env(cfg) for _ in range(num_envs)]
    limit = time_limit(cfg)
    ages = []
    for seed, env in enumerate(envs):
        env.reset(seed=seed)
        env.action_space.seed(seed)
        ages.append(0)
    actions = [envs[0].action_space.sample() for _ in range(256)]
    connection.send("ready")
    while (steps := connection.recv()) is not None:
        for index, env in enumerate(envs):
            for step in range(steps):
                terminated = env.step(actions[step % 256])[2]
                ages[index] += 1
                if terminated or ages[index] == limit:
                    env.reset()
                    ages[index] = 0
        connection.send("done")


class Bare:
    """The raw simulator in processes.

    Args:
        cfg: The task.
        num_workers: Processes.
    """

    def __init__(self, cfg: GymnasiumEnvCfg, num_workers: int) -> None:
        self._connections = []
        self._num_envs = cfg.num_envs
        context = multiprocessing.get_context("spawn")
        for part in np.array_split(np.arange(cfg.num_envs), num_workers):
            ours, theirs = context.Pipe()
            context.Process(target=run_bare, args=(theirs, cfg, len(part)), daemon=True).start()
            self._connections.append(ours)
        for connection in self._connections:
            connection.recv()

    def run(self, steps: int) -> int:
        """Let every environment do so many control steps. Returns how many were executed together."""
        for connection in self._connections:
            connection.send(steps)
        for connection in self._connections:
            connection.recv()
        return self._num_envs * steps

    def close(self) -> None:
        """End the processes."""
        for connection in self._connections:
            connection.send(None)


def decisions(env: Any, chunk_length: int) -> Callable[[int], int]:
    """A function that offers every environment of the task so many control steps, in chunks of random actions.

    It returns how many were executed: what follows the end of an episode in a chunk is not.
    """
    import torch

    width = env.num_actions
    if env.action_choices:
        choices = torch.tensor(env.action_choices * chunk_length)
        chunks = [(torch.rand(env.num_envs, width) * choices).floor() for _ in range(32)]
    else:
        chunks = [2 * torch.rand(env.num_envs, width) - 1 for _ in range(32)]

    def run(steps: int) -> int:
        executed = 0
        for step in range(steps // chunk_length):
            executed += int(env.step(chunks[step % 32])[-1]["executed_steps"].sum())
        return executed

    return run


def compare(args: argparse.Namespace) -> dict[str, Any]:
    """Measure. Returns the settings and, for each layout, speeds and ratios."""
    from gr00t_rl_ext.envs.gymnasium.tasks import make, task_cfg

    settings: dict[str, Any] = {"num_envs": args.num_envs, "num_workers": args.workers, "terminate_on_success": False}
    images = {"rgb": True, "image_size": (args.image_size, args.image_size)} if args.image_size else {}
    env = make(args.task, **settings, **images)
    bare = Bare(task_cfg(args.task, **settings), env.num_workers)
    vectors = [group for group in env.observation_manager.active_terms if group != "rgb"]
    layouts = {"vectors": vectors} | ({"images": [*vectors, "rgb"]} if images else {})
    steps = args.steps // args.chunk_length * args.chunk_length
    decided = args.repetitions * args.num_envs * steps // args.chunk_length
    executed = dict.fromkeys(("bare", *layouts), 0)
    speeds: dict[str, list[float]] = {"bare": [], **{name: [] for name in layouts}}
    for turn in range(WARM_UP + args.repetitions):
        for name in speeds if turn % 2 else reversed(speeds):
            if name == "bare":
                run: Callable[[int], int] = bare.run
            else:
                env.configure_decisions(args.chunk_length, observation_groups=layouts[name])
                run = decisions(env, args.chunk_length)
            start = time.perf_counter()
            done = run(steps)
            if turn >= WARM_UP:
                speeds[name].append(done / (time.perf_counter() - start))
                executed[name] += done
    result: dict[str, Any] = {
        "workers": env.num_workers,
        "steps_per_second": speeds,
        "ratios": {
            name: [ours / base for base, ours in zip(speeds["bare"], speeds[name], strict=True)] for name in layouts
        },
    }
    if images:
        images_per_step = len(env.observation_manager.active_terms["rgb"]) * decided / executed["images"]
        result["core_ms_per_image"] = [
            1e3 * (1 / with_images - 1 / without) * env.num_workers / images_per_step
            for with_images, without in zip(speeds["images"], speeds["vectors"], strict=True)
        ]
    env.close()
    bare.close()
    return result


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="gym:FetchPickAndPlace-v4")
    parser.add_argument("--num_envs", type=int, default=32)
    parser.add_argument("--workers", type=int, default=None, help="Processes (default: one per available core).")
    parser.add_argument("--chunk_length", type=int, default=8)
    parser.add_argument("--steps", type=int, default=80, help="Control steps per environment and turn.")
    parser.add_argument("--repetitions", type=int, default=9)
    parser.add_argument("--image_size", type=int, default=0, help="Also with images of so many pixels (0: without).")
    parser.add_argument("--json", type=Path, help="Write the figures to this file as well.")
    args = parser.parse_args()
    result = compare(args)
    print(
        f"{args.task}, {args.num_envs} envs in {result['workers']} processes, chunks of {args.chunk_length},"
        f" {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {platform.machine()}"
    )
    print(f"  {'median':10} {'env steps/s':>12} {'of bare':>9}   quartiles")
    for name, speeds in result["steps_per_second"].items():
        line = f"  {name:10} {statistics.median(speeds):12.0f}"
        if name in result["ratios"]:
            low, ratio, high = statistics.quantiles(result["ratios"][name], n=4)
            line += f" {ratio:9.2f}   {low:.2f} to {high:.2f}"
        print(line)
    if "core_ms_per_image" in result:
        print(
            f"  an image of {args.image_size} px: {statistics.median(result['core_ms_per_image']):.1f} ms of one core"
        )
    if args.json:
        args.json.write_text(json.dumps({"arguments": vars(args) | {"json": str(args.json)}, **result}, indent=1))


if __name__ == "__main__":
    main()
