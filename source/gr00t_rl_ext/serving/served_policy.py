# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Policies as servers give them: observations in the checkpoint's keys and units to actions in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.algorithms.checkpoint import check_format, check_header
from gr00t_rl_ext.gr00t import Embodiment
from gr00t_rl_ext.policy import export
from gr00t_rl_ext.policy.actor import Actor, HeadActor, require_continuous_actions
from gr00t_rl_ext.policy.actor_critic import ActorDefinition, class_path
from gr00t_rl_ext.policy.base_checkpoint import checked_robot
from gr00t_rl_ext.policy.flow_actor import Gr00tFlowActor
from gr00t_rl_ext.policy.options import Gr00tOptions
from gr00t_rl_ext.robot.bound_mapping import BoundMapping
from gr00t_rl_ext.robot.task_spec import DEFAULT_INSTRUCTION, TASK, TaskSpec
from gr00t_rl_ext.serving.protocol import DEFAULT_LANGUAGE_KEY, Observation, PolicyKeys

_STATE = "state"
"""Observation group of the state, where the state comes in the checkpoint's keys."""


class ServedPolicy:
    """A policy over GR00T that plays: no exploration, observations and actions as the checkpoint names them.

    The mapping between a task and the checkpoint is taken away: requests are in the checkpoint's keys and units.

    Args:
        actor: The policy. It belongs to this object from here on.

    Raises:
        ValueError: Its actions are choices, or the checkpoint does not name its cameras.
    """

    def __init__(self, actor: Actor) -> None:
        encoder = self.encoder = export.gr00t_of(actor)
        require_continuous_actions(encoder)
        self.actor = actor
        robot = encoder.inputs.embodiment
        self.instructions = encoder.spec.all_instructions
        """What the policy was trained with."""

        mapping, cameras = encoder.mapping, robot.video_keys
        if len(cameras) != len(mapping.camera_order):
            # it was trained with others, or does not name them: then the task's names count
            cameras = tuple(encoder.spec.cameras[at] for at in mapping.camera_order)
        state, action = ({spec.key: spec.dim for spec in vector.specs} for vector in (robot.state, robot.action))
        language = robot.language_key or DEFAULT_LANGUAGE_KEY
        # the head decides in the checkpoint's keys, an adapter in the task's numbers
        by_head = isinstance(actor, HeadActor)
        self._to_raw = (lambda actions: actions) if by_head else mapping.inverse_action
        self.undecided = () if by_head else _without(robot, mapping.action_index)
        """Keys of actions that the policy does not decide: they are answered as 0."""

        encoder.mapping = BoundMapping(tuple(range(len(cameras))), action_index=mapping.action_index)
        # one group for each camera, whose images may differ in size
        encoder.spec = self._spec = dataclasses.replace(
            encoder.spec,
            image_groups=tuple(f"video.{key}" for key in cameras),
            cameras=cameras,
            state_groups=(_STATE,),
            # each request says what it is told
            instructions=(),
            tasks=(),
        )
        self.keys = PolicyKeys(cameras, state, action, language, self.horizon)

    @property
    def horizon(self) -> int:
        """Control steps of an answer."""
        return self.actor.chunk_length

    @torch.inference_mode()
    def act(self, observation: Observation, seed: int | None = None) -> dict[str, np.ndarray]:
        """Decide.

        Args:
            observation: In the checkpoint's keys and units.
            seed: Of the noise that the decision draws. None: torch's generator goes on.

        Returns:
            Key -> actions (B, H, D), float32, in the checkpoint's units.
        """
        device, action = self.encoder.model.device, self.encoder.inputs.embodiment.action
        count = len(observation.instructions)
        obs: dict[str, Tensor] = {
            f"video.{key}": torch.from_numpy(np.ascontiguousarray(images)).to(device)
            for key, images in observation.video.items()
        }
        vectors = [observation.state[key] for key in self.keys.state]
        obs[_STATE] = torch.from_numpy(np.concatenate(vectors, axis=1)).to(device)
        # together, so that each draws the noise of its row, as where the environments are simulated here
        texts = tuple(dict.fromkeys(observation.instructions))
        self.encoder.tell(dataclasses.replace(self._spec, instruction=texts[0]), texts)
        if len(texts) > 1:
            columns = torch.tensor([texts.index(text) for text in observation.instructions], device=device)
            obs[TASK] = torch.nn.functional.one_hot(columns, len(texts)).float()
        cuda = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(cuda, enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            chunk = self.actor(TensorDict(obs, batch_size=[count]))
        raw = self._to_raw(chunk.view(count, self.horizon, -1)).float().cpu()
        return {key: raw[..., at].numpy() for key, at in action.slices().items()}


def load_trained(file: Path, saved: dict[str, Any], device: str, changes: Mapping[str, Any]) -> ServedPolicy:
    """The policy of a training checkpoint.

    Args:
        file: Where it was read.
        saved: The checkpoint.
        device: Where the policy lives.
        changes: Fields of ``agent.actor.gr00t``, such as a base checkpoint that moved.

    Raises:
        ValueError: It is of a policy without GR00T or of another GR00T, or cannot be loaded.
    """
    check_format(saved)
    if saved["base_name"] is None:
        raise ValueError(
            f"{str(file)!r} is of a policy without GR00T, which reads a simulator's state: GR00T's protocol has no"
            " place for it."
        )
    base, fingerprint = export.definition_of(saved).with_gr00t(**changes).base()
    check_header(saved, fingerprint, str(base))
    return ServedPolicy(export.load_trained(saved, device, **changes))


def load_native(checkpoint: str, device: str, changes: Mapping[str, Any]) -> ServedPolicy:
    """GR00T itself, as its own inference runs it.

    Args:
        checkpoint: Directory or hub id.
        device: Where the policy lives.
        changes: Fields of ``agent.actor.gr00t``.

    Raises:
        ValueError: It cannot be loaded, or does not name its cameras.
    """
    gr00t = {**changes, "checkpoint": checkpoint}
    robot = checked_robot(Gr00tOptions(**gr00t))
    if not robot.video_keys:
        raise ValueError(
            f"{checkpoint!r} does not name its cameras, in whose order images are given. Name a data config that does:"
            " agent.actor.gr00t.data_config=FILE with `video_keys`."
        )
    widths = {name: {spec.key: spec.dim for spec in getattr(robot, name).specs} for name in ("state", "action")}
    spec = TaskSpec(DEFAULT_INSTRUCTION, (), robot.video_keys, (_STATE,), widths["state"], widths["action"])
    settings = {"gr00t": gr00t, "freezing": {"train": []}, "chunk_length": None, "noise_scale": 1.0}
    actor = ActorDefinition(class_path(Gr00tFlowActor), dataclasses.asdict(spec), settings).make(device)
    return ServedPolicy(actor.eval())


def _without(robot: Embodiment, index: tuple[int, ...] | None) -> tuple[str, ...]:
    """Keys of actions of which a mapping uses no number."""
    if index is None:
        return ()
    used = set(index)
    return tuple(key for key, at in robot.action.slices().items() if not used.intersection(range(at.start, at.stop)))
