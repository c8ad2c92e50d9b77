# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A task file for a base task, with what that task has as comments."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from gr00t_rl_ext.tasks.files.schema import TO_EDIT

HAND = re.compile(r"hand|gripper|tool|wrist|end_?effector|ee_", re.IGNORECASE)
"""Names of bodies that a camera may hang on."""

NO_STATE = re.compile(r"action|image|height_scan", re.IGNORECASE)
"""Names of observation terms that are no state of a robot."""


@dataclass
class Scene:
    """What an environment of the base task has, read once."""

    base: str

    observations: dict[str, dict[str, tuple[int, ...]]] = field(default_factory=dict)
    """Group -> term -> shape."""

    actions: dict[str, int] = field(default_factory=dict)
    terminations: dict[str, bool] = field(default_factory=dict)
    """Name -> whether it is a time limit."""

    rewards: dict[str, float] = field(default_factory=dict)
    robots: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)
    """Articulation -> joints, bodies."""

    parts: list[str] = field(default_factory=list)
    """Of the scene, by name."""

    low: tuple[float, float, float] = (-0.5, -0.5, 0.0)
    high: tuple[float, float, float] = (0.5, 0.5, 1.0)
    """A box around bodies and objects [m], in the environment."""

    direct: bool = False
    """Whether it is a direct task, which has no terms: its observations are one term per group."""


def read_scene(env: Any, base: str) -> Scene:
    """Look at an environment that was reset."""
    scene, found = env.scene, Scene(base, direct=not hasattr(env, "observation_manager"))
    if found.direct:
        found.observations = {name: {name: tuple(value.shape[1:])} for name, value in env.obs_buf.items()}
        found.actions = {"action": int(np.prod(env.single_action_space.shape or (1,)))}
    else:
        for group, names in env.observation_manager.active_terms.items():
            shapes = env.observation_manager.group_obs_term_dim[group]
            found.observations[group] = {name: tuple(shape) for name, shape in zip(names, shapes, strict=True)}
        found.actions = dict(zip(env.action_manager.active_terms, env.action_manager.action_term_dim, strict=True))
        ends, rewards = env.termination_manager, env.reward_manager
        found.terminations = {name: bool(ends.get_term_cfg(name).time_out) for name in ends.active_terms}
        found.rewards = {name: rewards.get_term_cfg(name).weight for name in rewards.active_terms}
    found.parts = sorted([*scene.articulations, *scene.rigid_objects, *scene.sensors])
    points = []
    for name, robot in scene.articulations.items():
        found.robots[name] = (list(robot.joint_names), list(robot.body_names))
        points.append(robot.data.body_pos_w.torch[0])
    points += [thing.data.root_pos_w.torch[:1] for thing in scene.rigid_objects.values()]
    if points:
        inside = torch.cat(points).cpu() - scene.env_origins[0].cpu()
        low, high = inside.amin(0), inside.amax(0)
        found.low, found.high = tuple(low.tolist()), tuple(high.tolist())
    return found


def camera_poses(scene: Scene) -> dict[str, dict[str, Any]]:
    """Two cameras: one that sees the box from its front, and one on the hand, or from the side without one."""
    centre = [(low + high) / 2 for low, high in zip(scene.low, scene.high, strict=True)]
    size = max(0.4, *(high - low for low, high in zip(scene.low, scene.high, strict=True)))
    # at 45 degrees, the box fills two thirds of the picture
    away = 1.8 * size
    front = [centre[0] + away * 0.85, centre[1], centre[2] + away * 0.5]
    cameras = {"front_cam": {"pose": {"position": _rounded(front), "look_at": _rounded(centre)}}}
    bodies = next(iter(scene.robots.values()), ([], []))[1]
    hands = [body for body in bodies if HAND.search(body)]
    if hands:
        pose = {"position": [0.1, 0.0, -0.1], "look_at": [0.0, 0.0, 0.15]}
        cameras["wrist_cam"] = {"body": hands[-1], "pose": pose}
    else:
        side = [centre[0], centre[1] + away, centre[2] + away * 0.3]
        cameras["side_cam"] = {"pose": {"position": _rounded(side), "look_at": _rounded(centre)}}
    return cameras


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 2) + 0.0 for value in values]


