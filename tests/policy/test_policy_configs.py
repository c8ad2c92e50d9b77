# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""An option is declared once: config classes have the fields, defaults and checks of the options, and nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from isaaclab.utils import replace
from rsl_rl.utils import resolve_callable

from gr00t_rl_ext.options import read, validate
from gr00t_rl_ext.policy import configs, options

UPSTREAM = {"class_name", "distribution_cfg"}
"""Fields that Isaac Lab's config classes bring along."""

CONFIGS = ("Gaussian", "Residual", "Categorical", "Flow")


@pytest.mark.parametrize("name", [f"Gr00t{kind}Actor" for kind in CONFIGS] + ["MlpActor", "Gr00tCritic"])
def test_a_config_is_its_options(name: str) -> None:
    cfg = getattr(configs, f"{name}Cfg")()
    built: Any = resolve_callable(cfg.class_name)
    options_class = built.OPTIONS if hasattr(built, "OPTIONS") else options.CriticOptions
    assert isinstance(cfg, options_class)
    own = {field.name for field in dataclasses.fields(options_class)}
    given, default = cfg.to_dict(), dataclasses.asdict(options_class())
    assert {name: given[name] for name in own - UPSTREAM} == {name: default[name] for name in own - UPSTREAM}


def test_configs_do_not_share_their_lists_and_sections() -> None:
    first, second = configs.Gr00tFlowActorCfg(), configs.Gr00tFlowActorCfg()
    first.freezing.train.append("vl_self_attention")
    first.flow.num_steps = 7
    assert second.freezing.train == ["projector", "dit"]
    assert second.flow.num_steps == 4
    assert replace(second, chunk_length=4).flow is not second.flow


def test_overrides_reach_sections() -> None:
    cfg = configs.Gr00tGaussianActorCfg()
    cfg.from_dict({"gr00t": {"checkpoint": "/x"}, "distribution_cfg": {"std_range": [0.1, 0.2]}})
    assert cfg.gr00t.checkpoint == "/x"
    assert cfg.distribution_cfg.std_range == (0.1, 0.2)


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (configs.Gr00tFlowActorCfg(flow=configs.FlowCfg(num_steps=0)), "flow.num_steps` is 0; expected at least 1"),
        (configs.Gr00tGaussianActorCfg(distribution_cfg=configs.BoundedGaussianCfg(init_std=-1)), "init_std = -1 and"),
        (configs.Gr00tFlowActorCfg(gr00t=configs.Gr00tModelCfg(dtype="int8")), "`gr00t.dtype` is 'int8'; expected"),
        (configs.Gr00tFlowActorCfg(gr00t=configs.Gr00tModelCfg(checkpoint="/nowhere")), "agent.actor.gr00t: .*nowhere"),
        (configs.Gr00tGaussianActorCfg(freezing=configs.Gr00tFreezingCfg(train=["dit"])), "reads the backbone's"),
        (
            configs.Gr00tResidualActorCfg(freezing=configs.Gr00tFreezingCfg(train=["full"])),
            "a residual policy corrects",
        ),
        (configs.Gr00tFlowActorCfg(distribution_cfg={"init_std": 1.0}), "has no field 'init_std'. It is empty"),
        (configs.Gr00tCriticCfg(values="episode"), "values` is 'episode'; expected one of chunk, step"),
        (configs.MlpActorCfg(chunk_length=0), "chunk_length` is 0; expected at least 1"),
    ],
)
def test_what_is_wrong_is_found_without_loading_anything(cfg: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        validate(cfg)


def test_options_are_read_with_their_sections() -> None:
    read_options = read(options.FlowActorOptions, {"flow": {"noise": "learned"}, "chunk_length": 2}, "agent.actor")
    assert (read_options.flow.noise, read_options.flow.num_steps, read_options.chunk_length) == ("learned", 4, 2)
    with pytest.raises(ValueError, match=r"`agent.actor.flow` has no field 'nois'. Its fields are: .*noise_level"):
        read(options.FlowActorOptions, {"flow": {"nois": 1}}, "agent.actor")
