# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The environments of a task and the config of its agent, for the commands that act without training."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from gr00t_rl_ext.cli.arguments import is_gymnasium


@contextlib.contextmanager
def environments(
    task: str, agent: str, overrides: Sequence[str], num_envs: int, device: str, seed: int
) -> Iterator[tuple[Any, Any]]:
    """Environments as rsl_rl sees them, of Isaac Lab or of Gymnasium, and the agent's config. Closed at the end.

    Args:
        task: Task id, or ``gym:`` and the id of a Gymnasium environment.
        agent: Name of an agent of the task.
        overrides: Of both configs, as in training.
        num_envs: Environments.
        device: Of the simulation and the agent.
        seed: Of both.

    Raises:
        ValueError: Something of it does not exist or does not fit.
    """
    if is_gymnasium(task):
        from gr00t_rl_ext.envs.gymnasium.vec_env import GymnasiumVecEnv
        from gr00t_rl_ext.tasks.gymnasium import resolution

        env_cfg, agent_cfg = resolution.resolve(task, agent, overrides, num_envs, device, seed)
        with contextlib.closing(GymnasiumVecEnv(env_cfg)) as env:
            yield env, agent_cfg
        return
    with _isaac_lab(task, agent, list(overrides), num_envs, device, seed) as made:
        yield made


@contextlib.contextmanager
def _isaac_lab(
    task: str, agent: str, overrides: list[str], num_envs: int, device: str, seed: int
) -> Iterator[tuple[Any, Any]]:
    from gr00t_rl_ext.cli import preflight

    spec = preflight.find_task(task)
    preflight.find_agent(spec, agent)
    preflight.check_overrides(spec.id, agent, overrides)
    cfg, agent_cfg = preflight.check_resolved(spec.id, agent, overrides)
    cfg.scene.num_envs, cfg.sim.device, cfg.seed = num_envs, device, seed
    agent_cfg.device, agent_cfg.seed = device, seed

    from isaaclab.app import launch_simulation

    launcher = argparse.Namespace(device=device, headless=True, visualizer=None, enable_cameras=True)
    with launch_simulation(cfg, launcher):
        import gymnasium as gym
        from isaaclab_rl.rsl_rl import RslRlVecEnvWrapper

        env = RslRlVecEnvWrapper(gym.make(spec.id, cfg=cfg), clip_actions=agent_cfg.clip_actions)  # type: ignore[arg-type]
        try:
            yield env, agent_cfg
        finally:
            env.close()
