# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Made-up episodes, and datasets of them."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from gr00t_rl_ext.imitation import layout
from gr00t_rl_ext.imitation.dataset import DemonstrationDataset
from gr00t_rl_ext.imitation.lerobot_dataset import DatasetFormat, Episode, LeRobotWriter
from gr00t_rl_ext.imitation.video import write_video

SIZE = (32, 48)
CAMERA = "observation.images.front"
V3_DATA = "data/chunk-000/file-000.parquet"
V3_VIDEO = f"videos/{CAMERA}/chunk-000/file-000.mp4"
V3_EPISODES = "meta/episodes/chunk-000/file-000.parquet"
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


def change(file: Path, edit: Callable[[Any], Any]) -> None:
    """Change a JSON file: by what ``edit`` returns, or in place."""
    content = json.loads(file.read_text())
    result = edit(content)
    file.write_text(json.dumps(content if result is None else result))


def lines(file: Path, *rows: Any) -> None:
    """Write a JSON Lines file as other programs do, without escapes."""
    file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def column(file: Path, name: str, values: Any) -> None:
    """Replace a column of a parquet file, or append it."""
    table = pq.read_table(file)
    if name in table.column_names:
        table = table.drop_columns(name)
    pq.write_table(table.append_column(name, pa.array(values)), file)


def png(image: np.ndarray) -> dict[str, Any]:
    """An image as LeRobot keeps it in parquet files."""
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return {"bytes": stream.getvalue(), "path": "frame.png"}


def with_images_in_rows(directory: Path) -> Path:
    """Turn a recorded dataset into one without videos (``use_videos=False``)."""
    for index, one in enumerate(DemonstrationDataset(directory, only_successes=False)):
        cells = [png(image) for image in one.images("front")]
        column(directory / layout.DATA_PATH.format(episode_chunk=0, episode_index=index), CAMERA, cells)
    shutil.rmtree(directory / "videos")
    change(directory / layout.INFO, lambda info: info["features"][CAMERA].update(dtype="image"))
    change(directory / layout.INFO, lambda info: info.update(video_path=None))
    return directory


def as_version_3(directory: Path) -> Path:
    """Turn a recorded dataset into LeRobot's version 3: all episodes in one file, as its converter does."""
    dataset = DemonstrationDataset(directory, only_successes=False)
    tables = [pq.read_table(dataset.meta.data_file(row)) for row in dataset.meta.episodes]
    starts = np.cumsum([0, *(len(one) for one in dataset)]) / dataset.fps
    place = {"chunk_index": 0, "file_index": 0}
    rows = [
        {"episode_index": one.index, "length": len(one), "tasks": one.instructions[:1], "stats/action/min": [0.0]}
        | {f"data/{name}": value for name, value in place.items()}
        | {f"videos/{CAMERA}/{name}": value for name, value in (place | {"from_timestamp": float(start)}).items()}
        for one, start in zip(dataset, starts, strict=False)
    ]
    tasks = [{"task_index": index, "__index_level_0__": text} for index, text in dataset.meta.tasks.items()]
    images = None if dataset.meta.cameras["front"].in_rows else np.concatenate([one.images("front") for one in dataset])
    for name in ("data", "videos", layout.EPISODES, layout.TASKS):
        path = directory / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for name in ("data/chunk-000", "meta/episodes/chunk-000", f"videos/{CAMERA}/chunk-000"):
        (directory / name).mkdir(parents=True)
    pq.write_table(pa.concat_tables(tables), directory / V3_DATA)
    pq.write_table(pa.Table.from_pylist(rows), directory / V3_EPISODES)
    pq.write_table(pa.Table.from_pylist(tasks), directory / "meta/tasks.parquet")
    if images is not None:
        write_video(directory / V3_VIDEO, images, int(dataset.fps))
    templates = {
        "codebase_version": "v3.0",
        "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
        "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4",
    }
    change(directory / layout.INFO, lambda info: info.update(templates))
    return directory
