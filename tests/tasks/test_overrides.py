# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Overrides: texts are taken as they are written, everything else as Hydra reads it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gr00t_rl_ext.tasks.overrides import check_override_paths, override_values, set_values


def configs() -> tuple[Any, Any]:
    env = SimpleNamespace(instruction="reach", num_envs=4, seed=None)
    agent = SimpleNamespace(name="a", lr=1e-3, dims=[1], pair=(0.1, 0.2), actor=SimpleNamespace(path="", scale=None))
    return env, agent


@pytest.mark.parametrize(
    "text", ["press button #3", "first: the cube", "yes", "null", "12", "[a,b]", "a ${b} c", "=x=y", "", "it's"]
)
def test_a_text_is_what_is_written(text: str) -> None:
    env, agent = configs()
    values = override_values([f"env.instruction={text}", f"agent.actor.path=/data/{text}"], env, agent)
    assert values == {"env": {"instruction": text}, "agent": {"actor": {"path": f"/data/{text}"}}}


def test_quotes_around_a_text_are_the_command_lines() -> None:
    assert override_values(["env.instruction='a b'"], *configs())["env"]["instruction"] == "a b"


def test_other_values_are_read_and_set() -> None:
    env, agent = configs()
    overrides = ["agent.lr=1e-4", "agent.dims=[8,16]", "agent.pair=[0.3,0.4]", "agent.actor.scale=0.5", "+env.seed=3"]
    values = override_values(overrides, env, agent)
    set_values(agent, values["agent"])
    set_values(env, values["env"])
    assert (agent.lr, agent.dims, agent.pair, agent.actor.scale, env.seed) == (1e-4, [8, 16], (0.3, 0.4), 0.5, 3)
    assert agent.actor.path == ""


def test_what_does_not_exist_or_fit_is_refused() -> None:
    env, agent = configs()
    with pytest.raises(ValueError, match=r"agent.actor has no 'pth'. Similar: path. It has: path, scale"):
        check_override_paths(["agent.actor.pth=x"], env, agent)
    with pytest.raises(ValueError, match=r"agent.lr takes a number \(default: 0.001\), got 'high'"):
        check_override_paths(["agent.lr=high"], env, agent)
