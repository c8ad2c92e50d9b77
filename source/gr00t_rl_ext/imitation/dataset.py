# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Reads LeRobot datasets of versions 2 and 3 with GR00T's modality file, one's own recordings included."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gr00t_rl_ext.imitation import layout
from gr00t_rl_ext.imitation.dataset_meta import DatasetMeta
from gr00t_rl_ext.imitation.layout import DatasetError, EpisodeRow, Slice, read_table
from gr00t_rl_ext.imitation.video import EncodedImages, probe_video, read_video


@dataclass(frozen=True)
class Footage:
    """A camera's images of an episode."""

    file: Path
    """Where they are."""

    size: tuple[int, int]
    """Height and width [px]."""

    decode: Callable[[], np.ndarray]
    """Gives them, (T, H, W, 3), uint8."""


@dataclass(frozen=True)
class Demonstration:
    """One episode of T control steps."""

    index: int
    """Its index in the dataset."""

    instructions: Sequence[str]
    """Of each step."""

    state: Mapping[str, np.ndarray]
    """Key -> (T, width), float32: what was seen before each action."""

    action: Mapping[str, np.ndarray]
    """Key -> (T, width), float32."""

    footage: Mapping[str, Footage]
    """By camera."""

    def __len__(self) -> int:
        return len(self.instructions)

    def images(self, camera: str) -> np.ndarray:
        """Decode a camera's images. Nothing is kept: a second call decodes again.

        Returns:
            Shape (T, H, W, 3), uint8.

        Raises:
            DatasetError: There is no such camera, or its images cannot be read.
        """
        if camera not in self.footage:
            raise DatasetError(f"There is no camera {camera!r}; there are: {', '.join(self.footage) or 'none'}.")
        return self.footage[camera].decode()


class DemonstrationDataset:
    """The episodes of a dataset. States and actions are read and checked at once, images when they are asked for.

    Args:
        directory: Directory of a LeRobot dataset of version 2.0, 2.1 or 3.0 with ``meta/modality.json``.
        only_successes: Leave out the episodes that are marked as failures. Episodes without a mark, such as those of
            a recording by hand, count as successes.

    Raises:
        DatasetError: The dataset cannot be used. The message names the file.
    """

    def __init__(self, directory: str | Path, only_successes: bool = True) -> None:
        self.meta = DatasetMeta(directory)
        self.directory = self.meta.directory
        self.modality = self.meta.modality
        self.fps = self.meta.info.fps
        """Control steps per second."""
        self.demonstrations = self._read(only_successes)
        """In the order of the dataset."""

    def __len__(self) -> int:
        return len(self.demonstrations)

    def __getitem__(self, index: int) -> Demonstration:
        return self.demonstrations[index]

    def __iter__(self) -> Iterator[Demonstration]:
        return iter(self.demonstrations)

    @property
    def cameras(self) -> list[str]:
        return list(self.modality.video)

    @cached_property
    def statistics(self) -> dict[str, dict[str, dict[str, list[float]]]]:
        """``{"state" or "action": {key: statistics}}`` of the episodes read, as GR00T's checkpoints hold them."""
        return {
            kind: {
                key: layout.describe(np.concatenate([getattr(one, kind)[key] for one in self]))
                for key in getattr(self.modality, kind)
            }
            for kind in ("state", "action")
        }

    @property
    def session(self) -> Mapping[str, Any]:
        """How ``scripts/record_demonstrations.py`` recorded the latest episodes: task, agent, overrides and more. Empty
        for a dataset from elsewhere."""
        return self.meta.sessions[-1] if self.meta.sessions else {}

    def _read(self, only_successes: bool) -> list[Demonstration]:
        file, rows = self.meta.list_file(layout.EPISODES), self.meta.episodes
        kept = [row for row in rows if row.success is not False or not only_successes]
        if not kept:
            raise DatasetError(
                f"None of the {len(rows)} episodes that {str(file)!r} lists is a success, so there is nothing to learn"
                " from. Record successful ones, or read the failures too (sft.py --keep-failures)."
            )
        result, probe = [], functools.cache(probe_video)
        # a file of version 3 holds many episodes
        for data_file, group in itertools.groupby(kept, key=self.meta.data_file):
            table = read_table(data_file)
            result += [self._demonstration(row, table, data_file, probe) for row in group]
        self._check_sizes(result)
        return result

    def _demonstration(
        self, row: EpisodeRow, table: pa.Table, file: Path, probe: Callable[..., tuple[int, int]]
    ) -> Demonstration:
        shared = self.meta.info.shares_files
        if shared:
            _require(table, "episode_index", f"{str(file)!r}")
            table = table.filter(pc.field("episode_index") == row.episode_index)
        columns = Columns(table, file, row.episode_index)
        if columns.table.num_rows != row.length:
            raise DatasetError(
                f"{columns.place} has {columns.table.num_rows} rows, but {self.meta.info.list_name(layout.EPISODES)}"
                f" lists {row.length}. It is truncated, or belongs to another dataset."
            )
        footage = {}
        for name, camera in self.meta.cameras.items():
            if camera.in_rows:
                decode = functools.partial(self._decode, row, camera.column, file)
                footage[name] = Footage(file, columns.images(camera.column).size, decode)
                continue
            video = self.meta.video_file(row, camera.column)
            start = row.videos[camera.column].from_timestamp if shared else None
            decode = functools.partial(read_video, video, row.length, start, self.fps)
            footage[name] = Footage(video, probe(video, None if shared else row.length), decode)
        return Demonstration(
            index=row.episode_index,
            instructions=self._instructions(columns),
            state=columns.split(self.modality.state, layout.STATE),
            action=columns.split(self.modality.action, layout.ACTION),
            footage=footage,
        )

    def _decode(self, row: EpisodeRow, column: str, file: Path) -> np.ndarray:
        filters = [("episode_index", "=", row.episode_index)] if self.meta.info.shares_files else None
        table = read_table(file, columns=[column], filters=filters)
        return Columns(table, file, row.episode_index).images(column).decode()

    def _instructions(self, columns: Columns) -> list[str]:
        named = {name: source for name, source in self.modality.annotation.items() if name.endswith("task_description")}
        wanted = [source.original_key or f"annotation.{name}" for name, source in named.items()] or ["task_index"]
        indices = columns.vectors(wanted[0])
        if indices.shape[1] != 1:
            raise DatasetError(f"{wanted[0]!r} in {columns.place} has {indices.shape[1]} numbers a row; expected one.")
        if unknown := set(indices.ravel().tolist()) - self.meta.tasks.keys():
            known = ", ".join(map(str, self.meta.tasks)) or "none"
            raise DatasetError(
                f"{wanted[0]!r} in {columns.place} names the instruction {min(unknown):g}, which"
                f" {self.meta.info.list_name(layout.TASKS)} lacks; it has {known}."
            )
        return [self.meta.tasks[int(index)] for index in indices[:, 0]]

    def _check_sizes(self, demonstrations: Sequence[Demonstration]) -> None:
        first = demonstrations[0]
        for one in demonstrations:
            for name, footage in one.footage.items():
                known = first.footage[name]
                if footage.size != known.size:
                    raise DatasetError(
                        f"The camera {name!r} has {footage.size[1]} x {footage.size[0]} px in {str(footage.file)!r}"
                        f" (episode {one.index}), but {known.size[1]} x {known.size[0]} px in {str(known.file)!r}."
                        " GR00T takes one size per camera: scale the images, or take the episode out of the dataset."
                    )


