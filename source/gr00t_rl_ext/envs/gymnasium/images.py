# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Pictures of the environments, rendered off screen in the worker processes."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.error import DependencyNotInstalled

from gr00t_rl_ext.envs.gymnasium.configs import CameraCfg, GymnasiumEnvCfg
from gr00t_rl_ext.envs.gymnasium.entries import Entries
from gr00t_rl_ext.envs.gymnasium.registry import TaskError
from gr00t_rl_ext.envs.gymnasium.state_copy import model_digest

BACK_END_VARIABLE = "MUJOCO_GL"
"""Environment variable that MuJoCo reads when it is imported."""

_BACK_ENDS = {"egl": "libegl1 libegl-mesa0", "osmesa": "libosmesa6"}
"""Back end -> Debian and Ubuntu packages that it needs."""

_SAMPLES = 2
"""Samples per pixel along each side."""

_TRIAL = "import mujoco; c = mujoco.GLContext(8, 8); c.make_current(); c.free()"


@dataclass(frozen=True)
class BackEnd:
    """How MuJoCo renders without a screen."""

    name: str | None
    """Value of ``MUJOCO_GL``; None if no value works."""

    problem: str | None = None
    """Why none works, and what to do."""


def choose_back_end() -> BackEnd:
    """What works on this machine: the user's choice of ``MUJOCO_GL`` if there is one, else EGL or OSMesa."""
    chosen = os.environ.get(BACK_END_VARIABLE)
    failures = {}
    for name in [chosen] if chosen else _BACK_ENDS:
        reason = _failure(name)
        if reason is None:
            return BackEnd(name)
        failures[name] = reason
    packages = " or ".join(f"`apt-get install {_BACK_ENDS[name]}` ({name})" for name in _BACK_ENDS)
    return BackEnd(
        None,
        "Images need MuJoCo's off-screen rendering, which does not work here: "
        + "; ".join(f"{BACK_END_VARIABLE}={name}: {reason}" for name, reason in failures.items())
        + f". Install the system libraries of one back end: {packages}. "
        + (f"Or unset {BACK_END_VARIABLE}, to have the back end chosen. " if chosen else "")
        + "Or train without the observation group `rgb`.",
    )


@functools.cache
def _failure(name: str) -> str | None:
    """Why a back end does not work; None if it does."""
    # in a process of its own: one that has loaded a back end cannot change it
    trial = subprocess.run(
        [sys.executable, "-c", _TRIAL],
        env=os.environ | {BACK_END_VARIABLE: name},
        capture_output=True,
        text=True,
        check=False,
    )
    if trial.returncode == 0:
        return None
    return (trial.stderr.strip().splitlines() or [f"exit code {trial.returncode}"])[-1]


class MujocoPictures:
    """Renders MuJoCo environments of one task.

    Args:
        env: One of them; what its model looks like is uploaded once for all.
        cameras: Name -> camera.
        size: Height and width of an image [pixels].
        slots: Where each camera's image stands among all.

    Raises:
        TaskError: If the model has no such camera.
    """

    def __init__(
        self, env: gym.Env, cameras: Mapping[str, CameraCfg], size: tuple[int, int], slots: Sequence[int]
    ) -> None:
        import mujoco

        self._mujoco: Any = mujoco  # its types are in a compiled module
        model = vars(env.unwrapped)["model"]
        names = [model.camera(index).name for index in range(model.ncam)]
        self._cameras: list[Any] = []
        self._slots = slots
        for name, cfg in cameras.items():
            if cfg.model_camera and cfg.model_camera not in names:
                raise TaskError(
                    f"`cameras.{name}.model_camera` is {cfg.model_camera!r}, which the environment's model does not"
                    f" have. It has: {', '.join(names) or 'none'}. Or give `lookat`, `distance`, `azimuth` and"
                    " `elevation`."
                )
            self._cameras.append(cfg.model_camera or self._free_camera(model, cfg))
        # four samples per pixel from a picture of twice the size: without a GPU, MuJoCo's own four take twice as long
        height, width = (_SAMPLES * length for length in size)
        model.vis.quality.offsamples = 0
        buffer = model.vis.global_
        buffer.offheight, buffer.offwidth = max(buffer.offheight, height), max(buffer.offwidth, width)
        self._renderer = mujoco.Renderer(model, height, width)
        self._kept = self._mujoco.MjData(model)

    def _free_camera(self, model: Any, cfg: CameraCfg) -> Any:
        camera = self._mujoco.MjvCamera()
        self._mujoco.mjv_defaultFreeCamera(model, camera)
        for name in ("lookat", "distance", "azimuth", "elevation"):
            if getattr(cfg, name) is not None:
                setattr(camera, name, getattr(cfg, name))
        return camera

    def render(self, env: gym.Env, image: np.ndarray) -> None:
        """Write an environment's images into ``image``, uint8 (height, width, 3 * cameras); its state is unchanged."""
        robot = env.unwrapped
        model, data = vars(robot)["model"], vars(robot)["data"]
        show_goal = getattr(robot, "_render_callback", None)
        if show_goal is not None:
            # it draws Gymnasium-Robotics' goal by moving a site, and evaluates the state anew, which would change the
            # solver's starting point and so the physics of environments that are looked at
            self._mujoco.mj_copyData(self._kept, model, data)
            sites = model.site_pos.copy()
            show_goal()
        for index, camera in zip(self._slots, self._cameras, strict=True):
            self._renderer.update_scene(data, camera)
            image[:, :, 3 * index : 3 * index + 3] = _mean_of_samples(self._renderer.render())
        if show_goal is not None:
            self._mujoco.mj_copyData(data, model, self._kept)
            model.site_pos[:] = sites

    def close(self) -> None:
        """Free the graphics context."""
        self._renderer.close()


