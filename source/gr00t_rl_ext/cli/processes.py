# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The processes of a training on Gymnasium tasks, as torchrun starts them. Isaac Lab starts those of its own tasks."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gr00t_rl_ext.cli.handler import UsageError

_RUN = "gr00t_rl_ext/run"


@dataclass(frozen=True)
class Process:
    """One of the processes."""

    rank: int
    local_rank: int
    """On its machine."""
    count: int

    @classmethod
    def current(cls, distributed: bool) -> Process:
        """This process.

        Args:
            distributed: Whether the command line asks for several (``--distributed``).

        Raises:
            UsageError: Nothing has started them, or they are not asked for.
        """
        count = int(os.getenv("WORLD_SIZE", "1"))
        if distributed and "WORLD_SIZE" not in os.environ:
            raise UsageError(
                "--distributed needs several processes, which torchrun starts:\n  ./isaaclab.sh -p -m"
                " torch.distributed.run --nproc_per_node 2 scripts/rsl_rl/train.py --task gym:ID --distributed"
            )
        if count > 1 and not distributed:
            raise UsageError(f"There are {count} processes. Add --distributed, so that they train one policy.")
        return cls(int(os.getenv("RANK", "0")), int(os.getenv("LOCAL_RANK", "0")), count)

    def device(self, device: str) -> str:
        """The device of this process: the GPU of its number, or the CPU."""
        return f"cuda:{self.local_rank}" if self.count > 1 and device.startswith("cuda") else device

    def share_run(self, run: tuple[Path, str] | None) -> tuple[Path, str]:
        """The directory of the run and the stamp of its name, which rank 0 tells the others."""
        if self.count == 1:
            assert run is not None
            return run
        import torch.distributed as dist

        store = dist.TCPStore(  # pyright: ignore[reportPrivateImportUsage]
            os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False
        )
        if run is not None:
            store.set(_RUN, "\n".join(map(str, run)))
            return run
        directory, stamp = store.get(_RUN).decode().split("\n")
        return Path(directory), stamp

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Within it, rank 0 alone prints; errors are everybody's."""
        if self.rank == 0:
            yield
            return
        with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
            yield
