# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Reading datasets: what was written comes back, and what is broken is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from recordings import change, episode, write

from gr00t_rl_ext.imitation.dataset import DemonstrationDataset
from gr00t_rl_ext.imitation.layout import DatasetError

PARQUET = "data/chunk-000/episode_000000.parquet"
VIDEO = "videos/chunk-000/observation.images.front/episode_000000.mp4"


def test_what_was_written_is_read(tmp_path: Path) -> None:
    written = [episode(4), episode(6, seed=1, instruction="stack them")]
    dataset = DemonstrationDataset(write(tmp_path, *written))
    assert (len(dataset), dataset.fps, dataset.cameras) == (2, 20, ["front"])
    for one, expected in zip(dataset, written, strict=True):
        assert len(one) == len(expected)
        assert one.instructions == [expected.instruction] * len(one)
        assert list(one.state) == ["joints", "pose"]
        assert list(one.action) == ["arm", "gripper"]
        np.testing.assert_array_equal(np.hstack(list(one.state.values())), expected.state)
        np.testing.assert_array_equal(np.hstack(list(one.action.values())), expected.action)
        images = one.images("front")
        assert images.shape == expected.images["front"].shape
        assert np.abs(images.astype(int) - expected.images["front"]).mean() < 2.5


def test_statistics_per_key(tmp_path: Path) -> None:
    written = [episode(4), episode(6, seed=1)]
    found = DemonstrationDataset(write(tmp_path, *written)).statistics
    arm = np.concatenate([one.action[:, :2] for one in written]).astype(np.float64)
    assert found["action"]["arm"]["max"] == arm.max(0).tolist()
    assert found["action"]["arm"]["q99"] == pytest.approx(np.quantile(arm, 0.99, axis=0).tolist())
    assert {kind: list(keys) for kind, keys in found.items()} == {
        "state": ["joints", "pose"],
        "action": ["arm", "gripper"],
    }


def test_failures_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    write(tmp_path, episode(4, success=False), episode(6, seed=1))
    assert [one.index for one in DemonstrationDataset(tmp_path)] == [1]
    assert [one.index for one in DemonstrationDataset(tmp_path, only_successes=False)] == [0, 1]


def test_a_recording_by_hand_without_marks_and_annotation(tmp_path: Path) -> None:
    """What LeRobot's own recorder writes, with a minimal modality file and slices in another order."""
    first = episode(4)
    write(tmp_path, first)
    rows = tmp_path / "meta/episodes.jsonl"
    change(rows, lambda row: row.pop("success") and None)
    table = pq.read_table(tmp_path / PARQUET).drop_columns(["annotation.human.action.task_description"])
    state = pa.array(table["observation.state"].to_pylist(), pa.list_(pa.float64()))
    pq.write_table(table.set_column(0, "observation.state", state), tmp_path / PARQUET)
    modality = {"state": {"pose": {"start": 3, "end": 5}}, "action": {"arm": {"start": 0, "end": 2}}}
    modality["video"] = {"front": {}}
    (tmp_path / "meta/modality.json").write_text(json.dumps(modality))
    change(tmp_path / "meta/info.json", lambda info: info.update(codebase_version="v2.0"))
    (one,) = DemonstrationDataset(tmp_path)
    assert set(one.instructions) == {"lift the red cube"}
    np.testing.assert_array_equal(one.state["pose"], first.state[:, 3:])
    assert one.images("front").shape[0] == 4


def test_no_modality_file(tmp_path: Path) -> None:
    (write(tmp_path, episode()) / "meta/modality.json").unlink()
    with pytest.raises(DatasetError, match="has no meta/modality.json.*data preparation guide"):
        DemonstrationDataset(tmp_path)


def test_a_modality_file_that_is_none(tmp_path: Path) -> None:
    file = write(tmp_path, episode()) / "meta/modality.json"
    change(file, lambda modality: modality["action"]["arm"].update(end=0))
    with pytest.raises(DatasetError, match="modality.json' is not as .* describe it: action.arm: .*0 <= start < end"):
        DemonstrationDataset(tmp_path)
    file.write_text("{")
    with pytest.raises(DatasetError, match="modality.json' is not valid JSON"):
        DemonstrationDataset(tmp_path)


def test_slices_beyond_the_data(tmp_path: Path) -> None:
    write(tmp_path, episode())
    change(tmp_path / "meta/modality.json", lambda modality: modality["action"]["gripper"].update(end=9))
    with pytest.raises(DatasetError, match=r"2 to 9 of 'action' for 'gripper', but in .* it is 3 wide"):
        DemonstrationDataset(tmp_path)


def test_no_episodes(tmp_path: Path) -> None:
    write(tmp_path, episode())
    (tmp_path / "meta/episodes.jsonl").write_text("")
    with pytest.raises(DatasetError, match="episodes.jsonl' lists no episodes"):
        DemonstrationDataset(tmp_path)


