# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Isaac Lab environments for the tests: the real simulator, on the CPU, with offline assets."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from gr00t_rl_ext.assets.root import apply_on_import

os.environ.setdefault("GR00T_RL_EXT_ASSETS", "offline")
# Networks this small only wait for each other's threads, and every process that a test starts shares the cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Without bytecode on disk, each program that a test starts compiles its 4,000 modules anew: 25 s of 40.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
apply_on_import()

STACK = "Isaac-Stack-Cube-Franka-v0"
STACK_IK = "Isaac-Stack-Cube-Franka-IK-Rel-v0"


LONG = ("integration", "assets")
"""Folders whose tests start programs for minutes: first, so that both processes have work until the end."""


def pytest_configure(config: pytest.Config) -> None:
    config.option.loadscopereorder = False  # pytest-xdist would begin with the files of the most tests


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.parent.name not in LONG)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Assets and checkpoints are built for these tests, not taken from the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GR00T_RL_EXT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def no_task_files() -> Iterator[None]:
    """Tasks that files define in the test are gone after it."""
    import gymnasium as gym

    from gr00t_rl_ext.envs.gymnasium import tasks
    from gr00t_rl_ext.tasks import gymnasium
    from gr00t_rl_ext.tasks.files import registered

    shipped = {task: spec for task, spec in gym.registry.items() if "task_file" in spec.kwargs}
    parts: list[dict[str, Any]] = [tasks.DEFINED, gymnasium.DEFINED, registered.SOURCES]  # type: ignore[list-item]
    before = [dict(part) for part in parts]
    yield
    for part, content in zip(parts, before, strict=True):
        part.clear()
        part.update(content)
    for task in [name for name, spec in gym.registry.items() if "task_file" in spec.kwargs]:
        del gym.registry[task]
    gym.registry.update(shipped)


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
