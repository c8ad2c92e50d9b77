# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Videos of the policy of a Gymnasium task while it trains; a logger that takes videos gets them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gr00t_rl_ext.attributes import replaced

EPISODES = 4
"""Episodes in a video."""

LIMIT = 60.0
"""Longest time that a video may take [s]: the training waits for it, and the user for what was trained."""


class Filming:
    """Films the policy of a runner, in environments of their own, which leaves the training as it is.

    Args:
        runner: Of rsl_rl, on environments of Gymnasium.
        env_cfg: Their config.
        interval: Decisions of each environment between videos; None: there is none before the end.
        at_end: Whether the last iteration is filmed.
    """

    def __init__(self, runner: Any, env_cfg: Any, interval: int | None, at_end: bool) -> None:
        self._runner, self._env_cfg, self._interval, self._at_end = runner, env_cfg, interval, at_end
        self._decisions = 0
        self.latest: str | None = None
        """What to tell of the latest video: the file, or why there is none. None: nothing was to be filmed."""

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Film while the runner learns."""
        original = self._runner.logger.log

        def log(*arguments: Any, it: int, total_it: int, **options: Any) -> None:
            self._film_if_due(it, total_it)
            original(*arguments, it=it, total_it=total_it, **options)

        with replaced(self._runner.logger, "log", log):
            yield

    def _film_if_due(self, iteration: int, end: int) -> None:
        before, self._decisions = self._decisions, self._decisions + self._runner.cfg["num_steps_per_env"]
        interval = self._interval
        is_due = interval is not None and before // interval < self._decisions // interval
        if is_due or (self._at_end and iteration == end - 1):
            print(
                f"Recording {EPISODES} episodes of the policy of iteration {iteration}, in {LIMIT:g} s at most ...",
                flush=True,
            )
            file = Path(self._runner.logger.log_dir) / "videos" / "train" / f"iteration_{iteration}.mp4"
            try:
                self.latest = self._film(file)
            except Exception as error:
                # without the traceback of a worker; what is trained is worth more than a video of it
                self.latest = f"none was recorded: {(str(error).splitlines() or [type(error).__name__])[0]}"
            print(f"video: {self.latest}")

    def _film(self, file: Path) -> str:
        from gr00t_rl_ext.envs.episodes import run_episodes
        from gr00t_rl_ext.envs.gymnasium.vec_env import GymnasiumVecEnv
        from gr00t_rl_ext.evaluation import footage

        runner, training = self._runner, self._runner.env.unwrapped
        cfg = self._env_cfg.model_copy(update={"num_envs": EPISODES})
        decide, deadline = runner.get_inference_policy(device=runner.device), time.monotonic() + LIMIT

        def watch_time(done: int) -> None:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{done} of {EPISODES} episodes were done after {LIMIT:g} s.")

        try:
            with contextlib.closing(GymnasiumVecEnv(cfg)) as env:
                env.configure_decisions(training.chunk_length, observation_groups=training.observation_groups)
                episodes = run_episodes(env, decide, EPISODES, cfg.seed, watch_time)
            return footage.film(env, episodes, cfg.seed, {file: range(EPISODES)}, deadline)
        finally:
            runner.alg.train_mode()
