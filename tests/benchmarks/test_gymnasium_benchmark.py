# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The benchmark of Gymnasium tasks runs and compares what it says."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import pytest

from gr00t_rl_ext.envs.gymnasium.configs import GymnasiumEnvCfg


def test_it_compares_with_the_bare_simulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import gymnasium_steps

    arguments = "--task gym:FetchReach-v4 --num_envs 2 --workers 1 --chunk_length 4 --steps 8 --repetitions 2"
    arguments += f" --image_size 16 --json {tmp_path / 'figures.json'}"
    monkeypatch.setattr(sys, "argv", ["gymnasium_steps.py", *arguments.split()])
    gymnasium_steps.main()
    table = capsys.readouterr().out
    assert "gym:FetchReach-v4, 2 envs in 1 processes, chunks of 4" in table
    for row in ("bare", "vectors", "images", "an image of 16 px"):
        assert f"  {row} " in table or f"  {row}:" in table
    assert (tmp_path / "figures.json").stat().st_size > 100


class Counted:
    """An environment that counts."""

    action_space = gym.spaces.Discrete(2)
    steps = resets = 0

    def reset(self, seed: int | None = None) -> None:
        self.resets += 1

    def step(self, action: int) -> tuple[None, float, bool, bool, dict]:
        self.steps += 1
        return None, 0.0, False, False, {}


def test_the_bare_simulator_does_as_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    import gymnasium_steps

    envs: list[Counted] = []
    monkeypatch.setattr(gymnasium_steps, "make_env", lambda cfg: envs.append(Counted()) or envs[-1])
    monkeypatch.setattr(gymnasium_steps, "time_limit", lambda cfg: 10)
    said: list[str] = []
    orders = iter([7, 18, None])
    connection: Any = SimpleNamespace(send=said.append, recv=lambda: next(orders))
    gymnasium_steps.run_bare(connection, GymnasiumEnvCfg(env_id="Counted"), 3)
    assert said == ["ready", "done", "done"]
    assert [env.steps for env in envs] == [25] * 3
    assert [env.resets for env in envs] == [1 + 2] * 3
