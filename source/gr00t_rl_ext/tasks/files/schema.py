# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a task file holds. Names of the base task are checked where the base is known, see ``environment``."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    field_validator,
    model_validator,
)

from gr00t_rl_ext.envs.gymnasium.configs import IMAGES, PREFIX, CameraCfg, TermCfg
from gr00t_rl_ext.randomisation import FACTORS

Number = Annotated[float, Field(allow_inf_nan=False)]
Vector = tuple[Number, Number, Number]


TO_EDIT = "EDIT ME"
"""Stands in a draft for what only a person knows."""

ONLY_TASK = "task"
"""Name of the task where there is one, with several instructions."""


def _is_name(value: str) -> str:
    if not value.isidentifier() or keyword.iskeyword(value):
        raise ValueError("it is no name: expected letters, digits and _, no digit first, and no word of Python")
    return value


Name = Annotated[str, AfterValidator(_is_name)]
"""Of something that becomes a field of a config."""


def _is_told(value: str) -> str:
    if value == TO_EDIT:
        raise ValueError("it is still to be edited: write what the policy is told")
    if not value.strip():
        raise ValueError("it is empty; expected what the policy is told, such as 'pick up the cube'")
    return value


Instruction = Annotated[str, AfterValidator(_is_told)]
"""What the policy is told."""


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _differ(value: list[str]) -> list[str]:
    if twice := next((text for text in value if value.count(text) > 1), None):
        raise ValueError(f"{twice!r} is there more than once")
    return value


Instructions = Annotated[
    list[Instruction],
    Field(min_length=1),
    AfterValidator(_differ),
    BeforeValidator(_listed, json_schema_input_type=str | list[str]),
]
"""One, or several that mean the same, of which an episode has one at random."""

Strength = Annotated[float, Field(strict=True, gt=0.0, allow_inf_nan=False)]


def _strong(value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        return value
    return dict.fromkeys(_differ(value), 1.0)


Strengths = Annotated[
    dict[Literal[(*FACTORS,)], Strength],  # type: ignore[valid-type]
    BeforeValidator(_strong, json_schema_input_type=list[Literal[(*FACTORS,)]] | dict[Literal[(*FACTORS,)], float]),  # type: ignore[valid-type]
]
"""Factor of randomisation -> its strength; a list is short for the strength 1."""


def _ascending(value: tuple[float, float]) -> tuple[float, float]:
    if not 0.0 <= value[0] < value[1] <= 1.0:
        raise ValueError("expected two shares in order, 0 to 1, such as [0.5, 0.9]")
    return value


Count = Annotated[int, Field(strict=True, gt=0)]

AGENTS = (
    "gr00t_ppo",
    "gr00t_grpo",
    "gr00t_flow_ppo",
    "gr00t_flow_grpo",
    "gr00t_lora_ppo",
    "gr00t_residual_ppo",
    "gr00t_adapter_ppo",
    "gr00t_adapter_grpo",
    "mlp_ppo",
)
"""Agents that a task file may have."""

SMALL_AGENTS = ("gr00t_ppo_small", "gr00t_flow_ppo_small", "gr00t_residual_ppo_small")
"""The same with settings for models that train on a CPU."""


RGB, PRIVILEGED = IMAGES, "privileged"
"""Observation groups that a file defines, beside that of the state. The second is for critics and MLPs."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Pose(_Part):
    """Where a camera is, and what it looks at."""

    position: Vector
    """[m], of an environment, or of the body that the camera hangs on."""

    look_at: Vector
    """A point in the middle of the picture [m], likewise."""

    up: Vector = (0.0, 0.0, 1.0)
    """What is up in the picture, likewise."""

    @model_validator(mode="after")
    def _looks_somewhere(self) -> Pose:
        forward = [there - here for here, there in zip(self.position, self.look_at, strict=True)]
        if all(abs(value) < 1e-9 for value in forward):
            raise ValueError("look_at is the position itself; expected a point in the middle of the picture")
        cross = [forward[i - 2] * self.up[i - 1] - forward[i - 1] * self.up[i - 2] for i in range(3)]
        if all(abs(value) < 1e-9 for value in cross):
            raise ValueError("up is the direction of view; expected another one, such as [1, 0, 0]")
        return self


class Camera(_Part):
    """A camera, whose images the policy sees."""

    pose: Pose
    body: str | None = None
    """Body of the robot that it hangs on, such as panda_hand. None: it stands in the environment."""

    size: tuple[Count, Count] = (224, 224)
    """Height and width [pixels]."""

    field_of_view: Annotated[float, Field(gt=0.0, lt=180.0)] = 45.0
    """Horizontal [degrees]."""


class Term(_Part):
    """A function of the environment."""

    func: str
    """Name in the base task's ``mdp`` or in Isaac Lab's, or ``module:name``."""

    params: dict[str, Any] = {}
    """Its arguments. A mapping with ``entity`` is a part of the scene: ``{entity: robot, body_names: [hand]}``."""


class Reward(Term):
    """A term of the reward."""

    weight: Number
    """Isaac Lab multiplies it by the time of a control step [s]."""


class Success(_Part):
    """When a task of Isaac Lab is solved."""

    term: str | None = None
    """A termination of the base task by name; ``survived`` of a direct task, where the time runs out."""

    func: str | None = None
    """Or a function of the environment that is true then, as of other terms."""

    params: dict[str, Any] = {}
    """Its arguments."""

    hold_s: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 0.0
    """How long it must be true without a break [s]."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Success:
        if (self.term is None) == (self.func is None):
            raise ValueError("expected one of term and func")
        if self.term is not None and self.params:
            raise ValueError("params are of func; the base task's termination has its own")
        return self


class State(_Part):
    """What the policy knows of the robot besides images."""

    terms: Annotated[list[str | Annotated[dict[Name, Term], Field(min_length=1)]], Field(min_length=1)]
    """Terms of the base task by name, or new ones as ``name: {func: ...}``."""

    @field_validator("terms")
    @classmethod
    def _once_each(cls, value: list[Any]) -> list[Any]:
        names = [name for entry in value for name in ([entry] if isinstance(entry, str) else entry)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)} is there more than once")
        return value


