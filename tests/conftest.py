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


NETWORK_TESTS = {"gr00t", "policy", "algorithms", "robot", "footprint", "tools"}
"""Folders whose tests compute with tiny networks and no simulator."""


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Assets and checkpoints are built for these tests, not taken from the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GR00T_RL_EXT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _one_thread(request: pytest.FixtureRequest) -> Iterator[None]:
    """Networks this small only wait for each other's threads where cores are shared."""
    if request.path.parent.name not in NETWORK_TESTS:
        yield
        return
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def launch() -> Iterator[Callable[..., Any]]:
    """A function (cfg, make) that starts the simulation for a config and returns ``make()``, an environment.

    It closes the environment before: one simulation fits in a process.
    """
    with ExitStack() as current:

        def start(cfg: Any, make: Callable[[], Any]) -> Any:
            from isaaclab.app import launch_simulation

            from gr00t_rl_ext.envs import cuda_guard

            cuda_guard.install()
            current.close()
            cfg.sim.device = "cpu"
            cfg.seed = 0
            launcher = argparse.Namespace(device="cpu", headless=True, visualizer=None)
            current.enter_context(launch_simulation(cfg, launcher))
            env = make()
            current.callback(env.close)
            env.reset(seed=0)
            return env

        yield start


@pytest.fixture(scope="session")
def make_env(launch: Callable[..., Any]) -> Callable[..., Any]:
    """A function that creates an environment of a registered task."""

    def make(
        task: str = STACK,
        num_envs: int = 4,
        overrides: tuple[str, ...] = (),
        env_class: Any = None,
        has_cameras: bool = True,
    ) -> Any:
        import gymnasium as gym
        from isaaclab_tasks.utils import resolve_task_config

        import gr00t_rl_ext.tasks  # noqa: F401

        cfg, _ = resolve_task_config(task, None, overrides=[*(["presets=small_cameras"] * has_cameras), *overrides])
        cfg.scene.num_envs = num_envs
        if env_class is None:
            return launch(cfg, lambda: gym.make(task, cfg=cfg).unwrapped)
        cfg.video_recorders = []
        return launch(cfg, lambda: env_class(cfg))

    return make
