# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What the writer puts on disk, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from recordings import FORMAT, episode, lines, write

from gr00t_rl_ext.imitation import layout, video
from gr00t_rl_ext.imitation.dataset import DemonstrationDataset
from gr00t_rl_ext.imitation.layout import DatasetError
from gr00t_rl_ext.imitation.lerobot_dataset import LeRobotWriter


def read_json(file: Path) -> dict:
    return json.loads(file.read_text())


def read_lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


def test_the_files_of_a_dataset(tmp_path: Path) -> None:
    write(tmp_path / "set", episode(4), episode(6, seed=1))
    assert files(tmp_path / "set") == [
        "data/chunk-000/episode_000000.parquet",
        "data/chunk-000/episode_000001.parquet",
        "meta/episodes.jsonl",
        "meta/episodes_stats.jsonl",
        "meta/info.json",
        "meta/modality.json",
        "meta/stats.json",
        "meta/tasks.jsonl",
        "videos/chunk-000/observation.images.front/episode_000000.mp4",
        "videos/chunk-000/observation.images.front/episode_000001.mp4",
    ]


def test_the_rows_of_an_episode(tmp_path: Path) -> None:
    first, second = episode(4), episode(6, seed=1, instruction="stack them")
    write(tmp_path, first, second)
    table = pq.read_table(tmp_path / "data/chunk-000/episode_000001.parquet")
    np.testing.assert_array_equal(np.array(table["observation.state"].to_pylist(), np.float32), second.state)
    np.testing.assert_array_equal(np.array(table["action"].to_pylist(), np.float32), second.action)
    np.testing.assert_allclose(table["timestamp"].to_pylist(), [0.0, 0.05, 0.1, 0.15, 0.2, 0.25], atol=1e-6)
    assert table["frame_index"].to_pylist() == [0, 1, 2, 3, 4, 5]
    assert table["index"].to_pylist() == [4, 5, 6, 7, 8, 9]
    assert set(table["episode_index"].to_pylist()) == set(table["task_index"].to_pylist()) == {1}
    assert table["annotation.human.action.task_description"].to_pylist() == [1] * 6
    assert table["next.done"].to_pylist() == [False] * 5 + [True]
    assert table["next.reward"].to_pylist() == [0.0] * 5 + [1.0]


def test_the_meta_files(tmp_path: Path) -> None:
    write(tmp_path, episode(4), episode(6, success=False))
    info = read_json(tmp_path / "meta/info.json")
    assert (info["codebase_version"], info["fps"]) == ("v2.1", 20)
    assert (info["total_episodes"], info["total_frames"], info["total_videos"], info["total_tasks"]) == (2, 10, 2, 1)
    assert info["splits"] == {"train": "0:2"}
    table = pq.read_table(tmp_path / "data/chunk-000/episode_000000.parquet")
    assert set(info["features"]) == {*table.column_names, "observation.images.front"}
    assert info["features"]["action"] == {"dtype": "float32", "shape": [3], "names": ["arm_0", "arm_1", "gripper"]}
    assert read_lines(tmp_path / "meta/tasks.jsonl") == [{"task_index": 0, "task": "lift the red cube"}]
    assert [(row["length"], row["success"]) for row in read_lines(tmp_path / "meta/episodes.jsonl")] == [
        (4, True),
        (6, False),
    ]


def test_the_modality_file_is_gr00ts(tmp_path: Path) -> None:
    write(tmp_path, episode())
    assert read_json(tmp_path / "meta/modality.json") == {
        "state": {
            "joints": {"start": 0, "end": 3, "original_key": "observation.state"},
            "pose": {"start": 3, "end": 5, "original_key": "observation.state"},
        },
        "action": {
            "arm": {"start": 0, "end": 2, "original_key": "action"},
            "gripper": {"start": 2, "end": 3, "original_key": "action"},
        },
        "video": {"front": {"original_key": "observation.images.front"}},
        "annotation": {"human.action.task_description": {"original_key": "annotation.human.action.task_description"}},
    }


def test_statistics_by_hand() -> None:
    found = layout.describe(np.arange(101, dtype=np.float32)[:, None] * [1.0, -2.0])
    assert found["mean"] == [50.0, -100.0]
    assert found["min"] == [0.0, -200.0]
    assert found["max"] == [100.0, 0.0]
    assert found["q01"] == pytest.approx([1.0, -198.0])
    assert found["q99"] == pytest.approx([99.0, -2.0])
    # of 0 .. n: the population's variance is n (n + 2) / 12
    assert found["std"] == pytest.approx([np.sqrt(100 * 102 / 12), 2 * np.sqrt(100 * 102 / 12)])


