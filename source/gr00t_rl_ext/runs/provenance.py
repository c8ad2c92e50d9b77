# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a run was made with: versions, driver, container, state of the repositories. No content of a user's files."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

CONTAINER_TAG = "GR00T_RL_EXT_IMAGE"
"""Environment variable with the tag of the container."""

_PACKAGES = ("gr00t_rl_ext", "isaaclab", "isaaclab_rl", "rsl-rl-lib", "torch", "gymnasium", "gymnasium-robotics")


def versions() -> dict[str, str]:
    """Versions of packages, Python, driver and container, as far as they are there."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    driver = Path("/proc/driver/nvidia/version")
    if driver.is_file() and (match := re.search(r"(\d+\.\d+(?:\.\d+)?)", driver.read_text(encoding="utf-8"))):
        found["nvidia driver"] = match[1]
    if tag := os.environ.get(CONTAINER_TAG):
        found["container"] = tag
    return found


def repository_state(path: str) -> dict[str, Any] | None:
    """Commit of the repository that a file belongs to, and names of files that differ from it; None without one.

    What differs is not told. An uncommitted line may hold a key.
    """
    import git

    try:
        repository = git.Repo(path, search_parent_directories=True)
        commit = repository.head.commit.hexsha
        status = repository.git.status("--porcelain").splitlines()
    except (git.GitError, ValueError, OSError):
        return None
    return {"repository": Path(str(repository.working_dir)).name, "commit": commit, "changed": status}


def own_places(env: Any) -> list[str]:
    """Where the user's own repository may be: the working directory, and the module of the task's config."""
    module = sys.modules.get(type(getattr(env, "cfg", None)).__module__)
    file = getattr(module, "__file__", None)
    return [str(Path.cwd()), *([file] if file else [])]


def write_repository_states(directory: Path, paths: list[str]) -> list[str]:
    """Write a file for each repository into ``git/`` of a run; returns the files.

    In place of rsl_rl's, which hold all lines that differ.
    """
    written, seen = [], set()
    for path in paths:
        state = repository_state(path)
        # one may be named by several of its files
        if state is None or (found := (state["repository"], state["commit"])) in seen:
            continue
        seen.add(found)
        same_name = sum(name == state["repository"] for name, _ in seen)
        folder = directory / "git"
        folder.mkdir(exist_ok=True)
        file = folder / f"{state['repository']}{'' if same_name == 1 else f'-{same_name}'}.txt"
        if not file.exists():
            changed = "\n".join(state["changed"]) or "nothing"
            file.write_text(f"commit {state['commit']}\n\nchanged:\n{changed}\n", encoding="utf-8")
            written.append(str(file))
    return written
