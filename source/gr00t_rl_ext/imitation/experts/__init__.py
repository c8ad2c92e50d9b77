# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Scripted experts, which know the simulator's state and solve a task without learning."""

from gr00t_rl_ext.imitation.experts.cubes import CubeExpert, LiftExpert, Phase, StackExpert
from gr00t_rl_ext.imitation.experts.expert import Expert
from gr00t_rl_ext.imitation.experts.fetch import FetchExpert, FetchScene, PickAndPlaceExpert, ReachExpert
from gr00t_rl_ext.imitation.experts.motion import ServoLaw
from gr00t_rl_ext.imitation.experts.scene import CubeScene

EXPERTS: dict[str, type[Expert]] = {
    "Isaac-Lift-Cube-Franka-IK-Rel-v0": LiftExpert,
    "Isaac-Stack-Cube-Franka-IK-Rel-v0": StackExpert,
    "gym:FetchReach-v4": ReachExpert,
    "gym:FetchReachDense-v4": ReachExpert,
    "gym:FetchPickAndPlace-v4": PickAndPlaceExpert,
    "gym:FetchPickAndPlaceDense-v4": PickAndPlaceExpert,
}
"""Task -> its expert."""

__all__ = [
    "EXPERTS",
    "CubeExpert",
    "CubeScene",
    "Expert",
    "FetchExpert",
    "FetchScene",
    "LiftExpert",
    "Phase",
    "PickAndPlaceExpert",
    "ReachExpert",
    "ServoLaw",
    "StackExpert",
]
