# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Agents over GR00T for any environment with continuous actions: Fetch's recipes, without groups that it may not have.

None of them was measured on another environment.
"""

from __future__ import annotations

from isaaclab.utils import configclass

from gr00t_rl_ext.tasks.gymnasium.agents import fetch_cfg

_SEEN = {"actor": ["rgb", "state"], "critic": ["rgb", "state"]}


@configclass
class Gr00tPpoSmallRunnerCfg(fetch_cfg.Gr00tPpoSmallRunnerCfg):
    """``gr00t_ppo_small``."""

    obs_groups = _SEEN


@configclass
class Gr00tFlowPpoSmallRunnerCfg(fetch_cfg.Gr00tFlowPpoSmallRunnerCfg):
    """``gr00t_flow_ppo_small``."""

    obs_groups = _SEEN


@configclass
class Gr00tLoraPpoSmallRunnerCfg(fetch_cfg.Gr00tLoraPpoSmallRunnerCfg):
    """``gr00t_lora_ppo_small``."""

    obs_groups = _SEEN


@configclass
class Gr00tResidualPpoSmallRunnerCfg(fetch_cfg.Gr00tResidualPpoSmallRunnerCfg):
    """``gr00t_residual_ppo_small``."""

    obs_groups = _SEEN


@configclass
class Gr00tAdapterPpoSmallRunnerCfg(fetch_cfg.Gr00tAdapterPpoSmallRunnerCfg):
    """``gr00t_adapter_ppo_small``."""

    obs_groups = _SEEN
