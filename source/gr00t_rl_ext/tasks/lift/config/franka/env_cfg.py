# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Lifting with the Franka Panda: the stack task's scene, another goal."""

from __future__ import annotations

from isaaclab.managers import RewardTermCfg as RewTerm
from isaaclab.managers import TerminationTermCfg as DoneTerm
from isaaclab.utils import configclass
from isaaclab_tasks.contrib.stack import mdp as stock

from gr00t_rl_ext.tasks.lift import mdp
from gr00t_rl_ext.tasks.stack import mdp as stack
from gr00t_rl_ext.tasks.stack.config.franka.env_cfg import FrankaStackCubeIkRelEnvCfg

INSTRUCTION = "lift the red cube"

_TOWER = {"tower": ("cube_1", "cube_2")}
"""For the stack task's terms: the blue cube stays, the red one is to be moved."""

MIN_RISE = 0.10
"""How far a lifted cube must be above where it lay [m]."""


@configclass
class RewardsCfg:
    """1 for success, and dense terms that lead there. Isaac Lab multiplies each by the step's 0.05 s.

    All dense terms over a whole episode of 100 steps are worth 0.5: finishing pays more than lingering.
    """

    reach = RewTerm(func=stack.reach, weight=0.02, params=_TOWER)
    grasp = RewTerm(func=stack.grasp, weight=0.03, params=_TOWER)
    # the term counts from the table to the height of a cube on the blue one plus the clearance: the success height
    lift = RewTerm(func=stack.lift, weight=0.05, params=_TOWER | {"clearance": MIN_RISE - stack.CUBE_HEIGHT})
    success = RewTerm(func=stock.is_terminated_term, weight=20.0, params={"term_keys": "success"})
    action_rate = RewTerm(func=stock.action_rate_l2, weight=-1.0e-4)


@configclass
class FrankaLiftCubeIkRelEnvCfg(FrankaStackCubeIkRelEnvCfg):
    """Relative pose of the gripper by differential inverse kinematics, and a binary gripper: 7 actions.

    Scene, resets, cameras and observations are those of ``Isaac-Stack-Cube-Franka-IK-Rel-v0``.
    """

    instruction: str = INSTRUCTION
    """What the policy is told."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.rewards = RewardsCfg()
        self.terminations.success = DoneTerm(func=mdp.cube_lifted, params=_TOWER | {"min_rise": MIN_RISE})
        # 100 control steps, at 20 Hz
        self.episode_length_s = 5.0