def _by_name(value: Any) -> Any:
    return {"term": value} if isinstance(value, str) else value


NamedSuccess = Annotated[Success, BeforeValidator(_by_name, json_schema_input_type=str | Success)]
"""A text is the name of a termination of the base task."""


class Gripper(_Part):
    """The gripper of a robot that takes the place of another one."""

    joints: Annotated[list[str], Field(min_length=1)]
    """Its joints."""

    open: Number
    """Their position when it is open [rad] or [m]."""

    closed: Number
    """Their position when it is closed, likewise."""


class Robot(_Part):
    """A robot in the place of the base task's."""

    cfg: str | None = None
    """``module:NAME`` of an ``ArticulationCfg``, such as ``isaaclab_so101.assets:SO101_CFG``."""

    file: str | None = None
    """Or a USD or URDF file, relative to the task file; ``DISTRIBUTION:PATH`` is one of an installed package."""

    part: Name = "robot"
    """Which part of the scene it replaces."""

    names: dict[str, str | list[str]] = {}
    """Joints and bodies as the base task names them -> this robot's that stand for them."""

    gripper: Gripper | None = None
    """None: it has none."""

    hand_offset: Vector = (0.0, 0.0, 0.0)
    """The point between the fingertips, in the body that stands for the hand [m]. Not given: as for the base task's."""

    position: Vector | None = None
    """Of its base in the environment [m]. None: the cfg's, or of a file the base task's robot's."""

    yaw: Number = 0.0
    """Of its base about z [degrees]; of a file only."""

    joint_pos: dict[str, Number] = {}
    """Default positions by joint [rad] or [m]; others are 0, or the cfg's."""

    stiffness: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] = 400.0
    """Of the joints' position control [N m/rad] or [N/m]; of a file only."""

    damping: Annotated[float, Field(ge=0.0, allow_inf_nan=False)] = 40.0
    """Likewise [N m s/rad] or [N s/m]."""

    disable_gravity: bool = False
    """Whether gravity does not pull at it; of a file only."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Robot:
        if (self.cfg is None) == (self.file is None):
            raise ValueError("expected one of cfg and file")
        own = [name for name in ("yaw", "stiffness", "damping", "disable_gravity") if name in self.model_fields_set]
        if self.cfg is not None and own:
            raise ValueError(f"{', '.join(own)} is of a file; the cfg has its own")
        return self


class ExpertOf(_Part):
    """A scripted expert, for demonstrations."""

    name: str
    """``module:name`` of a class like those of ``gr00t_rl_ext.imitation.experts``."""

    params: dict[str, Any] = {}
    """Attributes of the class that differ."""


class Start(_Part):
    """Initial states of a task that are nearer to success than its own."""

    func: str | None = None
    """A function like an event of Isaac Lab, ``(env, env_ids, **params)``, which puts environments there after their
    reset: of an mdp, or as module:name."""

    params: dict[str, Any] = {}
    """Its arguments."""

    states: str | None = None
    """In place of it: a file of ``record_demonstrations.py --states``, beside the task file."""

    progress: Annotated[tuple[Number, Number], AfterValidator(_ascending)] = (0.0, 1.0)
    """From and to which share of an episode of that file."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Start:
        if (self.func is None) == (self.states is None):
            raise ValueError("expected one of func and states")
        given = ("progress",) if self.states is None else ("params",)
        if own := [name for name in given if name in self.model_fields_set]:
            raise ValueError(f"{own[0]} does not go with {'func' if self.states is None else 'states'}")
        return self


