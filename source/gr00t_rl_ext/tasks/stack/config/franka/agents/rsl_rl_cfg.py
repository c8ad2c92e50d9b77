# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""rsl_rl agents. Each class is the whole recipe."""

from __future__ import annotations

from typing import Any

from isaaclab.utils import configclass
from isaaclab_rl.rsl_rl import RslRlMLPModelCfg, RslRlOnPolicyRunnerCfg, RslRlPpoAlgorithmCfg

from gr00t_rl_ext.algorithms.configs import Gr00tPpoAlgorithmCfg
from gr00t_rl_ext.policy.configs import Gr00tCriticCfg, MlpActorCfg
from gr00t_rl_ext.tasks import recipes

_OBS_GROUPS = {"actor": ["rgb", "state"], "critic": ["rgb", "state", "privileged"]}


@configclass
class Gr00tPpoRunnerCfg(recipes.Gr00tPpoRunnerCfg):
    """``gr00t_ppo``."""

    experiment_name = "gr00t_stack_cube_franka"
    obs_groups = _OBS_GROUPS


@configclass
class Gr00tFlowPpoRunnerCfg(recipes.Gr00tFlowPpoRunnerCfg):
    """``gr00t_flow_ppo``."""

    experiment_name = "gr00t_flow_stack_cube_franka"
    obs_groups = _OBS_GROUPS


@configclass
class Gr00tLoraPpoRunnerCfg(recipes.Gr00tLoraPpoRunnerCfg):
    """``gr00t_lora_ppo``."""

    experiment_name = "gr00t_lora_stack_cube_franka"
    obs_groups = _OBS_GROUPS


DECISIONS_PER_EPISODE = 38
"""An episode of 30 s is 600 control steps, which chunks of 16 cover."""


@configclass
class Gr00tGrpoRunnerCfg(recipes.Gr00tGrpoRunnerCfg):
    """``gr00t_grpo``."""

    experiment_name = "gr00t_grpo_stack_cube_franka"
    num_steps_per_env = DECISIONS_PER_EPISODE


@configclass
class Gr00tFlowGrpoRunnerCfg(recipes.Gr00tFlowGrpoRunnerCfg):
    """``gr00t_flow_grpo``."""

    experiment_name = "gr00t_flow_grpo_stack_cube_franka"
    num_steps_per_env = DECISIONS_PER_EPISODE


_MLP_PPO: dict[str, Any] = {
    "num_learning_epochs": 5,
    "num_mini_batches": 4,
    "learning_rate": 1.0e-3,
    "schedule": "adaptive",
    "gamma": 0.99,
    "lam": 0.95,
    "entropy_coef": 0.005,
    "desired_kl": 0.01,
    "max_grad_norm": 1.0,
    "value_loss_coef": 1.0,
    "use_clipped_value_loss": True,
    "clip_param": 0.2,
}
"""Of PPO with an MLP, rsl_rl's and ours."""


@configclass
class RslRlMlpPpoRunnerCfg(RslRlOnPolicyRunnerCfg):
    """``rsl_rl_cfg_entry_point``: rsl_rl's PPO with an MLP on the simulator's state, one control step per decision."""

    device = recipes.default_device()
    seed = 42
    num_steps_per_env = 32
    max_iterations = 1500
    save_interval = 50
    experiment_name = "rsl_rl_stack_cube_franka"
    clip_actions = 1.0
    obs_groups = {"actor": ["state", "privileged"], "critic": ["state", "privileged"]}
    actor = RslRlMLPModelCfg(
        hidden_dims=[256, 128, 64],
        activation="elu",
        obs_normalization=True,
        distribution_cfg=RslRlMLPModelCfg.GaussianDistributionCfg(init_std=0.5),
    )
    critic = RslRlMLPModelCfg(hidden_dims=[256, 128, 64], activation="elu", obs_normalization=True)
    algorithm = RslRlPpoAlgorithmCfg(class_name="gr00t_rl_ext.algorithms.baseline:MlpPPO", **_MLP_PPO)


@configclass
class MlpPpoRunnerCfg(RslRlMlpPpoRunnerCfg):
    """``mlp_ppo``: the networks and settings of that baseline, trained by the PPO that trains GR00T."""

    experiment_name = "mlp_stack_cube_franka"
    # the algorithm checks as well, and names the environments
    check_for_nan = False
    actor = MlpActorCfg()
    critic = Gr00tCriticCfg(hidden_dims=[256, 128, 64], activation="elu", obs_clip=None)
    algorithm = Gr00tPpoAlgorithmCfg(
        critic_learning_rate=_MLP_PPO["learning_rate"], target_kl=None, kl_to_base_coef=0.0, **_MLP_PPO
    )
