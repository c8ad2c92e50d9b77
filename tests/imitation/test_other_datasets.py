# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Datasets that differ from our own recordings: read rightly, or refused with file and field."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import recordings
import sft_runs
import torch
from recordings import CAMERA, SIZE, V3_EPISODES, V3_VIDEO, change, column, episode, lines, png, write
from tensordict import TensorDict

from gr00t_rl_ext.imitation.dataset import DemonstrationDataset
from gr00t_rl_ext.imitation.layout import DatasetError

ROWS = "data/chunk-000/episode_000000.parquet"
VIDEO = f"videos/chunk-000/{CAMERA}/episode_000000.mp4"
TASK = "annotation.human.action.task_description"

Damage = Callable[[Path], Any]


def meta(name: str, edit: Callable[[Any], Any]) -> Damage:
    return lambda out: change(out / "meta" / name, edit)


def info(**fields: Any) -> Damage:
    """Set fields of ``info.json``; None removes one."""
    return meta("info.json", lambda known: {k: v for k, v in (known | fields).items() if v is not None})


def listed(name: str, *rows: Any) -> Damage:
    return lambda out: lines(out / "meta" / name, *rows)


def cells(name: str, values: Any) -> Damage:
    return lambda out: column(out / ROWS, name, values)


ROW = {"episode_index": 0, "length": 4}
META = {
    "no fps": (info(fps=None), "info.json'.*: fps: Field required"),
    "fps is a text": (info(fps="30 Hz"), "info.json'.*: fps: .*valid number.*'30 Hz'"),
    "fps is 0": (info(fps=0), "info.json'.*: fps: .*greater than 0.*found 0"),
    "no version": (info(codebase_version=None), "info.json'.*: codebase_version: Field required"),
    "no data_path": (info(data_path=None), "info.json'.*: data_path: Field required"),
    "no video_path": (info(video_path=None), f"{CAMERA} in .*info.json'.*is a video, but video_path is missing"),
    "the places of version 3": (
        info(data_path="data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"),
        "info.json'.*: data_path .*does not fit version v2.1, whose names are episode_chunk, .*'chunk_index'",
    ),
    "a place of another type": (info(data_path="{episode_index:s}"), "info.json'.*: data_path .*does not fit"),
    "rows elsewhere": (
        info(data_path="data/../../other/{episode_index}.parquet"),
        "info.json' places a file of episode 0 at 'data/../../other/0.parquet', outside of the dataset",
    ),
    "rows at the root": (info(data_path="/other/{episode_index}.parquet"), "outside of the dataset"),
    "no episodes per folder": (info(chunks_size=0), "info.json'.*: chunks_size: .*greater than 0"),
    "info is a list": (meta("info.json", lambda _: []), "info.json'.*valid dictionary"),
    "a camera of numbers": (
        meta("info.json", lambda known: known["features"][CAMERA].update(dtype="float32")),
        f"{CAMERA} in .*info.json'.*has the dtype 'float32'; expected video or image",
    ),
    "a depth camera": (
        meta("info.json", lambda known: known["features"][CAMERA]["info"].update({"is_depth_map": True})),
        f"{CAMERA} in .*info.json'.*is a depth map.*Take it out of meta/modality.json",
    ),
    "a depth camera of version 2": (
        meta("info.json", lambda known: known["features"][CAMERA].update(video_info={"video.is_depth_map": True})),
        "is a depth map",
    ),
    "an episode without length": (
        listed("episodes.jsonl", {"episode_index": 0}),
        "row 1.length: Field required",
    ),
    "an episode of 0 steps": (listed("episodes.jsonl", ROW | {"length": 0}), "episodes.jsonl'.*: row 1.length: .*0"),
    "episodes are numbers": (
        listed("episodes.jsonl", *range(7)),
        "episodes.jsonl'.*: row 1: Input should be a valid dictionary, found 0; .*row 5: [^;]*found 4 and 2 more",
    ),
    "an episode twice": (
        listed("episodes.jsonl", ROW, ROW),
        "episodes.jsonl' lists the episode_index 0 more",
    ),
    "success is a text": (listed("episodes.jsonl", ROW | {"success": "false"}), "row 1.success: .*found 'false'"),
    "other fields of tasks": (
        listed("tasks.jsonl", {"index": 0}),
        "row 1.task_index: Field .*row 1.task: Field",
    ),
    "a task without text": (listed("tasks.jsonl", {"task_index": 0, "task": None}), "row 1.task: .*found None"),
    "a task twice": (
        listed("tasks.jsonl", {"task_index": 0, "task": "a"}, {"task_index": 0, "task": "b"}),
        "tasks.jsonl' lists the task_index 0 more than once",
    ),
    "a task that is not there": (
        listed("tasks.jsonl", {"task_index": 7, "task": "a"}),
        "000000.parquet' .episode 0. names the instruction 0, which meta/tasks.jsonl lacks; it has 7",
    ),
    "half a task": (cells(TASK, [0.5] * 4), "names the instruction 0.5, which"),
    "two tasks": (cells(TASK, [[0, 0]] * 4), f"'{TASK}' in .*000000.parquet'.*has 2 numbers a row; expected one"),
    "a task by name": (cells(TASK, ["lift"] * 4), f"'{TASK}' in .*000000.parquet'.*is not a vector"),
    "a key without end": (
        meta("modality.json", lambda known: known["state"]["pose"].pop("end") and None),
        "modality.json'.*: state.pose.end: Field required",
    ),
    "no actions": (
        meta("modality.json", lambda known: known.pop("action") and None),
        "modality.json'.*: action: Fi",
    ),
    "another rotation": (
        meta("modality.json", lambda known: known["state"]["pose"].update(rotation_type="euler")),
        "modality.json'.*: state.pose.rotation_type: .*quaternion.*found 'euler'",
    ),
    "absolute is a text": (
        meta("modality.json", lambda known: known["action"]["arm"].update(absolute="false")),
        "modality.json'.*: action.arm.absolute: .*found 'false'",
    ),
    "another type of numbers": (
        meta("modality.json", lambda known: known["action"]["arm"].update(dtype="real")),
        "modality.json'.*: action.arm: dtype 'real': expected a type of numpy",
    ),
    "sessions are numbers": (
        lambda out: (out / "meta/recording.json").write_text('{"sessions": [1]}'),
        "recording.json'.*: sessions.row 1: .*found 1",
    ),
    "a state that float32 cannot hold": (
        cells("observation.state", [[0.0, 0.0, 0.0, 0.0, 1e39]] * 4),
        "'observation.state' in .*000000.parquet' .episode 0. holds numbers.*too large: inf is number 4 of step 0",
    ),
    "a gap in the state": (
        cells("observation.state", [[0.0] * 5, [0.0, None, 0.0, 0.0, 0.0]] * 2),
        "is number 1 of step 1",
    ),
}