def test_statistics_are_over_all_episodes(tmp_path: Path) -> None:
    episodes = [episode(4), episode(6, seed=1)]
    write(tmp_path, *episodes)
    stats = read_json(tmp_path / "meta/stats.json")
    assert stats["action"] == layout.describe(np.concatenate([one.action for one in episodes]))
    assert stats["observation.state"] == layout.describe(np.concatenate([one.state for one in episodes]))
    # lerobot-doctor names every column without
    table = pq.read_table(tmp_path / "data/chunk-000/episode_000000.parquet")
    assert list(stats) == table.column_names
    assert (stats["next.reward"]["mean"], stats["next.done"]["mean"]) == ([0.2], [0.2])
    assert stats["annotation.human.action.task_description"]["max"] == [0.0]


def test_statistics_of_an_episodes_images_are_per_channel(tmp_path: Path) -> None:
    write(tmp_path, episode(2))
    (row,) = read_lines(tmp_path / "meta/episodes_stats.jsonl")
    found = row["stats"]["observation.images.front"]
    # red is 20 and 60 in the left half, blue is 200 in the right half
    np.testing.assert_allclose(found["mean"], np.array([[[20 / 255]], [[0]], [[100 / 255]]]))
    np.testing.assert_allclose(found["max"], np.array([[[60 / 255]], [[0]], [[200 / 255]]]))
    np.testing.assert_allclose(found["min"], np.array([[[0]], [[0]], [[0]]]))
    mixed = episode(2).images["front"].reshape(-1, 3) / 255
    np.testing.assert_allclose(np.ravel(found["std"]), mixed.std(0), atol=1e-12)
    assert found["count"] == [2]


def test_a_video_keeps_every_frame(tmp_path: Path) -> None:
    images = episode(6).images["front"]
    video.write_video(tmp_path / "some.new", images, fps=20)
    found = video.read_video(tmp_path / "some.new", 6)
    assert found.shape == images.shape
    assert found.dtype == np.uint8
    # colours bleed only where they meet, because chroma has half the resolution
    error = np.abs(found.astype(int) - images)
    assert error.mean() < 2.5
    inner = [slice(0, 20), slice(28, 48)]
    assert max(int(error[:, :, part].max()) for part in inner) <= 8


def test_an_existing_dataset_is_not_touched_unasked(tmp_path: Path) -> None:
    write(tmp_path, episode())
    before = {name: (tmp_path / name).read_bytes() for name in files(tmp_path)}
    with pytest.raises(DatasetError, match="already holds a dataset.*--resume.*--overwrite"):
        LeRobotWriter(tmp_path, FORMAT)
    # nothing is replaced before there is something to replace it with
    LeRobotWriter(tmp_path, FORMAT, "overwrite")
    assert {name: (tmp_path / name).read_bytes() for name in files(tmp_path)} == before


@pytest.mark.parametrize("mode", ["new", "resume", "overwrite"])
def test_a_directory_with_other_things_is_left_alone(tmp_path: Path, mode: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/thesis.txt").write_text("years of work")
    with pytest.raises(DatasetError, match="is not empty and holds no dataset"):
        LeRobotWriter(tmp_path, FORMAT, mode)
    assert (tmp_path / "data/thesis.txt").exists()


def test_targets_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="holds no dataset to add to"):
        LeRobotWriter(tmp_path / "nothing", FORMAT, "resume")
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="is a file; give a directory"):
        LeRobotWriter(tmp_path / "file", FORMAT)
    with pytest.raises(DatasetError, match="'odd' has 33 x 32 px.*even"):
        dataclasses.replace(FORMAT, cameras={"odd": (32, 33)})


def test_overwriting_leaves_nothing_behind(tmp_path: Path) -> None:
    write(tmp_path, episode(4), episode(6))
    writer = LeRobotWriter(tmp_path, FORMAT, "overwrite")
    writer.add(episode(3, seed=2))
    assert [len(one) for one in DemonstrationDataset(tmp_path)] == [3]
    assert sum("episode_0" in name for name in files(tmp_path)) == 2


