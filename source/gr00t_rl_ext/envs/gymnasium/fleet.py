# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Worker processes that run the environments of a task, and the memory shared with them."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver, resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np
from gymnasium.error import DependencyNotInstalled

from gr00t_rl_ext.envs.gymnasium.configs import GymnasiumEnvCfg
from gr00t_rl_ext.envs.gymnasium.env_block import EnvBlock, TaskFacts
from gr00t_rl_ext.envs.gymnasium.failures import WorkerEndedError, WorkerError
from gr00t_rl_ext.envs.gymnasium.images import BACK_END_VARIABLE, BackEnd, choose_back_end
from gr00t_rl_ext.envs.gymnasium.registry import TaskError
from gr00t_rl_ext.envs.gymnasium.shared import SharedArrays

_OF_JOBS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C reaches all processes of a terminal, and a cluster's signals all of a job."""

_CLOSING_SECONDS = 5.0
"""How long a worker may take to end before it is killed."""


class Fleet:
    """Processes with blocks of environments, and the arrays that they share with the learner.

    Whatever fails closes it: nothing is left behind by an error.

    Args:
        cfg: The task.

    Raises:
        ValueError: If the task cannot work; the text says why.
    """

    facts: TaskFacts

    blocks: list[range]
    """The environments of each worker."""

    def __init__(self, cfg: GymnasiumEnvCfg) -> None:
        self.seed = cfg.seed
        self._cfg = cfg
        self._back_end = choose_back_end() if cfg.rgb else BackEnd(None)
        self._connections: list[Connection] = []
        self._processes: list[BaseProcess] = []
        self._arrays: SharedArrays | None = None
        self.restarts = 0
        """Workers that were started again."""

        self._start(1)
        self.facts = self.call("facts", {0: ()})[0]

    @property
    def num_workers(self) -> int:
        """Processes that run the environments."""
        return len(self.blocks)

    def __contains__(self, name: str) -> bool:
        return name in self._open_arrays()

    def __getitem__(self, name: str) -> np.ndarray:
        """A shared array; copy what must outlive the next call."""
        return self._open_arrays()[name]

    def call(self, method: str, arguments: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
        """Let workers call a method of their :class:`~gr00t_rl_ext.envs.gymnasium.env_block.EnvBlock`, all at once.

        The arguments, and what is returned, are by the index of the worker.

        Raises:
            ValueError: The task cannot work.
            WorkerError: Something failed in a worker, or it ended.
        """
        results = self._exchange(method, arguments)
        failures = [result for result in results.values() if isinstance(result, Exception)]
        if failures:
            self.close()
            raise failures[0]
        return results

    def call_or_restart(self, method: str, arguments: Mapping[int, tuple[Any, ...]]) -> list[int]:
        """As :meth:`call`, but a worker that has ended is started again, up to ``max_worker_restarts`` times in all.

        Returns:
            The workers that were started again; their environments must be reset.

        Raises:
            ValueError: The task cannot work.
            WorkerError: Something failed in a worker, or too many have ended.
        """
        results = self._exchange(method, arguments)
        failures = [result for result in results.values() if isinstance(result, Exception)]
        ended = [failure for failure in failures if isinstance(failure, WorkerEndedError)]
        if len(ended) < len(failures) or self.restarts + len(ended) > self._cfg.max_worker_restarts:
            self.close()
            other = [failure for failure in failures if failure not in ended]
            raise (other or failures)[0]
        for failure in ended:
            self.restarts += 1
            count, most = len(self.blocks[failure.worker]), self._cfg.max_worker_restarts
            print(
                f"WARNING: {failure} It is started again ({self.restarts} of at most {most} times);"
                f" {count} episodes are dropped."
            )
            self._restart(failure.worker)
        return [failure.worker for failure in ended]

    def _exchange(self, method: str, arguments: Mapping[int, tuple[Any, ...]]) -> dict[int, Any]:
        """What each worker returned, or the exception to raise."""
        if not self._connections:
            raise _closed()
        for index, values in arguments.items():
            self._send(index, (method, values))
        return {index: self._receive(index) for index in arguments}

    def call_for(self, method: str, env_ids: Sequence[int]) -> None:
        """Let workers call a method for those of these environments that each has."""
        own = {worker: [env for env in env_ids if env in block] for worker, block in enumerate(self.blocks)}
        self.call(method, {worker: (ids,) for worker, ids in own.items() if ids})

    def worker_of(self, env_id: int) -> int:
        """The worker that runs an environment."""
        return next(worker for worker, block in enumerate(self.blocks) if env_id in block)

    def share_memory(self, specs: Mapping[str, tuple[tuple[int, ...], type]]) -> None:
        """Replace the shared arrays by these, name -> shape and type.

        Those that were there in the same shape keep their content, others are zero.
        """
        old = self._arrays
        try:
            self._arrays = new = SharedArrays.create(specs)
        except ValueError:
            self.close()
            raise
        if old is not None:
            new.take_over(old)
        self.tell_workers()
        if old is not None:
            old.close()

    def tell_workers(self) -> None:
        """Give all workers the arrays and the seed as they are now."""
        arguments = (self._open_arrays().layout, self.seed, self.facts)
        self.call("attach", dict.fromkeys(range(self.num_workers), arguments))

    def keep_together(self, group_size: int) -> bool:
        """Have groups of neighbouring environments in one process each. Returns whether the environments had to be made
        anew for that; then they must be reset."""
        if all(block[0] % group_size == 0 and len(block) % group_size == 0 for block in self.blocks):
            return False
        self._end_workers()
        self._start(group_size)
        self.tell_workers()
        return True

    def close(self) -> None:
        """End the workers, give the memory back. Idempotent."""
        self._end_workers()
        if self._arrays is not None:
            self._arrays.close()
            self._arrays = None

    def _open_arrays(self) -> SharedArrays:
        if self._arrays is None:
            raise _closed()
        return self._arrays

    def _start(self, unit: int) -> None:
        """Start the workers, with blocks of environments that are multiples of ``unit``."""
        count = self._cfg.num_envs // unit
        most = self._cfg.num_workers or len(os.sched_getaffinity(0))
        parts = np.array_split(np.arange(count), min(most, count))
        self.blocks = [range(int(part[0]) * unit, (int(part[-1]) + 1) * unit) for part in parts]
        # not forked from the learner, which may hold threads and a GPU; neither survives it
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["gr00t_rl_ext.envs.gymnasium.env_block"])
        _start_helpers()
        for index, block in enumerate(self.blocks):
            connection, process = self._start_worker(index, block)
            self._connections.append(connection)
            self._processes.append(process)
        self.call("make", dict.fromkeys(range(self.num_workers), ()))

    def _start_worker(self, index: int, block: range) -> tuple[Connection, BaseProcess]:
        context = multiprocessing.get_context("forkserver")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=serve, args=(theirs, self._cfg, block, self._back_end), name=f"gymnasium-{index}", daemon=True
        )
        process.start()
        theirs.close()  # so that its end shows
        return ours, process

    def _restart(self, index: int) -> None:
        """Put another worker in the place of one that has ended."""
        self._connections[index].close()
        self._connections[index], self._processes[index] = self._start_worker(index, self.blocks[index])
        self.call("make", {index: ()})
        self.call("attach", {index: (self._open_arrays().layout, self.seed, self.facts)})

    def _end_workers(self) -> None:
        for index in range(len(self._connections)):
            self._send(index, None)
        for connection, process in zip(self._connections, self._processes, strict=True):
            process.join(_CLOSING_SECONDS)
            if process.is_alive():
                process.kill()
                process.join()
            connection.close()
        self._connections, self._processes = [], []

    def _send(self, index: int, message: tuple[str, tuple[Any, ...]] | None) -> None:
        # one that has ended: receiving says how
        with contextlib.suppress(BrokenPipeError):
            self._connections[index].send(message)

    def _receive(self, index: int) -> Any:
        """The result of a worker, or the exception to raise."""
        connection, late = self._connections[index], False
        try:
            late = not connection.poll(self._cfg.worker_timeout_s)
            kind, *content = ["ended"] if late else connection.recv()
        except (EOFError, ConnectionResetError):
            kind, content = "ended", []
        if kind == "result":
            return content[0]
        if kind == "refused":
            return ValueError(content[0])
        block, env_id = self.blocks[index], self._cfg.env_id
        worker = f"worker {index + 1} of {self.num_workers}"
        if kind == "failed":
            env, summary, trace = content
            return WorkerError(f"Environment {env} ({env_id}) in {worker} failed: {summary}\n\n{trace}")
        process = self._processes[index]
        if late:
            process.kill()
            process.join()
            return WorkerEndedError(self._describe_hanging(index, worker), index)
        process.join(_CLOSING_SECONDS)
        code = process.exitcode
        reason = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        if code == -signal.SIGKILL:
            reason += ", perhaps for want of memory"
        return WorkerEndedError(
            f"{worker.capitalize()}, with the environments {block[0]} to {block[-1]} ({env_id}), has ended: {reason}."
            " Its last words are on standard error, if there are any.",
            index,
        )

    def _describe_hanging(self, index: int, worker: str) -> str:
        block, waited = self.blocks[index], f"{self._cfg.worker_timeout_s:g} s"
        busy = [
            env for env in block if self._arrays is not None and "busy" in self._arrays and self._arrays["busy"][env]
        ]
        which = f"environment {busy[0]}" if busy else f"one of the environments {block[0]} to {block[-1]}"
        return (
            f"{worker.capitalize()} has not answered for {waited}: {which} ({self._cfg.env_id}) hangs. Environments"
            " that are slow and not stuck need a larger env.worker_timeout_s."
        )


