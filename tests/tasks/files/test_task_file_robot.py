# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A robot in a task file: SO-101 in the place of the Panda, in the config and in real physics."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from isaaclab.assets import ArticulationCfg
from isaaclab.sensors import FrameTransformerCfg
from isaaclab_assets import FRANKA_PANDA_CFG
from pxr import Usd, UsdPhysics

from gr00t_rl_ext.tasks.files import environment, robot
from gr00t_rl_ext.tasks.files.base import base_cfg
from gr00t_rl_ext.tasks.files.reading import Source, TaskFileError
from gr00t_rl_ext.tasks.files.registration import register_task

pytestmark = pytest.mark.usefixtures("no_task_files")

SO101 = "example-robot-data:robots/so_arm_description/urdf/so101.urdf"
ELBOW = "/so101_new_calib/Physics/elbow_flex"
ARM = ["shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll"]
TEXT = f"""\
base: Isaac-Reach-Franka
id: My-Reach-SO101
instruction: move the gripper to the goal
robot:
  file: "{SO101}"
  names: {{panda_joint.*: [{", ".join(ARM)}], panda_hand: gripper_frame_link}}
  joint_pos: {{elbow_flex: 0.5}}
  yaw: 90
  stiffness: 40
  damping: 4
env: {{events: {{reset_robot_fingers: null}}, actions: {{arm_action: {{default: {{scale: 1.0}}}}}}}}
cameras:
  wrist_cam: {{body: gripper_link, pose: {{position: [0.0, 0.1, 0.0], look_at: [0.0, 0.0, -0.1]}}, size: [32, 32]}}
state: {{terms: [joint_pos, pose_command]}}
success: success
agents: [gr00t_ppo_small, mlp_ppo]
"""


def source(folder: Path, old: str = "", new: str = "", text: str = TEXT) -> Source:
    assert old in text
    (folder / "task.yaml").write_text(text.replace(old, new, 1))
    return Source(folder / "task.yaml")


def test_the_config(tmp_path: Path) -> None:
    cfg = environment.environment_cfg(source(tmp_path))
    made = cfg.scene.robot
    assert isinstance(made, ArticulationCfg)
    assert made.prim_path == "{ENV_REGEX_NS}/Robot"
    assert made.init_state.joint_pos == {"gripper": 0.0, **dict.fromkeys(ARM, 0.0), "elbow_flex": 0.5}
    stage = Usd.Stage.Open(made.spawn.usd_path)
    drive = UsdPhysics.DriveAPI(stage.GetPrimAtPath(ELBOW), "angular")
    assert drive.GetMaxForceAttr().Get() == 10.0, "the URDF's limit of effort"
    assert made.init_state.rot == pytest.approx((0.0, 0.0, 0.5**0.5, 0.5**0.5))
    assert cfg.commands.ee_pose.body_name == "gripper_frame_link"
    assert cfg.rewards.end_effector_position_tracking.params["asset_cfg"].body_names == ["gripper_frame_link"]
    assert cfg.rewards.joint_vel.params["asset_cfg"].joint_names == ARM
    for preset in ("joint_pos", "diffik"):
        assert getattr(cfg.actions.arm_action, preset).joint_names == ARM, "presets that may be chosen as well"
    assert (cfg.actions.arm_action.default.scale, cfg.events.reset_robot_fingers) == (1.0, None)
    path = "/Geometry/base_link/shoulder_link/upper_arm_link/lower_arm_link/wrist_link/gripper_link/wrist_cam"
    assert cfg.scene.wrist_cam.prim_path == "{ENV_REGEX_NS}/Robot" + path


def test_in_physics(tmp_path: Path, make_env: Callable[..., Any]) -> None:
    """The base stays, and joints go where the action sends them."""
    env = make_env(register_task(source(tmp_path).path), 2, has_cameras=False)
    env.configure_decisions(1, observation_groups=["state"])
    so101, start = env.scene["robot"], env.scene["robot"].data.root_pos_w.torch.clone()
    joints, names = so101.find_joints(ARM, preserve_order=True)
    assert names == ARM
    target = torch.tensor([[0.3, -0.4, 0.2, 0.5, -0.6], [-0.3, 0.2, -0.5, 0.1, 0.4]])
    term = env.action_manager.get_term("arm_action")
    order = [names.index(name) for name in term._joint_names]
    for _ in range(40):
        env.step(target[:, order])
    default = so101.data.default_joint_pos.torch[:, joints]
    assert ((so101.data.joint_pos.torch[:, joints] - default - target).abs() < 0.1).all()
    torch.testing.assert_close(so101.data.root_pos_w.torch, start, atol=1e-3, rtol=0)


