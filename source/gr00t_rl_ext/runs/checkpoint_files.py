# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Training checkpoints on the disk: written whole or not at all, and read without running what is in them.

rsl_rl's runner writes straight to the final name, where a kill leaves a torn file, and reads with pickle, which runs
whatever a file tells it to.
"""

from __future__ import annotations

import os
import pickle
import re
import tempfile
from pathlib import Path
from typing import Any

import torch

_CALLED = re.compile(r"GLOBAL ([\w.]+)|function <?(?:class '|function )?([\w.]+)")
"""What torch's messages call the functions that a file asks for."""


class CheckpointFileError(ValueError):
    """A file is no checkpoint that can be read, or is one that would run code; the message says which."""


def remove_scratch(directory: Path) -> None:
    """Remove what killed processes left of checkpoints that they had begun to write."""
    for scratch in directory.glob(".model_*.pt.*"):
        scratch.unlink(missing_ok=True)


def write_checkpoint(content: dict[str, Any], file: Path) -> None:
    """Write a checkpoint. The file appears complete or not at all, and a former one of that name stays until then.

    Raises:
        OSError: It cannot be written.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    scratch = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            try:
                torch.save(content, stream)
            except RuntimeError as error:
                # torch's writer hides what the file system told it
                cause = error.__context__
                raise (cause if isinstance(cause, OSError) else OSError(str(error).splitlines()[0])) from error
            stream.flush()
            os.fsync(stream.fileno())
        # what other files of the run may be read by; mkstemp lets its owner alone
        umask = os.umask(0)
        os.umask(umask)
        scratch.chmod(0o666 & ~umask)
        scratch.replace(file)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    folder = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_checkpoint(file: Path, map_location: Any = "cpu", **options: Any) -> dict[str, Any]:
    """Read a checkpoint of tensors, numbers, texts and containers of these. Nothing else is made of what it holds.

    Args:
        file: The checkpoint.
        map_location: As of ``torch.load``.
        **options: Likewise, such as ``mmap``.

    Raises:
        CheckpointFileError: It holds something else, is torn, or is no checkpoint.
        FileNotFoundError: It does not exist.
    """
    try:
        content = torch.load(file, map_location=map_location, weights_only=True, **options)
    except FileNotFoundError:
        raise
    except pickle.UnpicklingError as error:
        if (found := _CALLED.search(str(error))) is None:
            raise _unreadable(file, error) from error
        raise CheckpointFileError(
            f"{str(file)!r} is refused: loading it would call {found[1] or found[2]}, and so may run anything."
            " A training checkpoint holds tensors, numbers and texts. Load it nowhere unless you trust its source."
        ) from error
    except (AttributeError, EOFError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise _unreadable(file, error) from error
    if not isinstance(content, dict):
        raise CheckpointFileError(f"{str(file)!r} holds a {type(content).__name__}; expected a training checkpoint")
    return content


def _unreadable(file: Path, error: Exception) -> CheckpointFileError:
    # torch's own advice, to load it by pickle, is left out
    lines = str(error).rpartition("WeightsUnpickler error: ")[2].strip().splitlines()
    reason = lines[0][:200] if lines else type(error).__name__
    return CheckpointFileError(
        f"{str(file)!r} is no checkpoint of a run, or is truncated ({reason}). Give another model_*.pt of the run."
    )
