# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A mapping at work: hand values, round trips, what does not fit a task or a checkpoint, and through the encoder."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from n1_7_robot import TAG, n1_7_robot
from scipy.spatial.transform import Rotation
from tensordict import TensorDict
from tiny_policy import actor_critic
from torch import Tensor

from gr00t_rl_ext.gr00t import Embodiment, build_tiny_checkpoint
from gr00t_rl_ext.gr00t.normalization import VectorNormalizer, VectorSpec
from gr00t_rl_ext.gr00t.rotations import ROTATIONS, convert, from_matrix, matrix_of
from gr00t_rl_ext.policy.base_checkpoint import tiny_checkpoint
from gr00t_rl_ext.policy.encoder import FEATURES, Gr00tEncoder
from gr00t_rl_ext.policy.options import Gr00tOptions
from gr00t_rl_ext.robot.bound_mapping import BoundMapping, bind_mapping, tiny_layout
from gr00t_rl_ext.robot.embodiment_mapping import REPRESENTATIONS, EmbodimentMapping, EmbodimentMappingError
from gr00t_rl_ext.robot.task_spec import TaskSpec

SPEC = TaskSpec(
    instruction="stack the red cube on the blue cube",
    image_groups=("rgb",),
    cameras=("table_cam", "wrist_cam"),
    state_groups=("state",),
    state_terms={"joint_position": 9, "eef_pose": 7},
    action_terms={"arm_action": 7, "gripper_action": 1},
)
"""Isaac-Stack-Cube-Franka-v0."""

EXAMPLE = "gr00t_rl_ext.tasks.stack.config.franka:mapping_degrees.yaml"
DEFAULT_POSE = torch.tensor([0.0444, -0.1894, -0.1107, -2.5148, 0.0044, 2.3775, 0.6952])


def embodiment(state: dict[str, int], action: dict[str, int], video: tuple[str, ...] = ()) -> Embodiment:
    def vector(keys: dict[str, int]) -> VectorNormalizer:
        statistics = {key: {"min": [-1.0] * dim, "max": [1.0] * dim} for key, dim in keys.items()}
        return VectorNormalizer([VectorSpec(key, dim) for key, dim in keys.items()], statistics)

    return Embodiment("robot", 0, vector(state), vector(action), video_keys=video)


ROBOT = embodiment({"arm": 7, "rotation": 4, "hand": 1}, {"hand": 1, "arm": 7}, ("wrist", "front"))


def bind(mapping: dict[str, Any], robot: Embodiment = ROBOT, spec: TaskSpec = SPEC) -> BoundMapping:
    return bind_mapping(EmbodimentMapping.model_validate(mapping), spec, robot)


STATE = {
    "hand": {"term": "joint_position", "slice": [7, 8], "from": "m", "to": "mm"},
    "arm": {"term": "joint_position", "slice": [0, 7], "from": "rad", "to": "deg"},
    "rotation": {"term": "eef_pose", "slice": [3, 7], "from": "xyzw", "to": "wxyz"},
}
VIDEO = {"front": "table_cam", "wrist": "wrist_cam"}
ACTION = {
    "arm_action": {"key": "arm", "from": "deg", "to": "rad", "scale": 0.5, "offset": DEFAULT_POSE.tolist()},
    "gripper_action": {"key": "hand", "from": "percent", "to": "fraction", "scale": -0.5, "offset": 0.5},
}


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# Hand values


def test_state_by_hand() -> None:
    """Keys stand in the checkpoint's order, not in the file's."""
    raw = torch.tensor([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, math.pi, 0.04, 9.0, 1.0, 2.0, 3.0, 0.5, 0.6, 0.7, 0.8]])
    degrees = [math.degrees(x) for x in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)]
    expected = torch.tensor([[*degrees, 180.0, 0.8, 0.5, 0.6, 0.7, 40.0]])
    torch.testing.assert_close(bind({"state": STATE}).state(raw), expected)


