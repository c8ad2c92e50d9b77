# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Made-up episodes, and datasets of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gr00t_rl_ext.imitation.lerobot_dataset import DatasetFormat, Episode, LeRobotWriter

SIZE = (32, 48)
FORMAT = DatasetFormat(
    fps=20, state={"joints": 3, "pose": 2}, action={"arm": 2, "gripper": 1}, cameras={"front": SIZE}, robot_type="made"
)


def episode(steps: int = 5, seed: int = 0, success: bool = True, instruction: str = "lift the red cube") -> Episode:
    """Random vectors, and images whose halves have the step's own colours."""
    random = np.random.default_rng(seed)
    images = np.zeros((steps, *SIZE, 3), dtype=np.uint8)
    for step in range(steps):
        images[step, :, : SIZE[1] // 2, 0] = 40 * step + 20
        images[step, :, SIZE[1] // 2 :, 2] = 200
    return Episode(
        state=random.normal(size=(steps, 5)).astype(np.float32),
        action=random.uniform(-1, 1, size=(steps, 3)).astype(np.float32),
        reward=np.eye(steps, dtype=np.float32)[-1],
        images={"front": images},
        instruction=instruction,
        success=success,
    )


def write(directory: Path, *episodes: Episode) -> Path:
    """A dataset with these episodes."""
    writer = LeRobotWriter(directory, FORMAT)
    for one in episodes:
        writer.add(one)
    return directory
