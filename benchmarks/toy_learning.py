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
import csv
import io
import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
    for name in LEARNERS:
        print(summary(name, [row for row in rows if row["algorithm"] == name]))
    if args.csv:
        write_csv(args.csv, rows)
    if args.plot:
        plot(args.plot, rows)


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


def summary(name: str, rows: Sequence[dict[str, Any]]) -> str:
    """When the target was reached, in control steps."""
    reached = []
    for seed in sorted({row["seed"] for row in rows}):
        steps = [row["control_steps"] for row in rows if row["seed"] == seed and row["success"] >= TARGET]
        reached.append(steps[0] if steps else None)
    found = [steps for steps in reached if steps is not None]
    last = statistics.median(row["success"] for row in rows if row["iteration"] == rows[-1]["iteration"])
    when = f"after {statistics.median(found):,.0f} control steps (median)" if found else "never"
    return f"{name}: {TARGET:.0%} in {len(found)} of {len(reached)} seeds, {when}; median at the end {last:.1%}"


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """The curves, one row per evaluation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, path)


def plot(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """The curves as a picture: thin lines for seeds, thick ones for their median."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4), layout="constrained")
    for color, name in zip(("tab:blue", "tab:orange"), LEARNERS, strict=True):
        of_name = [row for row in rows if row["algorithm"] == name]
        for seed in {row["seed"] for row in of_name}:
            curve = [(row["control_steps"], row["success"]) for row in of_name if row["seed"] == seed]
            axes.plot(*zip(*curve, strict=True), color=color, linewidth=0.7, alpha=0.4)
        middle = []
        for iteration in sorted({row["iteration"] for row in of_name}):
            at = [row for row in of_name if row["iteration"] == iteration]
            middle.append([statistics.median(row[key] for row in at) for key in ("control_steps", "success")])
        axes.plot(*zip(*middle, strict=True), color=color, linewidth=2.2, label=name)
    axes.axhline(TARGET, color="gray", linewidth=0.8, linestyle=":")
    axes.set(xlabel="control steps", ylabel="success rate of the deterministic policy", ylim=(0, 1.02))
    axes.set_title("Toy reach, sparse success: median and seeds")
    axes.legend(loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    sys.exit(main())
