# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""How a run goes on: the command it was started by, and whether this process continues one."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gr00t_rl_ext.files import write_whole

COMMAND = Path("params", "command.json")
"""In the directory of a run: the arguments of its training."""

RESUME = "./isaaclab.sh -p scripts/rsl_rl/train.py --resume"

_state: dict[str, object] = {"arguments": None, "continued": None}


@contextmanager
def started_by(arguments: Sequence[str], continued: Path | None) -> Iterator[None]:
    """Within it, a training belongs to a command line, and may continue a run.

    Args:
        arguments: Those of ``train.py``, without ``--resume``.
        continued: The directory of the run that goes on; None: a new one begins.
    """
    before = dict(_state)
    _state.update(arguments=list(arguments), continued=continued)
    try:
        yield
    finally:
        _state.update(before)


def is_continued() -> bool:
    """Whether the training of this process continues a run in that run's directory."""
    return _state["continued"] is not None


def check_flag() -> None:
    """Check that Isaac Lab's own command does not take ``--resume`` for the beginning of another of its flags.

    Raises:
        ValueError: It does, and would begin a run.
    """
    given = sys.orig_argv
    if _state["arguments"] is None and "train" in given and "--resume" in given[given.index("train") :]:
        raise ValueError(
            "`isaaclab train` has no --resume: it takes it for --resume_optimizer_state, and would begin a new run. To"
            f" go on with a run in its own directory: {RESUME} RUN"
        )


@dataclass(frozen=True)
class Command:
    """What a run was started by."""

    arguments: list[str]
    """Those of ``train.py``."""

    experiment: str
    """``agent.experiment_name``."""

    run_name: str
    """``agent.run_name``."""


def record_command(directory: Path, experiment: str, run_name: str) -> None:
    """Write into the directory of a run what it was started by, if that is known and not there.

    Of Isaac Lab's own command these are the arguments after ``train``.
    """
    if (directory / COMMAND).exists():
        return
    arguments = _state["arguments"]
    if arguments is None:
        # sys.argv is what Isaac Lab leaves for Hydra
        given = sys.orig_argv
        if "train" not in given:
            return
        rest = given[given.index("train") + 1 :]
        arguments = [item for item in rest if item not in ("--rl_library", "rsl_rl", "--rl_library=rsl_rl")]
        # scripts/rsl_rl/train.py fills in nothing then
        arguments += ["--as_given", "--no-record"]
    content = {"arguments": arguments, "experiment": experiment, "run_name": run_name}
    write_whole(directory / COMMAND, json.dumps(content, indent=1) + "\n")


def read_command(directory: Path) -> Command:
    """What :func:`record_command` wrote.

    Raises:
        ValueError: There are none, or they cannot be read.
    """
    file = directory / COMMAND
    try:
        command = Command(**json.loads(file.read_text(encoding="utf-8")))
        if not all(isinstance(item, str) for item in (*command.arguments, command.experiment, command.run_name)):
            raise ValueError("expected texts")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"The run {str(directory)!r} cannot be resumed by its directory alone: {str(file)!r} cannot be read"
            f" ({type(error).__name__}). Repeat the command of its training with --checkpoint and the path of its last"
            " model_*.pt; that begins a run of its own."
        ) from error
    return command


def resume_command(directory: Path) -> str:
    """The command that goes on with a run."""
    return f"{RESUME} {shlex.quote(str(directory))}"