def test_scale_and_offset_belong_to_the_tasks_numbers() -> None:
    state = STATE | {
        "hand": {"term": "joint_position", "slice": [7, 8], "scale": -25, "offset": 1, "from": "m", "to": "cm"}
    }
    raw = torch.zeros(1, 16)
    raw[0, 7] = 0.02
    # -25 x 0.02 + 1 = 0.5 m
    torch.testing.assert_close(bind({"state": state}).state(raw)[0, -1], torch.tensor(50.0))


def test_actions_by_hand() -> None:
    """angle = 0.5 x number + default pose; 100 % open is -1, closed is 1."""
    target = DEFAULT_POSE + torch.tensor([0.5, -0.5, 0.25, 0.0, 0.0, 0.0, 0.0])
    raw = torch.cat([torch.tensor([100.0]), torch.rad2deg(target)]).expand(2, 3, 8)
    actions = bind({"action": ACTION}).action(raw)
    expected = torch.tensor([1.0, -1.0, 0.5, 0, 0, 0, 0, -1.0]).expand(2, 3, 8)
    torch.testing.assert_close(actions, expected, rtol=0, atol=1e-6)
    closed = torch.cat([torch.tensor([0.0]), torch.rad2deg(target)])
    assert bind({"action": ACTION}).action(closed)[7] == 1.0


def test_several_parts_make_one_vector() -> None:
    robot = embodiment({"pose": 8}, {"hand": 3, "base": 5})
    state = {
        "pose": [
            {"term": "eef_pose", "slice": [0, 3], "from": "m", "to": "cm"},
            {"term": "eef_pose", "slice": [3, 7], "from": "xyzw", "to": "wxyz"},
            {"term": "joint_position", "slice": [8, 9]},
        ]
    }
    arm = [{"key": "base", "slice": [1, 5]}, {"key": "hand", "slice": [1, 3]}, {"key": "base", "slice": [0, 1]}]
    hand = {"key": "hand", "slice": [0, 1]}
    bound = bind({"state": state, "action": {"arm_action": arm, "gripper_action": hand}}, robot)
    assert bound.state(torch.arange(16.0)).tolist() == [900.0, 1000.0, 1100.0, 15.0, 12.0, 13.0, 14.0, 8.0]
    assert bound.action(torch.arange(8.0)).tolist() == [4.0, 5.0, 6.0, 7.0, 1.0, 2.0, 3.0, 0.0]
    assert bound.inverse_action(bound.action(torch.arange(8.0))).tolist() == list(range(8))


def test_sections_that_are_missing_are_by_position() -> None:
    bound = bind({"video": VIDEO})
    raw, actions = random(3, 16), random(3, 4, 8)
    assert torch.equal(bound.state(raw), raw)
    assert torch.equal(bound.action(actions), actions)
    assert torch.equal(bound.inverse_action(actions), actions)
    assert bound.camera_order == (1, 0), "wrist first, as the checkpoint has them"
    assert bind({"state": STATE}).camera_order == (0, 1)


def test_without_names_in_the_checkpoint_the_files_order_of_cameras_counts() -> None:
    robot = dataclasses.replace(ROBOT, video_keys=())
    assert bind({"video": {"b": "wrist_cam", "a": "table_cam"}}, robot).camera_order == (1, 0)


def test_a_camera_may_stand_for_two() -> None:
    robot = dataclasses.replace(ROBOT, video_keys=("left", "right", "wrist"))
    video = {"left": "table_cam", "right": "table_cam", "wrist": "wrist_cam"}
    assert bind({"video": video}, robot).camera_order == (0, 0, 1)


# Round trips


