# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Where everything stands in a LeRobot v2.1 dataset, and GR00T's ``meta/modality.json``.

Read in the public datasets and documentation of LeRobot and GR00T::

    data/chunk-000/episode_000000.parquet                      one row per control step
    videos/chunk-000/observation.images.CAMERA/episode_000000.mp4   one frame per row
    meta/info.json            version, frame rate, features, path templates
    meta/episodes.jsonl       index, length and instructions of each episode
    meta/episodes_stats.jsonl statistics of each episode (LeRobot)
    meta/tasks.jsonl          the instructions
    meta/stats.json           statistics of the whole dataset (GR00T)
    meta/modality.json        which numbers of state and action mean what (GR00T)
    meta/recording.json       how it was recorded, and the share of successes (ours)
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError, model_validator

INFO = "meta/info.json"
EPISODES = "meta/episodes.jsonl"
EPISODES_STATS = "meta/episodes_stats.jsonl"
TASKS = "meta/tasks.jsonl"
STATS = "meta/stats.json"
MODALITY = "meta/modality.json"
RECORDING = "meta/recording.json"

DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
CHUNKS_SIZE = 1000
"""Episodes per folder."""

STATE, ACTION = "observation.state", "action"
INSTRUCTION = "human.action.task_description"
"""Annotation that holds the instruction; the key that GR00T's published data configs read."""


class DatasetError(ValueError):
    """A dataset cannot be read or written; the message names the file and how to fix it."""


def video_column(camera: str) -> str:
    """LeRobot's name of a camera."""
    return f"observation.images.{camera}"


class Slice(BaseModel):
    """Adjacent numbers of a column."""

    start: int
    end: int
    original_key: str | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Slice:
        if not 0 <= self.start < self.end:
            raise ValueError(f"start {self.start} and end {self.end}: expected 0 <= start < end")
        return self

    @property
    def width(self) -> int:
        return self.end - self.start


class Source(BaseModel):
    """Column or video that a key stands for."""

    original_key: str | None = None


class Modality(BaseModel):
    """``meta/modality.json``. Fields of GR00T that are not needed here are ignored."""

    state: dict[str, Slice]
    action: dict[str, Slice]
    video: dict[str, Source] = {}
    annotation: dict[str, Source] = {}

    @classmethod
    def of(cls, state: Mapping[str, int], action: Mapping[str, int], cameras: Iterable[str]) -> Modality:
        """For vectors that are the concatenation of keys with these widths."""
        return cls(
            state=_consecutive(state, STATE),
            action=_consecutive(action, ACTION),
            video={name: Source(original_key=video_column(name)) for name in cameras},
            annotation={INSTRUCTION: Source(original_key=f"annotation.{INSTRUCTION}")},
        )

    @classmethod
    def load(cls, directory: Path) -> Modality:
        """Read a dataset's file.

        Raises:
            DatasetError: It is missing or is not one.
        """
        file = directory / MODALITY
        if not file.is_file():
            raise DatasetError(
                f"{str(directory)!r} has no {MODALITY}, which says what the numbers of state and action mean. Write it"
                ' as GR00T\'s data preparation guide describes, for example {"state": {"arm": {"start": 0, "end": 7}},'
                ' "action": {"arm": {"start": 0, "end": 7}}, "video": {"front": {"original_key":'
                ' "observation.images.front"}}}.'
            )
        try:
            return cls.model_validate(read_json(file))
        except ValidationError as error:
            problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
            raise DatasetError(f"{str(file)!r} is not a modality file: {problems}.") from error


def _consecutive(widths: Mapping[str, int], column: str) -> dict[str, Slice]:
    slices, start = {}, 0
    for key, width in widths.items():
        slices[key] = Slice(start=start, end=start + width, original_key=column)
        start += width
    return slices


def describe(values: np.ndarray) -> dict[str, list[float]]:
    """Statistics of each column that GR00T's normalisation reads.

    Args:
        values: Shape (T, D), T at least 1.

    Returns:
        ``mean``, ``std`` (of the population), ``min``, ``max``, ``q01`` and ``q99``, D numbers each.
    """
    values = values.astype(np.float64)
    q01, q99 = np.quantile(values, [0.01, 0.99], axis=0)
    columns = {
        "mean": values.mean(0),
        "std": values.std(0),
        "min": values.min(0),
        "max": values.max(0),
        "q01": q01,
        "q99": q99,
    }
    return {name: column.tolist() for name, column in columns.items()}


def read_json(file: Path) -> Any:
    """The content of a JSON file.

    Raises:
        DatasetError: It is missing or is not JSON.
    """
    return _parse(_text(file), file)


def read_jsonl(file: Path) -> list[dict[str, Any]]:
    """The lines of a JSON Lines file. Raises what :func:`read_json` raises."""
    return [_parse(line, file) for line in _text(file).splitlines() if line.strip()]


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DatasetError(f"{str(file)!r} is missing: {str(file.parents[1])!r} is not a LeRobot v2 dataset.") from None
    except UnicodeDecodeError as error:
        raise DatasetError(f"{str(file)!r} is not a text file: {error}.") from error


def _parse(text: str, file: Path) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DatasetError(f"{str(file)!r} is not valid JSON: {error}.") from error
