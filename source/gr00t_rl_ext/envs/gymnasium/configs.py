# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Config of a task made from a Gymnasium environment."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

PREFIX = "gym:"
"""How the name of a task begins that is a Gymnasium environment."""

IMAGES = "rgb"
"""The observation group with images, uint8 (num_envs, height, width, 3 * cameras)."""

ELAPSED_TIME = "elapsed_time"
"""An entry of every environment's observation: the part of the time limit that has passed, 0 to 1. Without it, a critic
cannot tell how likely success still is. Only groups that name it have it."""


class _Cfg(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ColumnsCfg(_Cfg):
    """Some columns of an entry of the environment's observation."""

    key: str = "observation"
    """Entry of a dictionary observation; ``arm.joints`` is one of a dictionary inside. Observations that are no
    dictionary have one entry, ``observation``. Every environment has :data:`ELAPSED_TIME` as well."""

    start: int = 0
    """First column of the flattened entry."""

    stop: int | None = None
    """Column after the last; None for the entry's end."""


class TermCfg(ColumnsCfg):
    """A term of an observation group: columns of the observation, or the difference of two such."""

    minus: ColumnsCfg | None = None
    """What is subtracted, of the same width."""

    scale: float = Field(default=1.0, allow_inf_nan=False)
    """What the numbers are multiplied with, for other units: 57.29578 makes degrees of radians."""

    offset: float = Field(default=0.0, allow_inf_nan=False)
    """What is added then."""


class CameraCfg(_Cfg):
    """A view of an environment. With the defaults, what it renders itself; under MuJoCo, its free camera, which sees
    the whole model."""

    observation: str | None = None
    """Entry of the observation that is a picture, such as ``pixels.front``; the other fields then have no use."""

    model_camera: str | None = None
    """A camera of the MuJoCo model by name; the other fields then have no use."""

    lookat: tuple[float, float, float] | None = None
    """Point that the camera looks at [m]."""

    distance: float | None = Field(default=None, gt=0)
    """Distance to that point [m]."""

    azimuth: float | None = None
    """Direction of view around the vertical axis [degrees]; 0 looks along +x, 90 along +y."""

    elevation: float | None = None
    """Direction of view against the horizontal plane [degrees]; -90 looks straight down."""

    @model_validator(mode="after")
    def _one_way(self) -> CameraCfg:
        pose = {name: getattr(self, name) for name in ("lookat", "distance", "azimuth", "elevation")}
        given = [name for name, value in pose.items() if value is not None]
        named = [name for name in ("observation", "model_camera") if getattr(self, name) is not None]
        if (given and (named or len(given) < len(pose))) or len(named) > 1:
            raise ValueError(
                f"a camera is `observation`, or `model_camera`, or all of {', '.join(pose)}, or nothing of these; got"
                f" {', '.join(named + given)}"
            )
        return self


STANDARD_CAMERAS = {"view": CameraCfg()}
"""The cameras of a task whose config names none."""


class GymnasiumEnvCfg(_Cfg):
    """A task made from a Gymnasium environment."""

    env_id: str
    """Id of the environment, such as ``FetchPickAndPlace-v4``; ``my_module:MyEnv-v0`` imports a module first."""

    env_kwargs: dict[str, Any] = {}
    """Arguments for ``gymnasium.make``."""

    num_envs: PositiveInt = 16
    """Environments."""

    num_workers: PositiveInt | None = None
    """Processes that the environments are spread over; None for one per available core. Never more than
    environments."""

    device: str = "cpu"
    """Where observations, rewards and actions are for the learner. The environments run on the CPU."""

    seed: int = Field(default=0, ge=0)
    """Episode k of environment i depends on this seed, i and k, and not on the number of workers."""

    task_file: str | None = None
    """The task file that the task is of."""

    instruction: str = "perform the default behavior"
    """What a vision-language-action policy is told."""

    groups: dict[str, dict[str, TermCfg]] = {}
    """Observation group -> name of the term -> what it is. Empty for one group ``state`` with the whole
    observation, each entry a term."""

    rgb: bool = False
    """Whether there is an observation group ``rgb`` with an image of each camera."""

    cameras: dict[str, CameraCfg] = STANDARD_CAMERAS
    """Name of the image -> camera. Environments without MuJoCo have one view, their own."""

    image_size: tuple[PositiveInt, PositiveInt] = (64, 64)
    """Height and width of an image [pixels]."""

    action_terms: dict[str, PositiveInt] = {}
    """Terms of the action of one control step in order, with their widths. Empty for one term ``action``."""

    max_worker_restarts: int = Field(default=3, ge=0)
    """How often in a run a worker that has ended is started again, with new episodes in its environments. Not for
    groups, whose members begin in one state."""

    worker_timeout_s: float = Field(default=600.0, gt=0.0, allow_inf_nan=False)
    """How long a worker may take for what it is asked [s]; then it is taken for one that hangs, and ended."""

    success_key: str | None = None
    """Entry of ``info`` that says whether the goal is reached. None looks for ``is_success`` and ``success`` in a first
    step; a task whose environment gives neither reports no success. An episode is a success if its last step is one."""

    success_reward: float | None = Field(default=None, allow_inf_nan=False)
    """The goal is reached in a step with at least this reward of the environment."""

    success_at_termination: bool = False
    """The goal is reached where the environment ends an episode, other than by its time."""

    terminate_on_success: bool = False
    """Whether reaching the goal ends the episode, as a termination."""

    reward: Literal["env", "sparse_success"] = "env"
    """``env``: the environment's. ``sparse_success``: 1 for a step in which the goal is reached, else 0."""

    max_episode_steps: PositiveInt | None = None
    """Time limit [control steps]; None for the one that the environment is registered with."""

    @property
    def rendered_cameras(self) -> dict[str, CameraCfg]:
        """Cameras whose pictures do not come with the observation."""
        return {name: camera for name, camera in self.cameras.items() if camera.observation is None}

    @property
    def observed_pictures(self) -> dict[str, str]:
        """Camera -> the entry of the observation that it reads, of the others."""
        return {name: camera.observation for name, camera in self.cameras.items() if camera.observation is not None}

    @property
    def read_entries(self) -> set[str]:
        """Entries of the observation that terms read."""
        columns = [term for terms in self.groups.values() for term in terms.values()]
        return {part.key for term in columns for part in (term, term.minus) if part is not None}

    @property
    def success_without_info(self) -> bool:
        """Whether reward or termination tell of success, whatever ``info`` holds."""
        return self.success_reward is not None or self.success_at_termination

    @property
    def success_told_by(self) -> str:
        """In words."""
        if self.success_reward is not None:
            return f"a reward of at least {self.success_reward:g}"
        if self.success_at_termination:
            return "the environment ends the episode before its time"
        return f"info[{self.success_key!r}]" if self.success_key else "info['is_success'] or info['success'], if there"

    @model_validator(mode="after")
    def _consistent(self) -> GymnasiumEnvCfg:
        told = {
            "success_key": self.success_key is not None,
            "success_reward": self.success_reward is not None,
            "success_at_termination": self.success_at_termination,
        }
        if sum(told.values()) > 1:
            names = " and ".join(f"`{name}`" for name, given in told.items() if given)
            raise ValueError(f"one thing tells whether the goal is reached, but there are {names}")
        if not self.instruction.strip():
            raise ValueError("`instruction` is empty; expected what the policy is told, such as 'pick up the block'")
        if IMAGES in self.groups:
            raise ValueError(f"`groups` cannot define {IMAGES!r}: it is the group of the images (`rgb`, `cameras`)")
        if self.rgb and not self.cameras:
            raise ValueError("`rgb` asks for images, but `cameras` is empty")
        return self

    def to_dict(self) -> dict[str, Any]:
        """What rsl_rl's loggers store."""
        return self.model_dump(mode="json")