def _mean_of_samples(picture: np.ndarray) -> np.ndarray:
    samples = [
        picture[row::_SAMPLES, column::_SAMPLES].astype(np.uint16)
        for row in range(_SAMPLES)
        for column in range(_SAMPLES)
    ]
    return functools.reduce(np.add, samples) // len(samples)


class OwnPictures:
    """What an environment without MuJoCo renders itself (``render_mode="rgb_array"``), scaled.

    Args:
        cfg: The task, of which only one view is possible.
        slot: Where its image stands among all.

    Raises:
        TaskError: If a camera is asked for that only MuJoCo has.
    """

    def __init__(self, cfg: GymnasiumEnvCfg, slot: int) -> None:
        if list(cfg.rendered_cameras.values()) != [CameraCfg()]:
            raise TaskError(
                f"`cameras` defines {', '.join(cfg.rendered_cameras)}, but the environment is not made with MuJoCo and"
                " has one fixed view. Leave `cameras` as it is by default, or name pictures of the observation."
            )
        self._cfg, self._slot = cfg, slot

    def render(self, env: gym.Env, image: np.ndarray) -> None:
        """Write the environment's picture into ``image``, uint8 (height, width, 3 * cameras).

        Raises:
            TaskError: If it gives none.
        """
        try:
            picture = as_rgb(env.render())
        except DependencyNotInstalled:
            raise
        except Exception as error:
            raise TaskError(
                f"The environment {self._cfg.env_id!r} gives no image: `render()`"
                f" {error if isinstance(error, TaskError) else f'raises {type(error).__name__}: {error}'}. Use an agent"
                " that does not observe `rgb`, or mend `render()` of the environment."
            ) from error
        image[:, :, 3 * self._slot : 3 * self._slot + 3] = _scaled(picture, self._cfg.image_size)

    def close(self) -> None:
        """Nothing to free."""


class Pictures:
    """The images of all cameras of a task, rendered or out of the observation.

    Args:
        cfg: The task.
        env: One of its environments.
        entries: Of its observation.
        back_end: How MuJoCo renders.

    Raises:
        TaskError: A camera does not exist, or nothing can be rendered here.
    """

    def __init__(self, cfg: GymnasiumEnvCfg, env: gym.Env, entries: Entries, back_end: BackEnd) -> None:
        self._cfg, self._entries = cfg, entries
        slots = {name: slot for slot, name in enumerate(cfg.cameras)}
        self._observed = [(slots[name], entry) for name, entry in cfg.observed_pictures.items()]
        self._renderer: MujocoPictures | OwnPictures | None = None
        if not (rendered := cfg.rendered_cameras):
            return
        own = [slots[name] for name in rendered]
        if model_digest(env) is None:
            self._renderer = OwnPictures(cfg, own[0])
        elif back_end.problem is not None:
            raise TaskError(back_end.problem)
        else:
            self._renderer = MujocoPictures(env, rendered, cfg.image_size, own)

    def render(self, env: gym.Env, observation: Any, image: np.ndarray) -> None:
        """Write an environment's images into ``image``, uint8 (height, width, 3 * cameras).

        Raises:
            TaskError: The environment gives none, or something that is no picture.
        """
        for slot, entry in self._observed:
            try:
                picture = as_rgb(self._entries.picture(observation, entry))
            except TaskError as error:
                raise TaskError(f"The entry {entry!r} of the observation of {self._cfg.env_id!r} {error}") from error
            image[:, :, 3 * slot : 3 * slot + 3] = _scaled(picture, self._cfg.image_size)
        if self._renderer is not None:
            self._renderer.render(env, image)

    def close(self) -> None:
        """Free the graphics context."""
        if self._renderer is not None:
            self._renderer.close()


def _scaled(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    height, width = size
    return np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX))


def as_rgb(picture: Any) -> np.ndarray:
    """What an environment renders as an image, uint8 (height, width, 3).

    Args:
        picture: (height, width) or (height, width, channels) in grey, RGB or RGBA, whose transparency is dropped.
            Numbers are 0 to 255, or 0 to 1 if they are floats of which none is larger.

    Raises:
        TaskError: If it is something else.
    """
    given = np.asarray(picture)
    pixels = given[..., None] if given.ndim == 2 else given
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or not pixels.size or pixels.dtype.kind not in "uif":
        what = "nothing" if picture is None else f"{type(picture).__name__} of shape {given.shape} and {given.dtype}"
        raise TaskError(f"returns {what}; expected an array (height, width, 3) of numbers")
    pixels = np.broadcast_to(pixels[..., :3], (*pixels.shape[:2], 3))
    if pixels.dtype == np.uint8:
        return pixels
    low, high = pixels.min(), pixels.max()
    if not 0 <= low <= high <= 255:
        raise TaskError(f"returns numbers from {low:g} to {high:g}; expected 0 to 255, or floats from 0 to 1")
    return np.rint(pixels * (255.0 if pixels.dtype.kind == "f" and high <= 1 else 1.0)).astype(np.uint8)
