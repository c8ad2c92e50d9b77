# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What Gymnasium-Robotics' Fetch environments observe and do, in terms of a robot policy.

The layout of their 25 numbers (10 for Reach, which has no object) is documented at
https://robotics.farama.org/envs/fetch/pick_and_place/. Velocities are per control step of 40 ms, as the environments
give them.
"""

from __future__ import annotations

from typing import Any

from gr00t_rl_ext.envs.gymnasium.configs import ELAPSED_TIME, CameraCfg, ColumnsCfg, TermCfg

_INSTRUCTIONS = {
    "Reach": "move the gripper to the red target",
    "Push": "push the block to the red target",
    "Slide": "slide the puck to the red target",
    "PickAndPlace": "pick up the block and move it to the red target",
}

_GOAL = TermCfg(key="desired_goal")


def fetch_settings(task: str, dense: bool) -> dict[str, Any]:
    """Settings of :class:`~gr00t_rl_ext.envs.gymnasium.configs.GymnasiumEnvCfg` for a Fetch environment.

    Observation groups: ``state`` (13: gripper and goal, what a robot knows), ``object`` (18: the object's pose and
    velocity, for agents that do not see it; not for Reach) and ``privileged`` (all there is and how much of
    the time has passed, for critics).

    Args:
        task: ``Reach``, ``Push``, ``Slide`` or ``PickAndPlace``.
        dense: Whether the environment's own reward, the negative distance to the goal, is asked for by its id.
    """
    has_object = task != "Reach"
    fingers, velocity = (9, 20) if has_object else (3, 5)
    state = {
        "gripper_position": _columns(0, 3),
        "finger_opening": _columns(fingers, fingers + 2),
        "gripper_velocity": _columns(velocity, velocity + 3),
        "finger_velocity": _columns(velocity + 3, velocity + 5),
        "goal_position": _GOAL,
    }
    groups = {"state": state}
    if has_object:
        groups["object"] = {
            "object_position": _columns(3, 6),
            "object_from_gripper": _columns(6, 9),
            "object_rotation": _columns(11, 14),
            "object_velocity_from_gripper": _columns(14, 17),
            "object_angular_velocity": _columns(17, 20),
            "goal_from_object": _difference("desired_goal", "achieved_goal"),
        }
    groups["privileged"] = {
        "observation": TermCfg(key="observation"),
        "achieved_goal": TermCfg(key="achieved_goal"),
        "desired_goal": _GOAL,
        "goal_from_achieved": _difference("desired_goal", "achieved_goal"),
        "elapsed_time": TermCfg(key=ELAPSED_TIME),
    }
    # the puck's target is up to a metre away
    lookat, distance = ((1.42, 0.75, 0.45), 1.5) if task == "Slide" else ((1.33, 0.75, 0.55), 1.0)
    return {
        "instruction": _INSTRUCTIONS[task],
        "groups": groups,
        "cameras": {
            "front": CameraCfg(lookat=lookat, distance=distance, azimuth=180.0, elevation=-35.0),
            "side": CameraCfg(lookat=lookat, distance=distance, azimuth=90.0, elevation=-15.0),
        },
        "action_terms": {"gripper_displacement": 3, "finger_opening": 1},
        "success_key": "is_success",
        "terminate_on_success": True,
        "reward": "env" if dense else "sparse_success",
    }


def _columns(start: int, stop: int) -> TermCfg:
    return TermCfg(start=start, stop=stop)


def _difference(key: str, minus: str) -> TermCfg:
    return TermCfg(key=key, minus=ColumnsCfg(key=minus))
