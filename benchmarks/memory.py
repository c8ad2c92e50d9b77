# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Memory that reinforcement learning of a GR00T takes: the estimate, and what is really allocated.

    ./isaaclab.sh -p benchmarks/memory.py --version N1.7 --gradient_accumulation_steps 8     # 3B, nothing allocated
    ./isaaclab.sh -p benchmarks/memory.py --measure --sixteenths 2 --image_size 112 --num_envs 4 --num_steps 2
    ./isaaclab.sh -p benchmarks/memory.py --measure --device cuda:0 --trained dit --num_envs 64

One row per part of the model that trains, see ``memory_agent``. The weights are random, the layout is the published one
with widths scaled by ``sixteenths / 16``. Frozen weights are bfloat16, trained ones float32 under autocast.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from allocated_memory import peak_allocated
from memory_agent import TRAINED, MemoryAgent
from random_gr00t import random_gr00t

from gr00t_rl_ext.policy.memory import BatchSizes, MemoryModel

DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}


def main() -> None:
    """Estimate, measure if asked to, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", default="N1.5", choices=("N1.5", "N1.7"))
    parser.add_argument("--trained", nargs="+", default=list(TRAINED), choices=TRAINED)
    parser.add_argument("--num_envs", type=int, default=256)
    parser.add_argument("--num_steps", type=int, default=8, help="Decisions per environment and iteration.")
    parser.add_argument("--num_mini_batches", type=int, default=4)
    parser.add_argument("--gradient_accumulation_steps", type=int, default=1)
    parser.add_argument("--gradient_checkpointing", action="store_true")
    parser.add_argument("--num_cameras", type=int, default=1)
    parser.add_argument("--sixteenths", type=int, default=16, help="Widths in sixteenths of the published ones.")
    parser.add_argument("--depth", type=float, default=1.0, help="Share of the published layers.")
    parser.add_argument("--image_size", type=int, default=None)
    parser.add_argument("--dtype", default="bfloat16", choices=DTYPES, help="Of the frozen weights.")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--measure", action="store_true", help="Also run two iterations and measure.")
    args = parser.parse_args()
    sizes = BatchSizes(args.num_envs, args.num_steps, args.num_mini_batches, args.gradient_accumulation_steps)

    for trained in args.trained:

        def build(
            num_envs: int, num_steps: int, num_parts: int, num_mini_batches: int = 1, trained: str = trained
        ) -> MemoryAgent:
            model = random_gr00t(
                args.version,
                sixteenths=args.sixteenths,
                depth=args.depth,
                image_size=args.image_size,
                dtype=DTYPES[args.dtype],
                device=args.device,
            )
            return MemoryAgent(
                model,
                trained,
                num_envs,
                num_steps,
                num_parts,
                num_mini_batches,
                num_cameras=args.num_cameras,
                checkpointing=args.gradient_checkpointing,
            )

        def run(build: Callable[..., MemoryAgent] = build) -> None:
            agent = build(
                sizes.num_envs, sizes.num_steps_per_env, sizes.gradient_accumulation_steps, sizes.num_mini_batches
            )
            for _ in range(2):
                agent.rollout()
                agent.update()

        start = time.perf_counter()
        estimate = MemoryModel(build, args.device).estimate(sizes)
        seconds = time.perf_counter() - start
        print(f"\nGR00T {args.version}, trains {trained}; {seconds:.1f} s for the estimate\n{estimate.describe()}")
        if args.measure:
            measured = peak_allocated(run, args.device)
            error = estimate.total / measured - 1
            print(f"  measured: {measured / 2**20:.2f} MiB; the estimate is {error:+.1%} off")


if __name__ == "__main__":
    main()
