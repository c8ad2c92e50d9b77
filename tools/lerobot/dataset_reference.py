# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Reads a dataset with LeRobot, unmodified, and writes what it reads. A script for the interpreter of ``environment``.

    python dataset_reference.py JOB.json CACHE

``JOB.json``: ``{"dataset": directory, "outputs": directory, "episodes": int}``. The dataset, of version 2.1, is
converted in place to LeRobot's current version by LeRobot's own converter; ``outputs`` gets ``episode_N.npz`` of the
first episodes, and ``facts.json``. ``CACHE`` is an empty directory.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import metadata
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before anything imports huggingface_hub
os.environ["HF_HOME"] = os.environ["HF_DATASETS_CACHE"] = sys.argv[2]  # as large as the dataset

import numpy as np

from lerobot.datasets import LeRobotDataset  # pyright: ignore[reportMissingImports]
from lerobot.scripts.convert_dataset_v21_to_v30 import convert_dataset  # pyright: ignore[reportMissingImports]

VERSIONS = ("lerobot", "datasets", "av", "numpy")


def read(folder: Path, outputs: Path, episodes: int) -> None:
    """Convert and read."""
    name = "local/dataset"
    convert_dataset(name, root=folder, push_to_hub=False)
    # torchcodec needs FFmpeg's libraries, PyAV brings its own
    dataset = LeRobotDataset(name, root=folder, video_backend="pyav", return_uint8=True)
    meta = dataset.meta
    facts = {
        "episodes": meta.total_episodes,
        "frames": len(dataset),
        "fps": meta.fps,
        "tasks": [],
        "stats": {
            name: {kind: np.asarray(values).ravel().tolist() for kind, values in stats.items()}
            for name, stats in meta.stats.items()
        },
    }
    starts = [int(row["dataset_from_index"]) for row in meta.episodes]
    ends = [int(row["dataset_to_index"]) for row in meta.episodes]
    for index in range(min(episodes, len(starts))):
        rows = [dataset[frame] for frame in range(starts[index], ends[index])]
        facts["tasks"].append(sorted({row["task"] for row in rows}))
        vectors = {key: np.stack([np.asarray(row[key]) for row in rows]) for key in rows[0] if key != "task"}
        np.savez(outputs / f"episode_{index}.npz", **vectors)
    (outputs / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


if __name__ == "__main__":
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    read(Path(job["dataset"]), Path(job["outputs"]), job["episodes"])
    print(json.dumps({name: metadata.version(name) for name in VERSIONS}))
