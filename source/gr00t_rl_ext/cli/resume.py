# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""``train.py --resume [RUN]``: the command line that goes on with a run, from what its directory tells."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from gr00t_rl_ext.cli.arguments import is_override
from gr00t_rl_ext.cli.handler import UsageError
from gr00t_rl_ext.cli.run_directory import LOGS, latest_checkpoint, newest_run
from gr00t_rl_ext.runs.resumption import COMMAND, Command, read_command

LATEST = "latest"


def expand(argv: Sequence[str]) -> tuple[list[str], Path | None]:
    """A command line without ``--resume``, and the directory of the run to go on with.

    What is given besides comes after what the run was started by, and so wins.

    Args:
        argv: The command line.

    Returns:
        The command line, and the directory; as it is, and None, where no ``--resume`` is given.

    Raises:
        UsageError: There is no such run, or it cannot go on.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--resume", nargs="?", const=LATEST)
    known, given = parser.parse_known_args(argv)
    if known.resume is None:
        return list(argv), None
    if is_override(known.resume):
        # the flag stands before an override
        given.append(known.resume)
        known.resume = LATEST
    parser.add_argument("--task")
    parser.add_argument("--agent")
    named, _ = parser.parse_known_args(given)
    run = newest_run(str(COMMAND), named.task, named.agent) if known.resume == LATEST else Path(known.resume)
    print(f"Going on with the run {run}")
    if any(item.partition("=")[0] == "--checkpoint" for item in given):
        raise UsageError("--resume goes on from the last checkpoint of the run. Leave --checkpoint away.")
    command = _recorded(run)
    return [*_for_processes(command.arguments), *given, *_place(run, command)], run.absolute()


def _for_processes(arguments: list[str]) -> list[str]:
    """A run may go on in another number of processes, which torchrun tells."""
    single = [item for item in arguments if item != "--distributed"]
    return [*single, "--distributed"] if int(os.getenv("WORLD_SIZE", "1")) > 1 else single


def _recorded(run: Path) -> Command:
    if not run.is_dir():
        beside = f" Give its directory: {run.parent}." if run.is_file() else ""
        raise UsageError(f"--resume needs the directory of a run, and {str(run)!r} is none.{beside}")
    try:
        return read_command(run)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _place(run: Path, command: Command) -> list[str]:
    """What makes a training write into the directory of a run, from its last checkpoint on if there is one."""
    expected = LOGS.absolute() / command.experiment
    if run.absolute().parent != expected:
        raise UsageError(
            f"The run {str(run.absolute())!r} lies elsewhere than in {str(expected)!r}, where its training would write"
            " here. Change to the directory that it was started in, or move it there."
        )
    stamp = run.name.removesuffix(f"_{command.run_name}") if command.run_name else run.name
    checkpoint = latest_checkpoint(run)
    if checkpoint is None:
        print("It ended before its first checkpoint, and begins again.")
        return ["--run_timestamp", stamp]
    return ["--checkpoint", str(checkpoint.absolute()), "--run_timestamp", stamp]
