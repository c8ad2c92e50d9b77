# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Named arrays that the learner and the worker processes share."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory

import numpy as np

_ALIGNMENT = 64
"""Bytes; a cache line, so that no two workers write to one at the border of two arrays."""

_FOLDER = "/dev/shm"


@dataclass(frozen=True)
class Layout:
    """Where the arrays of a memory block are. Travels to the workers."""

    name: str
    """Name of the block."""

    arrays: dict[str, tuple[tuple[int, ...], str, int]]
    """Name -> shape, type and first byte."""


class SharedArrays:
    """Arrays in one block of shared memory. Use :meth:`create` in the process that owns them, :meth:`attach` elsewhere.

    Whoever keeps an array beyond :meth:`close` reads freed memory: copy what is to stay.
    """

    def __init__(self, memory: SharedMemory, layout: Layout, owner: bool) -> None:
        self._memory, self.layout, self._owner = memory, layout, owner
        self._arrays = {
            name: np.ndarray(shape, dtype, buffer=memory.buf, offset=offset)
            for name, (shape, dtype, offset) in layout.arrays.items()
        }

    @classmethod
    def create(cls, specs: Mapping[str, tuple[tuple[int, ...], type]]) -> SharedArrays:
        """Allocate arrays of zeros: name -> shape and type.

        Raises:
            ValueError: If there is not enough shared memory. Linux would let it be allocated, and kill the process that
                writes to it.
        """
        arrays: dict[str, tuple[tuple[int, ...], str, int]] = {}
        size = 0
        for name, (shape, dtype) in specs.items():
            arrays[name] = (shape, np.dtype(dtype).str, size)
            size += math.ceil(math.prod(shape) * np.dtype(dtype).itemsize / _ALIGNMENT) * _ALIGNMENT
        if os.path.isdir(_FOLDER):
            stats = os.statvfs(_FOLDER)
            free = stats.f_bavail * stats.f_frsize
            if size > free:
                raise ValueError(
                    f"The environments need {size / 2**20:.1f} MiB of shared memory, {_FOLDER} has"
                    f" {free / 2**20:.1f} MiB left. Enlarge it (Docker: --shm-size), or take fewer environments or"
                    " smaller images (`env.image_size`)."
                )
        memory = SharedMemory(create=True, size=max(size, 1))
        return cls(memory, Layout(memory.name, arrays), owner=True)

    @classmethod
    def attach(cls, layout: Layout) -> SharedArrays:
        """The arrays of another process."""
        return cls(SharedMemory(layout.name), layout, owner=False)

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
