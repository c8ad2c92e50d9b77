# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Where everything stands in a LeRobot dataset, and what GR00T's ``meta/modality.json`` and the other meta files hold.

Read in the public datasets and documentation of LeRobot and GR00T. Version 2.1::

    data/chunk-000/episode_000000.parquet                      one row per control step
    videos/chunk-000/observation.images.CAMERA/episode_000000.mp4   one frame per row
    meta/info.json            version, frame rate, features, path templates
    meta/episodes.jsonl       index, length and instructions of each episode
    meta/episodes_stats.jsonl statistics of each episode (LeRobot)
    meta/tasks.jsonl          the instructions
    meta/stats.json           statistics of the whole dataset (GR00T)
    meta/modality.json        which numbers of state and action mean what (GR00T)
    meta/recording.json       how it was recorded, and the share of successes (ours)

Version 3.0, where a file holds several episodes::

    data/chunk-000/file-000.parquet
    videos/observation.images.CAMERA/chunk-000/file-000.mp4
    meta/episodes/chunk-000/file-000.parquet    length of each episode, its files, and where in a video it begins
    meta/tasks.parquet
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    StrictBool,
    TypeAdapter,
    ValidationError,
    model_validator,
)

INFO = "meta/info.json"
EPISODES = "meta/episodes.jsonl"
EPISODES_STATS = "meta/episodes_stats.jsonl"
TASKS = "meta/tasks.jsonl"
STATS = "meta/stats.json"
MODALITY = "meta/modality.json"
RECORDING = "meta/recording.json"

VERSION = "v2.1"
"""What is written."""
DATA_PATH = "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet"
VIDEO_PATH = "videos/chunk-{episode_chunk:03d}/{video_key}/episode_{episode_index:06d}.mp4"
CHUNKS_SIZE = 1000
"""Episodes per folder."""

STATE, ACTION = "observation.state", "action"
INSTRUCTION = "human.action.task_description"
"""Annotation that holds the instruction; the key that GR00T's published data configs read."""


ROTATION_TYPES = "^(axis_angle|quaternion|rotation_6d|matrix|euler_angles_(rpy|ryp|pry|pyr|yrp|ypr))$"
"""Those that GR00T knows."""


SHOWN = 5
"""Problems of a file that a message names."""


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
    absolute: StrictBool = True
    """Whether they are values, not displacements."""
    rotation_type: str | None = Field(default=None, pattern=ROTATION_TYPES)
    dtype: str = "float64"

    @model_validator(mode="after")
    def _check(self) -> Slice:
        if not 0 <= self.start < self.end:
            raise ValueError(f"start {self.start} and end {self.end}: expected 0 <= start < end")
        try:
            np.dtype(self.dtype)
        except TypeError:
            raise ValueError(f"dtype {self.dtype!r}: expected a type of numpy, such as float32") from None
        return self

    @property
    def width(self) -> int:
        return self.end - self.start

    def described(self) -> dict[str, Any]:
        """What a GR00T N1.5 checkpoint keeps of a key, its width aside."""
        continuous = bool(np.issubdtype(np.dtype(self.dtype), np.floating))
        return {"absolute": self.absolute, "rotation_type": self.rotation_type, "continuous": continuous}


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


def _consecutive(widths: Mapping[str, int], column: str) -> dict[str, Slice]:
    slices, start = {}, 0
    for key, width in widths.items():
        slices[key] = Slice(start=start, end=start + width, original_key=column)
        start += width
    return slices


class Info(BaseModel):
    """``meta/info.json``."""

    codebase_version: str
    fps: float = Field(gt=0, allow_inf_nan=False)
    data_path: str
    video_path: str | None = None
    chunks_size: PositiveInt = CHUNKS_SIZE
    features: dict[str, dict[str, Any]] = {}

    @model_validator(mode="after")
    def _check(self) -> Info:
        version = self.codebase_version
        if not version.startswith(("v2.", "v3.")):
            raise ValueError(f"codebase_version {version}: expected v2.0, v2.1 or v3.0. LeRobot's converters update it")
        names = ("chunk_index", "file_index") if self.shares_files else ("episode_chunk", "episode_index")
        for field, template in (("data_path", self.data_path), ("video_path", self.video_path or "")):
            try:
                template.format(video_key="", **dict.fromkeys(names, 0))
            except (LookupError, ValueError, AttributeError) as error:
                raise ValueError(
                    f"{field} {template!r} does not fit version {version}, whose names are {', '.join(names)} and"
                    f" video_key ({error})"
                ) from None
        return self

    @property
    def shares_files(self) -> bool:
        """Whether a file holds several episodes."""
        return self.codebase_version.startswith("v3.")

    def list_name(self, name: str) -> str:
        """What :data:`EPISODES` or :data:`TASKS` is called in the dataset's version."""
        return name.removesuffix(".jsonl") if self.shares_files else name


