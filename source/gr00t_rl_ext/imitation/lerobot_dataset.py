# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Writes episodes as a LeRobot v2.1 dataset with GR00T's modality file. See :mod:`~gr00t_rl_ext.imitation.layout`."""

from __future__ import annotations

import json
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
from gr00t_rl_ext.imitation.dataset import Columns
from gr00t_rl_ext.imitation.dataset_meta import DatasetMeta
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
        self._columns: dict[str, list[np.ndarray]] = {name: [] for name in (layout.STATE, layout.ACTION, *_SCALARS)}
        self.sessions: list[Mapping[str, Any]] = []
        """How the episodes that were there before were recorded, by :meth:`describe`."""
        self._replaces = mode == "overwrite"
        check_target(self.directory, mode)
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
        index = max((known["episode_index"] for known in self._episodes), default=-1) + 1
        place = {"episode_index": index, "episode_chunk": index // layout.CHUNKS_SIZE}
        task = self._tasks.setdefault(episode.instruction, len(self._tasks))
        table = self._table(episode, index, task)
        rows = self.directory / layout.DATA_PATH.format(**place)
        _replace(rows, lambda file: pq.write_table(table, file, write_page_checksum=True))
        for name, images in episode.images.items():
            file = self.directory / layout.VIDEO_PATH.format(video_key=layout.video_column(name), **place)
            _replace(file, lambda file, images=images: video.write_video(file, images, self._format.fps))
        self._keep(table, rows, index)
        self._episode_stats.append({"episode_index": index, "stats": self._latest_stats(episode)})
        row = {"episode_index": index, "tasks": [episode.instruction], "length": len(episode)}
        self._episodes.append(row | {"success": bool(episode.success)})
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
            "codebase_version": layout.VERSION,
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
        stats = {name: layout.describe(np.concatenate(values)) for name, values in self._columns.items()}
        tasks = [{"task_index": index, "task": text} for text, index in self._tasks.items()]
        meta = self.directory
        _write_json(meta / layout.MODALITY, self._modality.model_dump(exclude_defaults=True))
        _write_json(meta / layout.STATS, stats)
        _write_jsonl(meta / layout.TASKS, tasks)
        _write_jsonl(meta / layout.EPISODES_STATS, self._episode_stats)
        _write_json(meta / layout.INFO, info)
        _write_jsonl(meta / layout.EPISODES, self._episodes)

    def _keep(self, table: pa.Table, file: Path, index: int) -> None:
        """Keep an episode's numbers for the statistics of the whole."""
        columns = Columns(table, file, index)
        for name, known in self._columns.items():
            known.append(columns.vectors(name))

    def _latest_stats(self, episode: Episode) -> dict[str, Any]:
        """LeRobot's statistics of the latest episode: of an image per channel, as (3, 1, 1), in [0, 1]."""
        result: dict[str, Any] = {name: layout.describe(known[-1]) for name, known in self._columns.items()}
        result |= {layout.video_column(name): _image_stats(images) for name, images in episode.images.items()}
        kinds = ("min", "max", "mean", "std")
        return {name: {kind: of[kind] for kind in kinds} | {"count": [len(episode)]} for name, of in result.items()}

    def _load(self) -> None:
        info, meta = layout.read_json(self.directory / layout.INFO, dict), DatasetMeta(self.directory)
        ours = {"codebase_version": layout.VERSION, "fps": self._format.fps, "features": self._format.features()}
        different = [name for name, value in json.loads(json.dumps(ours)).items() if info.get(name) != value]
        if different or meta.modality != self._modality:
            raise DatasetError(
                f"{str(self.directory)!r} holds a dataset of another kind ({', '.join(different) or 'modality'} differ:"
                " other cameras, image sizes, states, actions or frame rate), so that nothing can be added to it. Give"
                " another directory."
            )
        self._episodes = layout.read_jsonl(self.directory / layout.EPISODES)
        file, listed = self.directory / layout.EPISODES_STATS, {row.episode_index for row in meta.episodes}
        stats = layout.validated(list[layout.EpisodeStats], layout.read_jsonl(file), file)
        # an interrupted writer leaves one more
        self._episode_stats = [row.model_dump() for row in stats if row.episode_index in listed]
        self._tasks = {text: index for index, text in meta.tasks.items()}
        self.sessions = list(meta.sessions)
        for row in meta.episodes:
            file = meta.data_file(row)
            self._keep(layout.read_table(file), file, row.episode_index)


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


def _image_stats(images: np.ndarray) -> dict[str, list[Any]]:
    """Statistics of uint8 images (T, H, W, 3) per channel, in [0, 1]: from histograms, which is ten times as fast."""
    levels = np.arange(256) / 255.0
    shares = np.stack([np.bincount(images[..., c].ravel(), minlength=256) for c in range(3)]) * 3 / images.size
    mean = shares @ levels
    columns = {
        "min": [levels[share > 0][0] for share in shares],
        "max": [levels[share > 0][-1] for share in shares],
        "mean": mean,
        "std": np.sqrt((shares * (levels - mean[:, None]) ** 2).sum(1)),
    }
    return {name: np.reshape(column, (3, 1, 1)).tolist() for name, column in columns.items()}


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
