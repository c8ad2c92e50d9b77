# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A task file for an environment of Gymnasium, with what that environment has as comments."""

from __future__ import annotations

import contextlib
import json
import keyword
import re
from typing import Any

import gymnasium as gym
import yaml

from gr00t_rl_ext.envs.gymnasium.configs import ELAPSED_TIME, PREFIX, GymnasiumEnvCfg
from gr00t_rl_ext.envs.gymnasium.entries import Entries, is_picture, leaves
from gr00t_rl_ext.envs.gymnasium.registry import SUCCESS_KEYS, load_spec, make_env
from gr00t_rl_ext.tasks.files.schema import TO_EDIT


def gymnasium_draft(base: str, image_size: int) -> str:
    """The text of a task file. One environment makes one step for it.

    Args:
        base: ``gym:`` and the id.
        image_size: Height and width of the images [pixels].

    Raises:
        TaskError: There is no such environment, or it cannot be a task.
    """
    env_id = base.removeprefix(PREFIX)
    limit = load_spec(env_id).max_episode_steps
    with contextlib.closing(make_env(GymnasiumEnvCfg(env_id=env_id))) as env:
        env.reset(seed=0)
        env.action_space.seed(0)
        _, reward, _, _, info = env.step(env.action_space.sample())
        pictures = [name for name, space in leaves(env.observation_space) if is_picture(space)]
        entries = Entries(env.observation_space, env_id, pictures)
        cameras = _model_cameras(env)
        renders, action = env.metadata.get("render_modes", []), env.action_space
    lines = [
        f"# A task file over {base}, written by scripts/new_task.py. docs/task_files.md explains its fields.",
        f"base: {base}",
        f"id: Gr00t-{base.replace('/', ':').rpartition(':')[2]}",
        "# arguments of gymnasium.make",
        "kwargs: {}",
        "",
        "# What the policy is told: a sentence of the data that your checkpoint was fine-tuned on.",
        f"instruction: {TO_EDIT}",
        "",
        "# What the policy sees: {observation: ENTRY}, {model_camera: NAME}, or {} for what the environment renders.",
        "cameras:",
        *([f"  {_name(name)}: {{observation: {_text(name)}}}" for name in pictures] or ["  view: {}"]),
        f"image_size: [{image_size}, {image_size}]",
        *([f"# cameras of the model: {', '.join(cameras)}"] if cameras else []),
    ]
    if not pictures and "rgb_array" not in renders:
        lines.append(f"# it names no render mode rgb_array, which a view needs; it has: {', '.join(renders) or 'none'}")
    lines += [
        "",
        "# What the policy knows of the robot. start and stop choose columns; scale changes units.",
        "state:",
        "  terms:",
        *_terms(entries),
        "# What critics and MLPs know besides: privileged: {terms: {...}}.",
        "",
        "# When it is solved: {info: ENTRY}, {reward: LEAST} or {termination: true}.",
        *_success(info),
        f"# after one step: reward {_line(reward)}, info {_line(', '.join(map(str, info))) or 'empty'}",
        "",
        "# keep; success: 1 for it and nothing else.",
        "rewards: keep",
        *([] if limit else ["# it has no time limit of its own"]),
        f"episode_steps: {limit or TO_EDIT}",
        "",
        "# Control steps that are executed per decision.",
        "chunk_length: 8",
        "num_envs: 16",
        f"# actions: {_line(action)}",
        "",
        *_agents(action),
    ]
    return "\n".join(lines) + "\n"


def _success(info: dict[str, Any]) -> list[str]:
    """The line of the success, by what a step told."""
    known = next((name for name in SUCCESS_KEYS if name in info), None)
    likely = known or next((name for name in info if "succ" in str(name).lower()), None)
    return [f"success: {{info: {_text(str(likely))}}}" if likely else f"success: {TO_EDIT}"]


def _model_cameras(env: gym.Env) -> list[str]:
    """Named cameras of a MuJoCo model, where the environment has one as Gymnasium's do."""
    model = vars(env.unwrapped).get("model")
    if not hasattr(model, "ncam"):
        return []
    return [name for index in range(model.ncam) if (name := model.camera(index).name)]


def _terms(entries: Entries) -> list[str]:
    if not entries.columns:
        return [f"    {ELAPSED_TIME}: {{key: {ELAPSED_TIME}}}  # it observes pictures only; 1 number, of the time"]
    return [f"    {_name(name)}: {{key: {_text(name)}}}  # {len(own)} numbers" for name, own in entries.columns.items()]


def _agents(action: gym.Space) -> list[str]:
    if isinstance(action, gym.spaces.Box):
        return ["agents: [gr00t_ppo, gr00t_ppo_small, gr00t_flow_ppo, gr00t_flow_ppo_small, mlp_ppo]"]
    return ["# actions are choices: the agents over GR00T of task files are for numbers", "agents: [mlp_ppo]"]


def _name(entry: str) -> str:
    """An entry as a field's name."""
    name = re.sub(r"\W", "_", entry)
    is_name = name.isidentifier() and not keyword.iskeyword(name) and isinstance(yaml.safe_load(name), str)
    return name if is_name else f"entry_{name}"


def _text(value: str) -> str:
    """A text as YAML has it, in one line."""
    return value if re.fullmatch(r"[A-Za-z_][\w.]*", value) and yaml.safe_load(value) == value else json.dumps(value)


def _line(value: object) -> str:
    """Something as a comment has it."""
    return " ".join(str(value).split())
