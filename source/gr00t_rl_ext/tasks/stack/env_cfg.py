# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What turns Isaac Lab's stock stack scene into a task for a vision-language-action policy, for any robot.

The stock configuration (``isaaclab_tasks.contrib.stack``, isaaclab 3.0.0) is a scene for imitation learning: no
rewards, images only in one variant, PhysX of Isaac Sim. :func:`add_stack_task` adds an instruction, observation
groups by purpose, rewards, and physics that runs without Isaac Sim.
"""

from __future__ import annotations

from isaaclab.envs import ManagerBasedRLEnvCfg
from isaaclab.envs.utils.video_recorder_cfg import VideoRecorderCfg
from isaaclab.managers import ObservationGroupCfg as ObsGroup
from isaaclab.managers import ObservationTermCfg as ObsTerm
from isaaclab.managers import RewardTermCfg as RewTerm
from isaaclab.managers import SceneEntityCfg
from isaaclab.utils import configclass
from isaaclab_newton.physics import MJWarpSolverCfg, NewtonCfg, NewtonCollisionPipelineCfg, NewtonShapeCfg
from isaaclab_ov.physics import OvPhysxCfg
from isaaclab_physx.physics import PhysxCfg
from isaaclab_tasks.contrib.stack import mdp as stock
from isaaclab_tasks.contrib.stack.stack_env_cfg import PhysicsCfg as StockPhysicsCfg
from isaaclab_tasks.utils import PresetCfg

from gr00t_rl_ext.tasks.physics import default_physics
from gr00t_rl_ext.tasks.stack import mdp


@configclass
class PhysicsCfg(PresetCfg):
    """Physics of the stack task, chosen with ``physics=NAME``."""

    ovphysx = OvPhysxCfg()
    """PhysX without Isaac Sim, on CPU and GPU. Needs the extra ``isaaclab[ovphysx]``."""

    isaacsim_physx: PhysxCfg = StockPhysicsCfg().isaacsim_physx
    """PhysX of Isaac Sim, with the stock settings."""

    newton_mjwarp = NewtonCfg(
        solver_cfg=MJWarpSolverCfg(
            solver="newton",
            integrator="implicitfast",
            # the stock settings (100 iterations, 2 substeps, njmax 300) step 5 times slower with the same scripted
            # grasps; a pyramidal cone would be faster still, but the cube slips
            njmax=120,
            # fewer contacts overflow during a grasp
            nconmax=80,
            impratio=10.0,
            cone="elliptic",
            update_data_interval=2,
            iterations=10,
            ls_iterations=10,
            ls_parallel=False,
            use_mujoco_contacts=False,
            ccd_iterations=35,
        ),
        collision_cfg=NewtonCollisionPipelineCfg(),
        default_shape_cfg=NewtonShapeCfg(),
        num_substeps=1,
        debug_mode=False,
    )
    """Newton with the MuJoCo Warp solver, on CPU and GPU."""

    default = {"isaacsim_physx": isaacsim_physx, "ovphysx": ovphysx, "newton_mjwarp": newton_mjwarp}[default_physics()]


@configclass
class ObservationsCfg:
    """Observation groups by purpose. Agents name the groups they use; the others are not computed."""

    @configclass
    class RgbCfg(ObsGroup):
        """Camera images, uint8, concatenated along the channels: (num_envs, height, width, 3 * cameras)."""

        table_cam = ObsTerm(
            func=stock.image_rgb, params={"sensor_cfg": SceneEntityCfg("table_cam"), "normalize": False}
        )
        wrist_cam = ObsTerm(
            func=stock.image_rgb, params={"sensor_cfg": SceneEntityCfg("wrist_cam"), "normalize": False}
        )

    @configclass
    class StateCfg(ObsGroup):
        """Proprioception: what the robot itself measures."""

        joint_position = ObsTerm(func=stock.joint_pos_rel)
        """Joint positions relative to the default pose, fingers last [rad, m]."""
        eef_pose = ObsTerm(func=stock.ee_frame_pose_in_base_frame)
        """Position [m] and quaternion (x, y, z, w) of the point between the fingertips, in the robot's base frame."""

    @configclass
    class ObjectCfg(ObsGroup):
        """Where the cubes are, for agents that are told: ``agent.obs_groups.actor=[rgb,state,object]``."""

        cubes = ObsTerm(func=stock.object_obs)
        """Poses of the cubes and their offsets from the gripper and from each other [m]."""

    @configclass
    class PrivilegedCfg(ObsGroup):
        """What only the simulator knows. For the critic, and for policies without cameras."""

        objects = ObsTerm(func=stock.object_obs)
        """Poses of the cubes and their offsets from the gripper and from each other [m]."""
        joint_velocity = ObsTerm(func=stock.joint_vel_rel)
        """Joint velocities [rad/s, m/s]."""
        last_action = ObsTerm(func=stock.last_action)
        remaining_time = ObsTerm(func=stock.remaining_time_s)
        """Time until the episode ends without success [s]: without it, a critic cannot tell how likely success is."""

    rgb: RgbCfg = RgbCfg()
    state: StateCfg = StateCfg()
    object: ObjectCfg = ObjectCfg()
    privileged: PrivilegedCfg = PrivilegedCfg()


@configclass
class RewardsCfg:
    """Dense terms that lead to the tower, and 1 for success. Isaac Lab multiplies each weight by the step's 0.05 s.

    Each placed cube is worth as much per step as all stages before it together, and success more than every dense term
    over a whole episode: finishing pays more than lingering.
    """

    reach = RewTerm(func=mdp.reach, weight=1.0e-3)
    grasp = RewTerm(func=mdp.grasp, weight=1.0e-3)
    lift = RewTerm(func=mdp.lift, weight=2.0e-3)
    align = RewTerm(func=mdp.align, weight=4.0e-3)
    stack = RewTerm(func=mdp.stack, weight=1.6e-2)
    success = RewTerm(func=stock.is_terminated_term, weight=20.0, params={"term_keys": "success"})
    action_rate = RewTerm(func=stock.action_rate_l2, weight=-2.0e-6)


def add_stack_task(cfg: ManagerBasedRLEnvCfg) -> None:
    """Complete a stock stack configuration in place.

    Adds the instruction, observation groups, rewards, physics presets and a recorder of the table camera. The scene
    must have the sensors ``table_cam`` and ``wrist_cam``.

    Args:
        cfg: A configuration derived from ``isaaclab_tasks.contrib.stack.stack_env_cfg.StackEnvCfg``.
    """
    cfg.observations = ObservationsCfg()
    cfg.rewards = RewardsCfg()
    cfg.sim.physics = PhysicsCfg()
    # the stock scene has one environment, for teleoperation
    cfg.scene.num_envs = 256
    # Newton demands it; PhysX without Isaac Sim populates only the first environment otherwise
    cfg.scene.replicate_physics = True
    # teleoperation of the stock scene: not part of this task
    cfg.xr = None
    cfg.video_recorders = [VideoRecorderCfg(source="sensor:table_cam", output_filename_prefix="table_cam")]
