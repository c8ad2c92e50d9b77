# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""rsl_rl agents for the cartpole: recipes of :mod:`gr00t_rl_ext.tasks.recipes` with what this task decides."""

from __future__ import annotations

from typing import Any

from isaaclab.utils import configclass
from isaaclab_rl.rsl_rl import RslRlMLPModelCfg

from gr00t_rl_ext.policy.configs import Gr00tCategoricalActorCfg, Gr00tCriticCfg, Gr00tGaussianActorCfg, MlpActorCfg
from gr00t_rl_ext.tasks import recipes


@configclass
class Gr00tAdapterPpoRunnerCfg(recipes.Gr00tAdapterPpoRunnerCfg):
    """``gr00t_adapter_ppo``, which looks at every second control step: the pole falls faster than a chunk lasts."""

    experiment_name = "gr00t_adapter_cartpole"
    num_steps_per_env = 32
    actor = Gr00tGaussianActorCfg(chunk_length=2, distribution_cfg=recipes.WIDE)


@configclass
class Gr00tCategoricalPpoRunnerCfg(recipes.Gr00tCategoricalPpoRunnerCfg):
    """``gr00t_categorical_ppo``: likewise, for discrete actions."""

    experiment_name = "gr00t_categorical_cartpole"
    num_steps_per_env = 32
    actor = Gr00tCategoricalActorCfg(chunk_length=2)


_NETWORK: dict[str, Any] = {"hidden_dims": [32, 32], "activation": "elu", "obs_normalization": True}
_STD = RslRlMLPModelCfg.GaussianDistributionCfg(init_std=0.5)


@configclass
class RslRlMlpPpoRunnerCfg(recipes.RslRlMlpPpoRunnerCfg):
    """``rsl_rl_cfg_entry_point``: rsl_rl's PPO with networks as wide as those of Isaac Lab's own agent."""

    experiment_name = "rsl_rl_cartpole"
    num_steps_per_env = 16
    max_iterations = 120
    save_interval = 10
    actor = RslRlMLPModelCfg(distribution_cfg=_STD, **_NETWORK)
    critic = RslRlMLPModelCfg(**_NETWORK)


@configclass
class MlpPpoRunnerCfg(recipes.MlpPpoRunnerCfg):
    """``mlp_ppo``: the same by our PPO."""

    experiment_name = "mlp_cartpole"
    num_steps_per_env = 16
    max_iterations = 120
    save_interval = 10
    actor = MlpActorCfg(distribution_cfg=_STD, **_NETWORK)
    critic = Gr00tCriticCfg(obs_clip=None, orthogonal_init=False, **_NETWORK)
