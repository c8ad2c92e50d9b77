# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Isaac Lab's direct cartpole, on its state and as a task for a vision-language-action policy.

Physics, rewards and, on the state, resets are those of ``isaaclab_tasks.core.cartpole`` (isaaclab 3.0.0). Camera, and
resets with it, are those of its camera variant. Its cart may leave the picture, at 2.2 m; here the episode ends before.
"""

from __future__ import annotations

import math

import isaaclab.sim as sim_utils
from isaaclab.envs.utils.video_recorder_cfg import VideoRecorderCfg
from isaaclab.sensors import CameraCfg
from isaaclab.utils import configclass
from isaaclab_tasks.core.cartpole.cartpole_common import CartpolePhysicsCfg
from isaaclab_tasks.core.cartpole.cartpole_direct_env_cfg import CartpoleEnvCfg, CartpoleSceneCfg
from isaaclab_tasks.utils import preset
from isaaclab_tasks.utils.presets import MultiBackendRendererCfg

from gr00t_rl_ext.tasks.physics import default_physics

_CAMERA_PIXELS = {"default": 224, "small_cameras": 96}
"""Edge of the camera image [px]: the input size of GR00T N1.5, and what ``presets=small_cameras`` selects. The pole is
3 and 1.3 px wide; with 64 px its image breaks into pieces."""


@configclass
class PhysicsCfg(CartpolePhysicsCfg):
    """Physics of the cartpole, chosen with ``physics=NAME``: Isaac Lab's presets, the default by machine."""

    default = getattr(CartpolePhysicsCfg(), default_physics())


@configclass
class CartpoleStateSceneCfg(CartpoleSceneCfg):
    """Cartpole and light. The ground, which nothing touches, would have to be downloaded."""

    ground = None


@configclass
class CartpoleStateEnvCfg(CartpoleEnvCfg):
    """One continuous action: the force on the cart in units of ``action_scale`` (100 N)."""

    instruction: str = "keep the pole upright by moving the cart"
    """What the policy is told."""

    upright_angle: float = 0.2
    """Largest angle of a pole that counts as upright [rad]; Gymnasium's CartPole ends an episode at 0.21."""

    upright_time: float = 3.0
    """How long the pole must have been upright at the end of a successful episode [s]. On the state, all of it but the
    first two seconds: it begins at up to 0.79 rad, falling."""

    scene: CartpoleStateSceneCfg = CartpoleStateSceneCfg(num_envs=256, env_spacing=4.0, replicate_physics=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sim.physics = PhysicsCfg()


@configclass
class CartpoleCameraSceneCfg(CartpoleStateSceneCfg):
    """Cartpole, light and a camera that looks at it from the side."""

    side_cam = CameraCfg(
        prim_path="{ENV_REGEX_NS}/side_cam",
        update_period=0.0,
        height=preset(**_CAMERA_PIXELS),
        width=preset(**_CAMERA_PIXELS),
        data_types=["rgb"],
        spawn=sim_utils.PinholeCameraCfg(
            focal_length=24.0, focus_distance=400.0, horizontal_aperture=20.955, clipping_range=(0.1, 20.0)
        ),
        offset=CameraCfg.OffsetCfg(pos=(-5.0, 0.0, 2.0), rot=(0.0, 0.0, 0.0, 1.0), convention="world"),
        renderer_cfg=MultiBackendRendererCfg(),
    )


@configclass
class CartpoleCameraEnvCfg(CartpoleStateEnvCfg):
    """The same, seen by a camera."""

    # a pole that nobody balances leaves the angle within a second, unless it stood still within 0.005 rad
    upright_time = 1.0

    # the camera sees 2.18 m to either side
    max_cart_pos = 2.0

    # far enough apart not to be seen by the neighbours' cameras
    scene: CartpoleCameraSceneCfg = CartpoleCameraSceneCfg(num_envs=256, env_spacing=20.0, replicate_physics=True)

    initial_pole_angle_range = (-0.125 * math.pi, 0.125 * math.pi)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.video_recorders = [VideoRecorderCfg(source="sensor:side_cam", output_filename_prefix="side_cam")]


@configclass
class CartpoleCameraDiscreteEnvCfg(CartpoleCameraEnvCfg):
    """Three choices: 0 no force, 1 ``action_scale`` in the negative direction, 2 in the positive direction."""

    action_space = {3}

    # [N]; a linear regulator that rounds its force to one of the three succeeds in 63 of 64 episodes at one, two and
    # four control steps per decision; with the 100 N of continuous actions in 39, 24 and 0
    action_scale = 30.0
