# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Isaac Lab environments for the tests: the real simulator, on the CPU, with offline assets."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from gr00t_rl_ext.assets.root import apply_on_import

os.environ.setdefault("GR00T_RL_EXT_ASSETS", "offline")
apply_on_import()

STACK = "Isaac-Stack-Cube-Franka-v0"
STACK_IK = "Isaac-Stack-Cube-Franka-IK-Rel-v0"


@pytest.fixture(scope="session")
def make_env() -> Iterator[Callable[..., Any]]:
    """A function that creates an environment and closes the one before it: one simulation fits in a process."""
    with ExitStack() as current:

        def make(task: str = STACK, num_envs: int = 4, overrides: tuple[str, ...] = (), env_class: Any = None) -> Any:
            import gymnasium as gym
            from isaaclab.app import launch_simulation
            from isaaclab_tasks.utils import resolve_task_config

            import gr00t_rl_ext.tasks  # noqa: F401
            from gr00t_rl_ext.envs import cuda_guard

            cuda_guard.install()

            current.close()
            cfg, _ = resolve_task_config(task, None, overrides=["presets=small_cameras", *overrides])
            cfg.scene.num_envs = num_envs
            cfg.sim.device = "cpu"
            cfg.seed = 0
            launcher = argparse.Namespace(device="cpu", headless=True, visualizer=None)
            current.enter_context(launch_simulation(cfg, launcher))
            if env_class is None:
                env = gym.make(task, cfg=cfg).unwrapped
            else:
                cfg.video_recorders = []
                env = env_class(cfg)
            current.callback(env.close)
            env.reset(seed=0)
            return env

        yield make
