# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The one handler of errors around every script: exit code, and one message for what users can mend."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from gr00t_rl_ext.cache import prepare_caches
from gr00t_rl_ext.cli.arguments import DEFAULT_AGENT, Arguments, is_gymnasium, parse

_PACKAGE = str(Path(__file__).parents[1])


class UsageError(ValueError):
    """The command line asks for something that does not exist or cannot work."""


def run(
    argv: Sequence[str] | None,
    program: str,
    description: str,
    command: Callable[[Arguments], int],
    expand: Callable[[Sequence[str]], tuple[list[str], Path | None]] | None = None,
) -> int:
    """Run a script's command, with the device decided; see :func:`guarded` for what is returned.

    Args:
        argv: The command line; None: the program's.
        program: Its name, for its help.
        description: Likewise.
        command: Takes the arguments, and returns the exit code.
        expand: Makes of a command line that of a run to go on with, and its directory.
    """

    def with_device() -> int:
        given, continued = list(sys.argv[1:] if argv is None else argv), None
        if expand is not None:
            given, continued = expand(given)
        arguments = parse(with_task(given), program, description)
        arguments.given, arguments.continued = given, continued
        prepare_assets(arguments.task, arguments.assets)
        if arguments.device is None:
            arguments.device = default_device()
            arguments.forwarded += ["--device", arguments.device]
        return command(arguments)

    return guarded(with_device)


def in_own_process(command: str) -> list[str]:
    """What starts a command of this folder, such as ``eval``, in a process of its own; its arguments follow."""
    program = f"import sys; from gr00t_rl_ext.cli.{command} import main; sys.exit(main(sys.argv[1:]))"
    return [sys.executable, "-c", program]


def with_task(argv: Sequence[str] | None) -> list[str]:
    """A command line, the program's where None is given, with the task of ``--task_config FILE``, or with ours for one
    of Isaac Lab's.

    Raises:
        TaskFileError: The file cannot be used.
    """
    given = list(sys.argv[1:] if argv is None else argv)
    flags = {item.partition("=")[0] for item in given}
    # imported where needed: `--help` is not kept waiting
    if "--task_config" in flags:
        from gr00t_rl_ext.tasks.files.registration import without_task_file

        return without_task_file(given)
    if "--task" in flags:
        from gr00t_rl_ext.tasks.stock_ids import with_task_of_ours

        return with_task_of_ours(given, DEFAULT_AGENT)
    return given


def guarded(command: Callable[[], int]) -> int:
    """Run a command, with errors that our code raises for users as one message.

    Others keep their traceback: they are mistakes of a program.

    Returns:
        The command's exit code; with a message on the standard error 2 if what was asked for cannot work, 1 if numbers
        diverged.
    """
    from gr00t_rl_ext.assets.build import AssetBuildError
    from gr00t_rl_ext.assets.root import AssetRootError
    from gr00t_rl_ext.envs.gymnasium.failures import WorkerError

    try:
        return command()
    except WorkerError as error:
        # its text holds the traceback of the worker, if there is one
        print(f"\nerror: {error}", file=sys.stderr)
        return 1
    except (ValueError, OSError, FloatingPointError, AssetBuildError, AssetRootError) as error:
        if not _raised_by_us(error):
            raise
        print(f"\nerror: {error}", file=sys.stderr)
        return 1 if isinstance(error, FloatingPointError) else 2


def _raised_by_us(error: BaseException) -> bool:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and frames[-1].f_code.co_filename.startswith(_PACKAGE)


def prepare_assets(task: str | None, assets: str | None) -> None:
    """Make ready for what is built once, and set the asset root (``--assets``), before anything imports isaaclab, which
    fixes it."""
    from gr00t_rl_ext.assets.root import MODE_ENV_VAR, apply_asset_root

    prepare_caches()
    if is_gymnasium(task):
        # no asset is read: neither ask the server nor build any
        os.environ.setdefault(MODE_ENV_VAR, "online")
    else:
        apply_asset_root(assets)  # type: ignore[arg-type]


def default_device() -> str:
    """The first GPU, else the CPU."""
    import torch

    return "cuda:0" if torch.cuda.is_available() else "cpu"
