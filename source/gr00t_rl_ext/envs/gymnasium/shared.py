# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Named arrays that the learner and the worker processes share."""

from __future__ import annotations

import os
from collections.abc import Mapping
from multiprocessing.shared_memory import SharedMemory

import numpy as np

_FOLDER = "/dev/shm"


class SharedArrays:
    """Arrays in one block of shared memory. Use :meth:`create` in the process that owns them, elsewhere ``layout``:
    ``SharedArrays(*owner.layout)``.

    Whoever keeps an array beyond :meth:`close` reads freed memory: copy what is to stay.

    Args:
        memory: Name of a block that exists.
        record: What it holds, an array per field.
    """

    def __init__(self, memory: str | SharedMemory, record: np.dtype) -> None:
        self._owner = isinstance(memory, SharedMemory)
        self._memory = memory if isinstance(memory, SharedMemory) else SharedMemory(memory)
        self.layout = self._memory.name, record
        """Travels to the workers."""
        block = np.ndarray((), record, buffer=self._memory.buf)
        self._arrays: dict[str, np.ndarray] = {name: block[name] for name in record.names or ()}

    @classmethod
    def create(cls, specs: Mapping[str, tuple[tuple[int, ...], type]]) -> SharedArrays:
        """Allocate arrays of zeros: name -> shape and type. A ValueError if there is not enough shared memory: Linux
        would let it be allocated, and kill the process that writes to it."""
        record = np.dtype([(name, dtype, shape) for name, (shape, dtype) in specs.items()], align=True)
        if os.path.isdir(_FOLDER):
            stats = os.statvfs(_FOLDER)
            free = stats.f_bavail * stats.f_frsize
            if record.itemsize > free:
                raise ValueError(
                    f"The environments need {record.itemsize / 2**20:.1f} MiB of shared memory, {_FOLDER} has"
                    f" {free / 2**20:.1f} MiB left. Enlarge it (Docker: --shm-size), or take fewer environments or"
                    " smaller images (`env.image_size`)."
                )
        return cls(SharedMemory(create=True, size=record.itemsize), record)

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def take_over(self, other: SharedArrays) -> None:
        """Copy the content of the arrays that the other block has in the same shape."""
        for name, array in self._arrays.items():
            if name in other and other[name].shape == array.shape:
                array[...] = other[name]

    def close(self) -> None:
        """Give the memory back. Idempotent."""
        if self._arrays:
            self._arrays.clear()
            self._memory.close()
            if self._owner:
                self._memory.unlink()
