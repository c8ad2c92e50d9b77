# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""All environments of a task: who runs them, and the memory shared with those."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gr00t_rl_ext.envs.gymnasium.configs import GymnasiumEnvCfg
from gr00t_rl_ext.envs.gymnasium.env_block import TaskFacts
from gr00t_rl_ext.envs.gymnasium.images import BackEnd, choose_back_end
from gr00t_rl_ext.envs.gymnasium.shared import SharedArrays
from gr00t_rl_ext.envs.gymnasium.workers import WorkerPool


class Fleet:
    """Worker processes with the environments of a task, and the arrays that they share with the learner.

    Whatever fails closes it: nothing is left behind by an error.

    Args:
        cfg: The task.

    Raises:
        ValueError: If the task cannot work; the text says why.
    """

    facts: TaskFacts

    def __init__(self, cfg: GymnasiumEnvCfg) -> None:
        self.seed = cfg.seed
        self._cfg = cfg
        self._back_end = choose_back_end() if cfg.rgb else BackEnd(None)
        self._num_workers = cfg.num_workers or len(os.sched_getaffinity(0))
        self._pool: WorkerPool | None = None
        self._arrays: SharedArrays | None = None
        self._start(1)
        self.facts = self.call("facts", {0: ()})[0]

    @property
    def num_workers(self) -> int:
        """Processes that run the environments."""
        return len(self._require(self._pool).blocks)

    def __getitem__(self, name: str) -> np.ndarray:
        """A shared array; copy what must outlive the next call."""
        return self._require(self._arrays)[name]

    def call(self, method: str, arguments: dict[int, tuple[Any, ...]]) -> dict[int, Any]:
        """As :meth:`~gr00t_rl_ext.envs.gymnasium.workers.WorkerPool.call`: worker -> arguments to worker -> result."""
        try:
            return self._require(self._pool).call(method, arguments)
        except (ValueError, RuntimeError):
            self.close()
            raise

    def call_for(self, method: str, env_ids: Iterable[int]) -> None:
        """Let workers call a method for those of these environments that each has."""
        ids: dict[int, list[int]] = {}
        for env in env_ids:
            ids.setdefault(self._worker_of[env], []).append(env)
        self.call(method, {worker: (own,) for worker, own in ids.items()})

    def worker_of(self, env_id: int) -> int:
        """The worker that runs an environment."""
        return self._worker_of[env_id]

    def share_memory(self, specs: Mapping[str, tuple[tuple[int, ...], type]]) -> None:
        """Replace the shared arrays by these, name -> shape and type.

        Those that were there in the same shape keep their content, others are zero.
        """
        old = self._arrays
        try:
            new = SharedArrays.create(specs)
        except ValueError:
            self.close()
            raise
        self._arrays = new
        if old is not None:
            new.take_over(old)
        self.tell_workers()
        if old is not None:
            old.close()

    def tell_workers(self) -> None:
        """Give all workers the arrays and the seed as they are now."""
        arguments = (self._require(self._arrays).layout, self.seed, self.facts.success_key)
        self.call("attach", dict.fromkeys(range(self.num_workers), arguments))

    def keep_together(self, group_size: int) -> bool:
        """Have groups of neighbouring environments in one process each.

        Returns:
            Whether the environments had to be made anew for that; then they must be reset.
        """
        pool = self._require(self._pool)
        if all(block[0] % group_size == 0 and len(block) % group_size == 0 for block in pool.blocks):
            return False
        pool.close()
        self._start(group_size)
        self.tell_workers()
        return True

    def close(self) -> None:
        """End the workers, give the memory back. Idempotent."""
        if self._pool is not None:
            self._pool.close()
        if self._arrays is not None:
            self._arrays.close()
        self._pool = self._arrays = None

    def _start(self, unit: int) -> None:
        """Start the workers, with blocks of environments that are multiples of ``unit``."""
        count = self._cfg.num_envs // unit
        parts = np.array_split(np.arange(count), min(self._num_workers, count))
        blocks = [range(int(part[0]) * unit, (int(part[-1]) + 1) * unit) for part in parts]
        self._worker_of = {env: worker for worker, block in enumerate(blocks) for env in block}
        self._pool = WorkerPool(self._cfg, blocks, self._back_end)

    @staticmethod
    def _require[T](resource: T | None) -> T:
        if resource is None:
            raise RuntimeError("The environments are closed.")
        return resource