def test_a_resumed_dataset_equals_one_written_at_once(tmp_path: Path) -> None:
    episodes = [episode(4), episode(6, seed=1, instruction="stack them"), episode(3, seed=2)]
    write(tmp_path / "once", *episodes)
    write(tmp_path / "twice", *episodes[:1])
    writer = LeRobotWriter(tmp_path / "twice", FORMAT, "resume")
    assert len(writer) == 1
    assert [writer.add(one) for one in episodes[1:]] == [1, 2]
    assert files(tmp_path / "once") == files(tmp_path / "twice")
    for name in files(tmp_path / "once"):
        assert (tmp_path / "once" / name).read_bytes() == (tmp_path / "twice" / name).read_bytes(), name


def test_resuming_replaces_no_episode_where_one_was_taken_out(tmp_path: Path) -> None:
    write(tmp_path, episode(4), episode(6, seed=1))
    lines(tmp_path / "meta/episodes.jsonl", read_lines(tmp_path / "meta/episodes.jsonl")[1])
    assert LeRobotWriter(tmp_path, FORMAT, "resume").add(episode(3, seed=2)) == 2
    assert [(one.index, len(one)) for one in DemonstrationDataset(tmp_path)] == [(1, 6), (2, 3)]


def test_sessions_are_kept_when_resumed(tmp_path: Path) -> None:
    writer = LeRobotWriter(tmp_path, FORMAT)
    writer.add(episode())
    writer.describe({"attempted": 1})
    writer.describe({"attempted": 2})
    writer = LeRobotWriter(tmp_path, FORMAT, "resume")
    writer.describe({"attempted": 5})
    assert read_json(tmp_path / "meta/recording.json") == {"sessions": [{"attempted": 2}, {"attempted": 5}]}


@pytest.mark.parametrize(
    ("change", "named"),
    [({"fps": 10}, "fps"), ({"cameras": {"front": (64, 64)}}, "features"), ({"action": {"arm": 3}}, "features")],
)
def test_resuming_with_another_format_is_refused(tmp_path: Path, change: dict, named: str) -> None:
    write(tmp_path, episode())
    with pytest.raises(DatasetError, match=f"another kind .*{named}.*Give another directory"):
        LeRobotWriter(tmp_path, dataclasses.replace(FORMAT, **change), "resume")


def test_resuming_a_dataset_with_a_corrupt_episode_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, episode()) / "data/chunk-000/episode_000000.parquet"
    file.write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match="episode_000000.parquet' cannot be read as parquet"):
        LeRobotWriter(tmp_path, FORMAT, "resume")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": np.zeros((5, 4), np.float32)}, "state of the episode has the shape"),
        ({"action": np.full((5, 3), np.nan, np.float32)}, "action of the episode holds numbers that are not finite"),
        ({"images": {}}, "images of the episode are"),
        ({"reward": np.zeros(4)}, "reward of the episode has the shape"),
    ],
)
def test_an_episode_that_does_not_fit_writes_nothing(tmp_path: Path, change: dict, message: str) -> None:
    writer = LeRobotWriter(tmp_path / "set", FORMAT)
    with pytest.raises(ValueError, match=message):
        writer.add(dataclasses.replace(episode(), **change))
    assert not (tmp_path / "set").exists()


def test_a_write_that_fails_leaves_the_dataset_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, episode(4))
    writer = LeRobotWriter(tmp_path, FORMAT, "resume")

    def half(file: Path, *_: object) -> None:
        file.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(video, "write_video", half)
    with pytest.raises(OSError, match="disk full"):
        writer.add(episode(6))
    monkeypatch.undo()
    assert [len(one) for one in DemonstrationDataset(tmp_path)] == [4]
    assert not [name for name in files(tmp_path) if name.endswith(".new") or "000001.mp4" in name]
    # the next attempt takes the same place
    assert LeRobotWriter(tmp_path, FORMAT, "resume").add(episode(6)) == 1


def test_frames_are_stored_in_the_order_in_which_they_are_seen(tmp_path: Path) -> None:
    """LeRobot's converter joins videos; it fails where one of one frame follows others that are stored otherwise."""
    video.write_video(tmp_path / "video.mp4", np.random.default_rng(0).integers(0, 255, (9, 32, 32, 3), np.uint8), 20)
    with av.open(str(tmp_path / "video.mp4")) as container:
        packets = [packet for packet in container.demux(video=0) if packet.dts is not None]
    assert [packet.dts for packet in packets] == [packet.pts for packet in packets]
    assert packets[0].pts == 0
