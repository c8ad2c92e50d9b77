# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Relative actions of GR00T N1.7: hand values, scipy's rotations as the reference, what a checkpoint may ask for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from n1_7_robot import TAG, n1_7_robot
from scipy.spatial.transform import Rotation
from torch import Tensor

from gr00t_rl_ext.gr00t import Gr00tCheckpointError, Gr00tInputs, load_embodiment, load_gr00t
from gr00t_rl_ext.gr00t.relative_action import RelativeAction

STATE_KEYS, ACTION_KEYS = {"arm": 3, "hand": 2}, {"arm": 3, "hand": 1}
HORIZON = 5
"""Steps per chunk in ``n1_7_robot``."""


def relative(key_state: str | None = None, **changes: str) -> dict[str, Any]:
    return {"rep": "RELATIVE", "type": "NON_EEF", "format": "DEFAULT", "state_key": key_state} | changes


def absolute() -> dict[str, Any]:
    return {"rep": "ABSOLUTE", "type": "NON_EEF", "format": "DEFAULT", "state_key": None}


def edit(file: Path, change: Any) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def set_action_configs(directory: Path, configs: list[dict[str, Any]] | None, **options: Any) -> None:
    def change(content: dict[str, Any]) -> None:
        content["processor_kwargs"].update({"use_relative_action": True} | options)
        content["processor_kwargs"]["modality_configs"][TAG]["action"]["action_configs"] = configs

    edit(directory / "processor_config.json", change)


def per_step_statistics(dim: int, steps: int = HORIZON) -> dict[str, list[list[float]]]:
    """Step h moves within [-h - 1, h + 1]; the percentiles are half as wide."""
    limits = [[float(step + 1)] * dim for step in range(steps)]
    halves = [[value / 2 for value in row] for row in limits]
    negative = [[[-value for value in row] for row in rows] for rows in (limits, halves)]
    zeros = [[0.0] * dim] * steps
    return {"min": negative[0], "max": limits, "q01": negative[1], "q99": halves, "mean": zeros, "std": halves}


def set_relative_statistics(directory: Path, entries: dict[str, Any] | None) -> None:
    edit(directory / "statistics.json", lambda content: content[TAG].update(relative_action=entries))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    directory = n1_7_robot(tmp_path / "checkpoint", STATE_KEYS, ACTION_KEYS)
    set_action_configs(directory, [relative(), absolute()])
    set_relative_statistics(directory, {"arm": per_step_statistics(3)})
    return directory


STATE = torch.tensor([[0.5, -0.25, 3.0, 0.1, 0.2], [1.0, 1.0, 1.0, 0.0, 0.0]])


def test_decoding_by_hand(checkpoint: Path):
    """min and max of the step, whatever ``use_percentiles`` says, then plus the state; other keys as always."""
    robot = load_embodiment(checkpoint, TAG)
    assert robot.action.describe() == "arm (3, min_max_bounded), hand (1, q99_bounded)"
    normalized = torch.zeros(2, 8, 12)
    normalized[:, 0, :4] = torch.tensor([0.5, 0.0, -2.0, 0.5])
    normalized[:, 4, :4] = torch.tensor([0.5, 0.0, -2.0, 0.5])
    actions = robot.decode_action(normalized, STATE)
    assert actions.shape == (2, HORIZON, 4), "three of the eight steps were not trained"
    # step 0 spans [-1, 1], step 4 spans [-5, 5]; -2 is clipped to -1
    torch.testing.assert_close(actions[0, 0], torch.tensor([0.5 + 0.5, -0.25, 3.0 - 1.0, 0.5]))
    torch.testing.assert_close(actions[0, 4], torch.tensor([0.5 + 2.5, -0.25, 3.0 - 5.0, 0.5]))
    torch.testing.assert_close(actions[1, 4], torch.tensor([1.0 + 2.5, 1.0, 1.0 - 5.0, 0.5]))
    torch.testing.assert_close(robot.decode_action(normalized[:, :2], STATE), actions[:, :2])


def test_encoding_is_the_inverse(checkpoint: Path):
    robot = load_embodiment(checkpoint, TAG)
    generator = torch.Generator().manual_seed(0)
    span = torch.arange(1, HORIZON + 1)[:, None].expand(-1, 3)
    offset = (torch.rand(2, HORIZON, 3, generator=generator) * 2 - 1) * span
    hand = torch.rand(2, HORIZON, 1, generator=generator)
    actions = torch.cat([STATE[:, None, :3] + offset, hand], dim=-1)
    encoded = robot.encode_action(actions, 12, STATE)
    assert encoded.shape == (2, HORIZON, 12)
    torch.testing.assert_close(encoded[..., :3], offset / span)
    torch.testing.assert_close(robot.decode_action(encoded, STATE), actions, rtol=0, atol=1e-6)


def test_through_the_inputs(checkpoint: Path):
    inputs = Gr00tInputs.from_checkpoint(load_gr00t(checkpoint, dtype=torch.float32), TAG)
    actions = inputs.decode_action(inputs.action(STATE[:, None, :4].expand(-1, 3, -1), STATE), STATE)
    torch.testing.assert_close(actions[..., :3], STATE[:, None, :3].expand(-1, 3, -1))


