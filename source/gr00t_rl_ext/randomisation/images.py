# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Factors of what a policy sees: cameras, light and colours."""

from __future__ import annotations

import math
from typing import Any

import torch
import warp as wp
from isaaclab.managers import EventTermCfg
from isaaclab.sensors import Camera
from isaaclab.utils.math import quat_from_euler_xyz, quat_mul
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from gr00t_rl_ext.randomisation import name_of
from gr00t_rl_ext.randomisation.factor import Factor

POSITION = 0.03
"""Largest displacement of a camera along an axis of what it hangs on [m]."""

ANGLE = math.radians(3.0)
"""Largest rotation of a camera about an axis of its own [rad]."""

ZOOM = 0.2
"""How much larger things can be in an image."""

EXPOSURE, WHITE_BALANCE = 0.4, 0.1
"""Largest logarithms of the brightness, and of a colour channel's share of it."""

COLOUR = 0.3
"""Largest logarithm of the change of a colour channel of a shape."""


def _cameras(env: Any, factor: str) -> dict[str, Camera]:
    cameras = {name: sensor for name, sensor in env.scene.sensors.items() if isinstance(sensor, Camera)}
    if not cameras:
        raise ValueError(f"{factor} cannot be randomised: the scene has no camera.")
    return cameras


class CameraPose(Factor):
    """Where each camera is and where it looks, about its pose in what it hangs on."""

    # a pose that is read and written differs in its last digits, and a picture by a pixel
    always_applied = True

    def __init__(self, cfg: EventTermCfg, env: Any) -> None:
        self._cameras: list[Any] = list(_cameras(env, "camera_pose").values())
        self.width = 6 * len(self._cameras)
        self._poses: list[tuple[Tensor, Tensor]] = []
        super().__init__(cfg, env)

    def _apply(self, ids: Tensor) -> None:
        if not self._poses:
            for camera in self._cameras:
                positions, rotations = camera._view.get_local_poses()
                self._poses.append((positions.torch.clone(), rotations.torch.clone()))
        indices = wp.from_torch(ids.int(), dtype=wp.int32)
        for camera, (positions, rotations), amounts in zip(
            self._cameras, self._poses, self.amounts[ids].split(6, dim=1), strict=True
        ):
            moved = positions[ids] + POSITION * amounts[:, :3]
            turned = quat_mul(rotations[ids], quat_from_euler_xyz(*(ANGLE * amounts[:, 3:]).unbind(1)))
            camera._view.set_local_poses(
                wp.from_torch(moved.contiguous(), dtype=wp.vec3f),
                wp.from_torch(turned.contiguous(), dtype=wp.vec4f),
                indices,
            )
            # reads the pose, which a camera that does not move keeps, and renders anew
            camera.reset(ids.tolist())


class _PixelFactor(Factor):
    """Of what renderers share between environments, so that the pixels are changed instead."""

    def __init__(self, cfg: EventTermCfg, env: Any) -> None:
        _cameras(env, name_of(type(self)))
        super().__init__(cfg, env)

    def observe(self, group: str, values: Tensor) -> Tensor:
        if not (self.strength and _are_images(values)):
            return values
        self.affected = True
        return self._changed(values)

    def _changed(self, images: Tensor) -> Tensor:
        """Other images than these, uint8 (num_envs, height, width, 3 * cameras)."""
        raise NotImplementedError


class FieldOfView(_PixelFactor):
    """A longer lens: images are cropped about their centre and enlarged."""

    width = 1

    def _changed(self, images: Tensor) -> Tensor:
        shares = 1.0 / (1.0 + ZOOM * (self.amounts[:, 0] + self.strength) / 2)
        transforms = torch.zeros(len(images), 2, 3, device=images.device)
        transforms[:, 0, 0] = transforms[:, 1, 1] = shares.to(images.device)
        pixels = images.permute(0, 3, 1, 2).float()
        grid = affine_grid(transforms, list(pixels.shape), align_corners=False)
        enlarged = grid_sample(pixels, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return enlarged.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


class Lighting(_PixelFactor):
    """Brightness and colour of the light, as exposure and white balance of the images."""

    width = 4

    def _changed(self, images: Tensor) -> Tensor:
        amounts = self.amounts.to(images.device)
        gains = torch.exp(EXPOSURE * amounts[:, :1] + WHITE_BALANCE * amounts[:, 1:])
        gains = gains.repeat(1, images.shape[3] // 3)[:, None, None]
        return (images * gains).clamp(max=255.0).round().to(torch.uint8)


class Colours(Factor):
    """Colours of the shapes of each environment, each for itself. Shapes that environments share stay as they are."""

    def __init__(self, cfg: EventTermCfg, env: Any) -> None:
        models = [
            sensor.model
            for camera in _cameras(env, "colours").values()
            if (sensor := getattr(camera._renderer, "newton_sensor", None)) is not None
        ]
        if not models:
            raise ValueError(
                "colours cannot be randomised: the cameras' renderer has no colours that can be set for each"
                " environment; Newton's (`presets=newton_renderer`) has. Leave colours out."
            )
        self._colours = wp.to_torch(models[0].shape_color)
        self._nominal: Tensor | None = None
        worlds = wp.to_torch(models[0].shape_world).long()
        # -1 is shared
        (self._shapes,) = torch.where(worlds >= 0)
        self._worlds = worlds[self._shapes]
        # number of a shape in its environment
        order, counts = self._worlds.argsort(stable=True), torch.bincount(self._worlds)
        self._numbers = torch.empty_like(self._worlds)
        self._numbers[order] = (
            torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[self._worlds[order]]
        )
        self.width = 3 * int(self._numbers.max() + 1)
        super().__init__(cfg, env)

    def _apply(self, ids: Tensor) -> None:
        if self._nominal is None:
            self._nominal = self._colours.clone()
        begun = torch.isin(self._worlds, ids.to(self._worlds.device))
        shapes, amounts = self._shapes[begun], self.amounts.to(self._nominal.device)
        gains = torch.exp(COLOUR * amounts.view(len(amounts), -1, 3)[self._worlds[begun], self._numbers[begun]])
        self._colours[shapes] = (self._nominal[shapes] * gains).clamp(max=1.0)


def _are_images(values: Tensor) -> bool:
    return values.dtype == torch.uint8 and values.ndim == 4 and values.shape[3] % 3 == 0
