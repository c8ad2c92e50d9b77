# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The command: let LeRobot read a dataset, and compare what it reads with what our reader says."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tools.layered_environment import OracleError, oracle_python, run_in_environment

from gr00t_rl_ext.imitation import layout
from gr00t_rl_ext.imitation.dataset import Demonstration, DemonstrationDataset

from . import LOCK
from .table import Row, largest_difference, table

REFERENCE = Path(__file__).with_name("dataset_reference.py")

BOUNDS = {"frames": 0.0, "state": 0.0, "action": 0.0, "task": 0.0, "time": 1e-4, "images": 3.0}
"""What is compared, of each episode -> largest absolute difference: of the numbers of frames, in the units of state and
action, texts that are not equal, seconds, and levels of 256 (versions of FFmpeg round colours differently)."""

STATISTICS_BOUND = 1e-3
"""Largest difference of mean, std, min and max of state and action, relative to values above 1."""


def read_with_lerobot(dataset: Path, episodes: int, folder: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """Let LeRobot read a copy of a dataset.

    Args:
        dataset: Directory of the dataset; it is not changed.
        episodes: How many of the first episodes.
        folder: For the copy, and for ``outputs/episode_N.npz``.

    Returns:
        What it says of the dataset, and the versions of its packages.

    Raises:
        OracleError: LeRobot cannot be run, or fails.
    """
    copy, outputs, cache = folder / "dataset", folder / "outputs", folder / "cache"
    shutil.copytree(dataset, copy)
    outputs.mkdir()
    cache.mkdir()
    job = folder / "job.json"
    job.write_text(json.dumps({"dataset": str(copy), "outputs": str(outputs), "episodes": episodes}), encoding="utf-8")
    versions = run_in_environment(oracle_python(LOCK, "lerobot-oracle"), REFERENCE, job, cache)
    return json.loads((outputs / "facts.json").read_text(encoding="utf-8")), versions


def compare_episode(ours: Demonstration, theirs: Mapping[str, np.ndarray], tasks: Sequence[str], fps: float) -> Row:
    """Differences of an episode.

    Args:
        ours: As our reader says.
        theirs: Column -> LeRobot's values.
        tasks: The instructions that LeRobot gives its frames.
        fps: Of the dataset.
    """
    name, frames = f"episode {ours.index}", len(theirs[layout.ACTION])
    different = {"frames": float(abs(frames - len(ours))), "task": float(set(tasks) != set(ours.instructions))}
    if frames != len(ours):
        return Row(name, dict.fromkeys(BOUNDS, float("nan")) | different)
    vectors = {"state": (layout.STATE, ours.state), "action": (layout.ACTION, ours.action)}
    for kind, (column, parts) in vectors.items():
        mine = np.concatenate(list(parts.values()), axis=1)
        different[kind] = largest_difference(kind, torch.from_numpy(mine), torch.from_numpy(theirs[column]))
    times = np.arange(frames) / fps
    different["time"] = float(np.abs(theirs["timestamp"].ravel() - times).max())
    different["images"] = 0.0
    for camera in ours.footage:
        mine = torch.from_numpy(ours.images(camera)).movedim(-1, 1)
        seen = torch.from_numpy(theirs[layout.video_column(camera)])
        different["images"] = max(different["images"], largest_difference(camera, mine, seen))
    return Row(name, different)


def compare_dataset(dataset: DemonstrationDataset, facts: Mapping[str, Any]) -> list[str]:
    """What LeRobot says otherwise of the dataset as a whole; empty if nothing."""
    problems = []
    counts = {"episodes": len(dataset), "frames": sum(map(len, dataset)), "fps": dataset.fps}
    for name, count in counts.items():
        if facts[name] != count:
            problems.append(f"{name}: ours {count}, LeRobot's {facts[name]}")
    for kind, column in (("state", layout.STATE), ("action", layout.ACTION)):
        for name in ("mean", "std", "min", "max"):
            mine = np.concatenate([np.asarray(key[name]) for key in dataset.statistics[kind].values()])
            theirs = np.asarray(facts["stats"][column][name])
            if mine.shape != theirs.shape or (np.abs(mine - theirs) > STATISTICS_BOUND * np.abs(mine).clip(1.0)).any():
                problems.append(
                    f"{name} of {kind}: ours {mine.round(4).tolist()}, LeRobot's {theirs.round(4).tolist()}"
                )
    return problems


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 if LeRobot reads what our reader reads, 1 if not, 2 if nothing could be compared.
    """
    parser = argparse.ArgumentParser(
        prog="lerobot_dataset_check.py",
        description="Let LeRobot, in an environment of its own, read a dataset in the layout of "
        "record_demonstrations.py, and compare frames, states, actions, instructions, times, statistics and images "
        "with what our reader says. LeRobot converts a copy to its current version first; the dataset stays as it is.",
    )
    parser.add_argument("dataset", type=Path, help="directory of the dataset")
    parser.add_argument("--episodes", type=int, default=20, help="compare this many (default: %(default)s)")
    args = parser.parse_args(argv)
    try:
        if args.episodes < 1:
            raise OracleError(f"--episodes is {args.episodes}; expected at least 1")
        dataset = DemonstrationDataset(args.dataset, only_successes=False)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            facts, versions = read_with_lerobot(dataset.directory, args.episodes, folder)
            rows = []
            for one, tasks in zip(dataset, facts["tasks"], strict=False):
                with np.load(folder / "outputs" / f"episode_{one.index}.npz") as theirs:
                    rows.append(compare_episode(one, theirs, tasks, dataset.fps))
    except (OracleError, layout.DatasetError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("Largest absolute differences to " + ", ".join(f"{name} {version}" for name, version in versions.items()))
    largest = {name: float(np.max([row.differences[name] for row in rows])) for name in BOUNDS}
    bad = [row for row in rows if not row.within(BOUNDS)]
    print(table([*bad, Row(f"all {len(rows)} episodes", largest)], BOUNDS))
    problems = compare_dataset(dataset, facts)
    print(
        "\n".join(problems) or f"{facts['episodes']} episodes, {facts['frames']} frames, {facts['fps']} fps: the same"
    )
    return 1 if problems or bad else 0