class Task(BaseModel):
    """A row of ``meta/tasks.jsonl`` or ``meta/tasks.parquet``."""

    task_index: NonNegativeInt
    task: str


class Place(BaseModel):
    """A file of version 3, and where in a video an episode begins."""

    chunk_index: NonNegativeInt
    file_index: NonNegativeInt
    from_timestamp: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """[s]"""


class EpisodeRow(BaseModel):
    """A row of ``meta/episodes.jsonl`` or ``meta/episodes/*/*.parquet``."""

    episode_index: NonNegativeInt
    length: PositiveInt
    success: StrictBool | None = None
    """None where nobody marked it."""

    data: Place | None = None
    videos: dict[str, Place] = {}
    """By column."""


class EpisodeStats(BaseModel):
    """A row of ``meta/episodes_stats.jsonl``."""

    episode_index: NonNegativeInt
    stats: dict[str, Any]


class Session(BaseModel):
    """How some episodes were recorded."""

    model_config = ConfigDict(extra="allow")
    task: str = ""
    agent: str = ""
    overrides: list[str] = []
    attempted: NonNegativeInt = 0


class Recording(BaseModel):
    """``meta/recording.json``."""

    sessions: list[Session] = []


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


def validated[T](kind: type[T], content: Any, file: Path) -> T:
    """Content of a file as a model of this module.

    Raises:
        DatasetError: It does not fit. The message names the file, each field and what was found.
    """
    try:
        return TypeAdapter(kind).validate_python(content)
    except ValidationError as error:
        problems = [_problem(one) for one in error.errors()]
        more = f" and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        raise DatasetError(
            f"{str(file)!r} is not as LeRobot and GR00T describe it: {'; '.join(problems[:SHOWN])}{more}. Correct it,"
            " or copy or record the dataset again."
        ) from error


def _problem(error: Mapping[str, Any]) -> str:
    place = ".".join(f"row {part + 1}" if isinstance(part, int) else str(part) for part in error["loc"])
    text = error["msg"].removeprefix("Value error, ").partition(" or instance of ")[0]
    found = f", found {error['input']!r:.60}" if error["type"] not in ("missing", "value_error") else ""
    return f"{place}: {text}{found}" if place else f"{text}{found}"


def read_json[T](file: Path, kind: type[T]) -> T:
    """The content of a JSON file, :func:`validated`.

    Raises:
        DatasetError: It is missing, is not JSON, or does not fit.
    """
    return validated(kind, _parse(_text(file), file), file)


def read_jsonl(file: Path) -> list[Any]:
    """The lines of a JSON Lines file.

    Raises:
        DatasetError: It is missing or is not JSON.
    """
    # not splitlines(): a text may hold other line separators, such as U+2028
    return [_parse(line, file) for line in _text(file).split("\n") if line.strip()]


def read_table(file: Path, **options: Any) -> pa.Table:
    """The rows of a parquet file.

    Args:
        file: The file.
        options: Of :func:`pyarrow.parquet.read_table`.

    Raises:
        DatasetError: The file is missing or cannot be read.
    """
    try:
        # of files that have checksums, as ours do; others are read without
        return pq.read_table(file, page_checksum_verification=True, **options)
    except FileNotFoundError:
        raise DatasetError(f"{str(file)!r} is missing, but the dataset's meta files name it.") from None
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(
            f"{str(file)!r} cannot be read as parquet ({error}). Copy or record the episode again."
        ) from error


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DatasetError(f"{str(file)!r} is missing: {str(file.parents[1])!r} is not a LeRobot dataset.") from None
    except (UnicodeDecodeError, OSError) as error:
        raise DatasetError(f"{str(file)!r} is not a text file: {error}.") from error


def _parse(text: str, file: Path) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DatasetError(f"{str(file)!r} is not valid JSON: {error}.") from error