@pytest.mark.parametrize(("damage", "text"), META.values(), ids=META.keys())
def test_what_is_refused_with_file_and_field(tmp_path: Path, damage: Damage, text: str) -> None:
    write(tmp_path, episode(4))
    damage(tmp_path)
    with pytest.raises(DatasetError, match=text):
        DemonstrationDataset(tmp_path)


def test_one_message_of_each_kind_as_a_user_sees_it(tmp_path: Path) -> None:
    write(tmp_path, episode(4))
    info(fps="30 Hz")(tmp_path)
    with pytest.raises(DatasetError) as refused:
        DemonstrationDataset(tmp_path)
    assert str(refused.value) == (
        f"'{tmp_path}/meta/info.json' is not as LeRobot and GR00T describe it: fps: Input should be a valid number,"
        " unable to parse string as a number, found '30 Hz'. Correct it, or copy or record the dataset again."
    )


FROM_WINDOWS = b'\xef\xbb\xbf{"task_index": 0, "task": "x"}\r\n\r\n'


@pytest.mark.parametrize(
    ("change_it", "text"),
    [
        (listed("tasks.jsonl", {"task_index": 0, "task": "pick\u2028it up"}), "pick\u2028it up"),
        (
            lambda out: (out / "meta/tasks.jsonl").write_bytes(b'\xef\xbb\xbf{"task_index": 0, "task": "x"}\r\n\r\n'),
            "x",
        ),
        (cells(TASK, [[0]] * 4), "lift the red cube"),
        (cells(TASK, [0.0] * 4), "lift the red cube"),
        (listed("episodes.jsonl", ROW | {"success": None}), "lift the red cube"),
        (info(fps=29.97), "lift the red cube"),
    ],
    ids=["line separator", "Windows", "list of one", "float", "no mark", "NTSC"],
)
def test_what_is_unusual_but_right(tmp_path: Path, change_it: Damage, text: str) -> None:
    write(tmp_path, episode(4))
    change_it(tmp_path)
    (one,) = DemonstrationDataset(tmp_path)
    assert one.instructions == [text] * 4


