# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Scripted experts for Gymnasium-Robotics' Fetch tasks.

What they do is a function of the current state alone, without phases: a policy that sees the same state can imitate
them exactly, and what noise does to the arm is corrected from wherever it left it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gr00t_rl_ext.imitation.experts.motion import ServoLaw

ACTION_SCALE = 0.05
"""Displacement of the gripper for an action of 1 [m]; the environments' constant."""

OPEN, CLOSE = 1.0, -1.0

HELD_OPENING = 0.06
"""Distance of the fingers below which they may hold the block, whose edge is 0.05 [m]; open they are 0.1 apart."""

IN_HAND = 0.02
"""Distance between the block's centre and the point between the fingertips below which it can be in the hand [m]."""

GRASP = 0.015
"""Distance from the block, horizontally and vertically, from which the fingers close [m]."""

HOVER, SLOPE = 0.06, 3.0
"""The gripper comes down along a cone over the block: so much higher [m] per metre that it is away, and at most."""


@dataclass(frozen=True)
class FetchScene:
    """What an expert sees of N environments, in the world's frame [m]."""

    gripper: Tensor
    """Point between the fingertips. Shape (N, 3)."""

    opening: Tensor
    """Distance of the fingers. Shape (N,)."""

    moved: Tensor
    """What is to be moved to the goal: the gripper itself for Reach, else the object. Shape (N, 3)."""

    goal: Tensor
    """Shape (N, 3)."""

    @classmethod
    def read(cls, env: Any) -> FetchScene:
        """Read the current state of a :class:`~gr00t_rl_ext.envs.gymnasium.vec_env.GymnasiumVecEnv`, which must observe
        the group ``privileged``."""
        manager = env.observation_manager
        widths = [shape[0] for shape in manager.group_obs_term_dim["privileged"]]
        parts = env.get_observations()["privileged"].split(widths, dim=1)
        terms = dict(zip(manager.active_terms["privileged"], parts, strict=True))
        numbers = terms["observation"]
        # without an object there are 10 numbers, in which the fingers come right after the gripper
        fingers = 9 if numbers.shape[1] == 25 else 3
        return cls(
            gripper=numbers[:, :3],
            opening=numbers[:, fingers : fingers + 2].sum(dim=1),
            moved=terms["achieved_goal"],
            goal=terms["desired_goal"],
        )


class FetchExpert:
    """What reaching and carrying have in common.

    Args:
        num_envs: Number of environments N.
        device: Unused: an expert without memory computes where the observations are.
    """

    # the whole way at once, as far as an action reaches
    law = ServoLaw(gain=1.0, max_move=ACTION_SCALE, action_scale=ACTION_SCALE)

    binary: ClassVar[int | None] = 3
    bounded: ClassVar[bool] = True
    robot_type: ClassVar[str] = "fetch"
    groups: ClassVar[tuple[str, ...]] = ("privileged",)

    def __init__(self, num_envs: int, device: torch.device | str = "cpu") -> None: ...

    def reset(self, done: Tensor) -> None:
        """Nothing is remembered."""

    def action(self, env: Any) -> Tensor:
        """The action for the environments' current state: :meth:`act` on what it reads there."""
        return self.act(FetchScene.read(env))

    def act(self, scene: FetchScene) -> Tensor:
        """The action for a state.

        Returns:
            Displacement of the gripper and of its fingers. Shape (N, 4), in [-1, 1].
        """
        raise NotImplementedError


class ReachExpert(FetchExpert):
    """Moves the gripper to the goal."""

    def act(self, scene: FetchScene) -> Tensor:
        move = self.law.move_action(scene.goal - scene.gripper)
        return torch.cat((move, torch.zeros_like(move[:, :1])), dim=1)


class PickAndPlaceExpert(FetchExpert):
    """Grasps the block from above, carries it to the goal and holds it there. A block that slipped is fetched again."""

    def act(self, scene: FetchScene) -> Tensor:
        to_block = scene.moved - scene.gripper
        aside, height = to_block[:, :2].norm(dim=1), to_block[:, 2].abs()
        around = (aside < GRASP) & (height < GRASP)
        held = (to_block.norm(dim=1) < IN_HAND) & (scene.opening < HELD_OPENING)
        # a margin, so that the gripper is above the block before it is beside it
        above = torch.zeros_like(to_block)
        above[:, 2] = (SLOPE * (aside - 0.5 * GRASP)).clamp(0.0, HOVER)
        fetch = torch.where(around[:, None], to_block, to_block + above)
        # what is held moves with the gripper, so the error is that of the block
        move = torch.where(held[:, None], scene.goal - scene.moved, fetch)
        fingers = torch.where(around | held, CLOSE, OPEN)
        return torch.cat((self.law.move_action(move), fingers[:, None]), dim=1)
