# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Stacking with the Franka Panda: the stock scenes with two cameras."""

from __future__ import annotations

import isaaclab.sim as sim_utils
from isaaclab.envs import ManagerBasedRLEnvCfg
from isaaclab.sensors import CameraCfg
from isaaclab.utils import configclass, replace
from isaaclab_physx.sim.schemas import PhysxArticulationCfg
from isaaclab_tasks.contrib.stack.config.franka import stack_ik_rel_env_cfg, stack_joint_pos_env_cfg
from isaaclab_tasks.utils import preset
from isaaclab_tasks.utils.presets import MultiBackendRendererCfg

from gr00t_rl_ext.tasks.stack.env_cfg import add_stack_task

INSTRUCTION = "stack the red cube on the blue cube, then the green cube on the red cube"

_HAND = "{ENV_REGEX_NS}/Robot/Geometry/" + "/".join([f"panda_link{i}" for i in range(8)] + ["panda_hand"])
"""Prim path of the hand. A camera needs the full path: a regular expression does not resolve under Newton."""

_CAMERA_PIXELS = {"default": 224, "small_cameras": 64}
"""Edge of the camera images [px]: the input size of GR00T N1.5, and what ``presets=small_cameras`` selects."""


def _camera(prim_path: str, offset: CameraCfg.OffsetCfg, focal_length: float, moving: bool) -> CameraCfg:
    return CameraCfg(
        prim_path=prim_path,
        update_period=0.0,
        height=preset(**_CAMERA_PIXELS),
        width=preset(**_CAMERA_PIXELS),
        data_types=["rgb"],
        # without it, a camera on a moving link stays where it was at the start
        update_latest_camera_pose=moving,
        spawn=sim_utils.PinholeCameraCfg(
            focal_length=focal_length, focus_distance=400.0, horizontal_aperture=20.955, clipping_range=(0.02, 4.0)
        ),
        offset=offset,
        renderer_cfg=MultiBackendRendererCfg(),
    )


def _add_franka(cfg: ManagerBasedRLEnvCfg) -> None:
    cfg.scene.table_cam = _camera(
        "{ENV_REGEX_NS}/table_cam",
        CameraCfg.OffsetCfg(pos=(1.25, 0.0, 0.55), rot=(0.60436, 0.60436, -0.36709, -0.36709), convention="ros"),
        focal_length=34.0,
        moving=False,
    )
    cfg.scene.wrist_cam = _camera(
        f"{_HAND}/wrist_cam",
        CameraCfg.OffsetCfg(pos=(0.13, 0.0, -0.15), rot=(0.03701, 0.03701, -0.70614, -0.70614), convention="ros"),
        focal_length=24.0,
        moving=True,
    )
    # PhysX solves bodies in batches that span environments, with the largest iteration counts among them: with fewer
    # than the cubes have, the arm's motion would depend on who shares its batch (5e-3 rad among 64 environments)
    spawn = cfg.scene.robot.spawn
    spawn.articulation_props = [
        replace(properties, solver_position_iteration_count=16, solver_velocity_iteration_count=1)
        if isinstance(properties, PhysxArticulationCfg)
        else properties
        for properties in spawn.articulation_props
    ]
    add_stack_task(cfg)


@configclass
class FrankaStackCubeEnvCfg(stack_joint_pos_env_cfg.FrankaCubeStackEnvCfg):
    """Joint position targets (scaled by 0.5, relative to the default pose) and a binary gripper: 8 actions."""

    instruction: str = INSTRUCTION
    """What the policy is told."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _add_franka(self)


@configclass
class FrankaStackCubeIkRelEnvCfg(stack_ik_rel_env_cfg.FrankaCubeStackEnvCfg):
    """Relative pose of the gripper by differential inverse kinematics, and a binary gripper: 7 actions."""

    instruction: str = INSTRUCTION
    """What the policy is told."""

    def __post_init__(self) -> None:
        super().__post_init__()
        _add_franka(self)
        # devices of the stock teleoperation task
        self.teleop_devices = type(self.teleop_devices)()


@configclass
class FrankaStackCubeIkAbsEnvCfg(FrankaStackCubeIkRelEnvCfg):
    """Pose of the point between the fingertips in the robot's base frame, as ``eef_pose`` observes it, by differential
    inverse kinematics, and a binary gripper: 8 actions, position [m], quaternion (x, y, z, w) and gripper."""

    def __post_init__(self) -> None:
        super().__post_init__()
        arm = self.actions.arm_action
        arm.controller.use_relative_mode = False
        arm.scale = 1.0
        # the stock task with relative poses has 0.107, by which a command to stay would move the hand 3.6 mm
        arm.body_offset = replace(arm.body_offset, pos=self.scene.ee_frame.target_frames[0].offset.pos)