def test_a_gripper_and_frames(tmp_path: Path) -> None:
    """Of the task of lifting, whose scene has a frame at the hand and two cameras."""
    text = TEXT.replace("base: Isaac-Reach-Franka", "base: Isaac-Lift-Cube-Franka-IK-Rel-v0")
    text = text.replace("[joint_pos, pose_command]", "[eef_pose]").replace(
        "  joint_pos:",
        "  gripper: {joints: [gripper], open: 1.5, closed: 0.1}\n  hand_offset: [0.0, 0.0, 0.02]\n  joint_pos:",
    )
    text = text.replace(
        "panda_hand: gripper_frame_link",
        "panda_hand: gripper_frame_link, panda_rightfinger: gripper_link, panda_leftfinger: moving_jaw_so101_v1_link",
    )
    env = text.index("env:"), text.index("cameras:")
    text = (
        text[: env[0]] + "env: {gripper_open_val: 1.5}\n" + text[env[1] :].replace("wrist_cam: {body", "eye_cam: {body")
    )
    cfg = environment.environment_cfg(source(tmp_path, text=text))
    grip = cfg.actions.gripper_action
    assert (grip.joint_names, grip.open_command_expr, grip.close_command_expr) == (
        ["gripper"],
        {"gripper": 1.5},
        {"gripper": 0.1},
    )
    assert (cfg.gripper_joint_names, cfg.gripper_open_val) == (["gripper"], 1.5)
    hand, *fingers = cfg.scene.ee_frame.target_frames
    assert hand.prim_path.endswith("/gripper_link/gripper_frame_link")
    assert list(hand.offset.pos) == [0.0, 0.0, 0.02]
    assert [frame.offset.pos[2] for frame in fingers] == [0.046, 0.046], "those of other frames stay"
    assert list(cfg.actions.arm_action.body_offset.pos) == [0.0, 0.0, 0.02]
    assert cfg.scene.ee_frame.prim_path == "{ENV_REGEX_NS}/Robot/Geometry/base_link"
    assert [frame.prim_path.rpartition("/")[2] for frame in fingers] == ["gripper_link", "moving_jaw_so101_v1_link"]


