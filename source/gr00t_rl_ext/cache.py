# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Where this extension keeps what it builds once per user."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

CACHE_ENV_VAR = "GR00T_RL_EXT_CACHE"
"""Overrides the cache folder."""


def cache_directory() -> Path:
    """Cache folder of this extension.

    Returns:
        ``$GR00T_RL_EXT_CACHE`` if set, else ``$XDG_CACHE_HOME/gr00t_rl_ext``, else ``~/.cache/gr00t_rl_ext``.
    """
    own = os.environ.get(CACHE_ENV_VAR)
    if own:
        return Path(own).expanduser().absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "gr00t_rl_ext"


def prepare_caches() -> None:
    """Check that what is built once per user can be kept. Where the home directory cannot be written, Warp, which
    compiles kernels, keeps its own there too.

    Raises:
        OSError: Nothing can be kept, with what to set.
    """
    own = cache_directory()
    try:
        own.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=own):
            pass
    except OSError as error:
        raise OSError(
            f"The cache folder {str(own)!r} cannot be written ({error.strerror}), and assets and compiled kernels are"
            f" kept there. Set {CACHE_ENV_VAR} to a folder that can be, such as {CACHE_ENV_VAR}=/tmp/gr00t_rl_ext."
        ) from error
    if "WARP_CACHE_PATH" not in os.environ and not os.access(Path.home(), os.W_OK):
        os.environ["WARP_CACHE_PATH"] = str(own / "warp")
