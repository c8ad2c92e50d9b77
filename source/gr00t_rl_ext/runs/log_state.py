# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""rsl_rl's logger: what it counts, for checkpoints, and a TensorBoard writer that a full disk does not end."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

_COUNTS = ("tot_timesteps", "tot_time")
_WINDOWS = ("rewbuffer", "lenbuffer")
_SUMS = ("cur_reward_sum", "cur_episode_length")
_RETRY_SECONDS = 60.0


def log_state(logger: Any) -> dict[str, Any]:
    """What a logger has counted, as numbers and tensors."""
    state: dict[str, Any] = {name: getattr(logger, name) for name in _COUNTS}
    state |= {name: list(getattr(logger, name)) for name in _WINDOWS}
    return state | {name: getattr(logger, name).clone() for name in _SUMS}


def restore_log_state(logger: Any, state: dict[str, Any]) -> None:
    """Go on counting from a state of :func:`log_state`."""
    for name in _COUNTS:
        setattr(logger, name, state[name])
    for name in _WINDOWS:
        setattr(logger, name, deque(state[name], maxlen=getattr(logger, name).maxlen))
    for name in _SUMS:
        if (current := getattr(logger, name)).shape == state[name].shape:
            current.copy_(state[name])


class SteadyWriter:
    """A TensorBoard writer that goes on when its file cannot be written: it warns, and tries again each minute.

    TensorBoard's own raises, in the middle of a training, what its thread met before.

    Args:
        writer: TensorBoard's.
        make: Makes another one.
        first_iteration: Where a run goes on, from which on former values are void; None: a run begins.
    """

    def __init__(self, writer: Any, make: Callable[[], Any], first_iteration: int | None) -> None:
        self._writer: Any = writer
        self._make, self._retry_at = make, 0.0
        if first_iteration is not None:
            from tensorboard.compat.proto import event_pb2

            messages: Any = event_pb2
            start = messages.SessionLog(status=messages.SessionLog.START)
            event = messages.Event(step=first_iteration, session_log=start)
            self._writer.file_writer.add_event(event, first_iteration)

    def add_scalar(self, tag: str, value: Any, step: int | None = None, **options: Any) -> None:
        """As TensorBoard's."""
        self._try("add_scalar", tag, value, step, **options)

    def flush(self) -> None:
        """As TensorBoard's."""
        self._try("flush")

    def _try(self, method: str, *arguments: Any, **options: Any) -> None:
        try:
            if self._writer is None:
                if time.monotonic() < self._retry_at:
                    return
                self._writer = self._make()
            getattr(self._writer, method)(*arguments, **options)
        except OSError as error:
            print(f"WARNING: curves are not written ({error}); the training goes on, and tries again each minute.")
            self._writer, self._retry_at = None, time.monotonic() + _RETRY_SECONDS
