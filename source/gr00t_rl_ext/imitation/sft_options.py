# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The options of supervised fine-tuning. Imports nothing heavy, for the command line takes its defaults from here."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SMALL_NAME = "small"
"""Value of ``checkpoint`` that stands for a small fresh GR00T made for the dataset."""

SCHEDULES = ("cosine", "constant")
"""Learning rate after the warm-up."""

MAX_SMALL_PARAMETERS = 50_000_000
"""A small model has no more than these. It has recipes of its own, here and in reinforcement learning."""

RECIPES = ("nvidia", "augment", "small")
"""Names of :mod:`~gr00t_rl_ext.imitation.recipe`."""


@dataclass(frozen=True)
class SftOptions:
    """What to train on what, and how; ``scripts/sft.py --help`` documents the fields."""

    dataset: Path
    checkpoint: str
    steps: int = 2000
    batch_size: int = 64
    learning_rate: float = 1e-4
    schedule: str = "cosine"
    warmup: float = 0.05
    weight_decay: float = 1e-5
    max_grad_norm: float = 1.0
    seed: int = 0
    eval_every: int = 200
    noise_scale: float = 1.0
    save_every: int = 1000
    cameras: Sequence[str] | None = None
    keep_failures: bool = False
    holdout: float = 0.1
    keep_statistics: bool = False
    embodiment_tag: str = "new_embodiment"
    tokenizer: str | None = None
    crop_scale: float | None = None
    data_config: str | None = None
    horizon: int = 16
    recipe: str | None = None
    train: Sequence[str] | None = None
    language_layers: int = 0
    cache_gib: float = 8.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        for names, fits, expected in (
            (("steps", "batch_size", "eval_every", "save_every", "horizon"), lambda value: value >= 1, "at least 1"),
            (("learning_rate", "max_grad_norm"), lambda value: value > 0, "a positive number"),
            (("weight_decay", "language_layers", "cache_gib"), lambda value: value >= 0, "0 or more"),
            (("noise_scale",), lambda value: 0 <= value < math.inf, "a finite number of at least 0"),
            (("warmup", "holdout"), lambda value: 0 <= value < 1, "a share in [0, 1)"),
            (("schedule",), lambda value: value in SCHEDULES, f"one of {', '.join(SCHEDULES)}"),
            (("recipe",), lambda value: value is None or value in RECIPES, f"one of {', '.join(RECIPES)}"),
        ):
            for name in names:
                if not fits(value := getattr(self, name)):
                    raise ValueError(f"--{name.replace('_', '-')} is {value!r}; expected {expected}.")
        if "language" in (self.train or ()) and not self.language_layers:
            raise ValueError("--train names language, but --language-layers is 0: set the number of its last layers.")
        if self.checkpoint == SMALL_NAME and self.keep_statistics:
            raise ValueError("--keep-statistics needs a checkpoint that has some; `small` gets those of the dataset.")

    def learning_rate_at(self, step: int) -> float:
        """Learning rate of step 0, 1, ...: a linear warm-up, then constant or half a cosine down to 0."""
        warmup = round(self.warmup * self.steps)
        if step < warmup:
            return self.learning_rate * (step + 1) / warmup
        if self.schedule == "constant":
            return self.learning_rate
        progress = (step - warmup) / (self.steps - warmup)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
