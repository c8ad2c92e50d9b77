# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Where this extension keeps what it builds once per user."""

from __future__ import annotations

import os
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
