# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Agents for classic control: an MLP on the state, one control step per decision, trained from scratch.

``mlp_ppo`` and ``rsl_rl_cfg_entry_point`` have the same networks and settings, so that they can be compared.
"""

from __future__ import annotations

from typing import Any

from isaaclab.utils import configclass
from isaaclab_rl.rsl_rl import RslRlMLPModelCfg, RslRlOnPolicyRunnerCfg, RslRlPpoAlgorithmCfg

from gr00t_rl_ext.algorithms.configs import Gr00tPpoAlgorithmCfg
from gr00t_rl_ext.policy.configs import Gr00tCriticCfg, MlpActorCfg
from gr00t_rl_ext.tasks import recipes

_NETWORK: dict[str, Any] = {"hidden_dims": [64, 64], "activation": "tanh", "obs_normalization": True}
_BASELINE = "gr00t_rl_ext.algorithms.baseline:MlpPPO"
_STATE = {"actor": ["state"], "critic": ["state"]}

_CONTINUOUS: dict[str, Any] = {
    "num_learning_epochs": 10,
    "num_mini_batches": 8,
    "learning_rate": 1.0e-3,
    "schedule": "fixed",
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


_OURS: dict[str, Any] = recipes.LIKE_RSL_RL | {"critic_learning_rate": _CONTINUOUS["learning_rate"]}
"""What the settings of ``mlp_ppo`` have beside rsl_rl's."""


@configclass
class ContinuousRslRlRunnerCfg(RslRlOnPolicyRunnerCfg):
    """``rsl_rl_cfg_entry_point`` for continuous actions: rsl_rl's PPO."""

    device = recipes.default_device()
    seed = 42
    num_steps_per_env = 128
    max_iterations = 120
    save_interval = 10
    # episodes that end by time only would stay in step: a rollout would see their beginnings or their ends
    init_at_random_ep_len = True
    obs_groups = _STATE
    actor = RslRlMLPModelCfg(
        distribution_cfg=RslRlMLPModelCfg.GaussianDistributionCfg(init_std=1.0, std_type="log"), **_NETWORK
    )
    critic = RslRlMLPModelCfg(**_NETWORK)
    algorithm = RslRlPpoAlgorithmCfg(class_name=_BASELINE, desired_kl=None, **_CONTINUOUS)


@configclass
class ContinuousMlpPpoRunnerCfg(ContinuousRslRlRunnerCfg):
    """``mlp_ppo`` for continuous actions."""

    check_for_nan = False
    actor = MlpActorCfg(
        distribution_cfg=RslRlMLPModelCfg.GaussianDistributionCfg(init_std=1.0, std_type="log"), **_NETWORK
    )
    critic = Gr00tCriticCfg(obs_clip=None, orthogonal_init=False, **_NETWORK)
    algorithm = Gr00tPpoAlgorithmCfg(**_OURS, **_CONTINUOUS)


@configclass
class DiscreteRslRlRunnerCfg(ContinuousRslRlRunnerCfg):
    """``rsl_rl_cfg_entry_point`` for discrete actions."""

    num_steps_per_env = 32
    max_iterations = 300
    init_at_random_ep_len = False
    actor = RslRlMLPModelCfg(distribution_cfg=None, **_NETWORK)
    algorithm = RslRlPpoAlgorithmCfg(class_name=_BASELINE, **_DISCRETE)


@configclass
class DiscreteMlpPpoRunnerCfg(ContinuousMlpPpoRunnerCfg):
    """``mlp_ppo`` for discrete actions."""

    num_steps_per_env = 32
    max_iterations = 300
    init_at_random_ep_len = False
    actor = MlpActorCfg(distribution_cfg=None, **_NETWORK)
    algorithm = Gr00tPpoAlgorithmCfg(**_OURS, **_DISCRETE)
