# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What is read of a robot from a checkpoint: order of keys, modes, cameras, errors."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from gr00t_rl_ext.gr00t import Gr00tCheckpointError, load_embodiment
from gr00t_rl_ext.gr00t.data_config import DataConfig
from gr00t_rl_ext.gr00t.embodiment import own_data_config


def config(directory: Path, **changes: object) -> DataConfig:
    """The data config of a tiny checkpoint with some fields changed."""
    own = own_data_config(directory, "new_embodiment", horizon=16, crop_scale=None)
    return DataConfig.model_validate(own.model_dump() | changes)


def state_modes(directory: Path, **modes: str) -> DataConfig:
    return config(directory, state_modes=config(directory).state_modes | modes)


def test_batch_shapes_and_padding(tiny_checkpoint: Path):
    robot = load_embodiment(tiny_checkpoint, "new_embodiment")
    assert (robot.slot, robot.state.raw_dim, robot.action.raw_dim) == (31, 9, 8)
    state = robot.encode_state(torch.full((2, 9), 0.5), 64)
    assert state.shape == (2, 1, 64)
    assert torch.equal(state[0, 0], torch.cat([torch.full((9,), 0.5), torch.zeros(55)]))
    actions = robot.encode_action(torch.full((2, 16, 8), -0.25), 32)
    assert actions.shape == (2, 16, 32)
    assert not actions[..., 8:].any()
    torch.testing.assert_close(robot.decode_action(actions), torch.full((2, 16, 8), -0.25))
    with pytest.raises(ValueError, match="has 9 dimensions; the checkpoint takes at most max_state_dim = 8"):
        robot.encode_state(torch.zeros(2, 9), 8)


def test_order_of_keys(tiny_checkpoint: Path):
    given = load_embodiment(tiny_checkpoint, "new_embodiment")
    assert given.state.slices() == {"joint_position": slice(0, 7), "gripper_position": slice(7, 9)}
    turned = config(tiny_checkpoint, state_keys=["gripper_position", "joint_position"])
    other = load_embodiment(tiny_checkpoint, "new_embodiment", data_config=turned)
    assert other.state.slices() == {"gripper_position": slice(0, 2), "joint_position": slice(2, 9)}
    arm = config(tiny_checkpoint, action_keys=["joint_position"], action_modes={"joint_position": "min_max"})
    assert load_embodiment(tiny_checkpoint, "new_embodiment", data_config=arm).action.raw_dim == 7


def test_cameras(tiny_copy: Path):
    assert load_embodiment(tiny_copy, "new_embodiment").video_keys == ("image",)
    file = tiny_copy / "experiment_cfg" / "metadata.json"
    metadata = json.loads(file.read_text())
    del metadata["new_embodiment"]["modalities"]
    file.write_text(json.dumps(metadata))
    assert load_embodiment(tiny_copy, "new_embodiment").video_keys == ()


def test_wrong_width_names_the_keys(tiny_checkpoint: Path):
    robot = load_embodiment(tiny_checkpoint, "new_embodiment")
    message = r"got 7 values in \(2, 7\); expected 9: joint_position \(7, min_max\), gripper_position \(2, min_max\)"
    with pytest.raises(ValueError, match=message):
        robot.state.normalize(torch.zeros(2, 7))
    with pytest.raises(ValueError, match=r"got 7 values in \(2, 7\); expected 8"):
        robot.decode_action(torch.zeros(2, 7))


def test_modes_of_a_data_config(tiny_checkpoint: Path):
    given = config(tiny_checkpoint, action_modes={"joint_position": "none", "gripper_position": "binary"})
    robot = load_embodiment(tiny_checkpoint, "new_embodiment", data_config=given, slot=5)
    assert robot.decode_action(torch.full((1, 32), 3.0))[0, 0] == 3.0
    assert robot.slot == 5
    assert robot.decode_action(torch.full((1, 32), 0.7))[0, 7] == 1


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"tag": "gr2"}, "no statistics for embodiment tag 'gr2' in .*; available are new_embodiment"),
        ({"slot": None, "data_config": "so101"}, "which is neither a file nor the name of a known data config; known"),
    ],
)
def test_errors(tiny_checkpoint: Path, arguments: dict, text: str):
    with pytest.raises(Gr00tCheckpointError, match=text):
        load_embodiment(tiny_checkpoint, **{"tag": "new_embodiment"} | arguments)


def test_a_data_config_of_another_robot(tiny_checkpoint: Path):
    with pytest.raises(Gr00tCheckpointError, match="has no state key 'single_arm'; available are joint_position, grip"):
        load_embodiment(tiny_checkpoint, "new_embodiment", data_config="so100")
    sines = config(tiny_checkpoint, action_modes={"joint_position": "sin_cos", "gripper_position": "binary"})
    with pytest.raises(Gr00tCheckpointError, match="action.joint_position asks for mode 'sin_cos', which has no inv"):
        load_embodiment(tiny_checkpoint, "new_embodiment", data_config=sines)