@pytest.mark.parametrize("seed", range(5))
def test_actions_come_back(seed: int) -> None:
    bound = bind({"action": ACTION})
    actions = random(4, 16, 8, seed=seed)
    torch.testing.assert_close(bound.action(bound.inverse_action(actions)), actions, rtol=0, atol=1e-6)
    raw = random(4, 16, 8, seed=seed) * torch.tensor([100.0] + [180.0] * 7)
    torch.testing.assert_close(bound.inverse_action(bound.action(raw)), raw, rtol=1e-6, atol=1e-5)


def test_quaternions_are_exact() -> None:
    robot = embodiment({"rotation": 4}, {"rotation": 4, "position": 3, "hand": 1})
    action = {
        "arm_action": ["position", {"key": "rotation", "from": "wxyz", "to": "xyzw"}],
        "gripper_action": "hand",
    }
    state = {"rotation": {"term": "eef_pose", "slice": [3, 7], "from": "xyzw", "to": "wxyz"}}
    bound = bind({"state": state, "action": action, "unused": {"state": ["joint_position"]}}, robot)
    raw, actions = random(5, 16), random(5, 3, 8)
    assert torch.equal(bound.state(raw), raw[:, [15, 12, 13, 14]])
    assert torch.equal(bound.action(bound.inverse_action(actions)), actions)
    assert torch.equal(bound.action(random(5, 3, 8))[..., 3:7], random(5, 3, 8)[..., [1, 2, 3, 0]])


