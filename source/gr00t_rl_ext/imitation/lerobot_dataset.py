# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Writes episodes as a LeRobot v2.1 dataset with GR00T's modality file. See :mod:`~gr00t_rl_ext.imitation.layout`."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gr00t_rl_ext.imitation import layout, video
from gr00t_rl_ext.imitation.dataset import read_table
from gr00t_rl_ext.imitation.layout import DatasetError

Mode = Literal["new", "resume", "overwrite"]


@dataclass(frozen=True)
class Episode:
    """One episode of T control steps; row t holds what was seen before action t."""

    state: np.ndarray
    """Shape (T, S), float32."""

    action: np.ndarray
    """Shape (T, A), float32."""

    reward: np.ndarray
    """Reward of each action. Shape (T,)."""

    images: Mapping[str, np.ndarray]
    """Camera -> (T, H, W, 3), uint8."""

    instruction: str
    success: bool

    def __len__(self) -> int:
        return len(self.action)


@dataclass(frozen=True)
class DatasetFormat:
    """What all episodes of a dataset have in common."""

    fps: int
    """Control steps per second."""

    state: Mapping[str, int]
    """Keys of the state in order, with their widths."""

    action: Mapping[str, int]
    """Keys of the action in order, with their widths."""

    cameras: Mapping[str, tuple[int, int]]
    """Camera -> height and width [px], which must be even for H.264."""

    robot_type: str

    def __post_init__(self) -> None:
        for name, size in self.cameras.items():
            if any(edge % 2 for edge in size):
                raise DatasetError(
                    f"The camera {name!r} has {size[1]} x {size[0]} px; a video in {video.PIXEL_FORMAT} needs even"
                    " numbers. Change the camera's width and height."
                )

    def features(self) -> dict[str, Any]:
        """``features`` of ``meta/info.json``."""
        result: dict[str, Any] = {
            layout.STATE: _vector_feature(self.state),
            layout.ACTION: _vector_feature(self.action),
        }
        for name, (height, width) in self.cameras.items():
            result[layout.video_column(name)] = {
                "dtype": "video",
                "shape": [height, width, 3],
                "names": ["height", "width", "channels"],
                "info": {
                    "video.height": height,
                    "video.width": width,
                    "video.codec": "h264",
                    "video.pix_fmt": video.PIXEL_FORMAT,
                    "video.is_depth_map": False,
                    "video.fps": self.fps,
                    "video.channels": 3,
                    "has_audio": False,
                },
            }
        for name, kind in _SCALARS.items():
            result[name] = {"dtype": kind, "shape": [1], "names": None}
        return result

    def check(self, episode: Episode) -> None:
        """Check that an episode fits.

        Raises:
            ValueError: An array has another shape, or holds numbers that are not finite.
        """
        steps = len(episode)
        expected: dict[str, tuple[int, ...]] = {
            "state": (steps, sum(self.state.values())),
            "action": (steps, sum(self.action.values())),
            "reward": (steps,),
        }
        for name, shape in expected.items():
            values = getattr(episode, name)
            if steps == 0 or values.shape != shape:
                raise ValueError(f"{name} of the episode has the shape {values.shape}; expected {shape}, T at least 1")
            if not np.isfinite(values).all():
                raise ValueError(f"{name} of the episode holds numbers that are not finite")
        found = {name: images.shape for name, images in episode.images.items()}
        wanted = {name: (steps, *size, 3) for name, size in self.cameras.items()}
        if found != wanted:
            raise ValueError(f"images of the episode are {found}; expected {wanted}")


_SCALARS = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
    f"annotation.{layout.INSTRUCTION}": "int64",
    "next.reward": "float32",
    "next.done": "bool",
}


def _vector_feature(widths: Mapping[str, int]) -> dict[str, Any]:
    names = [f"{key}_{i}" if width > 1 else key for key, width in widths.items() for i in range(width)]
    return {"dtype": "float32", "shape": [len(names)], "names": names}


