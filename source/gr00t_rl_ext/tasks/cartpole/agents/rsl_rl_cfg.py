# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""rsl_rl agents for the cartpole."""

from __future__ import annotations

from isaaclab.utils import configclass

from gr00t_rl_ext.policy.configs import Gr00tCategoricalActorCfg, Gr00tGaussianActorCfg
from gr00t_rl_ext.tasks import recipes


@configclass
class Gr00tPpoRunnerCfg(recipes.Gr00tPpoRunnerCfg):
    """``gr00t_ppo``, which looks at every second control step: the pole falls faster than a chunk of 16 lasts."""

    experiment_name = "gr00t_cartpole"
    num_steps_per_env = 32
    actor = Gr00tGaussianActorCfg(chunk_length=2)


@configclass
class Gr00tCategoricalPpoRunnerCfg(recipes.Gr00tCategoricalPpoRunnerCfg):
    """``gr00t_categorical_ppo``: likewise, for discrete actions."""

    experiment_name = "gr00t_categorical_cartpole"
    num_steps_per_env = 32
    actor = Gr00tCategoricalActorCfg(chunk_length=2)
