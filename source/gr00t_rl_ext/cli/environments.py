# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The environments of a task and the config of its agent, for the commands that act without training."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from gr00t_rl_ext.cli.arguments import is_gymnasium
from gr00t_rl_ext.cli.handler import default_device


@contextlib.contextmanager
def environments(
    arguments: argparse.Namespace,
    check: Callable[[Any], None] = lambda agent_cfg: None,
    prepare: Callable[[Any], None] = lambda env_cfg: None,
) -> Iterator[tuple[Any, Any]]:
    """Environments as rsl_rl sees them, of Isaac Lab or of Gymnasium, and the agent's config. Closed at the end.

    Args:
        arguments: ``task``, ``agent``, ``overrides`` (of both configs, as in training), ``num_envs``, ``device`` (None:
            the GPU if there is one) and ``seed``.
        check: Is given the agent's config before the simulator starts.
        prepare: Is given the config of Isaac Lab's environments, to change it.

    Raises:
        ValueError: Something of it does not exist or does not fit.
    """
    from gr00t_rl_ext.cli import checks

    checks.check_device(arguments.device)
    device = arguments.device or default_device()
    if is_gymnasium(arguments.task):
        from gr00t_rl_ext.tasks.gymnasium import resolution

        of_agent = arguments.agent, arguments.overrides
        env_cfg, agent_cfg = resolution.resolve(arguments.task, *of_agent, arguments.num_envs, device, arguments.seed)
        check(agent_cfg)
        with contextlib.closing(resolution.start(arguments.task, env_cfg)) as env:
            yield env, agent_cfg
        return
    spec = checks.find_task(arguments.task)
    checks.find_agent(spec, arguments.agent)
    checks.check_overrides(spec.id, arguments.agent, arguments.overrides)
    cfg, agent_cfg = checks.check_resolved(spec.id, arguments.agent, arguments.overrides)
    cfg.scene.num_envs = arguments.num_envs
    cfg.sim.device = agent_cfg.device = device
    cfg.seed = agent_cfg.seed = arguments.seed
    check(agent_cfg)
    prepare(cfg)

    from isaaclab.app import launch_simulation

    launcher = argparse.Namespace(device=device, headless=True, visualizer=None, enable_cameras=True)
    with launch_simulation(cfg, launcher):
        import gymnasium as gym
        from isaaclab_rl.rsl_rl import RslRlVecEnvWrapper

        env = RslRlVecEnvWrapper(gym.make(spec.id, cfg=cfg), clip_actions=agent_cfg.clip_actions)  # type: ignore[arg-type]
        with contextlib.closing(env):
            yield env, agent_cfg