class LeRobotWriter:
    """Writes episodes one by one. After each, the directory holds a complete dataset.

    Every file is written beside its place and then renamed, and the list of episodes comes last: what an interrupted
    writer leaves is the dataset as it was after the episode before.

    Args:
        directory: Directory of the dataset.
        dataset_format: What all its episodes have in common.
        mode: What to do where there is a dataset already: refuse (``new``), add to it (``resume``) or replace it
            (``overwrite``, when the first episode is written).

    Raises:
        DatasetError: The directory holds something that ``mode`` does not allow, or a dataset of another format.
    """

    def __init__(self, directory: str | Path, dataset_format: DatasetFormat, mode: Mode = "new") -> None:
        self.directory = Path(directory).expanduser()
        self._format = dataset_format
        self._modality = layout.Modality.of(dataset_format.state, dataset_format.action, dataset_format.cameras)
        self._episodes: list[dict[str, Any]] = []
        self._episode_stats: list[dict[str, Any]] = []
        self._tasks: dict[str, int] = {}
        self._vectors: dict[str, list[np.ndarray]] = {layout.STATE: [], layout.ACTION: []}
        self.sessions: list[dict[str, Any]] = []
        """How the episodes that were there before were recorded, by :meth:`describe`."""
        self._replaces = False
        check_target(self.directory, mode)
        if (self.directory / layout.INFO).is_file():
            self._replaces = mode == "overwrite"
            if mode == "resume":
                self._load()

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self._episodes)

    def add(self, episode: Episode) -> int:
        """Write an episode.

        Returns:
            Its index.

        Raises:
            ValueError: The episode does not fit the format; nothing was written.
        """
        self._format.check(episode)
        if self._replaces:
            for name in ("data", "videos", "meta"):
                shutil.rmtree(self.directory / name, ignore_errors=True)
            self._replaces = False
        index = len(self)
        place = {"episode_index": index, "episode_chunk": index // layout.CHUNKS_SIZE}
        task = self._tasks.setdefault(episode.instruction, len(self._tasks))
        table = self._table(episode, index, task)
        rows = self.directory / layout.DATA_PATH.format(**place)
        _replace(rows, lambda file: pq.write_table(table, file, write_page_checksum=True))
        for name, images in episode.images.items():
            file = self.directory / layout.VIDEO_PATH.format(video_key=layout.video_column(name), **place)
            _replace(file, lambda file, images=images: video.write_video(file, images, self._format.fps))
        self._vectors[layout.STATE].append(episode.state)
        self._vectors[layout.ACTION].append(episode.action)
        self._episode_stats.append({"episode_index": index, "stats": _episode_stats(table, episode)})
        self._episodes.append(
            {
                "episode_index": index,
                "tasks": [episode.instruction],
                "length": len(episode),
                "success": bool(episode.success),
            }
        )
        self._write_meta()
        return index

    def describe(self, session: Mapping[str, Any]) -> None:
        """Write to ``meta/recording.json`` how this writer's episodes were recorded. The latest call counts."""
        _write_json(self.directory / layout.RECORDING, {"sessions": [*self.sessions, session]})

    def _table(self, episode: Episode, index: int, task: int) -> pa.Table:
        steps = len(episode)
        first = sum(known["length"] for known in self._episodes)
        scalars = {
            "timestamp": np.arange(steps) / self._format.fps,
            "frame_index": np.arange(steps),
            "episode_index": np.full(steps, index),
            "index": np.arange(first, first + steps),
            "task_index": np.full(steps, task),
            f"annotation.{layout.INSTRUCTION}": np.full(steps, task),
            "next.reward": episode.reward,
            "next.done": np.arange(steps) == steps - 1,
        }
        columns: dict[str, pa.Array] = {
            name: pa.FixedSizeListArray.from_arrays(pa.array(values.astype(np.float32).ravel()), values.shape[1])
            for name, values in ((layout.STATE, episode.state), (layout.ACTION, episode.action))
        }
        columns |= {name: pa.array(values.astype(_SCALARS[name])) for name, values in scalars.items()}
        return pa.table(columns)

    def _write_meta(self) -> None:
        episodes = len(self)
        info = {
            "codebase_version": "v2.1",
            "robot_type": self._format.robot_type,
            "total_episodes": episodes,
            "total_frames": sum(known["length"] for known in self._episodes),
            "total_tasks": len(self._tasks),
            "total_videos": episodes * len(self._format.cameras),
            "total_chunks": (episodes - 1) // layout.CHUNKS_SIZE + 1,
            "chunks_size": layout.CHUNKS_SIZE,
            "fps": self._format.fps,
            "splits": {"train": f"0:{episodes}"},
            "data_path": layout.DATA_PATH,
            "video_path": layout.VIDEO_PATH if self._format.cameras else None,
            "features": self._format.features(),
        }
        stats = {name: layout.describe(np.concatenate(values)) for name, values in self._vectors.items()}
        tasks = [{"task_index": index, "task": text} for text, index in self._tasks.items()]
        meta = self.directory
        _write_json(meta / layout.MODALITY, self._modality.model_dump(exclude_none=True))
        _write_json(meta / layout.STATS, stats)
        _write_jsonl(meta / layout.TASKS, tasks)
        _write_jsonl(meta / layout.EPISODES_STATS, self._episode_stats)
        _write_json(meta / layout.INFO, info)
        _write_jsonl(meta / layout.EPISODES, self._episodes)

    def _load(self) -> None:
        info = layout.read_json(self.directory / layout.INFO)
        ours = json.loads(json.dumps({"fps": self._format.fps, "features": self._format.features()}))
        different = [name for name in ours if info.get(name) != ours[name]]
        if different or layout.Modality.load(self.directory) != self._modality:
            raise DatasetError(
                f"{str(self.directory)!r} holds a dataset of another kind ({', '.join(different) or 'modality'} differ:"
                " other cameras, image sizes, states, actions or frame rate), so that nothing can be added to it. Give"
                " another directory."
            )
        self._episodes = layout.read_jsonl(self.directory / layout.EPISODES)
        self._episode_stats = layout.read_jsonl(self.directory / layout.EPISODES_STATS)[: len(self._episodes)]
        self._tasks = {row["task"]: row["task_index"] for row in layout.read_jsonl(self.directory / layout.TASKS)}
        if (self.directory / layout.RECORDING).is_file():
            self.sessions = layout.read_json(self.directory / layout.RECORDING)["sessions"]
        for index in range(len(self)):
            place = {"episode_index": index, "episode_chunk": index // layout.CHUNKS_SIZE}
            table = read_table(self.directory / layout.DATA_PATH.format(**place))
            for name, known in self._vectors.items():
                known.append(np.array(table[name].to_pylist(), dtype=np.float32))


def check_target(directory: Path, mode: Mode) -> None:
    """Check that a dataset may be written to a directory, before anything expensive is done.

    Raises:
        DatasetError: It holds something that ``mode`` does not allow.
    """
    if directory.exists() and not directory.is_dir():
        raise DatasetError(f"{str(directory)!r} is a file; give a directory.")
    is_dataset = (directory / layout.INFO).is_file()
    if mode == "new" and is_dataset:
        raise DatasetError(
            f"{str(directory)!r} already holds a dataset. Give another directory, or ask to add to it (--resume) or to"
            " replace it (--overwrite)."
        )
    if not is_dataset and directory.is_dir() and any(directory.iterdir()):
        raise DatasetError(f"{str(directory)!r} is not empty and holds no dataset, so it is left as it is.")
    if mode == "resume" and not is_dataset:
        raise DatasetError(f"{str(directory)!r} holds no dataset to add to (no {layout.INFO}).")


def _episode_stats(table: pa.Table, episode: Episode) -> dict[str, Any]:
    """LeRobot's statistics of an episode: of an image per channel, as (3, 1, 1), in [0, 1]."""
    result: dict[str, Any] = {}
    for name in table.column_names:
        values = np.array(table[name].to_pylist(), dtype=np.float64).reshape(len(episode), -1)
        result[name] = _summary(values, len(episode))
    for name, images in episode.images.items():
        summary = _image_summary(images, len(episode))
        result[layout.video_column(name)] = {
            key: [[[number]] for number in numbers] if key != "count" else numbers for key, numbers in summary.items()
        }
    return result


def _summary(values: np.ndarray, count: int) -> dict[str, list[Any]]:
    columns = {"min": values.min(0), "max": values.max(0), "mean": values.mean(0), "std": values.std(0)}
    return {name: column.tolist() for name, column in columns.items()} | {"count": [count]}


def _image_summary(images: np.ndarray, count: int) -> dict[str, list[Any]]:
    """The same of uint8 images (T, H, W, 3) per channel, in [0, 1]: from histograms, which is ten times as fast."""
    levels = np.arange(256) / 255.0
    columns: dict[str, list[float]] = {"min": [], "max": [], "mean": [], "std": []}
    for channel in range(3):
        share = np.bincount(images[..., channel].ravel(), minlength=256) / images[..., channel].size
        present = levels[share > 0]
        mean = float(share @ levels)
        columns["min"].append(float(present[0]))
        columns["max"].append(float(present[-1]))
        columns["mean"].append(mean)
        columns["std"].append(math.sqrt(share @ (levels - mean) ** 2))
    return columns | {"count": [count]}


def _write_json(file: Path, content: Any) -> None:
    text = json.dumps(content, indent=4, ensure_ascii=False)
    _replace(file, lambda file: file.write_text(text + "\n", encoding="utf-8"))


def _write_jsonl(file: Path, rows: Iterable[Any]) -> None:
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    _replace(file, lambda file: file.write_text(text, encoding="utf-8"))


def _replace(file: Path, write: Callable[[Path], object]) -> None:
    """Write a file beside its place, then rename it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    scratch = file.with_name(f".{file.name}.new")
    try:
        write(scratch)
        os.replace(scratch, file)
    finally:
        scratch.unlink(missing_ok=True)
