# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Configs: every field is read by something, and defaults stand in one sense only."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from gr00t_rl_ext.policy.actor import Gr00tGaussianActor
from gr00t_rl_ext.policy.adapter import GaussianAdapter
from gr00t_rl_ext.policy.critic import Gr00tCritic
from gr00t_rl_ext.policy.encoder import Gr00tOptions
from gr00t_rl_ext.policy.stages import FreezingOptions

configs = pytest.importorskip("gr00t_rl_ext.policy.configs")


def defaults(function: object) -> dict[str, object]:
    return {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}


def plain(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def test_the_model_config_is_the_options_of_the_encoder() -> None:
    assert configs.Gr00tModelCfg().to_dict() == dataclasses.asdict(Gr00tOptions())


def test_the_freezing_config_is_the_options_of_freezing() -> None:
    options = dataclasses.asdict(FreezingOptions())
    assert {name: plain(value) for name, value in configs.Gr00tFreezingCfg().to_dict().items()} == options


def test_the_actor_config_has_the_adapters_defaults() -> None:
    actor = configs.Gr00tGaussianActorCfg().to_dict()
    adapter = defaults(GaussianAdapter.__init__)
    for name, value in [*actor["distribution_cfg"].items(), *actor.items()]:
        if name not in ("class_name", "gr00t", "freezing", "chunk_length", "distribution_cfg"):
            assert plain(adapter[name]) == plain(value), name
    assert actor["class_name"] == f"{Gr00tGaussianActor.__module__}:{Gr00tGaussianActor.__qualname__}"


def test_the_critic_config_has_the_critics_defaults() -> None:
    critic = configs.Gr00tCriticCfg()
    for name in ("hidden_dims", "activation", "obs_normalization"):
        assert plain(defaults(Gr00tCritic.__init__)[name]) == plain(getattr(critic, name)), name
    assert critic.class_name == f"{Gr00tCritic.__module__}:{Gr00tCritic.__qualname__}"
