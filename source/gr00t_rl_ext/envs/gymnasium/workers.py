# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Worker processes that run the environments."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import traceback
from collections.abc import Iterable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from gymnasium.error import DependencyNotInstalled

from gr00t_rl_ext.envs.gymnasium.configs import GymnasiumEnvCfg
from gr00t_rl_ext.envs.gymnasium.env_block import EnvBlock
from gr00t_rl_ext.envs.gymnasium.images import BACK_END_VARIABLE, BackEnd
from gr00t_rl_ext.envs.gymnasium.registry import TaskError

_CLOSING_SECONDS = 5.0
"""How long a worker may take to end before it is killed."""


class WorkerError(RuntimeError):
    """A worker failed. The text names it and the environment."""


class WorkerPool:
    """Processes with blocks of environments; each does what it is told and answers.

    Args:
        cfg: The task.
        blocks: The environments of each worker.
        back_end: How the workers render.
    """

    def __init__(self, cfg: GymnasiumEnvCfg, blocks: Sequence[Sequence[int]], back_end: BackEnd) -> None:
        self._cfg, self.blocks = cfg, blocks
        self._connections: list[Connection] = []
        self._processes: list[BaseProcess] = []
        # not forked from the learner, which may hold threads and a GPU; neither survives it
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["gr00t_rl_ext.envs.gymnasium.env_block"])
        for index, block in enumerate(blocks):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=serve, args=(theirs, cfg, block, back_end), name=f"gymnasium-{index}", daemon=True
            )
            self._connections.append(ours)
            self._processes.append(process)
            process.start()
            theirs.close()  # so that its end shows
        self.call_all("make")

    def call(self, method: str, arguments: dict[int, tuple[Any, ...]]) -> dict[int, Any]:
        """Let workers call a method of their :class:`~gr00t_rl_ext.envs.gymnasium.env_block.EnvBlock`, all at once.

        Args:
            method: Its name.
            arguments: Index of the worker -> arguments.

        Returns:
            Index of the worker -> result.

        Raises:
            ValueError: The task cannot work.
            WorkerError: Something failed in a worker, or it ended. The pool is closed then.
        """
        for index, values in arguments.items():
            self._send(index, (method, values))
        return self._finish(arguments)

    def call_all(self, method: str, *arguments: Any) -> list[Any]:
        """As :meth:`call`, with the same arguments for all workers."""
        return list(self.call(method, dict.fromkeys(range(len(self.blocks)), arguments)).values())

    def close(self) -> None:
        """End the workers. Idempotent."""
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

    def _finish(self, indices: Iterable[int]) -> dict[int, Any]:
        results: dict[int, Any] = {}
        failure: Exception | None = None
        for index in indices:
            try:
                kind, *content = self._connections[index].recv()
            except (EOFError, ConnectionResetError):
                kind, content = "ended", []
            if kind == "result":
                results[index] = content[0]
            elif failure is None:
                failure = self._failure(index, kind, content)
        if failure is not None:
            self.close()
            raise failure
        return results

    def _failure(self, index: int, kind: str, content: list[Any]) -> Exception:
        if kind == "refused":
            return ValueError(content[0])
        block, env_id = self.blocks[index], self._cfg.env_id
        worker = f"worker {index + 1} of {len(self.blocks)}"
        if kind == "failed":
            env, summary, trace = content
            return WorkerError(f"Environment {env} ({env_id}) in {worker} failed: {summary}\n\n{trace}")
        process = self._processes[index]
        process.join(_CLOSING_SECONDS)
        code = process.exitcode
        reason = f"killed by signal {-code}" if code is not None and code < 0 else f"exit code {code}"
        if code == -signal.SIGKILL:
            reason += ", perhaps for want of memory"
        return WorkerError(
            f"{worker.capitalize()}, with the environments {block[0]} to {block[-1]} ({env_id}), has ended: {reason}."
            " Its last words are on standard error, if there are any."
        )


def serve(connection: Connection, cfg: GymnasiumEnvCfg, env_ids: Sequence[int], back_end: BackEnd) -> None:
    """Run a block of environments until the other end closes. The main function of a worker."""
    # Ctrl-C reaches all processes of a terminal; the learner ends its workers
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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
