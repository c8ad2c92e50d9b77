# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Isaac Lab's direct cartpole with a measure of success, on its state or also with the observations of a
vision-language-action policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import gymnasium as gym
import numpy as np
import torch
from isaaclab.utils.math import wrap_to_pi
from isaaclab_tasks.contrib.cartpole_showcase.cartpole.cartpole_env import CartpoleShowcaseEnv

from gr00t_rl_ext.envs.chunking import ChunkedDirectRLEnv

if TYPE_CHECKING:
    from gr00t_rl_ext.tasks.cartpole.env_cfg import CartpoleCameraEnvCfg, CartpoleStateEnvCfg


class CartpoleTask(CartpoleShowcaseEnv):
    """Balance the pole until the time is over. The episode terminates when the cart leaves the middle of the rail.

    The showcase class of Isaac Lab takes continuous and discrete actions alike.

    The observation group is ``state`` (num_envs, 4): position of the cart [m], angle of the pole from upright in
    [-pi, pi] [rad], and their velocities [m/s, rad/s].
    """

    cfg: CartpoleStateEnvCfg

    success: torch.Tensor
    """Whether the episode ends now with the pole balanced: the time is over, the cart did not leave, and the pole has
    been within ``cfg.upright_angle`` for ``cfg.upright_time`` without a break. Shape (num_envs,). To survive is not
    enough, as a pole that hangs or turns survives too."""

    def __init__(self, cfg: CartpoleStateEnvCfg, render_mode: str | None = None, **kwargs: Any) -> None:
        super().__init__(cfg, render_mode, **kwargs)
        self.success = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        self._upright_steps = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)

    def _configure_gym_env_spaces(self) -> None:
        super()._configure_gym_env_spaces()
        # Isaac Lab knows no groups but `policy` and `critic` here
        self.single_observation_space = gym.spaces.Dict(self._observation_spaces())
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, self.num_envs)

    def _observation_spaces(self) -> dict[str, gym.Space]:
        """Space of each observation group, for one environment."""
        return {"state": gym.spaces.Box(-np.inf, np.inf, (4,))}

    def _get_observations(self) -> dict[str, torch.Tensor]:
        joints = (self._cart_dof_idx, self._pole_dof_idx)
        cart, pole = (self.joint_pos[:, joint] for joint in joints)
        velocities = [self.joint_vel[:, joint] for joint in joints]
        return {"state": torch.cat((cart, wrap_to_pi(pole), *velocities), dim=-1)}

    def _get_dones(self) -> tuple[torch.Tensor, torch.Tensor]:
        left_middle, time_outs = super()._get_dones()
        angle = wrap_to_pi(self.joint_pos[:, self._pole_dof_idx]).abs().squeeze(-1)
        self._upright_steps = torch.where(angle <= self.cfg.upright_angle, self._upright_steps + 1, 0)
        held = self._upright_steps >= round(self.cfg.upright_time / self.step_dt)
        self.success = time_outs & ~left_middle & held
        return left_middle, time_outs

    def _reset_idx(self, env_ids: Sequence[int] | None) -> None:
        super()._reset_idx(env_ids)
        self._upright_steps[env_ids] = 0
        # Isaac Lab's metric of this name counts survivors
        self.extras["log"].pop("Metrics/success_rate")


class CartpoleCameraTask(CartpoleTask):
    """The same, seen by a camera.

    The observation group ``rgb`` (num_envs, height, width, 3) uint8 shows the cartpole from the side; the cart's
    positive direction is left.
    """

    cfg: CartpoleCameraEnvCfg

    def _observation_spaces(self) -> dict[str, gym.Space]:
        camera = self.cfg.scene.side_cam
        return {
            "rgb": gym.spaces.Box(0, 255, (camera.height, camera.width, 3), dtype=np.uint8),
            **super()._observation_spaces(),
        }

    def _get_observations(self) -> dict[str, torch.Tensor]:
        # the camera writes its next image into the same buffer
        rgb = self.scene["side_cam"].data.output["rgb"].torch.clone()
        return {"rgb": rgb, **super()._get_observations()}


class CartpoleStateEnv(ChunkedDirectRLEnv, CartpoleTask):
    """The cartpole on its state, with action chunks."""

    # `success` belongs to the step that was just made
    state_buffers = ("_upright_steps",)


class CartpoleCameraEnv(CartpoleStateEnv, CartpoleCameraTask):
    """The cartpole by sight, with action chunks."""