def test_another_state_key(checkpoint: Path):
    set_action_configs(checkpoint, [relative("other"), absolute()])
    with pytest.raises(
        Gr00tCheckpointError, match=r"action.arm of my_robot .* is relative to the state key 'other', which is not part"
    ):
        load_embodiment(checkpoint, TAG)
    set_action_configs(checkpoint, [relative("hand"), absolute()])
    with pytest.raises(
        Gr00tCheckpointError, match=r"action.arm .* has 3 dimensions and is relative to state.hand, which has 2; expect"
    ):
        load_embodiment(checkpoint, TAG)
    edit(
        checkpoint / "processor_config.json",
        lambda c: c["processor_kwargs"]["modality_configs"][TAG]["state"].update(modality_keys=["hand", "arm"]),
    )
    set_action_configs(checkpoint, [relative("arm"), absolute()])
    swapped = torch.cat([STATE[:, 3:], STATE[:, :3]], dim=-1)
    actions = load_embodiment(checkpoint, TAG).decode_action(torch.zeros(2, 1, 12), swapped)
    torch.testing.assert_close(actions[:, 0, :3], STATE[:, :3])


def test_where_relative_actions_are_off_they_are_absolute(checkpoint: Path):
    set_action_configs(checkpoint, [relative(), absolute()], use_relative_action=False)
    set_relative_statistics(checkpoint, None)
    robot = load_embodiment(checkpoint, TAG)
    assert not robot.relative
    assert robot.decode_action(torch.full((1, 5, 12), 0.5)).tolist() == [[[0.5] * 4] * 5]


@pytest.mark.parametrize("rep", ["ABSOLUTE", "DELTA"])
def test_other_representations_pass(checkpoint: Path, rep: str):
    set_action_configs(checkpoint, [absolute() | {"rep": rep}, absolute()])
    assert not load_embodiment(checkpoint, TAG).relative


@pytest.mark.parametrize(
    ("configs", "text"),
    [
        ([relative()], r"has 1 action_configs for 2 action keys \(arm, hand\); expected one per key"),
        ([relative(), absolute(), absolute()], "has 3 action_configs for 2 action keys"),
        ([relative(rep="SOMEHOW"), absolute()], "asks for 'SOMEHOW' actions of 'arm'; expected RELATIVE, DELTA or ABS"),
        (
            [relative(type="EEF", format="EULER"), absolute()],
            "relative actions of 'arm' with type 'EEF' and format 'EULER', which is not supported; supported are",
        ),
        ([relative(format="XYZ_ROT6D"), absolute()], "type 'NON_EEF' and format 'XYZ_ROT6D', which is not supported"),
        (
            [relative(type="EEF", format="XYZ_ROT6D"), absolute()],
            "action.arm of .* has 3 dimensions and is relative to state.arm, which has 3; expected 9 of both",
        ),
        ([{"rep": "RELATIVE"}, absolute()], "no field 'type' for embodiment 'my_robot'"),
        ([absolute(), relative()], "has no relative_action.hand, the statistics of actions relative .* available are"),
    ],
)
def test_configs_that_are_refused(checkpoint: Path, configs: list[dict[str, Any]], text: str):
    set_action_configs(checkpoint, configs)
    with pytest.raises(Gr00tCheckpointError, match=text):
        load_embodiment(checkpoint, TAG)


def test_statistics_of_fewer_steps_than_the_chunk(checkpoint: Path):
    set_relative_statistics(checkpoint, {"arm": per_step_statistics(3, steps=4)})
    with pytest.raises(Gr00tCheckpointError, match=r"describes 4 steps in relative_action.arm.min, but 5 actions per"):
        load_embodiment(checkpoint, TAG)


def test_more_steps_than_there_are_statistics(checkpoint: Path):
    robot = load_embodiment(checkpoint, TAG)
    with pytest.raises(ValueError, match=r"got \(2, 6, 4\); expected \(..., steps, values\) with at most 5 steps"):
        robot.encode_action(torch.zeros(2, 6, 4), 12, STATE)
    with pytest.raises(ValueError, match="with at most 5 steps"):
        robot.action.denormalize(torch.zeros(12))


@pytest.mark.parametrize(
    ("state", "given"), [(None, "got None"), (torch.zeros(2, 3), r"got \(2, 3\): arm \(3, q99_bounded\), hand")]
)
def test_the_state_is_needed(checkpoint: Path, state: Tensor | None, given: str):
    robot = load_embodiment(checkpoint, TAG)
    for call in (lambda: robot.decode_action(torch.zeros(2, 5, 12), state), lambda: robot.encode_action(X, 12, state)):
        with pytest.raises(ValueError, match=rf"actions of arm are relative .* must be \(..., 5\), {given}"):
            call()


X = torch.zeros(2, 5, 4)


