# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Agents for classic control: an MLP on the state, one control step per decision, trained from scratch.

``mlp_ppo`` and ``rsl_rl_cfg_entry_point`` have the same networks and settings, so that they can be compared.
"""

from __future__ import annotations

from typing import Any

from isaaclab.utils import configclass
from isaaclab_rl.rsl_rl import RslRlMLPModelCfg

from gr00t_rl_ext.policy.configs import Gr00tCriticCfg, MlpActorCfg
from gr00t_rl_ext.tasks import recipes

_NETWORK: dict[str, Any] = {"hidden_dims": [64, 64], "activation": "tanh", "obs_normalization": True}
_STD = RslRlMLPModelCfg.GaussianDistributionCfg(init_std=1.0, std_type="log")
_OUR_CRITIC = Gr00tCriticCfg(obs_clip=None, orthogonal_init=False, **_NETWORK)

_CONTINUOUS: dict[str, Any] = {
    "num_learning_epochs": 10,
    "num_mini_batches": 8,
    "learning_rate": 1.0e-3,
    "schedule": "fixed",
    "desired_kl": None,
    "gamma": 0.9,
    "lam": 0.95,
    "entropy_coef": 0.0,
    "max_grad_norm": 0.5,
    "value_loss_coef": 1.0,
    "use_clipped_value_loss": False,
    "clip_param": 0.2,
}

_DISCRETE: dict[str, Any] = _CONTINUOUS | {
    "num_learning_epochs": 20,
    "num_mini_batches": 1,
    "schedule": "adaptive",
    "desired_kl": 0.01,
    "gamma": 0.98,
    "lam": 0.8,
}


@configclass
class ContinuousRslRlRunnerCfg(recipes.RslRlMlpPpoRunnerCfg):
    """``rsl_rl_cfg_entry_point`` for continuous actions: rsl_rl's PPO."""

    num_steps_per_env = 128
    max_iterations = 120
    save_interval = 10
    # episodes that end by time only would stay in step: a rollout would see their beginnings or their ends
    init_at_random_ep_len = True
    clip_actions = None
    actor = RslRlMLPModelCfg(distribution_cfg=_STD, **_NETWORK)
    critic = RslRlMLPModelCfg(**_NETWORK)
    algorithm = recipes.rsl_rl_ppo(_CONTINUOUS)


@configclass
class ContinuousMlpPpoRunnerCfg(recipes.MlpPpoRunnerCfg):
    """``mlp_ppo`` for continuous actions."""

    num_steps_per_env = 128
    max_iterations = 120
    save_interval = 10
    init_at_random_ep_len = True
    clip_actions = None
    actor = MlpActorCfg(distribution_cfg=_STD, **_NETWORK)
    critic = _OUR_CRITIC
    algorithm = recipes.like_rsl_rl_ppo(_CONTINUOUS)


@configclass
class DiscreteRslRlRunnerCfg(recipes.RslRlMlpPpoRunnerCfg):
    """``rsl_rl_cfg_entry_point`` for discrete actions."""

    num_steps_per_env = 32
    max_iterations = 300
    save_interval = 10
    init_at_random_ep_len = False
    clip_actions = None
    actor = RslRlMLPModelCfg(distribution_cfg=None, **_NETWORK)
    critic = RslRlMLPModelCfg(**_NETWORK)
    algorithm = recipes.rsl_rl_ppo(_DISCRETE)


@configclass
class DiscreteMlpPpoRunnerCfg(recipes.MlpPpoRunnerCfg):
    """``mlp_ppo`` for discrete actions."""

    num_steps_per_env = 32
    max_iterations = 300
    save_interval = 10
    init_at_random_ep_len = False
    clip_actions = None
    actor = MlpActorCfg(distribution_cfg=None, **_NETWORK)
    critic = _OUR_CRITIC
    algorithm = recipes.like_rsl_rl_ppo(_DISCRETE)