def test_a_config_of_isaac_lab(tmp_path: Path) -> None:
    a, b = TEXT.index("  file:"), TEXT.index("env:")
    text = TEXT[:a] + "  cfg: isaaclab_assets:FRANKA_PANDA_CFG\n  joint_pos: {panda_joint1: 0.2}\n" + TEXT[b:]
    text = text.replace("body: gripper_link", "body: panda_hand")
    cfg = environment.environment_cfg(source(tmp_path, text=text))
    assert cfg.scene.robot.init_state.joint_pos["panda_joint1"] == 0.2
    assert FRANKA_PANDA_CFG.init_state.joint_pos["panda_joint1"] == 0.0, "that of others stays"
    assert cfg.commands.ee_pose.body_name == "panda_hand"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "names: {panda_joint.*",
            "names: {panda_joints.*",
            r"line 6, robot\.names: .*does not have: actions\.arm_action\.\w+\.joint_names names 'panda_joint\.\*'",
        ),
        (
            "env: {events: {reset_robot_fingers: null}, ",
            "env: {",
            r"events\.reset_robot_fingers\.params\.asset_cfg\.joint_names names 'panda_finger_joint",
        ),
        (
            "wrist_roll]",
            "wrist_rol]",
            r"robot\.names: the robot has no joint or body 'wrist_rol'; did you mean wrist_roll",
        ),
        (
            "elbow_flex: 0.5",
            "elbow: 0.5",
            r"line 7, robot\.joint_pos\.elbow: the robot has no joint 'elbow'; did you mean elbow_flex",
        ),
        ("so101.urdf", "so102.urdf", r"line 5, robot\.file: there is no file"),
        (
            "example-robot-data:",
            "no-such-data:",
            r"robot\.file: no package 'no-such-data' is installed: pip install no-such-data",
        ),
        ("  yaw: 90", "  cfg: a:B", r"robot: expected one of cfg and file"),
        ("  yaw: 90", "  part: robt", r"robot\.part: the scene has no robot 'robt'; did you mean robot"),
        (
            f'  file: "{SO101}"',
            "  cfg: isaaclab_assets:FRANKA_PANDA_CFG",
            r"robot: yaw, stiffness, damping is of a file",
        ),
        ("scale: 1.0", "scales: 1.0", r"env: .*default has no 'scales'. Similar: scale"),
    ],
)
def test_what_is_wrong(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(TaskFileError, match=message):
        environment.environment_cfg(source(tmp_path, old, new))


def test_a_config_that_is_none(tmp_path: Path) -> None:
    a, b = TEXT.index("  file:"), TEXT.index("env:")
    for cfg, message in (
        ("FRANKA_PANDA_CFG", "is no config; expected module:NAME"),
        ("isaaclab_assets:NOTHING", "cannot be imported"),
        ("math:pi", "is a float; expected ArticulationCfg"),
    ):
        with pytest.raises(TaskFileError, match=rf"robot\.cfg: .*{message}"):
            environment.environment_cfg(source(tmp_path, text=TEXT[:a] + f"  cfg: {cfg}\n" + TEXT[b:]))


def franka(more: str = "") -> str:
    """Isaac Lab's own robot in the place of the same one."""
    a, b = TEXT.index("  file:"), TEXT.index("env:")
    text = TEXT[:a] + "  cfg: isaaclab_assets:FRANKA_PANDA_CFG\n" + more + TEXT[b:]
    return text.replace("body: gripper_link", "body: panda_hand")


def test_the_same_robot_changes_nothing_that_is_named(tmp_path: Path) -> None:
    text = franka("  gripper: {joints: [panda_finger_joint1, panda_finger_joint2], open: 0.04, closed: 0.0}\n")
    text = text.replace("base: Isaac-Reach-Franka", "base: Isaac-Lift-Cube-Franka-IK-Rel-v0").replace(
        "[joint_pos, pose_command]", "[eef_pose]"
    )
    text = text[: text.index("env:")] + text[text.index("cameras:") :].replace("wrist_cam: {body", "eye_cam: {body")
    cfg, former = environment.environment_cfg(source(tmp_path, text=text)), base_cfg("Isaac-Lift-Cube-Franka-IK-Rel-v0")
    frames, others = (
        [(frame.name, tuple(frame.offset.pos)) for frame in one.scene.ee_frame.target_frames] for one in (cfg, former)
    )
    assert frames == others
    assert cfg.actions.arm_action.body_offset.pos == former.actions.arm_action.body_offset.pos
    assert isinstance(cfg.scene.ee_frame, FrameTransformerCfg)


def test_a_default_position_beside_one_for_several_joints(tmp_path: Path) -> None:
    cfg = environment.environment_cfg(source(tmp_path, text=franka("  joint_pos: {panda_finger_joint1: 0.01}\n")))
    found = cfg.scene.robot.init_state.joint_pos
    assert (found["panda_finger_joint1"], found["panda_finger_joint2"]) == (0.01, 0.04)
    assert not [name for name in found if "*" in name]
    with pytest.raises(TaskFileError, match=r"robot\.joint_pos\.nonsense: the robot has no joint 'nonsense'"):
        environment.environment_cfg(source(tmp_path, text=franka("  joint_pos: {nonsense: 3}\n")))


def test_fields_of_the_new_robot(tmp_path: Path) -> None:
    text = TEXT.replace("env: {", "env: {scene: {robot: {soft_joint_pos_limit_factor: 0.5}}, ")
    assert environment.environment_cfg(source(tmp_path, text=text)).scene.robot.soft_joint_pos_limit_factor == 0.5


def test_a_direct_task(tmp_path: Path) -> None:
    with pytest.raises(TaskFileError, match="robot: a direct task names joints and bodies in its code"):
        environment.environment_cfg(
            source(
                tmp_path,
                "Isaac-Reach-Franka",
                "Isaac-Cartpole-Direct",
                TEXT.replace(
                    "env: {events: {reset_robot_fingers: null}, actions: {arm_action: {default: {scale: 1.0}}}}\n", ""
                ),
            )
        )


def test_a_file_beside_the_task_file(tmp_path: Path) -> None:
    given = source(tmp_path)
    spawn = environment.environment_cfg(given).scene.robot.spawn
    usd = Path(spawn.usd_path)
    shutil.copyfile(usd, tmp_path / "mine.usdc")
    cfg = environment.environment_cfg(source(tmp_path, SO101, "mine.usdc"))
    assert cfg.scene.robot.spawn.usd_path == str(tmp_path / "mine.usdc")
    (tmp_path / "mine.stl").touch()
    with pytest.raises(TaskFileError, match=r"'mine.stl' ends in '.stl'; expected .usd, .usda, .usdc or .urdf"):
        environment.environment_cfg(source(tmp_path, SO101, "mine.stl"))
    assert robot.links_of(spawn).joints == (
        "gripper",
        "wrist_roll",
        "wrist_flex",
        "elbow_flex",
        "shoulder_lift",
        "shoulder_pan",
    )