def test_statistics_without_rows(checkpoint: Path):
    """Statistics may hold for all steps alike, and lie beside a key that has rows."""
    flat = {name: values[0] for name, values in per_step_statistics(1).items()}
    set_action_configs(checkpoint, [relative(), relative("gripper")])
    set_relative_statistics(checkpoint, {"arm": per_step_statistics(3), "hand": flat})

    def split_hand(content: dict[str, Any]) -> None:
        state = content[TAG]["state"]
        state["gripper"] = {name: values[:1] for name, values in state["hand"].items()}

    edit(checkpoint / "statistics.json", split_hand)
    edit(
        checkpoint / "processor_config.json",
        lambda c: c["processor_kwargs"]["modality_configs"][TAG]["state"].update(modality_keys=["arm", "gripper"]),
    )
    actions = load_embodiment(checkpoint, TAG).decode_action(torch.full((2, 5, 12), 0.5), STATE[:, :4])
    torch.testing.assert_close(actions[0, :, 0] - STATE[0, 0], torch.tensor([0.5, 1.0, 1.5, 2.0, 2.5]))
    torch.testing.assert_close(actions[0, :, 3] - STATE[0, 3], torch.full((5,), 0.5))


# Poses


def random_poses(*shape: int, seed: int) -> tuple[Tensor, np.ndarray]:
    """Poses (..., 9), and as homogeneous matrices (..., 4, 4)."""
    rng = np.random.default_rng(seed)
    matrices = np.tile(np.eye(4), (*shape, 1, 1))
    count = int(np.prod(shape))
    matrices[..., :3, :3] = Rotation.random(count, rng=rng).as_matrix().reshape(*shape, 3, 3)
    matrices[..., :3, 3] = rng.normal(size=(*shape, 3))
    return as_poses(matrices), matrices


def as_poses(matrices: np.ndarray) -> Tensor:
    rows = matrices[..., :2, :3].reshape(*matrices.shape[:-2], 6)
    return torch.tensor(np.concatenate([matrices[..., :3, 3], rows], axis=-1))


def test_poses_are_composed():
    pose = RelativeAction("eef", "rotation_6d")
    reference, frame = random_poses(6, seed=0)
    action, target = random_poses(6, 4, seed=1)
    expected = as_poses(np.linalg.inv(frame)[:, None] @ target)
    torch.testing.assert_close(pose.to_relative(action, reference), expected, rtol=0, atol=1e-12)
    composed = as_poses(frame[:, None] @ target)
    torch.testing.assert_close(pose.to_absolute(action, reference), composed, rtol=0, atol=1e-12)
    single = pose.to_absolute(pose.to_relative(action.float(), reference.float()), reference.float())
    torch.testing.assert_close(single, action.float(), rtol=0, atol=1e-6)


def test_a_quarter_turn_by_hand():
    """The state is turned by 90 degrees about z and lies at x = 1: its x axis is the world's y axis."""
    turned = torch.tensor([[1.0, 0, 0, 0, -1, 0, 1, 0, 0]])
    ahead = torch.tensor([[[0.5, 0.0, 0.0, 1, 0, 0, 0, 1, 0]]])
    absolute_pose = RelativeAction("eef", "rotation_6d").to_absolute(ahead, turned)
    torch.testing.assert_close(absolute_pose[0, 0], torch.tensor([1.0, 0.5, 0, 0, -1, 0, 1, 0, 0]))


def test_rows_are_made_orthonormal():
    """A network's rows are not: the first is normalised, the second made perpendicular to it."""
    crooked = torch.tensor([[[0.0, 0, 0, 2, 0, 0, 3, 4, 0]]])
    home = torch.tensor([[0.0, 0, 0, 1, 0, 0, 0, 1, 0]])
    fixed = RelativeAction("eef", "rotation_6d").to_absolute(crooked, home)
    torch.testing.assert_close(fixed[0, 0, 3:], torch.tensor([1.0, 0, 0, 0, 1, 0]))


def test_poses_of_a_checkpoint(tmp_path: Path):
    checkpoint = n1_7_robot(tmp_path / "checkpoint", {"eef": 9, "hand": 1}, {"eef": 9, "hand": 1})
    set_action_configs(checkpoint, [relative(type="eef", format="xyz+rot6d"), absolute()])
    set_relative_statistics(checkpoint, {"eef": per_step_statistics(9)})
    robot = load_embodiment(checkpoint, TAG)
    state = torch.cat([random_poses(2, seed=0)[0].float(), torch.zeros(2, 1)], dim=-1)
    actions = torch.cat([state[:, None, :9].expand(-1, 5, -1), torch.full((2, 5, 1), 0.25)], dim=-1)
    encoded = robot.encode_action(actions, 12, state)
    # the same pose is the identity in its own frame
    torch.testing.assert_close(encoded[0, 0, :9], torch.tensor([0.0, 0, 0, 1, 0, 0, 0, 1, 0]), rtol=0, atol=1e-6)
    torch.testing.assert_close(robot.decode_action(encoded, state), actions, rtol=0, atol=1e-6)