def _start_helpers() -> None:
    """Start the helpers of multiprocessing so that signals to all processes of a job leave them alone, as they do the
    workers: the learner must be able to stop in order. They end with it."""
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in _OF_JOBS} if _in_main_thread() else {}
    try:
        resource_tracker.ensure_running()
        forkserver.ensure_running()
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _closed() -> RuntimeError:
    return RuntimeError("The environments are closed.")


def serve(connection: Connection, cfg: GymnasiumEnvCfg, env_ids: Sequence[int], back_end: BackEnd) -> None:
    """Run a block of environments until the other end closes. The main function of a worker."""
    # the learner ends its workers
    for number in _OF_JOBS:
        signal.signal(number, signal.SIG_IGN)
    if back_end.name is not None:
        # MuJoCo reads it when it is imported, which the environments do
        os.environ[BACK_END_VARIABLE] = back_end.name
    block = EnvBlock(cfg, env_ids, back_end)
    # an end of the connection is the end of the learner
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while (message := connection.recv()) is not None:
            method, arguments = message
            try:
                connection.send(("result", getattr(block, method)(*arguments)))
            except (TaskError, DependencyNotInstalled) as refusal:
                connection.send(("refused", str(refusal)))
            except Exception as error:
                summary = f"{type(error).__name__}: {error}"
                connection.send(("failed", block.current, summary, traceback.format_exc()))
    block.close()
