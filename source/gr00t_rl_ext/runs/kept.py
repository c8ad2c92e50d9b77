# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Which checkpoints of a run there are, how good each was, and which are kept.

``checkpoints.json`` in the directory of a run has an entry for each ``model_*.pt``.
"""

from __future__ import annotations

import contextlib
import json
import re
import zipfile
from pathlib import Path
from typing import Any

from gr00t_rl_ext.files import write_whole

INDEX = "checkpoints.json"


def write_index(directory: Path, index: dict[str, dict[str, Any]]) -> None:
    """Write the index of a run."""
    write_whole(directory / INDEX, json.dumps(index, indent=1) + "\n")


def read_index(directory: Path) -> dict[str, dict[str, Any]]:
    """Name of a checkpoint -> what is known of it. Empty where there is no index, or none that can be read."""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads((directory / INDEX).read_text(encoding="utf-8"))
        if isinstance(content, dict):
            return {name: entry for name, entry in content.items() if isinstance(entry, dict) and _number(name) >= 0}
    return {}


def _number(name: str) -> int:
    match = re.fullmatch(r"model_(\d+)\.pt", name)
    return -1 if match is None else int(match[1])


def best_of(index: dict[str, dict[str, Any]]) -> str | None:
    """Name of the best checkpoint of an index; None where nothing tells.

    By the success of the deterministic policy where ``eval.py`` has compared two or more of them, else by what was
    measured while training, of which the latest counts among equals.
    """
    for measure, least in (("evaluated", 2), ("score", 1)):
        rated = {name: entry[measure] for name, entry in index.items() if isinstance(entry.get(measure), (int, float))}
        if len(rated) >= least:
            return max(rated, key=lambda name: (rated[name], _number(name)))
    return None


def is_whole(file: Path) -> bool:
    """Whether a checkpoint is not torn, as those are that a kill or a full disk left half written."""
    return zipfile.is_zipfile(file)


def superfluous(index: dict[str, dict[str, Any]], keep_last: int | None) -> list[str]:
    """Names of checkpoints that are neither among the last ones nor the best one."""
    if keep_last is None:
        return []
    in_order = sorted(index, key=lambda name: (index[name].get("iteration", 0), _number(name)))
    best = best_of(index)
    return [name for name in in_order[:-keep_last] if name != best]


def note_evaluation(checkpoint: Path, success: float, episodes: int) -> None:
    """Remember how often the deterministic policy of a checkpoint of a run succeeded, for ``best``."""
    index = read_index(checkpoint.parent)
    if checkpoint.name in index:
        index[checkpoint.name] |= {"evaluated": success, "episodes": episodes}
        # a run of somebody else, which may be read and not written
        with contextlib.suppress(OSError):
            write_index(checkpoint.parent, index)