# -- Cameras -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version_3", [False, True], ids=["version 2", "version 3"])
def test_images_in_parquet_files(tmp_path: Path, version_3: bool) -> None:
    expected = [one.images("front") for one in DemonstrationDataset(write(tmp_path, episode(4), episode(6, seed=1)))]
    recordings.with_images_in_rows(tmp_path)
    if version_3:
        recordings.as_version_3(tmp_path)
    dataset = DemonstrationDataset(tmp_path)
    assert [one.footage["front"].size for one in dataset] == [SIZE, SIZE]
    for one, images in zip(dataset, expected, strict=True):
        np.testing.assert_array_equal(one.images("front"), images)


def test_the_small_gr00t_learns_from_images_in_parquet_files(tmp_path: Path) -> None:
    run = sft_runs.run(recordings.with_images_in_rows(sft_runs.dataset(tmp_path / "data")), "small", horizon=4)
    assert np.isfinite(run.trainer.step())


GREY = np.zeros(SIZE, np.uint8)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (png(GREY.astype(np.uint16)), "holds an image of mode I;16 in step 2; expected colours of 8 bits"),
        (png(np.zeros((*SIZE, 4), np.uint8)), "holds an image of mode RGBA in step 2"),
        (png(np.zeros((16, 16, 3), np.uint8)), "holds 16 x 16 px in step 2, but 48 x 32 px in step 0"),
        ({"bytes": b"no", "path": ""}, "holds no image in step 2: cannot identify"),
        ({"bytes": None, "path": "a.png"}, "holds no image in step 2, but None; expected its bytes"),
    ],
    ids=["depth", "alpha", "size", "damaged", "path alone"],
)
def test_images_in_parquet_files_that_cannot_be_used(tmp_path: Path, cell: dict[str, Any], text: str) -> None:
    recordings.with_images_in_rows(write(tmp_path, episode(4)))
    column(tmp_path / ROWS, CAMERA, [png(np.stack([GREY] * 3, -1))] * 2 + [cell] * 2)
    with pytest.raises(DatasetError, match=f"'{CAMERA}' in .*000000.parquet' .episode 0. {text}"):
        DemonstrationDataset(tmp_path)


def test_an_image_that_is_torn(tmp_path: Path) -> None:
    recordings.with_images_in_rows(write(tmp_path, episode(4)))
    whole = png(np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8))
    column(tmp_path / ROWS, CAMERA, [whole] * 3 + [{"bytes": whole["bytes"][:900], "path": ""}])
    with pytest.raises(DatasetError, match=f"'{CAMERA}' in .*000000.parquet'.* cannot be decoded .*Copy or record"):
        DemonstrationDataset(tmp_path)[0].images("front")


def encode(file: Path, frames: np.ndarray, codec: str, pixels: str, source: str) -> None:
    with av.open(str(file), "w", format="matroska") as container:
        stream = container.add_stream(codec, rate=20)
        stream.height, stream.width = frames.shape[1:3]  # pyright: ignore[reportAttributeAccessIssue]
        stream.pix_fmt = pixels  # pyright: ignore[reportAttributeAccessIssue]
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format=source)))  # pyright: ignore[reportAttributeAccessIssue]
        container.mux(stream.encode())  # pyright: ignore[reportAttributeAccessIssue]


def test_a_video_of_depth_is_not_taken_for_colours(tmp_path: Path) -> None:
    file = write(tmp_path, episode(4)) / VIDEO
    encode(file, np.zeros((4, *SIZE), np.uint16), "ffv1", "gray16le", "gray16le")
    with pytest.raises(DatasetError, match="000000.mp4' has the pixel format gray16le, as depth maps have"):
        DemonstrationDataset(tmp_path)
    # the advice
    meta("modality.json", lambda known: known["video"].pop("front") and None)(tmp_path)
    assert len(DemonstrationDataset(tmp_path)) == 1


def test_an_episode_of_another_resolution(tmp_path: Path) -> None:
    write(tmp_path, episode(4), episode(4, seed=1))
    second = tmp_path / VIDEO.replace("000000", "000001")
    encode(second, np.zeros((4, 16, 64, 3), np.uint8), "libx264", "yuv420p", "rgb24")
    text = r"'front' has 64 x 16 px in .*000001.mp4' \(episode 1\), but 48 x 32 px in .*000000.mp4'.*out of the dataset"
    with pytest.raises(DatasetError, match=text):
        DemonstrationDataset(tmp_path)
    # the advice
    lines(tmp_path / "meta/episodes.jsonl", ROW)
    assert len(DemonstrationDataset(tmp_path)) == 1


# -- LeRobot's version 3 -----------------------------------------------------------------------------------------------


