# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Starter policies: their archives, which task gets which, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

import gr00t_rl_ext.starters as package
from gr00t_rl_ext.cache import CACHE_ENV_VAR
from gr00t_rl_ext.gr00t import Gr00tCheckpointError, load_gr00t
from gr00t_rl_ext.policy.base_checkpoint import base_directory
from gr00t_rl_ext.policy.options import Gr00tOptions
from gr00t_rl_ext.robot.task_spec import TaskSpec
from gr00t_rl_ext.starters import STARTER, Starter, starter_of, starters, unpacked

FOLDER = Path(package.__file__).parent
ALL = pytest.mark.parametrize("starter", starters(), ids=lambda starter: starter.name)


def spec_of(starter: Starter) -> TaskSpec:
    """A task as the starter's."""
    return TaskSpec(
        instruction=starter.instruction,
        image_groups=("rgb",),
        cameras=starter.cameras,
        state_groups=("state",),
        state_terms=starter.state_terms,
        action_terms=starter.action_terms,
    )


def test_they_are_small_and_each_archive_is_listed() -> None:
    archives = sorted(FOLDER.glob("*.tar.xz"))
    assert [file.name for file in archives] == sorted(f"{starter.name}.tar.xz" for starter in starters())
    assert sum(file.stat().st_size for file in archives) <= 5e6


@ALL
def test_a_task_gets_its_starter(starter: Starter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_ENV_VAR, str(tmp_path))
    options = Gr00tOptions(checkpoint=STARTER)
    directory = base_directory(options, spec_of(starter))
    assert directory.parent.parent == tmp_path
    model = load_gr00t(directory, embodiment_tag=options.embodiment_tag)
    assert model.action_horizon >= starter.chunk_length
    written = (directory / "config.json").stat().st_mtime_ns
    assert unpacked(starter) == directory
    assert (directory / "config.json").stat().st_mtime_ns == written, "unpacked once"
    assert starter_of(starter.task) is starter


@ALL
def test_a_task_that_shows_something_else_is_told_the_settings(starter: Starter) -> None:
    seen = dataclasses.replace(spec_of(starter), cameras=("elsewhere",))
    with pytest.raises(Gr00tCheckpointError) as caught:
        base_directory(Gr00tOptions(checkpoint=STARTER), seen)
    assert str(caught.value).endswith(f"Add to the command line: {' '.join(starter.settings)}")
    assert "but the agent observes elsewhere" in str(caught.value)


def test_a_task_without_a_starter_is_told_which_have_one() -> None:
    spec = TaskSpec("juggle", ("rgb",), ("camera",), ("state",), {"joints": 7}, {"arm": 7})
    with pytest.raises(
        Gr00tCheckpointError, match=r"There is no starter for the task 'juggle'\. There is one for: gym"
    ):
        base_directory(Gr00tOptions(checkpoint=STARTER), spec)
    assert starter_of("Isaac-Cartpole-State-v0") is None
