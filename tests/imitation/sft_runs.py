# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Small runs of supervised fine-tuning on made-up demonstrations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import recordings

from gr00t_rl_ext.gr00t import build_tiny_checkpoint
from gr00t_rl_ext.imitation.sft_options import SftOptions
from gr00t_rl_ext.imitation.sft_run import SftRun


def dataset(directory: Path, *instructions: str) -> Path:
    """Four episodes of three to six steps, with these instructions in turn."""
    texts = instructions or ("lift the red cube",)
    return recordings.write(
        directory, *(recordings.episode(3 + i, seed=i, instruction=texts[i % len(texts)]) for i in range(4))
    )


def tiny(directory: Path, **arguments: Any) -> Path:
    """A tiny random GR00T of another robot."""
    return build_tiny_checkpoint(
        directory, **{"image_size": 28, "horizon": 4, "max_state_dim": 16, "max_action_dim": 8} | arguments
    )


def run(dataset: Path, checkpoint: Path | str, resume: Path | None = None, **options: Any) -> SftRun:
    """A run that has not begun, or one to go on with."""
    known: dict[str, Any] = {"steps": 6, "batch_size": 8, "learning_rate": 3e-3, "holdout": 0.25, "seed": 1}
    return SftRun.prepare(SftOptions(dataset, str(checkpoint), **known | options), resume)