def draft(scene: Scene, image_size: int) -> str:
    """The text of a task file.

    Args:
        scene: The base task.
        image_size: Height and width of the cameras [pixels].
    """
    own = scene.observations.get("policy", next(iter(scene.observations.values()), {}))
    state = [name for name, shape in own.items() if len(shape) == 1 and not NO_STATE.search(name)]
    ends = [name for name, is_limit in scene.terminations.items() if not is_limit]
    success = next((name for name in ends if "success" in name), None)
    lines = [
        f"# A task file over {scene.base}, written by scripts/new_task.py. docs/task_files.md explains its fields.",
        f"base: {scene.base}",
        f"id: {'Gr00t-' + scene.base.removeprefix('IsaacContrib-').removeprefix('Isaac-')}",
        "",
        "# What the policy is told: a sentence of the data that your checkpoint was fine-tuned on.",
        f"instruction: {TO_EDIT}",
        "",
        "# By the positions of the robot and the objects. Look at the pictures that the preflight saves.",
        "cameras:",
    ]
    for name, camera in camera_poses(scene).items():
        body = f"body: {camera['body']}, " if "body" in camera else ""
        pose = f"pose: {{position: {camera['pose']['position']}, look_at: {camera['pose']['look_at']}}}"
        lines.append(f"  {name}: {{{body}{pose}, size: [{image_size}, {image_size}]}}")
    for name, (joints, bodies) in scene.robots.items():
        lines += _comment(f"bodies of {name}", bodies) + _comment(f"joints of {name}", joints)
    lines += ["", "# What the policy knows of the robot, in the order of your checkpoint's keys.", "state:", "  terms:"]
    lines += [f"    - {name}  # {own[name][0]} numbers" for name in state] or [f"    - {TO_EDIT}"]
    for group, terms in scene.observations.items():
        lines += _comment(f"observations of {group}", [f"{name} {shape}" for name, shape in terms.items()])
    named = "survived, where the time runs out" if scene.direct else "a termination of the base task"
    lines += ["", f"# When it is solved: {named}, or {{func: NAME, params: {{...}}, hold_s: 0}}."]
    lines += [f"success: {success or TO_EDIT}"]
    lines += _comment(
        "terminations", [f"{name}{' (time limit)' * limit}" for name, limit in scene.terminations.items()]
    )
    own_terms = "" if scene.direct else "; or name: {func, weight, params}"
    lines += ["", f"# keep; success: 1 for it and nothing else{own_terms}.", "rewards: keep"]
    lines += _comment("rewards", [f"{name} {weight:g}" for name, weight in scene.rewards.items()])
    lines += ["", "# Control steps that are executed per decision.", "chunk_length: 8", "num_envs: 64"]
    lines += _comment("actions", [f"{name} {width}" for name, width in scene.actions.items()])
    lines += _comment("parts of the scene, as {entity: NAME}", scene.parts)
    lines += ["", "agents: [gr00t_ppo, gr00t_ppo_small, gr00t_flow_ppo, gr00t_flow_ppo_small, mlp_ppo]"]
    return "\n".join(lines) + "\n"


def _comment(label: str, values: Sequence[str]) -> list[str]:
    return [f"# {label}: {', '.join(values)}"] if values else []


def to_edit(text: str) -> list[str]:
    """Fields of a draft that only a person knows."""
    return re.findall(rf"^ *(\w+):(?: |\n *- ){TO_EDIT}$", text, re.MULTILINE)


def numbers(scene: Scene) -> Mapping[str, int]:
    """How much of each kind the base task has, for a summary."""
    return {
        "observation terms": sum(map(len, scene.observations.values())),
        "action terms": len(scene.actions),
        "terminations": len(scene.terminations),
        "rewards": len(scene.rewards),
        "robots": len(scene.robots),
    }