def turned(kind: str, count: int, seed: int = 0) -> Tensor:
    """Random rotations as a unit names them."""
    name = REPRESENTATIONS[kind]
    quaternions = torch.randn(count, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return from_matrix(name, matrix_of("quaternion_wxyz", quaternions)).float()


@pytest.mark.parametrize("kind", REPRESENTATIONS)
def test_rotations_of_the_state(kind: str) -> None:
    """Isaac Lab's xyzw become any representation, as scipy has it."""
    width = ROTATIONS[REPRESENTATIONS[kind]]
    robot = embodiment({"position": 3, "rotation": width}, {"arm": 7, "hand": 1})
    state = {
        "position": {"term": "eef_pose", "slice": [0, 3], "from": "m", "to": "mm"},
        "rotation": {"term": "eef_pose", "slice": [3, 7], "from": "xyzw", "to": kind},
    }
    bound = bind({"state": state, "unused": {"state": ["joint_position"]}}, robot)
    raw = random(6, 16)
    raw[:, 12:] = turned("xyzw", 6)
    found = bound.state(raw)
    assert found.shape == (6, 3 + width)
    torch.testing.assert_close(found[:, :3], 1000 * raw[:, 9:12])
    expected = Rotation.from_quat(raw[:, 12:].numpy()).as_matrix()
    matrices = matrix_of(REPRESENTATIONS[kind], found[:, 3:]).numpy()
    assert np.abs(matrices - expected).max() < 1e-5


def test_a_rotation_whose_numbers_are_keys_of_their_own() -> None:
    robot = embodiment({"x": 1, "roll": 1, "pitch": 1, "yaw": 1}, {"arm": 7, "hand": 1})
    rotation = {"term": "eef_pose", "slice": [3, 7], "from": "xyzw", "to": "axis_angle"}
    state = {"x": {"term": "eef_pose", "slice": [0, 1]}} | {
        key: rotation | {"take": [number, number + 1]} for number, key in enumerate(("roll", "pitch", "yaw"))
    }
    bound = bind({"state": state, "unused": {"state": ["joint_position"]}}, robot)
    raw = random(6, 16)
    raw[:, 12:] = turned("xyzw", 6)
    expected = Rotation.from_quat(raw[:, 12:].numpy()).as_rotvec()
    assert np.abs(bound.state(raw)[:, 1:].numpy() - expected).max() < 1e-5


@pytest.mark.parametrize("kind", ["rotation_6d", "wxyz", "euler_xyz_degrees", "axis_angle"])
def test_rotations_of_the_actions(kind: str) -> None:
    """Of a task that takes scaled turns as axis times angle, both ways."""
    width = ROTATIONS[REPRESENTATIONS[kind]]
    robot = embodiment({"arm": 16}, {"hand": 1, "pose": 3 + width})
    arm = [
        {"key": "pose", "slice": [0, 3], "scale": 0.5},
        {"key": "pose", "slice": [3, 3 + width], "from": kind, "to": "axis_angle", "scale": 0.5, "offset": 0.25},
    ]
    spec = dataclasses.replace(SPEC, action_terms={"arm_action": 6, "gripper_action": 1})
    bound = bind({"action": {"arm_action": arm, "gripper_action": "hand"}}, robot, spec)
    turn = torch.tensor([[0.3, -0.2, 0.5]])
    raw = torch.cat([torch.tensor([[1.0, 0.1, 0.2, 0.3]]), convert(turn, "axis_angle", REPRESENTATIONS[kind])], dim=-1)
    expected = torch.cat([torch.tensor([[0.2, 0.4, 0.6]]), (turn - 0.25) / 0.5, torch.tensor([[1.0]])], dim=-1)
    torch.testing.assert_close(bound.action(raw), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(bound.inverse_action(bound.action(raw)), raw, rtol=0, atol=1e-4)
    assert sorted(bound.action_index or ()) == list(range(4 + width)), "all of the pose decides"
    chunk = raw.expand(2, 5, -1)
    torch.testing.assert_close(bound.action(chunk)[1, 4], expected[0], rtol=0, atol=1e-5)


def test_keys_that_the_task_does_not_have() -> None:
    robot = embodiment({"arm": 7}, {"waist": 3, "arm": 7, "hand": 1})
    action = {"arm_action": "arm", "gripper_action": "hand"}
    bound = bind({"action": action, "unused": {"action": ["waist"]}}, robot)
    actions = random(2, 4, 8)
    raw = bound.inverse_action(actions)
    assert torch.equal(raw[..., 3:], actions)
    assert not raw[..., :3].any()
    assert torch.equal(bound.action(raw), actions)


# What does not fit


def changed(section: str, **entries: Any) -> dict[str, Any]:
    base = {"state": STATE, "video": VIDEO, "action": ACTION}
    return base | {section: {**base[section], **entries}}


JOINTS = {"term": "joint_position", "slice": [0, 7]}


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        # names
        (
            changed("state", arm="joints"),
            "state.arm: the actor's observations have no term 'joints'; available are joint_position (9), eef_pose (7)",
        ),
        (
            changed("state", elbow=JOINTS),
            "state: the checkpoint's embodiment 'robot' has no state key 'elbow'; available are arm (7),"
            " rotation (4), ",
        ),
        (
            changed("video", wrist="wrist_camera"),
            "video.wrist: the actor's observations have no camera 'wrist_camera'; available are table_cam, wrist_cam",
        ),
        (
            changed("video", side="table_cam"),
            "video: the checkpoint's embodiment 'robot' has no video key 'side'; available are wrist, front",
        ),
        (
            changed("action", leg="arm"),
            "action: the task has no action term 'leg'; available are arm_action (7), gripper_action (1)",
        ),
        (
            changed("action", gripper_action="gripper"),
            "action: the checkpoint's embodiment 'robot' has no action key 'gripper'; available are hand (1), arm (7)",
        ),
        # missing
        (
            {"state": {"arm": JOINTS, "hand": "joint_position"}},
            "state: nothing is said of rotation, which the checkpoint's embodiment 'robot' has;"
            " its state keys are arm (7), rotation (4),"
            " hand (1). Add "
            "what corresponds to them",
        ),
        (
            {"video": {"front": "table_cam"}},
            "video: nothing is said of wrist, which the checkpoint's embodiment 'robot' has;"
            " its video keys are wrist, front. Add what",
        ),
        (
            {"action": {"arm_action": "arm"}, "unused": {"action": ["hand"]}},
            "action: nothing is said of the task's gripper_action; its action terms are arm_action (7),"
            " gripper_action (1)."
            " Add the checkpoint's keys for them",
        ),
        (
            {"action": {"arm_action": "arm", "gripper_action": {"key": "arm", "slice": [0, 1]}}},
            "action: nothing is said of hand, which the checkpoint's embodiment 'robot' has;"
            " its action keys are hand (1), arm (7). Add what"
            " corresponds"
            " to them, or name them in `unused.action`",
        ),
        (
            {"state": {"arm": JOINTS, "rotation": JOINTS, "hand": "joint_position"}},
            "state: the task's eef_pose is not used; the actor observes joint_position (9), eef_pose (7). Use"
            " it, name it "
            "in `unused.state`, or remove it from the task",
        ),
        (
            {"video": {"front": "table_cam", "wrist": "table_cam"}},
            "video: the task's wrist_cam is not used; the actor observes table_cam, wrist_cam. Use it, name it in",
        ),
        # widths
        (
            changed("state", arm={"term": "joint_position", "slice": [3, 10]}),
            "state.arm: the slice [3, 10] exceeds the term 'joint_position', which has 9 numbers",
        ),
        (
            changed("action", arm_action={"key": "arm", "slice": [1, 8]}),
            "action.arm_action: the slice [1, 8] exceeds the key 'arm', which has 7 numbers",
        ),
        (
            changed("state", arm={"term": "joint_position", "slice": [0, 6]}),
            "state.arm: joint_position[0:6] gives 6 numbers, but the checkpoint's key has 7; adjust the slices",
        ),
        (
            changed("state", arm=[JOINTS, "eef_pose"]),
            "state.arm: joint_position[0:7] + eef_pose gives 14 numbers, but the checkpoint's key has 7; adjust"
            " the slices",
        ),
        (
            changed("action", arm_action=["arm", "hand"], gripper_action="arm"),
            "action.arm_action: arm + hand gives 8 numbers, but the task's term has 7; adjust the slices",
        ),
        (
            changed("action", gripper_action={"key": "arm", "slice": [2, 3]}, arm_action=["arm"])
            | {"unused": {"action": ["hand"]}},
            "action.gripper_action: arm[2] is used twice, here and in action.arm_action; each number drives one",
        ),
        (
            changed("state", rotation={"term": "eef_pose", "from": "xyzw", "to": "wxyz"}),
            "state.rotation: xyzw to wxyz is about the 4 numbers of a rotation, but eef_pose has 7; give the"
            " rotation's"
            " `slice`",
        ),
        (
            changed("state", arm=JOINTS | {"offset": [1.0, 2.0]}),
            "state.arm: `offset` has 2 values for the 7 numbers of joint_position[0:7]; give one for all, or one each",
        ),
        (
            changed("action", arm_action={"key": "arm", "scale": [1.0] * 8}),
            "action.arm_action: `scale` has 8 values for the 7 numbers of arm; give one for all, or one each",
        ),
        # unused
        (
            {"unused": {"state": ["joints"]}},
            "unused.state: the actor's observations have no term 'joints'; available are joint_position (9),"
            " eef_pose (7)",
        ),
        (
            {"unused": {"video": ["side_cam"]}},
            "unused.video: the actor's observations have no camera 'side_cam'; available",
        ),
        (
            {"action": ACTION, "unused": {"action": ["waist"]}},
            "unused.action: the checkpoint's embodiment 'robot' has no action key 'waist'; available are hand"
            " (1), arm (7)",
        ),
        ({"state": STATE, "unused": {"state": ["eef_pose"]}}, "unused.state: eef_pose is used in `state`"),
        ({"video": VIDEO, "unused": {"video": ["wrist_cam"]}}, "unused.video: wrist_cam is used in `video`"),
        ({"action": ACTION, "unused": {"action": ["arm"]}}, "unused.action: arm is used in `action`"),
        (
            {"unused": {"state": ["eef_pose"]}},
            "unused.state: the section `state` is missing, so everything is used by posi",
        ),
        (
            {"unused": {"video": ["wrist_cam"]}},
            "unused.video: the section `video` is missing, so everything is used by pos",
        ),
        (
            {"unused": {"action": ["arm"]}},
            "unused.action: the section `action` is missing, so everything is used by posit",
        ),
    ],
)
def test_mappings_that_are_refused(tmp_path: Path, mapping: dict[str, Any], message: str) -> None:
    file = tmp_path / "mapping.yaml"
    file.write_text(json.dumps(mapping))  # JSON is YAML
    with pytest.raises(EmbodimentMappingError) as error:
        bind_mapping(EmbodimentMapping.load(str(file)), SPEC, ROBOT)
    assert str(error.value).startswith(f"mapping {str(file)!r}, {message}")


