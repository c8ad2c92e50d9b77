# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What can go wrong with environments in processes of their own."""


class WorkerError(RuntimeError):
    """A worker failed. The text names it and the environment; a traceback may follow after an empty line."""


class WorkerEndedError(WorkerError):
    """A worker is gone, or does not answer. Another one may take its place.

    Args:
        text: As of :class:`WorkerError`.
        worker: Its index.
    """

    def __init__(self, text: str, worker: int) -> None:
        super().__init__(text)
        self.worker = worker
