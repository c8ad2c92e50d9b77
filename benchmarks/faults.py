# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Trainings that are killed, and go on: how many end as the one that nobody killed.

    ./isaaclab.sh -p benchmarks/faults.py --out logs/faults.json

Each row trains by the command line in a directory of its own, ends the training in some way, resumes it by
``--resume``, and compares the last checkpoint and all curves with those of the whole run. ``saving`` kills while a
checkpoint is being written. A checkpoint is torn if it cannot be read. Signals stop in the middle of a rollout, of
which the decisions are lost, so that those runs are not compared.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from gr00t_rl_ext.cli.summary import read_scalars
from gr00t_rl_ext.runs.checkpoint_files import CheckpointFileError, read_checkpoint

TRAIN = [sys.executable, str(Path(__file__).parents[1] / "scripts" / "rsl_rl" / "train.py")]
TASK = ["--task", "gym:FetchReach-v4", "--agent", "mlp_ppo", "--num_envs", "8", "--seed", "3", "--no-record"]
ITERATIONS = 6
TIMES = ("Perf/", "charts/SPS")
SIGNALS = {"SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM, "SIGHUP": signal.SIGHUP}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20, help="At random points (default: %(default)s).")
    parser.add_argument("--saving", type=int, default=8, help="While saving (default: %(default)s).")
    parser.add_argument("--signals", type=int, default=3, help="Of each kind (default: %(default)s).")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="Write the figures to this file as well.")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), args)
    result = {"machine": platform.node(), "cpus": os.cpu_count(), "command": sys.argv[1:], "rows": rows}
    print("| Ended by | Runs | Torn files | Resumed | Equal to the whole run |\n|---|---:|---:|---:|---:|")
    for name, row in rows.items():
        equal = "–" if row["compared"] == 0 else row["equal"]
        print(f"| {name} | {row['runs']} | {row['torn']} | {row['resumed']} | {equal} |")
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def measure(folder: Path, args: argparse.Namespace) -> dict[str, dict[str, int]]:
    """Name of what ends the runs -> counts."""
    drawn = random.Random(args.seed)
    began = time.monotonic()
    whole = start(folder, "whole")
    assert whole.wait() == 0, "the run that nobody kills fails"
    run = directory(folder, "whole")
    # from the first iteration on
    lasts = (run / f"model_{ITERATIONS - 1}.pt").stat().st_mtime - (run / "model_0.pt").stat().st_mtime
    print(f"The whole run took {time.monotonic() - began:.0f} s.", flush=True)
    rows: dict[str, dict[str, int]] = {}
    kinds = [("SIGKILL", "random", args.kills), ("SIGKILL, saving", "saving", args.saving)]
    kinds += [(name, "random", args.signals) for name in SIGNALS]
    for name, when, count in kinds:
        row = rows[name] = {"runs": count, "torn": 0, "resumed": 0, "compared": 0, "equal": 0}
        for number in range(count):
            trial = f"{name.replace(', ', '_')}_{number}"
            end(folder, trial, name, when, drawn.uniform(0.0, 0.95) * lasts)
            torn, status = torn_files(directory(folder, trial)), 0
            row["torn"] += len(torn)
            if not (directory(folder, trial) / f"model_{ITERATIONS - 1}.pt").exists():
                status = resume(folder, trial)
            row["resumed"] += status == 0
            if status == 0 and name not in SIGNALS:
                row["compared"] += 1
                row["equal"] += equal(run, directory(folder, trial))
            print(f"{trial}: exit {status}, {len(torn)} torn, {row}", flush=True)
    return rows


def start(folder: Path, name: str) -> subprocess.Popen:
    """Begin a training."""
    own = ["--max_iterations", str(ITERATIONS), "--run_name", name, "agent.save_interval=1"]
    log = (folder / f"{name}.log").open("w")
    return subprocess.Popen([*TRAIN, *TASK, *own], cwd=folder, stdout=log, stderr=log, start_new_session=True)


def directory(folder: Path, name: str) -> Path:
    """That of a run."""
    (found,) = folder.glob(f"logs/rsl_rl/*/*_{name}")
    return found


def end(folder: Path, trial: str, name: str, when: str, delay: float) -> None:
    """Begin a training, and end it."""
    process = start(folder, trial)
    while not list(folder.glob(f"logs/rsl_rl/*/*_{trial}/model_0.pt")):
        time.sleep(0.002)
        assert process.poll() is None, f"{trial} ended before it was to be"
    run = directory(folder, trial)
    if when == "saving":
        while not list(run.glob(".model_*")) and process.poll() is None:
            pass
    else:
        time.sleep(delay)
    number = SIGNALS.get(name, signal.SIGKILL)
    if process.poll() is None:
        os.killpg(process.pid, number)
    status = process.wait()
    if name in SIGNALS:
        assert status in (0, 128 + number), f"{trial} ended with {status}"


def resume(folder: Path, name: str) -> int:
    """Go on; the exit code."""
    with (folder / f"{name}_resumed.log").open("w") as log:
        command = [*TRAIN, "--resume", str(directory(folder, name))]
        return subprocess.run(command, cwd=folder, stdout=log, stderr=log, check=False).returncode


def torn_files(run: Path) -> list[str]:
    """Checkpoints that cannot be read."""
    torn = []
    for file in run.glob("model_*.pt"):
        try:
            read_checkpoint(file)
        except CheckpointFileError:
            torn.append(file.name)
    return torn


def equal(one: Path, other: Path) -> bool:
    """Whether two runs ended with the same checkpoint, and have the same curves, but for times."""
    last = f"model_{ITERATIONS - 1}.pt"
    return differences(one / last, other / last) == [] and curves(one) == curves(other)


def differences(one: Path, other: Path) -> list[str]:
    """Paths of what differs between two checkpoints, but for the time that they took."""
    first, second = (dict(flat(read_checkpoint(file))) for file in (one, other))
    found = [*(first.keys() ^ second.keys())]
    for key, value in first.items():
        if key in second and key != "/logger/tot_time":
            there = second[key]
            same = torch.equal(value, there) if isinstance(value, torch.Tensor) else value == there
            found += [] if same else [key]
    return found


def curves(run: Path) -> dict[str, Any]:
    """All scalars of a run but times."""
    scalars = read_scalars(run).items()
    return {tag: values for tag, values in scalars if not tag.startswith(TIMES) and "/time" not in tag}


def flat(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path -> value of nested containers."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from flat(value, f"{path}/{key}")
    elif isinstance(node, (list, tuple)):
        for index, value in enumerate(node):
            yield from flat(value, f"{path}/{index}")
    else:
        yield path, node


if __name__ == "__main__":
    main()
