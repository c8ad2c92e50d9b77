# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Experts for tasks whose actions are joint positions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from gr00t_rl_ext.imitation.experts.cubes import StackExpert
from gr00t_rl_ext.imitation.experts.motion import ServoLaw

if TYPE_CHECKING:
    from isaaclab.envs.mdp.actions.task_space_actions import DifferentialInverseKinematicsAction


class JointStackExpert(StackExpert):
    """Stacks as :class:`StackExpert` does; its poses become joint targets by the action term of the task with relative
    poses, ``Isaac-Stack-Cube-Franka-IK-Rel-v0``, from where the arm is.

    That task solves anew in each physics step, this expert once per control step.
    """

    law = ServoLaw(gain=2.0, max_move=0.06, max_turn=0.25)
    """The arm of this task is stiffer: it covers up to 45% of a command within a control step."""

    posture_gain = 0.3
    """Share of the way back to the default pose that is commanded where the gripper's pose leaves it open: noise would
    otherwise turn the elbow ever further."""

    max_step = 0.3
    """Longest way of a joint that is commanded [rad]; near singular poses the inverse asks for more."""

    binary: ClassVar[int | None] = 7

    bounded: ClassVar[bool] = False
    """Most targets have a joint that is more than 0.5 rad from its default, and the task clips none."""

    def __init__(self, num_envs: int, device: torch.device | str = "cpu") -> None:
        super().__init__(num_envs, device)
        self._inverse_kinematics: DifferentialInverseKinematicsAction | None = None

    def action(self, env: Any) -> Tensor:
        """The action for the environments' current state. The joint targets that it leaves in the robot are replaced by
        the environment's own action term in the next step.

        Returns:
            Joint positions, relative to the default ones and in the units of the action term, and gripper. Shape
            (N, 8). Only the gripper's is within [-1, 1].
        """
        if self._inverse_kinematics is None:
            self._inverse_kinematics = _stock_inverse_kinematics(env)
        pose = super().action(env)
        self._inverse_kinematics.process_actions(pose[:, :-1])
        self._inverse_kinematics.apply_actions()
        robot, arm = env.scene["robot"], env.action_manager.get_term("arm_action").cfg
        joints, _ = robot.find_joints(arm.joint_names)
        data = robot.data
        position, default = data.joint_pos.torch[:, joints], data.default_joint_pos.torch[:, joints]
        # the null space of the hand's twist is that of the fingertips', which move with it
        jacobian = self._inverse_kinematics.jacobian_b
        back = self.posture_gain * (default - position)
        back = back - (torch.linalg.pinv(jacobian) @ jacobian @ back[..., None])[..., 0]
        step = data.joint_pos_target.torch[:, joints] - position + back
        offset = position + step.clamp(-self.max_step, self.max_step) - default
        return torch.cat((offset / arm.scale, pose[:, -1:]), dim=1)


class PoseGoalExpert:
    """Moves a body to the pose that a command term asks for, by joint targets: damped least squares from where the arm
    is, anew in every control step.

    For tasks of Isaac Lab with a ``UniformPoseCommand`` and a joint-position action, such as ``Isaac-Reach-Franka``.

    Args:
        num_envs: Number of environments N.
        device: Where they are simulated.
    """

    command = "ee_pose"
    """Name of the command term, with the pose in the robot's base frame."""

    action_term = "arm_action"
    """Name of the action term."""

    gain = 1.0
    """Commanded way per way that is left."""

    max_step = 0.25
    """Longest way of a joint that is commanded [rad]: it is a speed, since targets begin where the arm is."""

    damping = 0.05
    """Of the inverse, so that it asks for little near singular poses."""

    binary: ClassVar[int | None] = None

    bounded: ClassVar[bool] = False

    robot_type: ClassVar[str] = "franka_panda"

    groups: ClassVar[tuple[str, ...]] = ()

    def __init__(self, num_envs: int, device: torch.device | str = "cpu") -> None:
        self._inverse_kinematics: DifferentialInverseKinematicsAction | None = None

    def reset(self, done: Tensor) -> None:
        """It has no memory."""

    def action(self, env: Any) -> Tensor:
        """The action for the environments' current state: joint positions in the units of the action term, (N, A)."""
        command, term = env.command_manager.get_term(self.command), env.action_manager.get_term(self.action_term)
        if self._inverse_kinematics is None:
            self._inverse_kinematics = self._make(env, command.cfg.body_name, term.cfg.joint_names)
        self._inverse_kinematics.process_actions(command.command)
        self._inverse_kinematics.apply_actions()
        robot = env.scene[command.cfg.asset_name]
        joints, _ = robot.find_joints(term.cfg.joint_names)
        data = robot.data
        position, default = data.joint_pos.torch[:, joints], data.default_joint_pos.torch[:, joints]
        step = self.gain * (data.joint_pos_target.torch[:, joints] - position)
        # all joints arrive at once
        step = step / (step.abs().amax(dim=1, keepdim=True) / self.max_step).clamp(min=1.0)
        return (position + step - default) / term.cfg.scale

    def _make(self, env: Any, body: str, joints: list[str]) -> DifferentialInverseKinematicsAction:
        from isaaclab.controllers.differential_ik_cfg import DifferentialIKControllerCfg
        from isaaclab.envs.mdp.actions.actions_cfg import DifferentialInverseKinematicsActionCfg
        from isaaclab.envs.mdp.actions.task_space_actions import DifferentialInverseKinematicsAction

        controller = DifferentialIKControllerCfg(
            command_type="pose", use_relative_mode=False, ik_method="dls", ik_params={"lambda_val": self.damping}
        )
        cfg = DifferentialInverseKinematicsActionCfg(
            asset_name="robot", joint_names=joints, body_name=body, controller=controller
        )
        return DifferentialInverseKinematicsAction(cfg, env)


def _stock_inverse_kinematics(env: Any) -> DifferentialInverseKinematicsAction:
    """The action term of the arm in ``Isaac-Stack-Cube-Franka-IK-Rel-v0``, for another environment with its robot."""
    # experts are looked up before the simulator starts
    from isaaclab.envs.mdp.actions.task_space_actions import DifferentialInverseKinematicsAction
    from isaaclab_tasks.contrib.stack.config.franka.stack_ik_rel_env_cfg import FrankaCubeStackEnvCfg

    cfg: Any = FrankaCubeStackEnvCfg().actions.arm_action
    return DifferentialInverseKinematicsAction(cfg, env)
