# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Reads LeRobot v2 datasets with GR00T's modality file, one's own recordings included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from gr00t_rl_ext.imitation import layout
from gr00t_rl_ext.imitation.layout import DatasetError, Modality, Slice
from gr00t_rl_ext.imitation.video import read_video


@dataclass(frozen=True)
class Demonstration:
    """One episode of T control steps."""

    index: int
    """Its index in the dataset."""

    instruction: str
    state: Mapping[str, np.ndarray]
    """Key -> (T, width), float32: what was seen before each action."""

    action: Mapping[str, np.ndarray]
    """Key -> (T, width), float32."""

    videos: Mapping[str, Path]
    """Camera -> its file."""

    def __len__(self) -> int:
        return len(next(iter(self.action.values())))

    def images(self, camera: str) -> np.ndarray:
        """Decode a camera's images. Nothing is kept: a second call decodes again.

        Returns:
            Shape (T, H, W, 3), uint8.

        Raises:
            DatasetError: There is no such camera, or its video cannot be read.
        """
        if camera not in self.videos:
            raise DatasetError(f"There is no camera {camera!r}; there are: {', '.join(self.videos) or 'none'}.")
        return read_video(self.videos[camera], len(self))


class DemonstrationDataset:
    """The episodes of a dataset. States and actions are read and checked at once, images when they are asked for.

    Args:
        directory: Directory of a LeRobot dataset of version 2.0 or 2.1 with ``meta/modality.json``.
        action_width: Width of the actions that are needed, over all keys; None takes any.
        only_successes: Leave out the episodes that are marked as failures. Episodes without a mark, such as those of
            a recording by hand, count as successes.

    Raises:
        DatasetError: The dataset cannot be used. The message names the file.
    """

    def __init__(self, directory: str | Path, action_width: int | None = None, only_successes: bool = True) -> None:
        self.directory = Path(directory).expanduser()
        if not self.directory.is_dir():
            raise DatasetError(f"There is no directory {str(self.directory)!r}.")
        self._info = layout.read_json(self.directory / layout.INFO)
        version = str(self._info.get("codebase_version"))
        if not version.startswith("v2."):
            raise DatasetError(
                f"{str(self.directory / layout.INFO)!r} is of LeRobot version {version}; needed is 2.0 or 2.1, with one"
                " file per episode. GR00T's scripts/lerobot_conversion turns version 3 into 2.1."
            )
        self.modality = Modality.load(self.directory)
        self._check_action_width(action_width)
        self.fps = int(self._info["fps"])
        """Control steps per second."""
        self._tasks = {row["task_index"]: row["task"] for row in layout.read_jsonl(self.directory / layout.TASKS)}
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

    @cached_property
    def session(self) -> Mapping[str, Any]:
        """How ``scripts/record_demonstrations.py`` recorded the latest episodes: task, agent, overrides and more. Empty
        for a dataset from elsewhere."""
        file = self.directory / layout.RECORDING
        sessions = layout.read_json(file).get("sessions") if file.is_file() else None
        return sessions[-1] if sessions else {}

    def _check_action_width(self, needed: int | None) -> None:
        keys = self.modality.action
        width = sum(part.width for part in keys.values())
        if needed is not None and width != needed:
            named = ", ".join(f"{key} {part.width}" for key, part in keys.items())
            raise DatasetError(
                f"The actions of {str(self.directory / layout.MODALITY)!r} are {width} numbers wide ({named}), but the"
                f" task takes {needed}. Take a dataset of this task, or correct the slices of the file."
            )

    def _read(self, only_successes: bool) -> list[Demonstration]:
        file = self.directory / layout.EPISODES
        rows = layout.read_jsonl(file)
        if not rows:
            raise DatasetError(f"{str(file)!r} lists no episodes. Record some first.")
        kept = [row for row in rows if row.get("success", True) or not only_successes]
        if not kept:
            raise DatasetError(
                f"None of the {len(rows)} episodes that {str(file)!r} lists is a success, so there is nothing to learn"
                " from. Record successful ones, or read the failures too (sft.py --keep-failures)."
            )
        return [self._demonstration(row) for row in kept]

    def _demonstration(self, row: Mapping[str, Any]) -> Demonstration:
        index = int(row["episode_index"])
        chunk = index // int(self._info.get("chunks_size", layout.CHUNKS_SIZE))
        place = {"episode_index": index, "episode_chunk": chunk}
        file = self.directory / self._info["data_path"].format(**place)
        table = read_table(file)
        if table.num_rows != row["length"] or table.num_rows == 0:
            raise DatasetError(
                f"{str(file)!r} has {table.num_rows} rows, but {layout.EPISODES} says {row['length']}. It is truncated,"
                " or belongs to another dataset."
            )
        videos = {}
        for name, source in self.modality.video.items():
            # as GR00T reads a file without it, where there is such a video
            known = self._info.get("features", {})
            key = source.original_key or (name if name in known else layout.video_column(name))
            videos[name] = self.directory / self._info["video_path"].format(video_key=key, **place)
            if not videos[name].is_file():
                raise DatasetError(f"The video {str(videos[name])!r} of episode {index} is missing.")
        return Demonstration(
            index=index,
            instruction=self._instruction(table, file),
            state=_split(table, self.modality.state, layout.STATE, file),
            action=_split(table, self.modality.action, layout.ACTION, file),
            videos=videos,
        )

    def _instruction(self, table: pa.Table, file: Path) -> str:
        named = {name: source for name, source in self.modality.annotation.items() if name.endswith("task_description")}
        columns = [source.original_key or f"annotation.{name}" for name, source in named.items()] or ["task_index"]
        if columns[0] not in table.column_names:
            raise DatasetError(f"{str(file)!r} has no column {columns[0]!r}, which should name the instruction.")
        index = table[columns[0]][0].as_py()
        if index not in self._tasks:
            raise DatasetError(
                f"{str(file)!r} has the instruction {index}, which {layout.TASKS} lacks; it has"
                f" {', '.join(map(str, self._tasks)) or 'none'}."
            )
        return self._tasks[index]


