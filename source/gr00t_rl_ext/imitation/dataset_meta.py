# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Reads the ``meta/`` files of LeRobot datasets of versions 2 and 3, and tells where the rows and videos are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from gr00t_rl_ext.imitation import layout
from gr00t_rl_ext.imitation.layout import (
    DatasetError,
    EpisodeRow,
    Info,
    Modality,
    Recording,
    Task,
    read_json,
    validated,
)


@dataclass(frozen=True)
class Camera:
    """Where the images of a camera are."""

    column: str
    """Its feature."""

    in_rows: bool
    """Whether they are images in the parquet files, not videos."""


class DatasetMeta:
    """What the meta files of a dataset hold, checked.

    Raises:
        DatasetError: One of them is missing, damaged or lacks something. The message names file and field.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory).expanduser()
        if not self.directory.is_dir():
            raise DatasetError(f"There is no directory {str(self.directory)!r}.")
        self.info = read_json(self.directory / layout.INFO, Info)
        self.modality = self._read_modality()
        tasks = self._read_rows(layout.TASKS, Task)
        self.episodes = self._read_rows(layout.EPISODES, EpisodeRow)
        if not self.episodes:
            raise DatasetError(f"{str(self.list_file(layout.EPISODES))!r} lists no episodes. Record some first.")
        self._check_unique(layout.EPISODES, "episode_index", (row.episode_index for row in self.episodes))
        self._check_unique(layout.TASKS, "task_index", (row.task_index for row in tasks))
        self.tasks = {row.task_index: row.task for row in tasks}
        """Index -> instruction."""
        self.cameras = {name: self._camera(name) for name in self.modality.video}
        recording = self.directory / layout.RECORDING
        sessions = read_json(recording, Recording).sessions if recording.is_file() else []
        self.sessions = [session.model_dump(exclude_unset=True) for session in sessions]
        """How the episodes were recorded; empty for a dataset from elsewhere."""

    def list_file(self, name: str) -> Path:
        """File or folder of :data:`~.layout.EPISODES` or :data:`~.layout.TASKS`, as errors name it."""
        return self.directory / self.info.list_name(name)

    def data_file(self, row: EpisodeRow) -> Path:
        """File with the rows of an episode."""
        return self._file(self.info.data_path, row, row.data)

    def video_file(self, row: EpisodeRow, column: str) -> Path:
        """File with an episode's video of a camera.

        Raises:
            DatasetError: The list of episodes does not place it.
        """
        place = row.videos.get(column)
        if place is None and self.info.shares_files:
            raise DatasetError(
                f"{str(self.list_file(layout.EPISODES))!r} has no videos/{column}/file_index for episode"
                f" {row.episode_index}; it has those of {', '.join(row.videos) or 'no videos'}."
            )
        assert self.info.video_path is not None
        return self._file(self.info.video_path, row, place, video_key=column)

    def _file(self, template: str, row: EpisodeRow, place: layout.Place | None, **more: str) -> Path:
        index = row.episode_index
        by_index = {"episode_index": index, "episode_chunk": index // self.info.chunks_size}
        name = template.format(**(by_index if place is None else place.model_dump()), **more)
        if Path(name).is_absolute() or Path(os.path.normpath(name)).parts[0] == "..":
            raise DatasetError(
                f"{str(self.directory / layout.INFO)!r} places a file of episode {index} at {name!r}, outside of the"
                " dataset. Correct data_path, video_path or the camera's original_key."
            )
        return self.directory / name

    def _read_modality(self) -> Modality:
        file = self.directory / layout.MODALITY
        if not file.is_file():
            raise DatasetError(
                f"{str(self.directory)!r} has no {layout.MODALITY}, which says what the numbers of state and action"
                " mean. Write it as GR00T's data preparation guide describes, for example"
                ' {"state": {"arm": {"start": 0, "end": 7}}, "action": {"arm": {"start": 0, "end": 7}},'
                ' "video": {"front": {"original_key": "observation.images.front"}}}.'
            )
        return read_json(file, Modality)

    def _read_rows[T](self, name: str, kind: type[T]) -> list[T]:
        """The rows of a list: of ``meta/NAME.jsonl``, or of ``meta/NAME.parquet`` or ``meta/NAME/*/*.parquet``."""
        file = self.directory / name
        if not self.info.shares_files:
            return validated(list[kind], layout.read_jsonl(file), file)
        stem = file.with_suffix("")
        files = [*stem.parent.glob(f"{stem.name}.parquet"), *sorted(stem.glob("*/*.parquet"))]
        if not files:
            raise DatasetError(
                f"{str(stem)!r} has no parquet files, though {layout.INFO} is of version {self.info.codebase_version}."
            )
        return [row for file in files for row in validated(list[kind], _parquet_rows(file), file)]

    def _check_unique(self, name: str, field: str, indices: Iterable[int]) -> None:
        twice = [str(index) for index, count in Counter(indices).items() if count > 1]
        if twice:
            raise DatasetError(
                f"{str(self.list_file(name))!r} lists the {field} {', '.join(twice[:5])} more than once. Leave one row"
                " of each."
            )

    def _camera(self, name: str) -> Camera:
        features = self.info.features
        # as GR00T reads a file without it, where there is such a feature
        column = self.modality.video[name].original_key or (name if name in features else layout.video_column(name))
        feature = features.get(column, {})
        file = str(self.directory / layout.INFO)
        where = f"features.{column} in {file!r}, which {layout.MODALITY} names as video.{name},"
        kind = feature.get("dtype", "video")
        known = [facts for facts in (feature.get("info"), feature.get("video_info")) if isinstance(facts, Mapping)]
        if any(facts.get("is_depth_map") or facts.get("video.is_depth_map") for facts in known):
            raise DatasetError(f"{where} is a depth map; GR00T sees colours. Take it out of {layout.MODALITY}.")
        if kind not in ("video", "image"):
            raise DatasetError(f"{where} has the dtype {kind!r}; expected video or image.")
        if kind == "video" and self.info.video_path is None:
            raise DatasetError(f"{where} is a video, but video_path is missing there. Write the template of its files.")
        return Camera(column, kind == "image")


def _parquet_rows(file: Path) -> list[dict[str, Any]]:
    """Rows whose columns ``a/b`` become ``{"a": {"b": ...}}``."""
    try:
        names = [name for name in pq.read_schema(file).names if not name.startswith("stats/")]
    except (OSError, ValueError):
        names = None  # reading it tells what is wrong
    result = []
    for row in layout.read_table(file, columns=names).to_pylist():
        nested: dict[str, Any] = {"data": {}} if "length" in row else {}
        for name, value in row.items():
            *path, last = name.split("/")
            at = nested
            for part in path:
                at = at.setdefault(part, {})
            # the index of a pandas table without a name, which LeRobot's older tasks are
            at["task" if last == "__index_level_0__" else last] = value
        result.append(nested)
    return result
