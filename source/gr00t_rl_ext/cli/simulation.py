# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Isaac Lab's simulator for scripts that Isaac Lab has no command for."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def simulated(task: str, cfg: Any, num_envs: int, device: str, seed: int) -> Iterator[Any]:
    """The environments of a task, without a window, from the launch of the simulator to their end.

    Args:
        task: Id of the task.
        cfg: The environment's config; its number of environments, device and seed are set.
        num_envs: Environments.
        device: Of the simulation.
        seed: Of the environments.

    Yields:
        What ``gym.make`` returns.
    """
    from isaaclab.app import launch_simulation

    cfg.scene.num_envs, cfg.sim.device, cfg.seed = num_envs, device, seed
    launcher = argparse.Namespace(device=device, headless=True, visualizer=None, enable_cameras=True)
    with launch_simulation(cfg, launcher):
        import gymnasium as gym

        env = gym.make(task, cfg=cfg)
        try:
            yield env
        finally:
            env.close()
