# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a frozen part of GR00T computed of each frame: in memory, or in a file where that is too small."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from tensordict import TensorDict
from torch import Tensor

GIB = 1024**3


@dataclass(frozen=True)
class CachePlan:
    """Where a cache is to be, and how large."""

    num_bytes: int

    directory: Path | None
    """Folder of its file; None: in memory."""

    @classmethod
    def of(cls, row: TensorDict, num_rows: int, memory_per_row: float, directory: Path) -> CachePlan:
        """Plan a cache.

        Args:
            row: What one row looks like, with a batch size of 1.
            num_rows: N.
            memory_per_row: Size of a row in bytes above which it becomes a file.
            directory: Folder of that file; it is made where needed.

        Raises:
            ValueError: There is no room on that disk.
        """
        row_size = sum(math.prod(value.shape) * value.dtype.itemsize for value in row.values())
        size = num_rows * row_size
        if row_size <= memory_per_row:
            return cls(size, None)
        directory.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(directory).free
        if size > free:
            raise ValueError(
                f"The features of {num_rows} frames take {size / GIB:.1f} GiB, more memory than --cache-gib leaves for"
                f" them, and {str(directory)!r} has {free / GIB:.1f} GiB free. Raise --cache-gib, use fewer cameras or"
                " episodes, or set GR00T_RL_EXT_CACHE to a directory on a larger disk."
            )
        return cls(size, directory)

    def describe(self) -> str:
        """Size and place."""
        place = "in memory" if self.directory is None else f"in a file in {str(self.directory)!r}"
        return f"{self.num_bytes / 1024**2:.1f} MiB {place}"


class FeatureCache:
    """N rows of tensors by name, written once and read in any order.

    A file has no name once it is open, so that nothing remains of it when the process ends, however it ends.

    Args:
        row: What one row looks like, with a batch size of 1.
        num_rows: N.
        plan: Where it is to be.
    """

    def __init__(self, row: TensorDict, num_rows: int, plan: CachePlan) -> None:
        self._rows = {
            name: _allocate((num_rows, *value.shape[1:]), value.dtype, plan.directory) for name, value in row.items()
        }

    def write(self, start: int, rows: TensorDict) -> None:
        """Put rows in the place ``start`` and the following ones."""
        for name, kept in self._rows.items():
            kept[start : start + rows.batch_size[0]] = rows[name].cpu()

    def read(self, rows: Tensor, device: torch.device | str) -> TensorDict:
        """Some rows, by indices (B,)."""
        parts: Mapping[str, Tensor] = {name: value[rows].to(device) for name, value in self._rows.items()}
        return TensorDict(dict(parts), batch_size=[len(rows)])


def _allocate(shape: tuple[int, ...], dtype: torch.dtype, directory: Path | None) -> Tensor:
    if directory is None:
        return torch.empty(shape, dtype=dtype)
    with tempfile.NamedTemporaryFile(dir=directory, prefix="features-") as file:
        # the map outlives the name
        return torch.from_file(file.name, shared=True, size=math.prod(shape), dtype=dtype).view(shape)
