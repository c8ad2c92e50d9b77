# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""GRPO and PPO on a toy task with a sparse success: curves of the success rate over control steps, without a simulator.

    ./isaaclab.sh -p benchmarks/toy_learning.py --csv docs/results/toy_learning.csv --plot docs/images/toy_learning.png

An MLP reaches for a point on a plane (toy_reach.py). After every few iterations the deterministic policy is tried on
256 initial states of its own. Both algorithms have 64 environments, chunks of 4 control steps, the same network,
learning rate, epochs and mini-batches; PPO has a critic beside it. Control steps that GRPO spends on groups that it
tries again count.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curves import Curve, plot, summary, write_csv

TARGET = 0.95


def main(arguments: Sequence[str] | None = None) -> None:
    """Learn, print when the target was reached, and write what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=60)
    parser.add_argument("--every", type=int, default=3, help="Iterations between evaluations.")
    parser.add_argument("--csv", type=Path, default=None, help="Where the curves go.")
    parser.add_argument("--plot", type=Path, default=None, help="Where their picture goes.")
    args = parser.parse_args(arguments)
    if min(args.seeds, args.iterations, args.every) < 1:
        parser.error("--seeds, --iterations and --every must be at least 1.")
    rows = [row for name in LEARNERS for seed in range(args.seeds) for row in learn(name, seed, args)]
    learnt = {name: curves(name, [row for row in rows if row["algorithm"] == name]) for name in LEARNERS}
    for of_name in learnt.values():
        print(summary(of_name, TARGET, "control steps", percent=True))
    if args.csv:
        write_csv(args.csv, rows)
    if args.plot:
        plot(
            args.plot,
            [curve for of_name in learnt.values() for curve in of_name],
            xlabel="control steps",
            ylabel="success rate of the deterministic policy",
            title="Toy reach, sparse success: median and seeds",
            goal=TARGET,
            ylim=(0, 1.02),
        )


def _grpo(seed: int) -> Any:
    from toy_agents import grpo_runner

    return grpo_runner(64, seed)


def _ppo(seed: int) -> Any:
    from toy_agents import ppo, stock_runner

    return stock_runner(ppo(), 64, seed)


LEARNERS = {"GRPO, groups of 8": _grpo, "PPO": _ppo}


def learn(name: str, seed: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """One run: the success rate after every few iterations."""
    from toy_agents import success_rate

    runner = LEARNERS[name](seed)
    env = runner.env
    rows = []
    for done in range(0, args.iterations + 1, args.every):
        if done:
            with contextlib.redirect_stdout(io.StringIO()):
                runner.learn(args.every)
            runner.current_learning_iteration += 1
        rate = success_rate(runner.alg.get_policy())
        rows.append({"algorithm": name, "seed": seed, "iteration": done, "control_steps": env.steps, "success": rate})
    return rows


def curves(name: str, rows: Sequence[dict[str, Any]]) -> list[Curve]:
    """Of one algorithm, a curve for each seed."""
    columns = {
        seed: [(row["iteration"], row["control_steps"], row["success"]) for row in rows if row["seed"] == seed]
        for seed in sorted({row["seed"] for row in rows})
    }
    return [Curve(name, *zip(*points, strict=True)) for points in columns.values()]


if __name__ == "__main__":
    sys.exit(main())
