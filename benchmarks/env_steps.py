# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Env steps per second of the stack task, without a policy.

    ./isaaclab.sh -p benchmarks/env_steps.py                                  # 64 envs, kit-less PhysX
    ./isaaclab.sh -p benchmarks/env_steps.py --num_envs 256 --device cuda:0
    ./isaaclab.sh -p benchmarks/env_steps.py --physics newton_mjwarp --num_envs 8

An env step is one control step of one environment (50 ms of simulated time). Random actions; the median of several
repetitions, with the fastest and slowest, because machines are shared. Rows with cameras render them once per chunk.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

from gr00t_rl_ext.assets.root import apply_asset_root

WARM_UP_STEPS = 32


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="Isaac-Stack-Cube-Franka-v0")
    parser.add_argument("--num_envs", type=int, default=64)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--physics", default=None, help="Physics preset (default: the task's for this machine).")
    parser.add_argument("--steps", type=int, default=160, help="Control steps per repetition.")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--cameras", action="store_true", help="Also with both cameras at 64 px, chunks of 16.")
    parser.add_argument("--json", type=Path, help="Write the figures to this file as well.")
    args = parser.parse_args()

    apply_asset_root()
    import gymnasium as gym
    import torch
    from isaaclab.app import launch_simulation
    from isaaclab_tasks.utils import resolve_task_config

    import gr00t_rl_ext.tasks  # noqa: F401

    overrides = ["presets=small_cameras"] + ([f"physics={args.physics}"] if args.physics else [])
    cfg, _ = resolve_task_config(args.task, None, overrides=overrides)
    cfg.scene.num_envs = args.num_envs
    cfg.sim.device = args.device
    rows: dict[str, dict[str, float]] = {}
    with launch_simulation(cfg, argparse.Namespace(device=args.device, headless=True, visualizer=None)):
        env = gym.make(args.task, cfg=cfg).unwrapped
        env.reset(seed=0)
        layouts = [("state only, single steps", 1, ["state", "privileged"])]
        layouts.append(("state only, chunks of 16", 16, ["state", "privileged"]))
        if args.cameras:
            layouts.append(("two 64 px cameras, chunks of 16", 16, ["rgb", "state", "privileged"]))
        for name, chunk_length, groups in layouts:
            env.configure_decisions(chunk_length, observation_groups=groups)
            env.reset(seed=0)

            def run(control_steps: int, chunk_length: int = chunk_length) -> float:
                width = chunk_length * env.control_action_dim
                start = time.perf_counter()
                for _ in range(control_steps // chunk_length):
                    env.step(2.0 * torch.rand(args.num_envs, width, device=args.device) - 1.0)
                if args.device.startswith("cuda"):
                    torch.cuda.synchronize()
                return args.num_envs * control_steps / (time.perf_counter() - start)

            run(WARM_UP_STEPS)
            speeds = [run(args.steps) for _ in range(args.repetitions)]
            rows[name] = {"median": statistics.median(speeds), "min": min(speeds), "max": max(speeds)}
        env.close()
    print(f"\n{args.task}, {args.num_envs} envs, {type(cfg.sim.physics).__name__}, {args.device}, {platform.node()}")
    for name, row in rows.items():
        print(f"  {name:34} {row['median']:8.0f} env steps/s   ({row['min']:.0f} to {row['max']:.0f})")
    if args.json:
        args.json.write_text(json.dumps({"arguments": vars(args) | {"json": str(args.json)}, "rows": rows}, indent=1))


if __name__ == "__main__":
    main()
