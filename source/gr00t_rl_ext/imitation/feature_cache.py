# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Room for what a frozen part of GR00T computed of each frame: in memory, or in files where that is too small."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tensordict import TensorDict

GIB = 1024**3


def allocate(
    rows: Sequence[tuple[TensorDict, int]],
    memory_per_row: float,
    directory: Path,
    announce: Callable[[str], None] = lambda _: None,
) -> list[TensorDict]:
    """Room for N rows like each of some examples, to be written and read by index.

    Files lose their names at once, so that nothing remains of them when the process ends, however it ends.

    Args:
        rows: What one row looks like, with a batch size of 1, and N.
        memory_per_row: Bytes per row, on average, above which files are used.
        directory: Folder of the files; it is made where needed.
        announce: Called with size and place, before anything is allocated.

    Raises:
        ValueError: There is no room on that disk.
    """
    count = sum(number for _, number in rows)
    size = sum(number * value.numel() * value.dtype.itemsize for row, number in rows for value in row.values())
    in_memory = size <= memory_per_row * count
    place = "in memory" if in_memory else f"in files in {str(directory)!r}"
    announce(f"keeping {count} frames: {size / 1024**2:.1f} MiB {place}")
    if in_memory:
        return [row.expand(number).clone() for row, number in rows]
    directory.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(directory).free
    if size > free:
        raise ValueError(
            f"The features of {count} frames take {size / GIB:.1f} GiB, more memory than --cache-gib leaves for them,"
            f" and {str(directory)!r} has {free / GIB:.1f} GiB free. Raise --cache-gib, use fewer cameras or episodes,"
            " or set GR00T_RL_EXT_CACHE to a directory on a larger disk."
        )
    with tempfile.TemporaryDirectory(dir=directory, prefix="features-") as folder:
        # the maps outlive the names
        return [row.expand(number).memmap_like(f"{folder}/{part}") for part, (row, number) in enumerate(rows)]
