# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A training that runs for an hour: whether its memory grows, and whether its iterations get slower.

    ./isaaclab.sh -p benchmarks/soak.py --minutes 60 --out docs/soak.json --picture docs/images/soak.png

The training is that of README's first command, which goes on until SIGTERM ends it. Resident memory is that of the
process that learns, and of its workers. The slopes are the medians of all pairs (Theil-Sen) after the first tenth, in
which libraries are loaded and buffers filled. The time of processors per iteration, unlike that of the wall, hardly
depends on what else runs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from faults import TRAIN
from scipy.stats import theilslopes

from gr00t_rl_ext.cli.summary import read_scalars

TASK = [
    "--task",
    "gym:FetchPickAndPlace-v4",
    "--agent",
    "gr00t_ppo",
    "--device",
    "cpu",
    "--evaluate",
    "0",
    "--no-record",
]
WARM_UP = 0.1
"""Share of the time, at the start, that no slope is of."""


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=5.0, help="Seconds between samples (default: %(default)s).")
    parser.add_argument("--out", type=Path, help="Write the samples and figures to this file.")
    parser.add_argument("--picture", type=Path, help="Draw them to this file.")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        samples, steps, code = soak(Path(folder), 60.0 * args.minutes, args.every)
    result = {
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "command": TASK,
        "exit_code": code,
        **figures(samples, steps),
        "samples": samples,
        "iteration_seconds": steps,
    }
    for name, value in result.items():
        if not isinstance(value, list):
            print(f"{name:<42} {value}")
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result) + "\n", encoding="utf-8")
    if args.picture is not None:
        draw(result, args.picture)


def soak(folder: Path, seconds: float, every: float) -> tuple[list[dict[str, float]], list[float], int]:
    """Train for a while.

    Returns:
        Samples; wall time of each iteration [s]; the exit code.
    """
    log = (folder / "output.txt").open("w")
    command = [*TRAIN, *TASK, "--max_iterations", "1000000"]
    training = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    process, began = psutil.Process(training.pid), time.monotonic()
    samples: list[dict[str, float]] = []
    while training.poll() is None and time.monotonic() - began < seconds:
        time.sleep(every)
        iterations = (folder / "output.txt").read_text(encoding="utf-8", errors="replace").count("Learning iteration")
        if iterations and training.poll() is None:
            samples.append({"seconds": time.monotonic() - began, "iterations": iterations, **_usage(process)})
    training.send_signal(signal.SIGTERM)
    code = training.wait(timeout=300)
    log.close()
    if not samples:
        raise SystemExit(f"The training made no iteration:\n{(folder / 'output.txt').read_text()[-3000:]}")
    (run,) = folder.glob("logs/rsl_rl/*/*")
    scalars = read_scalars(run)
    pairs = zip(scalars["Perf/collection_time"], scalars["Perf/learning_time"], strict=True)
    return samples, [collecting + learning for (_, collecting), (_, learning) in pairs], code


def _usage(process: psutil.Process) -> dict[str, float]:
    """Resident memory [MB], of the process and of those that it started, and their processor time [s]."""
    others = process.children(recursive=True)
    times = [one.cpu_times() for one in (process, *others)]
    return {
        "learner_mb": process.memory_info().rss / 1e6,
        "workers_mb": sum(other.memory_info().rss for other in others) / 1e6,
        "cpu_seconds": sum(one.user + one.system for one in times),
    }


def figures(samples: list[dict[str, float]], steps: list[float]) -> dict[str, Any]:
    """Slopes of memory and time."""
    counted = samples[int(WARM_UP * len(samples)) :]
    iterations = np.array([sample["iterations"] for sample in counted])
    found: dict[str, Any] = {"minutes": samples[-1]["seconds"] / 60.0, "iterations": len(steps)}
    for name in ("learner_mb", "workers_mb"):
        values = np.array([sample[name] for sample in counted])
        found[f"{name}_at_the_end"] = float(values[-1])
        found[f"{name}_per_100_iterations"] = 100.0 * float(theilslopes(values, iterations).slope)
    half = len(counted) // 2
    for name, part in (("first", counted[: half + 1]), ("second", counted[half:])):
        used = part[-1]["cpu_seconds"] - part[0]["cpu_seconds"]
        done = part[-1]["iterations"] - part[0]["iterations"]
        found[f"cpu_seconds_per_iteration_{name}_half"] = used / max(done, 1)
    late = np.array(steps[int(WARM_UP * len(steps)) :])
    for name, times in (("first", late[: len(late) // 2]), ("second", late[len(late) // 2 :])):
        found[f"median_wall_seconds_per_iteration_{name}_half"] = float(np.median(times)) if len(times) else None
    return found


def draw(result: dict[str, Any], file: Path) -> None:
    """Memory and time of iterations over time."""
    from matplotlib.figure import Figure

    samples = result["samples"]
    minutes = [sample["seconds"] / 60.0 for sample in samples]
    figure = Figure(figsize=(7.0, 4.6), layout="constrained")
    memory, speed = figure.subplots(2, 1, sharex=True)
    memory.plot(minutes, [sample["learner_mb"] for sample in samples], label="process that learns")
    memory.plot(minutes, [sample["workers_mb"] for sample in samples], label="workers")
    memory.set(ylabel="resident memory, MB", ylim=(0, None))
    memory.legend(loc="lower right", frameon=False)
    ends = np.cumsum(result["iteration_seconds"]) / 60.0
    offset = minutes[-1] - ends[-1]
    speed.plot(ends + offset, result["iteration_seconds"], linewidth=0.6)
    speed.set(ylabel="time of an iteration, s", xlabel="minutes", ylim=(0, None))
    for axes in (memory, speed):
        axes.grid(alpha=0.3)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)


if __name__ == "__main__":
    main()
