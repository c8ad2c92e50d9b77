# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What some decisions showed: numbers for the checks, instead of the images and states themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from gr00t_rl_ext.envs.decision import Outcome

CHANGED = 12
"""Difference of a colour, of 255, from which a pixel counts as changed: more than the noise of a renderer."""


@dataclass
class CameraSight:
    """What a camera showed."""

    brightness: float
    """Largest mean of all pixels, of 255, in an image."""

    contrast: float
    """Largest standard deviation of the pixels within a colour, mean over the environments."""

    is_the_same: bool
    """Whether all environments, where there are several, saw the very same at first."""

    changed: float = 0.0
    """Largest share of pixels that a decision changed, mean over the environments whose episode went on."""


@dataclass
class Sightings:
    """What was seen of environments, from their reset on."""

    obs: TensorDict
    """The first observations, (num_envs, ...)."""

    cameras: dict[str, CameraSight] = field(default_factory=dict)

    pictures: dict[str, Tensor] = field(default_factory=dict)
    """What each camera showed of the first environment at first, (height, width, 3), uint8, on the CPU."""

    states: list[Tensor] = field(default_factory=list)
    """States as the actor reads them, in the task's units, (num_envs, width): the first one, and those after decisions
    of the policy."""

    moved: float = 0.0
    """Largest change of a number of the state in a decision."""

    rewards: list[Tensor] = field(default_factory=list)
    """Those of the executed control steps of each decision, flat."""

    knows_success: bool = False
    """Whether the task tells of success."""

    ended: int = 0
    """Episodes that ended."""

    solved_at_once: int = 0
    """Episodes that ended in success at their first control step."""

    begun: int = 0
    """Episodes whose first control step was seen."""

    clipped: list[Tensor] = field(default_factory=list)
    """Of each decision of the policy, whether the environment changed an entry of the action, flat."""

    largest_action: float = 0.0
    """Of the policy, in the environment's units, before any clipping."""

    seconds: list[float] = field(default_factory=list)
    """That each decision of the policy took, its execution included."""


class Watch:
    """Fills :class:`Sightings` from decisions.

    Args:
        spec: What the actor reads of the task; None: nothing is known, so that cameras and states are not looked at.
        obs: The first observations.
    """

    def __init__(self, spec: Any, obs: TensorDict) -> None:
        self._spec = spec
        self.seen = Sightings(obs.clone())
        self._images, self._state = self._look(obs)
        for name, image in self._images.items():
            same = len(image) > 1 and bool((image == image[:1]).all())
            self.seen.pictures[name] = image[0].cpu()
            self.seen.cameras[name] = CameraSight(*_light(image), same)
        if self._state is not None:
            self.seen.states.append(self._state)
        # an environment whose latest decision ended an episode begins another one
        self._begins = torch.ones(obs.batch_size[0], dtype=torch.bool)

    def take(
        self, obs: TensorDict, dones: Tensor, outcome: Outcome, actions: Tensor, executed: Tensor, of_policy: bool
    ) -> None:
        """Take in a decision.

        Args:
            obs: What was observed after it.
            dones: Which episodes ended in it.
            outcome: What came of it.
            actions: What was decided, (num_envs, H * A).
            executed: What the environment made of that, likewise.
            of_policy: Whether the policy decided.
        """
        seen, ended = self.seen, dones.cpu() > 0
        steps = outcome.executed_steps
        executes = torch.arange(outcome.step_rewards.shape[1], device=steps.device) < steps.unsqueeze(1)
        seen.rewards.append(outcome.step_rewards[executes].float().cpu())
        seen.ended += int(ended.sum())
        seen.begun += int(self._begins.sum())
        if outcome.success is not None:
            seen.knows_success = True
            at_once = outcome.success.bool() & (outcome.episode_steps == 1)
            seen.solved_at_once += int((at_once.cpu() & self._begins).sum())
        self._begins = ended
        images, state = self._look(obs)
        for name, image in images.items():
            sight, (brightness, contrast) = seen.cameras[name], _light(image)
            # a picture may come up slowly, or a hand look at a plain surface for a while
            sight.brightness, sight.contrast = max(sight.brightness, brightness), max(sight.contrast, contrast)
            if not ended.all():
                difference = (image.int() - self._images[name].int()).abs().amax(-1) > CHANGED
                share = float(difference[~ended.to(difference.device)].float().mean())
                seen.cameras[name].changed = max(seen.cameras[name].changed, share)
        if state is not None and self._state is not None:
            if not ended.all():
                seen.moved = max(seen.moved, float((state - self._state)[~ended].abs().max()))
            if of_policy:
                seen.states.append(state)
        if of_policy:
            seen.clipped.append(((executed - actions).abs() > 1e-6).flatten().cpu())
            seen.largest_action = max(seen.largest_action, float(actions.abs().max()))
        self._images, self._state = images, state

    def _look(self, obs: TensorDict) -> tuple[dict[str, Tensor], Tensor | None]:
        """Images by camera, (num_envs, height, width, 3), and the state, copied: environments may write there again."""
        if self._spec is None:
            return {}, None
        images = [image for group in self._spec.image_groups for image in obs[group].clone().split(3, dim=-1)]
        groups = [obs[group].float() for group in self._spec.state_groups]
        state = torch.cat(groups, dim=-1).cpu() if groups else None
        return dict(zip(self._spec.cameras, images, strict=True)), state


def _light(image: Tensor) -> tuple[float, float]:
    """Mean of the pixels of (num_envs, height, width, 3), and their standard deviation within each colour."""
    pixels = image.float().flatten(1, 2)
    return float(pixels.mean()), float(pixels.std(1).mean())
