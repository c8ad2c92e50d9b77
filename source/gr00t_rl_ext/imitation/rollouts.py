# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Successful episodes of a policy over GR00T become demonstrations in GR00T's own keys and units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.envs.episodes import Episodes, repeat
from gr00t_rl_ext.gr00t import Embodiment, load_embodiment
from gr00t_rl_ext.imitation.lerobot_dataset import DatasetFormat, Episode, LeRobotWriter
from gr00t_rl_ext.imitation.recording import camera_images
from gr00t_rl_ext.policy.actor_critic import ActorDefinition
from gr00t_rl_ext.policy.options import Gr00tOptions
from gr00t_rl_ext.progress import progress_bar
from gr00t_rl_ext.robot.bound_mapping import BoundMapping, bind_mapping
from gr00t_rl_ext.robot.embodiment_mapping import EmbodimentMapping
from gr00t_rl_ext.robot.task_spec import TaskSpec


class RolloutError(ValueError):
    """GR00T cannot learn from a policy's episodes."""


@dataclass(frozen=True)
class Interface:
    """A task in the keys and units of a checkpoint, so that what is recorded fits its statistics."""

    spec: TaskSpec
    """The task."""

    embodiment: Embodiment
    """The robot as the checkpoint sees it."""

    mapping: BoundMapping
    """From the task's numbers to the checkpoint's."""

    cameras: tuple[str, ...]
    """The checkpoint's, in its order."""

    @classmethod
    def of(cls, definition: ActorDefinition) -> Interface:
        """Of the task and the checkpoint of a policy.

        Raises:
            RolloutError: Fine-tuning cannot learn what the policy does.
            ValueError: The checkpoint has no statistics, or the mapping does not fit.
        """
        spec, options = TaskSpec(**definition.spec), Gr00tOptions(**definition.actor.get("gr00t", {}))
        if options.embodiment_slot is not None:
            raise RolloutError(
                f"`agent.actor.gr00t.embodiment_slot` of the run is {options.embodiment_slot}, but fine-tuning finds"
                " the slot by the embodiment's tag. Distil a run whose `agent.actor.gr00t.embodiment_tag` has the slot."
            )
        mapping = EmbodimentMapping.load(options.mapping)
        if unused := mapping.unused.action:
            raise RolloutError(
                f"The mapping {options.mapping!r} leaves out the checkpoint's actions {', '.join(unused)}"
                " (`unused.action`). No rollout tells what they should be, so GR00T cannot be fine-tuned on rollouts."
            )
        directory, _ = definition.base()
        embodiment = load_embodiment(directory, options.embodiment_tag)
        bound = bind_mapping(mapping, spec, embodiment)
        cameras = embodiment.video_keys or tuple(mapping.video)
        return cls(spec, embodiment, bound, cameras if len(cameras) == len(bound.camera_order) else spec.cameras)

    def dataset_format(self, obs: TensorDict, step_dt: float) -> DatasetFormat:
        """Format of recordings of the task.

        Args:
            obs: An observation.
            step_dt: Duration of a control step [s].
        """
        state, action = ({s.key: s.dim for s in v.specs} for v in (self.embodiment.state, self.embodiment.action))
        sizes = {name: (images.shape[1], images.shape[2]) for name, images in self.images(obs).items()}
        return DatasetFormat(round(1.0 / step_dt), state, action, sizes, robot_type=self.embodiment.tag)

    def images(self, obs: TensorDict) -> dict[str, np.ndarray]:
        """Camera -> images (num_envs, H, W, 3), uint8."""
        shown = camera_images(obs, self.spec)
        return {name: shown[at] for name, at in zip(self.cameras, self.mapping.camera_order, strict=True)}

    def state(self, obs: TensorDict) -> np.ndarray:
        """(num_envs, width of the checkpoint's state), float32."""
        return self.mapping.state(torch.cat([obs[group].cpu() for group in self.spec.state_groups], dim=1)).numpy()

    def action(self, executed: Tensor) -> np.ndarray:
        """The task's actions (..., A) -> the checkpoint's, float32."""
        return self.mapping.inverse_action(executed).numpy()


@dataclass(frozen=True)
class Rollouts:
    """What came of some episodes of a policy."""

    attempted: int
    """Episodes."""

    succeeded: int
    """Those that the task's success term ended."""

    kept: int
    """Those that are recorded: the successful ones that ended alike when they were run again."""

    frames: int
    """Control steps that are recorded."""


def record_successes(
    env: Any, interface: Interface, episodes: Episodes, seed: int, writer: LeRobotWriter, label: str
) -> Rollouts:
    """Write the successful episodes of a policy, with what was seen before every control step, with a progress bar.

    A policy looks once per decision. So the episodes are run again by what was done in them, one control step at a
    time. An episode that then ends otherwise, where the physics is not deterministic, is left out.

    Args:
        env: The environments in which they were run. Decisions must be configured anew afterwards.
        interface: The task, as the checkpoint sees it.
        episodes: All that were run.
        seed: Their seed.
        writer: Of a dataset of the interface's format.
        label: Of the progress bar.

    Raises:
        RolloutError: The task has no success term.
    """
    if episodes.successes is None:
        raise RolloutError(
            "The task has no success term, so nothing tells which episodes GR00T should learn from. Give it one:"
            " CONTRIBUTING.md, Add a task."
        )
    succeeded = [number for number, success in enumerate(episodes.successes) if success]
    kept = frames = 0
    with progress_bar() as progress:
        bar = progress.add_task(label, total=len(succeeded))
        for number, episode in _repeated(env, interface, episodes, seed, succeeded):
            if episode.success and len(episode) == episodes.lengths[number]:
                writer.add(episode)
                kept, frames = kept + 1, frames + len(episode)
            progress.advance(bar)
    return Rollouts(len(episodes.lengths), len(succeeded), kept, frames)


def _repeated(
    env: Any, interface: Interface, episodes: Episodes, seed: int, numbers: list[int]
) -> Iterator[tuple[int, Episode]]:
    """Episodes by number, as they end."""
    spec = interface.spec
    env.unwrapped.configure_decisions(1, observation_groups=[*spec.image_groups, *spec.state_groups, *spec.used_groups])
    rows: dict[int, list[list[Any]]] = {number: [] for number in numbers}
    for decision in repeat(env, episodes, seed, numbers, stride=1):
        outcome = decision.outcome
        columns = interface.state(decision.obs), outcome.step_rewards[:, 0].numpy(), interface.images(decision.obs)
        told = spec.told(decision.obs)
        for index, number in decision.running.items():
            state, reward, images = columns
            # copies: views would keep the images of all environments
            rows[number].append([state[index], reward[index], *(image[index].copy() for image in images.values())])
        for index in decision.ended:
            number = decision.running[index]
            state, reward, *images = map(np.stack, zip(*rows.pop(number), strict=True))
            done = episodes.actions[number // env.num_envs][: len(state), index]
            yield (
                number,
                Episode(
                    state=state,
                    action=interface.action(_executed(env, done)),
                    reward=reward,
                    images=dict(zip(interface.cameras, images, strict=True)),
                    instruction=told[index],
                    success=outcome.success is not None and bool(outcome.success[index]),
                ),
            )


def _executed(env: Any, actions: Tensor) -> Tensor:
    """What was executed of actions (T, A), which may be clipped by Isaac Lab's wrapper or by the environment."""
    clip = getattr(env, "clip_actions", None)
    return env.unwrapped.executed(actions if clip is None else actions.clamp(-clip, clip))
