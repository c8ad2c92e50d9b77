# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The cube experts for tasks whose actions are joint positions."""

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

    binary: ClassVar[int] = 7

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


def _stock_inverse_kinematics(env: Any) -> DifferentialInverseKinematicsAction:
    """The action term of the arm in ``Isaac-Stack-Cube-Franka-IK-Rel-v0``, for another environment with its robot."""
    # experts are looked up before the simulator starts
    from isaaclab.envs.mdp.actions.task_space_actions import DifferentialInverseKinematicsAction
    from isaaclab_tasks.contrib.stack.config.franka.stack_ik_rel_env_cfg import FrankaCubeStackEnvCfg

    cfg: Any = FrankaCubeStackEnvCfg().actions.arm_action
    return DifferentialInverseKinematicsAction(cfg, env)
