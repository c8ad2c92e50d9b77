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
    arguments = parse(argv, program, description)

    def with_device() -> int:
        if arguments.device is None:
            arguments.device = default_device()
            arguments.forwarded += ["--device", arguments.device]
        return command(arguments)

    return guarded(with_device, arguments.task, arguments.assets)


def guarded(
    command: Callable[[], int], task: str | None, assets: str | None, errors: Sequence[type[Exception]] = ()
) -> int:
    """Run a command with the asset root in place, and errors as one message.

    Args:
        command: Returns the exit code.
        task: The task that it is for.
        assets: How the asset root is chosen (``--assets``).
        errors: What is meant for users, beside :class:`UsageError`.

    Returns:
        The command's exit code; 2 with a message on the standard error if it ended with such an error.
    """
    from gr00t_rl_ext.assets.build import AssetBuildError
    from gr00t_rl_ext.assets.root import MODE_ENV_VAR, AssetRootError, apply_asset_root

    try:
        if is_gymnasium(task):
            # no asset is read: neither ask the server nor build any
            os.environ.setdefault(MODE_ENV_VAR, "online")
        else:
            # before anything imports isaaclab, which fixes the asset root
            apply_asset_root(assets)  # type: ignore[arg-type]
        return command()
    except (UsageError, AssetBuildError, AssetRootError, *errors) as error:
        print(f"\nerror: {error}", file=sys.stderr)
        return 2


def default_device() -> str:
    """The first GPU, else the CPU."""
    import torch

    return "cuda:0" if torch.cuda.is_available() else "cpu"