def test_no_successes(tmp_path: Path) -> None:
    write(tmp_path, episode(success=False), episode(seed=1, success=False))
    with pytest.raises(DatasetError, match="None of the 2 episodes that .*episodes.jsonl' lists is a success"):
        DemonstrationDataset(tmp_path)


def test_a_corrupt_parquet(tmp_path: Path) -> None:
    file = write(tmp_path, episode()) / PARQUET
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DatasetError, match="episode_000000.parquet' cannot be read as parquet"):
        DemonstrationDataset(tmp_path)


def test_a_parquet_with_a_wrong_byte(tmp_path: Path) -> None:
    one = episode(6)
    file = write(tmp_path, one) / PARQUET
    content = bytearray(file.read_bytes())
    # random numbers are stored as they are; with a wrong byte they are numbers as well
    content[content.index(one.state[2].tobytes()[:12])] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(DatasetError, match="episode_000000.parquet' cannot be read as parquet .*CRC"):
        DemonstrationDataset(tmp_path)


def test_a_parquet_of_another_length(tmp_path: Path) -> None:
    file = write(tmp_path, episode(5)) / PARQUET
    pq.write_table(pq.read_table(file).slice(0, 3), file)
    with pytest.raises(
        DatasetError, match=r"000000.parquet' \(episode 0\) has 3 rows, but meta/episodes.jsonl lists 5"
    ):
        DemonstrationDataset(tmp_path)


def test_numbers_that_are_not_finite(tmp_path: Path) -> None:
    file = write(tmp_path, episode(2)) / PARQUET
    table = pq.read_table(file)
    broken = pa.array([[0.0, float("nan"), 0.0]] * 2)
    pq.write_table(table.set_column(table.column_names.index("action"), "action", broken), file)
    with pytest.raises(
        DatasetError,
        match="'action' in .*000000.parquet' .episode 0. holds numbers that are not finite.*nan is number 1 of step 0",
    ):
        DemonstrationDataset(tmp_path)


def test_vectors_of_several_widths(tmp_path: Path) -> None:
    file = write(tmp_path, episode(2)) / PARQUET
    table = pq.read_table(file)
    ragged = pa.array([[0.0, 1.0, 0.0], [1.0]])
    pq.write_table(table.set_column(table.column_names.index("action"), "action", ragged), file)
    with pytest.raises(DatasetError, match="'action' in .*000000.parquet' .* is not a vector of one width"):
        DemonstrationDataset(tmp_path)


@pytest.mark.parametrize("keep", [0, 300], ids=["empty", "truncated"])
def test_a_corrupt_video(tmp_path: Path, keep: int) -> None:
    file = write(tmp_path, episode()) / VIDEO
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(DatasetError, match="episode_000000.mp4' cannot be decoded"):
        DemonstrationDataset(tmp_path)


def test_a_video_with_wrong_bytes(tmp_path: Path) -> None:
    """FFmpeg would hide it, and show something else."""
    file = write(tmp_path, episode(6)) / VIDEO
    content = bytearray(file.read_bytes())
    frames = content.index(b"mdat") + 800
    for place in range(frames, frames + 60, 3):
        content[place] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(DatasetError, match="episode_000000.mp4' cannot be decoded .*Copy or record the episode again"):
        DemonstrationDataset(tmp_path)[0].images("front")


def test_a_video_of_another_episode(tmp_path: Path) -> None:
    write(tmp_path, episode(4), episode(6))
    (tmp_path / VIDEO).write_bytes((tmp_path / VIDEO.replace("000000", "000001")).read_bytes())
    with pytest.raises(DatasetError, match="episode_000000.mp4' has 6 frames, but its episode has 4 steps"):
        DemonstrationDataset(tmp_path)


def test_missing_files_and_cameras(tmp_path: Path) -> None:
    write(tmp_path, episode())
    with pytest.raises(DatasetError, match="no camera 'wrist'; there are: front"):
        DemonstrationDataset(tmp_path)[0].images("wrist")
    (tmp_path / VIDEO).unlink()
    with pytest.raises(DatasetError, match="episode_000000.mp4' is missing"):
        DemonstrationDataset(tmp_path)
    (tmp_path / PARQUET).unlink()
    with pytest.raises(DatasetError, match="episode_000000.parquet' is missing, but the dataset's meta files name it"):
        DemonstrationDataset(tmp_path)
    (tmp_path / "meta/info.json").unlink()
    with pytest.raises(DatasetError, match="info.json' is missing: .* is not a LeRobot dataset"):
        DemonstrationDataset(tmp_path)
    with pytest.raises(DatasetError, match="no directory"):
        DemonstrationDataset(tmp_path / "nowhere")


def test_another_version(tmp_path: Path) -> None:
    write(tmp_path, episode())
    change(tmp_path / "meta/info.json", lambda info: info.update(codebase_version="v1.6"))
    with pytest.raises(DatasetError, match="info.json.*codebase_version v1.6: expected v2.0, v2.1 or v3.0"):
        DemonstrationDataset(tmp_path)