def test_version_3_is_read_as_version_2(tmp_path: Path) -> None:
    episodes = [episode(4), episode(6, seed=1, instruction="stack them"), episode(1, seed=2)]
    # whole colours per frame survive another encoding
    before = list(DemonstrationDataset(write(tmp_path / "2", *episodes)))
    after = DemonstrationDataset(recordings.as_version_3(write(tmp_path / "3", *episodes)))
    assert [one.index for one in after] == [0, 1, 2]
    for old, new in zip(before, after, strict=True):
        assert new.instructions == old.instructions
        for kind, key in (("state", "joints"), ("state", "pose"), ("action", "arm"), ("action", "gripper")):
            np.testing.assert_array_equal(getattr(new, kind)[key], getattr(old, kind)[key])
        # neighbouring steps differ by 40
        assert np.abs(new.images("front").astype(int) - old.images("front")).mean() < 2.5


def test_the_small_gr00t_learns_from_version_3(tmp_path: Path) -> None:
    run = sft_runs.run(recordings.as_version_3(sft_runs.dataset(tmp_path / "data")), "small", horizon=4)
    assert np.isfinite(run.trainer.step())


def edit_episodes(out: Path, edit: Callable[[list[dict[str, Any]]], Any]) -> None:
    rows = pq.read_table(out / V3_EPISODES).to_pylist()
    edit(rows)
    pq.write_table(pa.Table.from_pylist(rows), out / V3_EPISODES)


FROM = f"videos/{CAMERA}/from_timestamp"
VERSION_3 = {
    "no place of the rows": (
        lambda out: edit_episodes(out, lambda rows: [row.pop("data/file_index") for row in rows]),
        "file-000.parquet'.*: row 1.data.file_index: Field required",
    ),
    "no place of the video": (
        lambda out: edit_episodes(out, lambda rows: [row.pop(k) for row in rows for k in list(row) if "videos" in k]),
        f"meta/episodes' has no videos/{CAMERA}/file_index for episode 0; it has those of no videos",
    ),
    "an episode twice": (
        lambda out: edit_episodes(out, lambda rows: rows[1].update(episode_index=0)),
        "meta/episodes' lists the episode_index 0 more than once",
    ),
    "other rows": (
        lambda out: edit_episodes(out, lambda rows: rows[0].update(length=9)),
        r"file-000.parquet' \(episode 0\) has 4 rows, but meta/episodes lists 9",
    ),
    "no episodes": (lambda out: (out / V3_EPISODES).unlink(), "meta/episodes' has no parquet files, though .*v3.0"),
    "no tasks": (lambda out: (out / "meta/tasks.parquet").unlink(), "meta/tasks' has no parquet files"),
    "tasks that are torn": (
        lambda out: (out / "meta/tasks.parquet").write_bytes(b"PAR1"),
        "tasks.parquet' cannot be read as parquet",
    ),
    "no video": (lambda out: (out / V3_VIDEO).unlink(), "file-000.mp4' is missing"),
    "the places of version 2": (
        info(data_path="data/{episode_index}.parquet"),
        "version v3.0, whose names are chunk_",
    ),
}


@pytest.mark.parametrize(("damage", "text"), VERSION_3.values(), ids=VERSION_3.keys())
def test_version_3_that_is_refused(tmp_path: Path, damage: Damage, text: str) -> None:
    recordings.as_version_3(write(tmp_path, episode(4), episode(3, seed=1)))
    damage(tmp_path)
    with pytest.raises(DatasetError, match=text):
        DemonstrationDataset(tmp_path)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (info(fps=10), "file-000.mp4' has another frame rate than 10 fps: 3 frames from 0.2 s on end at 0.3 s"),
        (
            lambda out: edit_episodes(out, lambda rows: rows[1].update({FROM: 0.25})),
            "has 2 frames, but its episode",
        ),
    ],
    ids=["frame rate", "beyond the end"],
)
def test_version_3_whose_frames_are_elsewhere(tmp_path: Path, damage: Damage, text: str) -> None:
    recordings.as_version_3(write(tmp_path, episode(4), episode(3, seed=1)))
    damage(tmp_path)
    with pytest.raises(DatasetError, match=text):
        DemonstrationDataset(tmp_path)[1].images("front")


# -- Instructions and relative actions ---------------------------------------------------------------------------------