class OneOfTasks(_Part):
    """One of several tasks in the same scene."""

    instruction: Instructions
    success: NamedSuccess
    """When it is solved."""

    rewards: dict[Name, Reward] = {}
    """Terms of the reward that count where an environment has this task, beside those that always count."""


class _AnyTask(_Part):
    """What tasks of all kinds have."""

    base: str
    """A task of Isaac Lab, such as Isaac-Reach-Franka, or ``gym:`` and the id of an environment of Gymnasium."""

    id: str | None = None
    """Name of the task. None: ``Gr00t-`` and the base's, without ``Isaac-``."""

    chunk_length: Count | None = None
    """Control steps that are executed per decision. None: as many as the checkpoint predicts."""

    num_envs: Count = 64
    """Environments to train in."""

    expert: ExpertOf | None = None
    """What ``record_demonstrations.py`` records."""

    agents: list[Literal[(*AGENTS, *SMALL_AGENTS)]] = list(AGENTS)  # type: ignore[valid-type]
    """Its agents."""

    overrides: dict[str, dict[str, Any]] = {}
    """Agent -> its fields that differ, such as ``{algorithm: {gamma: 0.995}}``."""

    @property
    def task_id(self) -> str:
        """Under which the task is registered."""
        return self.id or "Gr00t-" + self._base_name()

    def _base_name(self) -> str:
        return self.base.removeprefix("IsaacContrib-").removeprefix("Isaac-")

    @model_validator(mode="after")
    def _has_an_id(self) -> _AnyTask:
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", self.task_id):
            raise ValueError(
                f"the id is {self.task_id!r}; expected letters, digits, -, _ and . only, as in My-Reach-v0"
            )
        return self

    @model_validator(mode="after")
    def _overrides_agents(self) -> _AnyTask:
        if unknown := [name for name in self.overrides if name not in self.agents]:
            raise ValueError(f"overrides names {', '.join(unknown)}; agents has {', '.join(self.agents)}")
        return self


class TaskFile(_AnyTask):
    """A task of Isaac Lab."""

    cameras: Annotated[dict[Name, Literal["keep"] | Camera], Field(min_length=1)]
    """Cameras by name, in the order of the policy's; ``keep``: the base task's of that name."""

    state: State

    instruction: Instructions | None = None
    """What the policy is told."""

    success: NamedSuccess | None = None
    """When it is solved."""

    tasks: Annotated[dict[Name, OneOfTasks], Field(min_length=2)] | None = None
    """Several tasks in place of instruction and success. An episode has one of them."""

    robot: Robot | None = None
    """None: the base task's."""

    env: dict[str, Any] = {}
    """Other fields of the base task's config that differ, such as ``{actions: {arm_action: {scale: 1.0}}}``."""

    randomise: Strengths = {}
    """Factors that are drawn when an episode begins, with their strengths: 1 is the whole range, as for a list."""

    starts: dict[Name, Start] = {}
    """Initial states nearer to success, by name. ``agent.algorithm.start_sampling`` lets trainings draw them."""

    rewards: Literal["keep", "success"] | dict[Name, Reward] = "keep"
    """The base task's, 1 for success and nothing else, or these."""

    episode_length_s: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None = None
    """[s]. None: as the base task."""

    state_buffers: list[Name] | None = None
    """Tensors of a direct task, (num_envs, ...), that later control steps depend on, beside the scene's state. None:
    not known, so that it has no groups (GRPO)."""

    @property
    def told(self) -> dict[str, list[str]]:
        """Name of a task -> its instructions; empty where all environments are always told the same."""
        if self.tasks is not None:
            return {name: task.instruction for name, task in self.tasks.items()}
        return {ONLY_TASK: self.instruction} if self.instruction and len(self.instruction) > 1 else {}

    @model_validator(mode="after")
    def _says_what_to_do(self) -> TaskFile:
        given = [name for name in ("instruction", "success") if getattr(self, name) is not None]
        if self.tasks is None and len(given) < 2:
            missing = "instruction" if "instruction" not in given else "success"
            raise ValueError(f"{missing} is missing; expected instruction and success, or several tasks")
        if self.tasks is not None and given:
            raise ValueError(f"there are several tasks, each with its own {given[0]}; leave out the one beside them")
        if self.tasks is not None and self.starts:
            raise ValueError("starts are of one task; several tasks have their own initial states only")
        if "whole" in self.starts:
            raise ValueError("the start 'whole' is the task's own initial states; choose another name")
        texts = [text for listed in self.told.values() for text in listed]
        if twice := next((text for text in texts if texts.count(text) > 1), None):
            raise ValueError(f"{twice!r} is the instruction of several tasks, which nothing else would tell apart")
        return self

    @field_validator("cameras")
    @classmethod
    def _one_size(cls, value: dict[str, Any]) -> dict[str, Any]:
        sizes = {name: camera.size for name, camera in value.items() if camera != "keep"}
        if len(set(sizes.values())) > 1:
            listed = ", ".join(f"{name} {size[0]} x {size[1]}" for name, size in sizes.items())
            raise ValueError(f"all cameras need one size, since their images lie in one tensor; there are {listed}")
        return value


