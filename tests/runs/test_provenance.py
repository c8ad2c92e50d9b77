# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a run tells of where it was made, and what it keeps to itself."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import torch
from training import PPO, training

from gr00t_rl_ext.runs.provenance import (
    CONTAINER_TAG,
    own_places,
    repository_state,
    versions,
    write_repository_states,
)

SECRET = "hf_" + "q7" * 17


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """One with a committed file that holds an uncommitted token, and a file that nobody added."""
    folder = tmp_path / "mine"
    folder.mkdir()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(folder)]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    (folder / "settings.py").write_text("token = ''\n")
    subprocess.run([*git, "add", "settings.py"], check=True)
    subprocess.run([*git, "commit", "-q", "-m", "second"], check=True)
    (folder / "settings.py").write_text(f"token = '{SECRET}'\n")
    (folder / "notes.txt").write_text(SECRET)
    return folder


def test_commit_and_names_without_content(repository: Path, tmp_path: Path) -> None:
    state = repository_state(str(repository / "settings.py"))
    assert state is not None
    assert state["repository"] == "mine"
    assert len(state["commit"]) == 40
    assert state["changed"] == [" M settings.py", "?? notes.txt"]
    run = tmp_path / "run"
    run.mkdir()
    (file,) = write_repository_states(run, [str(repository / "settings.py"), str(tmp_path)])
    assert Path(file) == run / "git" / "mine.txt"
    text = Path(file).read_text()
    assert text.startswith(f"commit {state['commit']}\n")
    assert " M settings.py" in text
    assert SECRET not in text
    # a run that goes on keeps what it began with
    assert write_repository_states(run, [str(repository)]) == []


def test_repositories_of_one_name(repository: Path, tmp_path: Path) -> None:
    other = tmp_path / "else" / "mine"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q", str(other)], check=True)
    subprocess.run([*git, "-C", str(other), "commit", "-q", "--allow-empty", "-m", "another"], check=True)
    run = tmp_path / "run"
    run.mkdir()
    written = write_repository_states(run, [str(repository), str(repository / "notes.txt"), str(other)])
    assert [Path(file).name for file in written] == ["mine.txt", "mine-2.txt"]


def test_the_users_own_repository(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(repository)
    with training(None, PPO) as runner:
        cwd, module = own_places(runner.env.unwrapped)
    assert cwd == str(repository)
    assert Path(module).name == "configs.py"


def test_without_a_repository(tmp_path: Path) -> None:
    assert repository_state(str(tmp_path)) is None
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    assert repository_state(str(tmp_path)) is None, "it has no commit"


def test_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONTAINER_TAG, raising=False)
    found = versions()
    assert found["torch"] == torch.__version__.partition("+")[0] or found["torch"] == torch.__version__
    assert {"python", "gr00t_rl_ext", "rsl-rl-lib"} <= found.keys()
    assert "container" not in found
    monkeypatch.setenv(CONTAINER_TAG, "gr00t_rl_ext:1")
    assert versions()["container"] == "gr00t_rl_ext:1"
