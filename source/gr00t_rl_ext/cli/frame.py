# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The frame around a script: arguments, asset root, device, and errors as one message."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from gr00t_rl_ext.cli.arguments import Arguments, is_gymnasium, parse


class UsageError(ValueError):
    """The command line asks for something that does not exist or cannot work."""


def run(argv: Sequence[str], program: str, description: str, command: Callable[[Arguments], int]) -> int:
    """Run a script's command.

    Args:
        argv: Command line without the program.
        program: Name of the script, for its help.
        description: What it does, for its help.
        command: Takes the arguments, with the device decided, and returns the exit code.

    Returns:
        The command's exit code; 2 with a message on the standard error if the command line cannot work.
    """
    from gr00t_rl_ext.assets.build import AssetBuildError
    from gr00t_rl_ext.assets.root import AssetRootError

    arguments = parse(argv, program, description)
    try:
        choose_assets(arguments.task, arguments.assets)
        if arguments.device is None:
            import torch

            arguments.device = "cuda:0" if torch.cuda.is_available() else "cpu"
            arguments.forwarded += ["--device", arguments.device]
        return command(arguments)
    except (UsageError, AssetBuildError, AssetRootError) as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 2


def choose_assets(task: str | None, mode: str | None) -> None:
    """Fix the asset root for a task, before anything imports isaaclab.

    Args:
        task: Name of the task.
        mode: Value of ``--assets``.
    """
    from gr00t_rl_ext.assets.root import MODE_ENV_VAR, apply_asset_root

    if is_gymnasium(task):
        # no asset is read: neither ask the server nor build any
        os.environ.setdefault(MODE_ENV_VAR, "online")
    else:
        apply_asset_root(mode)  # type: ignore[arg-type]