class Columns(_Part):
    """Observed numbers by name."""

    terms: Annotated[dict[Name, TermCfg], Field(min_length=1)]


class GymnasiumSuccess(_Part):
    """What tells that a task is solved: one of these."""

    info: str | None = None
    """An entry of ``info`` that is true then."""

    reward: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """The least reward of the environment in that step."""

    termination: Literal[True] | None = None
    """The environment ends the episode then, and for no other reason but its time."""

    ends_episode: bool = True
    """Whether the episode ends there."""

    @model_validator(mode="after")
    def _one_of_them(self) -> GymnasiumSuccess:
        given = [name for name in ("info", "reward", "termination") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"expected one of info, reward, termination; got {', '.join(given) or 'none'}")
        return self


class GymnasiumTaskFile(_AnyTask):
    """A task made from an environment of Gymnasium."""

    instruction: Instruction
    """What the policy is told."""

    kwargs: dict[str, Any] = {}
    """Arguments for ``gymnasium.make``."""

    cameras: dict[Name, CameraCfg] | None = None
    """Cameras by name, in the order of the policy's. None: the environment's own view."""

    image_size: tuple[Count, Count] = (224, 224)
    """Height and width of the images [pixels]."""

    state: Columns | None = None
    """What the policy knows of the robot. None: all that is observed and is no picture."""

    privileged: Columns | None = None
    """What critics and MLPs know besides, such as the pose of an object."""

    success: GymnasiumSuccess | None = None
    """None: the entry ``is_success`` or ``success`` of ``info``, where there is one."""

    rewards: Literal["keep", "success"] = "keep"
    """The environment's, or 1 for success and nothing else."""

    episode_steps: Count | None = None
    """Time limit [control steps]. None: as the environment."""

    actions: dict[Name, Count] = {}
    """Parts of the action by name, in order, with their widths. Empty: one, ``action``."""

    num_envs: Count = 16

    def _base_name(self) -> str:
        return re.split(r"[:/]", self.base)[-1]

    @field_validator("kwargs")
    @classmethod
    def _are_not_ours(cls, value: dict[str, Any]) -> dict[str, Any]:
        ours = {"render_mode": "it is chosen by what the agent sees", "max_episode_steps": "it is episode_steps here"}
        for name, reason in ours.items():
            if name in value:
                raise ValueError(f"{name} is none of the environment's own arguments: {reason}")
        return value


def kind_of(content: Mapping[Any, Any]) -> type[TaskFile] | type[GymnasiumTaskFile]:
    """Which of the two a file's content is to be read as."""
    return GymnasiumTaskFile if str(content.get("base", "")).startswith(PREFIX) else TaskFile


SCHEMA: TypeAdapter[TaskFile | GymnasiumTaskFile] = TypeAdapter(TaskFile | GymnasiumTaskFile)
"""Both, as editors are told."""
