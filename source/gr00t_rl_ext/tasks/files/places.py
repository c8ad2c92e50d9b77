# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Where a task file has what a run found something about."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from gr00t_rl_ext.tasks.files.reading import Source, TaskFileError

_Table = Sequence[tuple[str, tuple[str, ...]]]
"""Regular expression -> fields that lead to a place, with groups of the expression."""

_SUBJECTS: _Table = (
    (r"camera (\w+)", ("cameras", "{0}")),
    (r"state\.(\w+)", ("state", "terms", "{0}")),
    (r"state", ("state",)),
    (r"success", ("success",)),
    (r"reward", ("rewards",)),
    (r"instruction", ("instruction",)),
)
"""What a finding of the preflight is about -> its place. Of others, such as the disk, no file tells."""

_ERRORS: _Table = (
    (r"`groups\.(\w+)\.(\w+)`", ("{0}", "terms", "{1}")),
    (r"`env_kwargs`", ("kwargs",)),
    (r"`cameras\.(\w+)\.", ("cameras", "{0}")),
    (r"[cC]amera|^The entry .* of the observation", ("cameras",)),
    (r"success", ("success",)),
    (r"`action_terms`", ("actions",)),
    ("", ("base",)),
)
"""What an error of an environment of Gymnasium speaks of -> its place."""


def where_in_file(env_cfg: Any, subject: str) -> str:
    """File and line of what a finding is about; empty where no file tells, or it is gone.

    Args:
        env_cfg: Config of the environment, with its ``task_file`` if it has one.
        subject: Of the finding, such as ``camera wrist_cam``.
    """
    file, place = getattr(env_cfg, "task_file", None), _place(subject, _SUBJECTS, re.fullmatch)
    try:
        return "" if file is None or place is None else Source(file).where(place)
    except TaskFileError:
        # changed since the run was configured
        return ""


def place_of_error(text: str) -> tuple[str, ...]:
    """Where a file has what an error of an environment of Gymnasium speaks of."""
    return _place(text, _ERRORS, re.search) or ()


def _place(text: str, table: _Table, find: Callable[[str, str], re.Match[str] | None]) -> tuple[str, ...] | None:
    for pattern, place in table:
        if (match := find(pattern, text)) is not None:
            return tuple(part.format(*match.groups()) for part in place)
    return None
