# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Configs: every field is read by something, and defaults stand in one sense only."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from gr00t_rl_ext.policy.actor import Actor
from gr00t_rl_ext.policy.adapter import CategoricalAdapter, GaussianAdapter
from gr00t_rl_ext.policy.categorical_actor import Gr00tCategoricalActor
from gr00t_rl_ext.policy.critic import Gr00tCritic
from gr00t_rl_ext.policy.flow_actor import Gr00tFlowActor
from gr00t_rl_ext.policy.flow_chain import FlowOptions
from gr00t_rl_ext.policy.gaussian_actor import Gr00tGaussianActor
from gr00t_rl_ext.policy.options import Gr00tOptions
from gr00t_rl_ext.policy.residual_actor import Gr00tResidualActor
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


@pytest.mark.parametrize("distribution", [None, "distribution_cfg"])
def test_the_actor_configs_have_the_adapters_defaults(distribution: str | None) -> None:
    cfg = configs.Gr00tCategoricalActorCfg if distribution is None else configs.Gr00tGaussianActorCfg
    adapter = defaults((CategoricalAdapter if distribution is None else GaussianAdapter).__init__)
    actor = cfg().to_dict()
    given = actor.pop(distribution) if distribution else {}
    assert given.pop("squash", False) is False
    for name, value in [*given.items(), *actor.items()]:
        if name not in ("class_name", "gr00t", "freezing", "chunk_length", "distribution_cfg"):
            assert plain(adapter[name]) == plain(value), name


def test_the_flow_config_has_the_options_defaults() -> None:
    flow = {name: plain(value) for name, value in configs.FlowCfg().to_dict().items()}
    assert flow == dataclasses.asdict(FlowOptions())


@pytest.mark.parametrize(
    ("cfg", "actor_class"),
    [
        ("Gr00tGaussianActorCfg", Gr00tGaussianActor),
        ("Gr00tCategoricalActorCfg", Gr00tCategoricalActor),
        ("Gr00tFlowActorCfg", Gr00tFlowActor),
        ("Gr00tResidualActorCfg", Gr00tResidualActor),
    ],
)
def test_every_field_of_an_actor_config_is_one_of_its_class(cfg: str, actor_class: type[Actor]) -> None:
    fields = getattr(configs, cfg)().to_dict()
    assert fields.pop("class_name") == f"{actor_class.__module__}:{actor_class.__qualname__}"
    sections = {name: tuple(value) for name, value in fields.items() if isinstance(value, dict)}
    # Isaac Lab asks every actor for the last one
    assert sections.keys() == {"gr00t", "freezing", *actor_class.SECTIONS, "distribution_cfg"}
    for name, known in actor_class.SECTIONS.items():
        assert sorted(sections[name]) == sorted(known)
    assert fields.keys() - sections.keys() == {"chunk_length", *actor_class.FIELDS}


def test_the_critic_config_has_the_critics_defaults() -> None:
    critic = configs.Gr00tCriticCfg()
    for name in ("hidden_dims", "activation", "obs_normalization", "obs_clip", "values", "orthogonal_init", "detach"):
        assert plain(defaults(Gr00tCritic.__init__)[name]) == plain(getattr(critic, name)), name
    assert critic.class_name == f"{Gr00tCritic.__module__}:{Gr00tCritic.__qualname__}"