def test_an_instruction_that_changes_within_an_episode(tmp_path: Path) -> None:
    """As in GR00T's loader, a frame has its own instruction, and its chunk goes on when that changes."""
    data = write(tmp_path / "data", episode(6), episode(4, seed=1, instruction="put it into the box"))
    column(data / ROWS, TASK, [0, 0, 1, 1, 1, 0])
    base = sft_runs.tiny(tmp_path / "base")
    run = sft_runs.run(data, base, holdout=0.0)
    first, second = run.dataset[0], run.dataset[1]
    lift, put = "lift the red cube", "put it into the box"
    assert first.instructions == [lift, lift, put, put, put, lift]
    parts = run.trainer.train.parts
    assert [(part.encoder.spec.instruction, part.places.tolist()) for part in parts] == [
        (lift, [0, 1, 5]),
        (put, [2, 3, 4, 6, 7, 8, 9]),
    ]
    # prompts of another length: the features of each frame are those of its own instruction
    assert len({part.encoder.feature_shape for part in parts}) == 2
    of_lift, of_put = run.trainer.train.chunks(np.array([1, 2, 3, 6]), 4)
    for chunks, one, steps in ((of_lift, first, [1, 5]), (of_put, first, [2])):
        state = np.concatenate(list(one.state.values()), axis=1)[steps]
        frames = {"front": torch.from_numpy(one.images("front")[steps]), "state": torch.from_numpy(state)}
        fresh = chunks.encoder.encode(TensorDict(frames, batch_size=[len(steps)]))
        torch.testing.assert_close(chunks.obs["features"][: len(steps)], fresh["features"], rtol=0, atol=1e-5)
    actions = [torch.from_numpy(np.concatenate(list(one.action.values()), axis=1)) for one in (first, second)]
    assert torch.equal(of_lift.actions, torch.stack([actions[0][1:5], actions[0][[5, 5, 5, 5]]]))
    assert torch.equal(of_put.actions, torch.stack([actions[0][2:6], actions[1][:4]]))
    assert np.isfinite(run.trainer.step())


def mark_relative(out: Path) -> Path:
    """The arm moves by displacements; the state holds a rotation."""

    def edit(known: dict[str, Any]) -> None:
        known["action"]["arm"].update(absolute=False)
        known["action"]["gripper"].update(dtype="int64")
        known["state"]["pose"].update(rotation_type="axis_angle")

    change(out / "meta/modality.json", edit)
    return out


def test_relative_actions_stand_still_beyond_the_end(tmp_path: Path) -> None:
    data = mark_relative(write(tmp_path / "data", episode(3)))
    run = sft_runs.run(data, sft_runs.tiny(tmp_path / "base"), holdout=0.0)
    (chunks,) = run.trainer.train.chunks(np.array([1]), 4)
    arm, gripper = run.dataset[0].action["arm"], run.dataset[0].action["gripper"]
    assert chunks.actions[0, :, :2].tolist() == [arm[1].tolist(), arm[2].tolist(), [0.0, 0.0], [0.0, 0.0]]
    assert chunks.actions[0, :, 2].tolist() == [gripper[step, 0] for step in (1, 2, 2, 2)]


def test_what_modality_json_tells_of_a_key_reaches_the_checkpoint(tmp_path: Path) -> None:
    run = sft_runs.run(mark_relative(sft_runs.dataset(tmp_path / "data")), "small", horizon=4)
    run.save(tmp_path / "out")
    known = json.loads((tmp_path / "out/experiment_cfg/metadata.json").read_text())["new_embodiment"]["modalities"]
    plain = {"absolute": True, "rotation_type": None, "continuous": True}
    assert known["action"]["arm"] == plain | {"shape": [2], "absolute": False}
    assert known["action"]["gripper"] == plain | {"shape": [1], "continuous": False}
    assert known["state"]["pose"] == plain | {"shape": [2], "rotation_type": "axis_angle"}
    assert known["state"]["joints"] == plain | {"shape": [3]}


def test_a_run_is_not_resumed_on_actions_of_another_kind(tmp_path: Path) -> None:
    data, base = sft_runs.dataset(tmp_path / "data"), sft_runs.tiny(tmp_path / "base")
    lines(data / "meta/tasks.jsonl", *({"task_index": i, "task": text} for i, text in enumerate(["lift", "place"])))
    sft_runs.run(data, base).save(tmp_path / "out")
    for differ in (mark_relative, lambda out: column(out / ROWS, TASK, [0, 0, 1])):
        lines(
            data / "meta/tasks.jsonl",
            *({"task_index": i, "task": text} for i, text in enumerate(("lift the red cube", "b"))),
        )
        differ(data)
        with pytest.raises(ValueError, match="other settings; now dataset "):
            sft_runs.run(data, base, resume=tmp_path / "out")
