# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Scripted experts, which know the simulator's state and solve a task without learning."""

from __future__ import annotations

from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from gr00t_rl_ext.imitation.experts.cubes import LiftExpert, StackExpert
from gr00t_rl_ext.imitation.experts.fetch import PickAndPlaceExpert, ReachExpert
from gr00t_rl_ext.imitation.experts.joint_space import JointStackExpert
from gr00t_rl_ext.imitation.experts.task_space import PoseStackExpert


class Expert(Protocol):
    """What recording asks of an expert, which acts in N environments at once."""

    binary: ClassVar[int | None]
    """Index of the gripper's action, which gets no noise; None where there is no gripper."""

    bounded: ClassVar[bool]
    """Whether actions are in [-1, 1], which noise shall not leave; else they are as large as the task needs."""

    robot_type: ClassVar[str]
    """Name of the robot in the dataset."""

    groups: ClassVar[tuple[str, ...]]
    """Observation groups that the expert reads, beside those that are recorded."""

    def __init__(self, num_envs: int, device: torch.device | str = "cpu") -> None: ...

    def reset(self, done: Tensor) -> None:
        """Begin anew where an episode ended. ``done`` is boolean, of shape (N,)."""
        ...

    def action(self, env: Any) -> Tensor:
        """The action of one control step for the environments' current state. Shape (N, A)."""
        ...


EXPERTS: dict[str, type[Expert]] = {
    "Isaac-Lift-Cube-Franka-IK-Rel-v0": LiftExpert,
    "Isaac-Stack-Cube-Franka-IK-Rel-v0": StackExpert,
    "Isaac-Stack-Cube-Franka-IK-Abs-v0": PoseStackExpert,
    "Isaac-Stack-Cube-Franka-v0": JointStackExpert,
    "gym:FetchReach-v4": ReachExpert,
    "gym:FetchReachDense-v4": ReachExpert,
    "gym:FetchPickAndPlace-v4": PickAndPlaceExpert,
    "gym:FetchPickAndPlaceDense-v4": PickAndPlaceExpert,
}
"""Task -> its expert."""