def test_missing_statistics(reference_checkpoint: Path, tiny_copy: Path):
    with pytest.raises(Gr00tCheckpointError, match=r"has no statistics \(experiment_cfg/metadata.json for N1.5, stat"):
        load_embodiment(reference_checkpoint, "new_embodiment")
    file = tiny_copy / "experiment_cfg" / "metadata.json"
    metadata = json.loads(file.read_text())
    del metadata["new_embodiment"]["statistics"]["state"]["joint_position"]["max"]
    metadata["my_robot"] = {"statistics": {}}
    file.write_text(json.dumps(metadata))
    with pytest.raises(Gr00tCheckpointError, match=r"state.joint_position of .* lacks max, which mode 'min_max' needs"):
        load_embodiment(tiny_copy, "new_embodiment")
    with pytest.raises(Gr00tCheckpointError, match=r"'my_robot' has no published slot; .* Pass the slot"):
        load_embodiment(tiny_copy, "my_robot")
    with pytest.raises(Gr00tCheckpointError, match=r"my_robot in .* has no statistics for the state"):
        load_embodiment(tiny_copy, "my_robot", slot=7)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            [1.0] * 6,
            "the statistics of state.joint_position of new_embodiment in .* differ in width: min 7, max 6. Copy",
        ),
        ([], r"max of state.joint_position of new_embodiment in .* is \[\]; expected one number per dimension"),
        (1.0, "is 1.0; expected one number per dimension"),
        ([1.0, None], r"is \[1.0, None\]; expected one number per dimension"),
        ([[1.0], [1.0, 2.0]], r"is \[\[1.0\], \[1.0, 2.0\]\]; expected one number per dimension"),
        ([[1.0] * 7] * 2, "expected one number per dimension"),
        (["1.0"] * 7, r"is \['1.0', .*\]; expected one number per dimension"),
        ([True] * 7, r"is \[True, .*\]; expected one number per dimension"),
    ],
)
def test_statistics_of_other_widths(tiny_copy: Path, values: object, text: str):
    file = tiny_copy / "experiment_cfg" / "metadata.json"
    metadata = json.loads(file.read_text())
    metadata["new_embodiment"]["statistics"]["state"]["joint_position"]["max"] = values
    file.write_text(json.dumps(metadata))
    with pytest.raises(Gr00tCheckpointError, match=text):
        load_embodiment(tiny_copy, "new_embodiment")


def edit_statistics(directory: Path, key: str, **changes: object) -> None:
    file = directory / "experiment_cfg" / "metadata.json"
    metadata = json.loads(file.read_text())
    metadata["new_embodiment"]["statistics"]["state"][key] |= changes
    file.write_text(json.dumps(metadata))


@pytest.mark.parametrize(
    ("changes", "mode", "problem"),
    [
        ({"max": [math.nan, 1.0]}, "min_max", "max is not finite in dimension 0"),
        ({"min": [-1.0, -math.inf]}, "min_max", "min is not finite in dimension 1"),
        ({"max": [1.0, 1e300]}, "min_max", "max is not finite in dimension 1"),
        ({"q01": [math.nan, math.nan]}, "q99", "q01 is not finite in dimension 0, 1"),
        ({"min": [2.0, -1.0]}, "min_max", "min is greater than max in dimension 0"),
        ({"min": [2.0, -1.0]}, "sin_cos", "min is greater than max in dimension 0"),
        ({"q99": [0.5, -2.0]}, "q99", "q01 is greater than q99 in dimension 1"),
        ({"std": [-0.1, 0.1]}, "mean_std", "std is negative in dimension 0"),
        ({"std": [0.1, 0.0]}, "mean_std", "std is 0 although min and max differ in dimension 1"),
    ],
)
def test_statistics_that_cannot_be_true(tiny_copy: Path, changes: dict, mode: str, problem: str):
    file = tiny_copy / "experiment_cfg" / "metadata.json"
    original, given = file.read_bytes(), state_modes(tiny_copy, gripper_position=mode)
    edit_statistics(tiny_copy, "gripper_position", **changes)
    with pytest.raises(Gr00tCheckpointError) as caught:
        load_embodiment(tiny_copy, "new_embodiment", data_config=given)
    place = f"of the statistics of state.gripper_position of new_embodiment in {str(file)!r}. Copy the file again from"
    assert f"{problem} {place}" in str(caught.value)
    assert "scripts/sft.py" in str(caught.value)
    file.write_bytes(original)
    load_embodiment(tiny_copy, "new_embodiment", data_config=given)


def test_what_never_moved_in_the_data_is_no_error(tiny_copy: Path):
    """A dimension without spread is normalised as GR00T does."""
    never = {"min": [0.5, 0.5], "max": [0.5, 0.5], "std": [0.0, 0.0], "mean": [0.5, 0.5]}
    edit_statistics(tiny_copy, "gripper_position", **never)
    for mode, expected in (("min_max", 0.0), ("mean_std", 0.5)):
        given = state_modes(tiny_copy, gripper_position=mode)
        robot = load_embodiment(tiny_copy, "new_embodiment", data_config=given)
        assert robot.state.normalize(torch.full((1, 9), 0.5))[0, 7:].tolist() == [expected] * 2


@pytest.mark.parametrize(
    ("section", "modality"), [("statistics", "state"), ("statistics", "action"), ("modalities", "video")]
)
def test_sections_that_are_no_object(tiny_copy: Path, section: str, modality: str):
    file = tiny_copy / "experiment_cfg" / "metadata.json"
    metadata = json.loads(file.read_text())
    metadata["new_embodiment"][section][modality] = 3
    file.write_text(json.dumps(metadata))
    text = f"the field {section}.{modality} = 3 for embodiment 'new_embodiment'; expected a valid dictionary"
    with pytest.raises(Gr00tCheckpointError, match=f"metadata.json' has {text}"):
        load_embodiment(tiny_copy, "new_embodiment")


def test_statistics_that_are_no_object(tiny_copy: Path):
    file = tiny_copy / "experiment_cfg" / "metadata.json"
    metadata = json.loads(file.read_text())
    metadata["new_embodiment"]["statistics"]["state"]["joint_position"] = [0.0, 1.0]
    file.write_text(json.dumps(metadata))
    with pytest.raises(Gr00tCheckpointError, match=r"state.joint_position of .* is \[0.0, 1.0\]; expected its statist"):
        load_embodiment(tiny_copy, "new_embodiment")
