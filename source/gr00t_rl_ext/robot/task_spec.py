# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a policy must know of a task, read from the environment once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from tensordict import TensorDict

STATE = "state"
"""Observation group of the robot's state, float32 (num_envs, width)."""

TASK = "task"
"""Observation group that tells what each environment is told, where they are told different things: 1 in the column of
its instruction, 0 in the others, (num_envs, instructions)."""

DEFAULT_INSTRUCTION = "perform the default behavior"
"""What GR00T is told when a task says nothing; GR00T's own fine-tuning data uses this sentence."""


@dataclass(frozen=True)
class TaskSpec:
    """Interface of a task."""

    instruction: str
    """What the policy is told; the first of :attr:`instructions` where there are several."""

    image_groups: tuple[str, ...]
    """Observation groups with images, uint8 (num_envs, height, width, 3 * cameras)."""

    cameras: tuple[str, ...]
    """Names of the images of an observation, over all image groups, in order."""

    state_groups: tuple[str, ...]
    """Observation groups of proprioception that the actor reads, (num_envs, width)."""

    state_terms: dict[str, int]
    """Terms of the state groups in order, with their widths."""

    action_terms: dict[str, int]
    """Terms of the action of one control step in order, with their widths."""

    action_choices: tuple[int, ...] = ()
    """Number of choices of each component of a discrete action, as many as the action is wide; empty for continuous
    actions."""

    instructions: tuple[str, ...] = ()
    """What environments are told, in the order of the columns of :data:`TASK`; empty: all the same."""

    tasks: tuple[str, ...] = ()
    """Name of the task that each of them belongs to."""

    def __post_init__(self) -> None:
        # JSON, in which a checkpoint keeps the spec, knows no tuples
        for name in ("image_groups", "cameras", "state_groups", "action_choices", "instructions", "tasks"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    @property
    def num_cameras(self) -> int:
        """Images per observation, over all image groups."""
        return len(self.cameras)

    @property
    def state_dim(self) -> int:
        """Width of the concatenated state."""
        return sum(self.state_terms.values())

    @property
    def action_dim(self) -> int:
        """Width of the action of one control step: numbers, or components of a discrete action."""
        return sum(self.action_terms.values())

    def digest(self) -> str:
        """Short hash that is equal for equal specs with their terms in equal order."""
        fields = asdict(self)
        # as before there were several
        for name in ("instructions", "tasks"):
            if not fields[name]:
                del fields[name]
        return hashlib.sha256(json.dumps(fields).encode()).hexdigest()[:12]

    @property
    def all_instructions(self) -> tuple[str, ...]:
        """What environments may be told: :attr:`instructions`, or the only one."""
        return self.instructions or (self.instruction,)

    @property
    def task_names(self) -> tuple[str, ...]:
        """Names of the tasks, each once; empty where there is one."""
        return tuple(dict.fromkeys(self.tasks))

    @property
    def used_groups(self) -> tuple[str, ...]:
        """Observation groups that are needed whatever a policy reads."""
        return (TASK,) if self.instructions else ()

    def told(self, obs: TensorDict) -> list[str]:
        """The instruction of each environment, (num_envs,).

        Args:
            obs: Observations, with :data:`TASK` where there are several.
        """
        if not self.instructions:
            return [self.instruction] * obs.batch_size[0]
        return [self.instructions[index] for index in obs[TASK].argmax(-1).tolist()]

    def task_index(self, obs: TensorDict) -> torch.Tensor | None:
        """Which of :attr:`task_names` each environment has, (num_envs,) int64; None where there is one."""
        if not self.instructions:
            return None
        names = self.task_names
        of_column = torch.tensor([names.index(name) for name in self.tasks], device=obs[TASK].device)
        return of_column[obs[TASK].argmax(-1)]

    @classmethod
    def from_env(cls, env: Any, obs: TensorDict, actor_groups: Sequence[str], *, over_gr00t: bool = True) -> TaskSpec:
        """Read the spec from an Isaac Lab environment.

        Args:
            env: The unwrapped environment.
            obs: An observation, to tell images from vectors.
            actor_groups: Observation groups of the actor (``agent.obs_groups["actor"]``).
            over_gr00t: Whether the actor is over GR00T, which needs images and the state. Else it reads vectors only.

        Raises:
            ValueError: If a group does not exist, has another layout, or images or the state are missing; or if there
                are images that the actor cannot read.
        """
        available = ", ".join(f"{name} {tuple(value.shape[1:])} {value.dtype}" for name, value in obs.items())
        for group in actor_groups:
            if group not in obs.keys():
                raise ValueError(
                    f"The actor reads the observation group {group!r}, which the task does not have. It offers: "
                    f"{available}. Change `agent.obs_groups`, or add the group to the task's `observations` config."
                )
        image_groups = tuple(group for group in actor_groups if obs[group].dtype == torch.uint8)
        state_groups = tuple(group for group in actor_groups if group not in image_groups)
        if image_groups and not over_gr00t:
            vectors = [name for name, value in obs.items() if value.ndim == 2]
            raise ValueError(
                f"The actor reads vectors only, but `agent.obs_groups.actor` names {image_groups[0]!r}, which holds"
                f" images. Leave it out; the task's groups of vectors are: {', '.join(vectors)}. Or use an agent with"
                " GR00T, such as `gr00t_ppo`."
            )
        if over_gr00t and not image_groups:
            raise ValueError(
                "GR00T needs at least one camera, but none of the actor's observation groups"
                f" ({', '.join(actor_groups)}) holds uint8 images. The task offers: {available}. Add a group of"
                " `mdp.image_rgb(..., normalize=False)` terms to the task and name it in `agent.obs_groups`."
            )
        if not state_groups:
            raise ValueError(
                f"GR00T needs the robot's state, but the actor reads only images ({', '.join(actor_groups)}). The task"
                f" offers: {available}. Name a group of vectors in `agent.obs_groups`."
            )
        for group in actor_groups:
            shape = tuple(obs[group].shape[1:])
            if group in image_groups and (len(shape) != 3 or shape[-1] % 3 != 0):
                raise ValueError(
                    f"The image group {group!r} has the shape {shape} per environment; expected (height, width, 3 *"
                    " cameras): RGB images of equal size, concatenated along the channels."
                )
            if group in state_groups and len(shape) != 1:
                raise ValueError(
                    f"The state group {group!r} has the shape {shape} per environment; expected one dimension."
                    " Concatenate its terms (`concatenate_terms = True`)."
                )
        told = getattr(env, "task_set", None)
        instructions, tasks = ((), ()) if told is None else (told.instructions, told.tasks)
        if instructions and getattr(env.cfg, "instruction", None) is not None:
            raise ValueError(
                f"`env.instruction` is {env.cfg.instruction!r}, but environments are told different things here:"
                f" {', '.join(map(repr, instructions))}. Leave it out; `env.commands.task.told` has them."
            )
        return cls(
            instruction=instructions[0] if instructions else getattr(env.cfg, "instruction", DEFAULT_INSTRUCTION),
            instructions=instructions,
            tasks=tasks,
            image_groups=image_groups,
            cameras=_cameras(env, obs, image_groups),
            state_groups=state_groups,
            state_terms=_state_terms(env, obs, state_groups),
            action_terms=_action_terms(env),
            action_choices=tuple(getattr(env, "action_choices", ())),
        )


def unique_names(terms: Mapping[str, Iterable[str]]) -> list[str]:
    """Names of all terms of some observation groups; a name that stood in an earlier group gets its group's name."""
    names: list[str] = []
    for group, members in terms.items():
        names += [name if name not in names else f"{group}_{name}" for name in members]
    return names


def _cameras(env: Any, obs: TensorDict, groups: Sequence[str]) -> tuple[str, ...]:
    terms: dict[str, list[str]] = {}
    for group in groups:
        channels = _widths(env, obs, group)
        # a term may hold several images; only then are they numbered
        terms[group] = [
            name if count == 3 else f"{name}_{index}" for name, count in channels.items() for index in range(count // 3)
        ]
    return tuple(unique_names(terms))


def _state_terms(env: Any, obs: TensorDict, groups: Sequence[str]) -> dict[str, int]:
    widths = {group: _widths(env, obs, group) for group in groups}
    return dict(
        zip(unique_names(widths), (width for terms in widths.values() for width in terms.values()), strict=True)
    )


def _widths(env: Any, obs: TensorDict, group: str) -> dict[str, int]:
    """Term of an observation group -> its last dimension. A direct task may name terms in ``observation_terms``."""
    manager = getattr(env, "observation_manager", None)
    if manager is not None:
        shapes = zip(manager.active_terms[group], manager.group_obs_term_dim[group], strict=True)
        return {name: int(shape[-1]) for name, shape in shapes}
    if (named := getattr(env, "observation_terms", {}).get(group)) is not None:
        return {name: int(shape[-1]) for name, shape in named.items()}
    return {group: int(obs[group].shape[-1])}


def _action_terms(env: Any) -> dict[str, int]:
    manager = getattr(env, "action_manager", None)
    if manager is None:
        return {"action": int(env.control_action_dim)}
    return dict(zip(manager.active_terms, manager.action_term_dim, strict=True))