def read_table(file: Path) -> pa.Table:
    """The rows of an episode.

    Raises:
        DatasetError: The file is missing or cannot be read.
    """
    try:
        # of files that have checksums, as ours do; others are read without
        return pq.read_table(file, page_checksum_verification=True)
    except FileNotFoundError:
        raise DatasetError(f"{str(file)!r} is missing, but {layout.EPISODES} lists its episode.") from None
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(
            f"{str(file)!r} cannot be read as parquet ({error}). Copy or record the episode again."
        ) from error


def _split(table: pa.Table, keys: Mapping[str, Slice], default: str, file: Path) -> dict[str, np.ndarray]:
    """Key -> its columns, (T, width)."""
    vectors: dict[str, np.ndarray] = {}
    result = {}
    for key, part in keys.items():
        column = part.original_key or default
        if column not in vectors:
            vectors[column] = _vectors(table, column, file)
        width = vectors[column].shape[1]
        if part.end > width:
            raise DatasetError(
                f"{layout.MODALITY} takes the numbers {part.start} to {part.end} of {column!r} for {key!r}, but in"
                f" {str(file)!r} it is {width} wide."
            )
        result[key] = vectors[column][:, part.start : part.end]
    return result


def _vectors(table: pa.Table, column: str, file: Path) -> np.ndarray:
    """A column of vectors or numbers, (T, width), float32."""
    if column not in table.column_names:
        raise DatasetError(f"{str(file)!r} has no column {column!r}; it has {', '.join(table.column_names)}.")
    try:
        values = np.array(table[column].to_pylist(), dtype=np.float32)
    except (ValueError, TypeError) as error:
        raise DatasetError(f"{column!r} in {str(file)!r} is not a vector of one width: {error}.") from error
    if not np.isfinite(values).all():
        raise DatasetError(f"{column!r} in {str(file)!r} holds numbers that are not finite.")
    return values.reshape(len(values), -1)
