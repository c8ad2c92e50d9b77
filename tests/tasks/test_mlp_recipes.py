# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""``mlp_ppo`` and ``rsl_rl_cfg_entry_point`` of a task differ in the algorithm's code only, so that they compare."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

RECIPES = "gr00t_rl_ext.tasks"
PAIRS = {
    "continuous classic control": (f"{RECIPES}.gymnasium.agents.classic_cfg", "ContinuousMlpPpo", "ContinuousRslRl"),
    "discrete classic control": (f"{RECIPES}.gymnasium.agents.classic_cfg", "DiscreteMlpPpo", "DiscreteRslRl"),
    "cartpole": (f"{RECIPES}.cartpole.agents.rsl_rl_cfg", "MlpPpo", "RslRlMlpPpo"),
    "stack": (f"{RECIPES}.stack.config.franka.agents.rsl_rl_cfg", "MlpPpo", "RslRlMlpPpo"),
}


@pytest.fixture(params=PAIRS.values(), ids=PAIRS)
def pair(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    """Ours and rsl_rl's."""
    module, *names = request.param
    return [getattr(importlib.import_module(module), f"{name}RunnerCfg")().to_dict() for name in names]


def shared(ours: dict[str, Any], theirs: dict[str, Any]) -> set[str]:
    """Fields that both have and whose value is no config and no name."""
    names = {"class_name", "experiment_name", "check_for_nan"}
    return {name for name in ours.keys() & theirs.keys() if not isinstance(theirs[name], dict)} - names


def test_settings_are_equal(pair: list[dict[str, Any]]) -> None:
    ours, theirs = pair
    for part in (None, "algorithm"):
        one, other = (cfg if part is None else cfg[part] for cfg in pair)
        fields = shared(one, other)
        assert len(fields) > 8
        assert {name: one[name] for name in fields} == {name: other[name] for name in fields}
    assert ours["obs_groups"] == theirs["obs_groups"]
    assert ours["algorithm"]["critic_learning_rate"] == theirs["algorithm"]["learning_rate"]
    assert ours["algorithm"]["target_kl"] is None, "no stop that rsl_rl does not have"
    assert ours["algorithm"]["kl_to_base_coef"] == 0.0


def test_networks_are_equal(pair: list[dict[str, Any]]) -> None:
    ours, theirs = pair
    for network in ("actor", "critic"):
        assert list(ours[network]["hidden_dims"]) == list(theirs[network]["hidden_dims"])
        for field in ("activation", "obs_normalization"):
            assert ours[network][field] == theirs[network][field]
    assert ours["critic"]["obs_clip"] is None
    assert not ours["critic"]["orthogonal_init"], "rsl_rl's critic does not begin so"
    gaussian = ours["actor"]["distribution_cfg"]
    if gaussian is not None:
        assert gaussian == theirs["actor"]["distribution_cfg"]
