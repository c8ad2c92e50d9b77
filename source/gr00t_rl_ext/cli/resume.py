# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""``train.py --resume [RUN]``: the command line that goes on with a run, from what its directory tells."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import yaml

from gr00t_rl_ext.cli.arguments import is_override
from gr00t_rl_ext.cli.handler import UsageError
from gr00t_rl_ext.cli.run_directory import LOGS, latest_checkpoint, newest_run
from gr00t_rl_ext.cli.run_settings import load_yaml
from gr00t_rl_ext.runs.resumption import COMMAND, read_command

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
    parser.add_argument("--task")
    parser.add_argument("--agent")
    known, _ = parser.parse_known_args(argv)
    if known.resume is None:
        return list(argv), None
    given = _without_resume(argv)
    if known.resume.startswith("-") or is_override(known.resume):
        # the flag stands before an override
        given.append(known.resume)
        known.resume = LATEST
    run = newest_run(str(COMMAND), known.task, known.agent) if known.resume == LATEST else Path(known.resume)
    print(f"Going on with the run {run}")
    if any(item.partition("=")[0] == "--checkpoint" for item in given):
        raise UsageError("--resume goes on from the last checkpoint of the run. Leave --checkpoint away.")
    return [*_recorded(run), *given, *_place(run)], run.absolute()


def _without_resume(argv: Sequence[str]) -> list[str]:
    items, kept = iter(argv), []
    for item in items:
        if item == "--resume":
            following = next(items, None)
            if following is not None and following.startswith("-"):
                kept.append(following)
        elif not item.startswith("--resume="):
            kept.append(item)
    return kept


def _recorded(run: Path) -> list[str]:
    if not run.is_dir():
        beside = f" Give its directory: {run.parent}." if run.is_file() else ""
        raise UsageError(f"--resume needs the directory of a run, and {str(run)!r} is none.{beside}")
    try:
        return read_command(run)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _place(run: Path) -> list[str]:
    """What makes a training write into the directory of a run, from its last checkpoint on."""
    checkpoint = latest_checkpoint(run)
    if checkpoint is None:
        raise UsageError(
            f"The run {str(run)!r} has no model_<iteration>.pt: it ended before its first checkpoint. Start it again."
        )
    try:
        agent = load_yaml((run / "params" / "agent.yaml").read_text(encoding="utf-8"))
        experiment, name = str(agent["experiment_name"]), str(agent["run_name"] or "")
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise UsageError(
            f"The run {str(run)!r} cannot be resumed: its params/agent.yaml cannot be read ({type(error).__name__})."
        ) from error
    expected = LOGS.absolute() / experiment
    if run.absolute().parent != expected:
        raise UsageError(
            f"The run {str(run.absolute())!r} lies elsewhere than in {str(expected)!r}, where its training would write"
            " here. Change to the directory that it was started in, or move it there."
        )
    stamp = run.name.removesuffix(f"_{name}") if name else run.name
    return ["--checkpoint", str(checkpoint.absolute()), "--run_timestamp", stamp]