@dataclass(frozen=True)
class Columns:
    """The rows of an episode."""

    table: pa.Table
    file: Path
    episode: int

    @property
    def place(self) -> str:
        return f"{str(self.file)!r} (episode {self.episode})"

    def split(self, keys: Mapping[str, Slice], default: str) -> dict[str, np.ndarray]:
        """Key -> its numbers, (T, width), float32."""
        sources = {key: part.original_key or default for key, part in keys.items()}
        vectors = {column: self.vectors(column) for column in dict.fromkeys(sources.values())}
        for key, part in keys.items():
            width = vectors[sources[key]].shape[1]
            if part.end > width:
                raise DatasetError(
                    f"{layout.MODALITY} takes the numbers {part.start} to {part.end} of {sources[key]!r} for {key!r},"
                    f" but in {self.place} it is {width} wide."
                )
        return {key: vectors[sources[key]][:, part.start : part.end] for key, part in keys.items()}

    def vectors(self, column: str) -> np.ndarray:
        """A column of vectors or numbers, (T, width), float32."""
        _require(self.table, column, self.place)
        try:
            # what float32 cannot hold becomes infinite
            with np.errstate(over="ignore"):
                values = np.array(self.table[column].to_pylist(), dtype=np.float32)
                values = values.reshape(len(values), -1)
                finite = np.isfinite(2 * values)
        except (ValueError, TypeError) as error:
            raise DatasetError(f"{column!r} in {self.place} is not a vector of one width: {error}.") from error
        if not finite.all():
            step, at = np.argwhere(~finite)[0].tolist()
            raise DatasetError(
                f"{column!r} in {self.place} holds numbers that are not finite, or too large: {values[step, at]} is"
                f" number {at} of step {step}. Correct them, or take the episode out of the dataset."
            )
        return values

    def images(self, column: str) -> EncodedImages:
        """A column of images."""
        _require(self.table, column, self.place)
        return EncodedImages(self.table[column].to_pylist(), f"{column!r} in {self.place}")


def _require(table: pa.Table, column: str, place: str) -> None:
    if column not in table.column_names:
        raise DatasetError(f"{place} has no column {column!r}; it has {', '.join(table.column_names)}.")