def test_a_key_with_a_hole() -> None:
    robot = embodiment({"arm": 7}, {"arm": 8, "hand": 1})
    action = {"arm_action": {"key": "arm", "slice": [0, 7]}, "gripper_action": "hand"}
    with pytest.raises(
        EmbodimentMappingError, match=r"action: of the checkpoint's key 'arm' \(8\), the numbers \[7\] are"
    ):
        bind({"action": action}, robot)


# Through the encoder


def observations(num_envs: int = 3) -> TensorDict:
    images = torch.randint(0, 256, (num_envs, 64, 64, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return TensorDict({"rgb": images, "state": random(num_envs, 16), "privileged": random(num_envs, 56)}, [num_envs])


@pytest.fixture(scope="module")
def encoder() -> Gr00tEncoder:
    """The example of the stack task, on the tiny checkpoint that is made for it."""
    return Gr00tEncoder.load(SPEC, Gr00tOptions(mapping=EXAMPLE), "cpu")


def test_the_example_on_a_tiny_checkpoint(encoder: Gr00tEncoder) -> None:
    robot = encoder.inputs.embodiment
    assert [(spec.key, spec.dim) for spec in robot.state.specs] == [
        ("joint_position", 7),
        ("gripper_position", 1),
        ("eef_position", 3),
        ("eef_rotation", 4),
    ]
    assert [(spec.key, spec.dim) for spec in robot.action.specs] == [("joint_position", 7), ("gripper_position", 1)]
    assert robot.video_keys == ("exterior_image", "wrist_image")
    obs = observations()
    obs["state"][0] = 0.0
    raw = encoder.raw_state(obs)
    torch.testing.assert_close(raw[0, :7], torch.rad2deg(DEFAULT_POSE))
    assert raw[0, 7] == 100.0, "the fingers are open in the default pose"
    torch.testing.assert_close(raw[:, 8:11], obs["state"][:, 9:12])
    assert torch.equal(raw[:, 11:], obs["state"][:, [15, 12, 13, 14]])
    # the statistics of the tiny checkpoint are those of the units
    torch.testing.assert_close(encoder.state(obs)[:, :7], raw[:, :7] / 180)
    torch.testing.assert_close(encoder.state(obs)[:, 7], raw[:, 7] / 50 - 1)
    assert encoder.encode(obs)[FEATURES].shape == (3, *encoder.feature_shape)
    chunk = actor_critic(encoder).actor(obs)
    assert chunk.shape == (3, 4 * 8)


def test_the_flow_heads_actions_reach_the_environment(encoder: Gr00tEncoder) -> None:
    obs = observations()
    normalized = torch.zeros(3, 16, encoder.model.max_action_dim)
    normalized[..., 7] = 1.0
    actions = encoder.decode_action(normalized, obs)
    assert actions.shape == (3, 16, 8)
    # 0 in the statistics of [-180, 180] is an angle of 0
    torch.testing.assert_close(actions[0, 0, :7], -DEFAULT_POSE / 0.5)
    torch.testing.assert_close(actions[0, 0, 7], torch.tensor(1.0))
    torch.testing.assert_close(encoder.encode_action(actions, obs), normalized, rtol=0, atol=1e-6)


def test_cameras_are_given_in_the_checkpoints_order(tmp_path: Path, encoder: Gr00tEncoder) -> None:
    file = tmp_path / "swapped.yaml"
    file.write_text("video: {first: wrist_cam, second: table_cam}")
    checkpoint = build_tiny_checkpoint(
        tmp_path / "gr00t", state_keys=SPEC.state_terms, action_keys=SPEC.action_terms, video_keys=("first", "second")
    )
    plain = Gr00tEncoder.load(SPEC, Gr00tOptions(checkpoint=str(checkpoint)), "cpu")
    swapped = Gr00tEncoder.load(SPEC, Gr00tOptions(checkpoint=str(checkpoint), mapping=str(file)), "cpu")
    obs = observations()
    other = obs.clone()
    other["rgb"] = obs["rgb"].roll(3, dims=-1)
    assert torch.equal(swapped.encode(obs)[FEATURES], plain.encode(other)[FEATURES])
    assert not torch.equal(swapped.encode(obs)[FEATURES], plain.encode(obs)[FEATURES])
    file.write_text("video: {first: wrist_cam, second: wrist_cam}\nunused: {video: [table_cam]}")
    twice = Gr00tEncoder.load(SPEC, Gr00tOptions(checkpoint=str(checkpoint), mapping=str(file)), "cpu")
    assert twice.encode(obs)[FEATURES].shape == (3, *plain.feature_shape)


def test_a_camera_that_is_not_used(tmp_path: Path) -> None:
    file = tmp_path / "one.yaml"
    file.write_text("video: {image: wrist_cam}\nunused: {video: [table_cam]}")
    one = Gr00tEncoder.load(SPEC, Gr00tOptions(mapping=str(file)), "cpu")
    obs = observations()
    changed_table = obs.clone()
    changed_table["rgb"][..., :3] = 0
    assert one.inputs.num_cameras == 1
    assert torch.equal(one.encode(obs)[FEATURES], one.encode(changed_table)[FEATURES])


def test_the_mapping_is_part_of_the_base(tmp_path: Path, encoder: Gr00tEncoder) -> None:
    """The policy sees the robot through it: one trained through another mapping means nothing."""
    checkpoint = str(tiny_checkpoint(SPEC, EmbodimentMapping.load(EXAMPLE)))
    assert Gr00tEncoder.load(SPEC, Gr00tOptions(checkpoint, mapping=EXAMPLE), "cpu").fingerprint == encoder.fingerprint
    file = tmp_path / "other.yaml"
    example = Path(__file__).parents[2] / "source/gr00t_rl_ext/tasks/stack/config/franka/mapping_degrees.yaml"
    file.write_text(example.read_text().replace("0.0444", "0.0445"))
    other = Gr00tEncoder.load(SPEC, Gr00tOptions(checkpoint, mapping=str(file)), "cpu")
    assert other.fingerprint != encoder.fingerprint


def test_what_is_by_position_must_still_have_the_widths(tmp_path: Path) -> None:
    checkpoint = build_tiny_checkpoint(tmp_path / "gr00t", state_keys={"arm": 7}, action_keys=SPEC.action_terms)
    file = tmp_path / "mapping.yaml"
    file.write_text("video: {image: table_cam}\nunused: {video: [wrist_cam]}")
    with pytest.raises(
        ValueError, match=r"state has 16 dimensions .* say in `agent.actor.gr00t.mapping` how they corr"
    ):
        Gr00tEncoder.load(SPEC, Gr00tOptions(str(checkpoint), mapping=str(file)), "cpu")
    file.write_text("state: {arm: {term: joint_position, slice: [0, 7]}}\nunused: {state: [eef_pose]}")
    assert Gr00tEncoder.load(SPEC, Gr00tOptions(str(checkpoint), mapping=str(file)), "cpu").state_dim == 7


def test_relative_actions_of_gr00t_n1_7(tmp_path: Path) -> None:
    """Through both conversions: the head's zeros mean "stay where you are", in degrees, and so does the task's"
    " target."""
    keys = {"joint_position": 7, "gripper_position": 1}
    path = n1_7_robot(tmp_path / "n1_7", keys, keys, use_relative_action=True)
    content = json.loads((path / "processor_config.json").read_text())
    config = {"type": "NON_EEF", "format": "DEFAULT", "state_key": None}
    content["processor_kwargs"]["modality_configs"][TAG]["action"]["action_configs"] = [
        config | {"rep": "RELATIVE"},
        config | {"rep": "ABSOLUTE"},
    ]
    (path / "processor_config.json").write_text(json.dumps(content))
    statistics = json.loads((path / "statistics.json").read_text())
    statistics[TAG]["relative_action"] = {"joint_position": {"min": [-10.0] * 7, "max": [10.0] * 7}}
    (path / "statistics.json").write_text(json.dumps(statistics))
    file = tmp_path / "mapping.yaml"
    example = Path(__file__).parents[2] / "source/gr00t_rl_ext/tasks/stack/config/franka/mapping_degrees.yaml"
    pose = [line for line in example.read_text().splitlines() if not line.strip().startswith(("eef_", "exterior_"))]
    file.write_text(
        "\n".join(pose).replace("wrist_image", "image") + "\nunused: {state: [eef_pose], video: [table_cam]}"
    )
    encoder = Gr00tEncoder.load(SPEC, Gr00tOptions(str(path), embodiment_tag=TAG, mapping=str(file)), "cpu")
    obs = observations()
    actions = encoder.decode_action(torch.zeros(3, 8, encoder.model.max_action_dim), obs)
    assert actions.shape == (3, 5, 8)
    # the task's numbers are relative to the default pose, scaled by 0.5
    expected = obs["state"][:, None, :7].expand(-1, 5, -1) / 0.5
    torch.testing.assert_close(actions[..., :7], expected, rtol=0, atol=1e-5)


# What a tiny checkpoint must look like


def test_the_layout_without_a_mapping() -> None:
    layout = tiny_layout(EmbodimentMapping(), SPEC)
    assert layout == {
        "state_keys": SPEC.state_terms,
        "action_keys": SPEC.action_terms,
        "video_keys": SPEC.cameras,
        "ranges": {},
    }


def test_the_layout_of_a_mapping() -> None:
    mapping = EmbodimentMapping.model_validate(
        {
            "state": {"b": [JOINTS, {"term": "eef_pose", "slice": [0, 3], "from": "m", "to": "cm"}], "a": "eef_pose"},
            "video": {"image": "table_cam"},
            "action": {
                "arm_action": [{"key": "x", "slice": [2, 5]}, {"key": "y", "from": "percent", "to": "fraction"}],
                "gripper_action": {"key": "x", "slice": [0, 1]},
            },
            "unused": {"action": ["z"]},
        }
    )
    layout = tiny_layout(mapping, SPEC)
    assert (layout["state_keys"], list(layout["state_keys"])) == ({"b": 10, "a": 7}, ["b", "a"])
    assert layout["action_keys"] == {"x": 5, "y": 4, "z": 1}
    assert layout["video_keys"] == ("image",)
    assert layout["ranges"]["state.b"] == (-100.0, 100.0)
    assert layout["ranges"]["action.y"] == (0.0, 100.0)


def test_a_layout_that_stays_open(tmp_path: Path) -> None:
    file = tmp_path / "mapping.yaml"
    file.write_text("action: {arm_action: [a, b], gripper_action: c}")
    with pytest.raises(
        EmbodimentMappingError, match="action.arm_action: a tiny checkpoint needs the `slice` of all parts"
    ):
        Gr00tEncoder.load(SPEC, Gr00tOptions(mapping=str(file)), "cpu")
