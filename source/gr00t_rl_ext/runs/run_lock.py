# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""One training per run directory."""

from __future__ import annotations

import fcntl
import os
import weakref


class RunLock:
    """Keeps the directory of a run for this process, as long as the object or the process lives.

    Isaac Lab names the directory by the second in which a training starts. Two that start in the same one would mix
    their checkpoints and curves, and so would one that goes on with a run that has not ended.

    Args:
        directory: Where the run writes. Nothing is kept where it does not exist, or on a file system without locks.

    Raises:
        ValueError: Another training writes there.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        if not os.path.isdir(directory):
            return
        descriptor = os.open(directory, os.O_RDONLY)
        weakref.finalize(self, os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"Another training writes into {os.fspath(directory)!r}: both started in the same second, under one"
                " name, or this one goes on with a run that has not ended. Wait for it, or start this one again with"
                " a name of its own (--run_name)."
            ) from None
        except OSError:
            # some network file systems have no locks
            pass
