# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The agents' recipes, whatever the task. A task's own recipe names its observation groups and an experiment."""

from __future__ import annotations

from dataclasses import MISSING
from typing import Any

import torch
from isaaclab.utils import configclass
from isaaclab_rl.rsl_rl import RslRlMLPModelCfg, RslRlOnPolicyRunnerCfg, RslRlPpoAlgorithmCfg

from gr00t_rl_ext.algorithms.configs import Gr00tGrpoAlgorithmCfg, Gr00tPpoAlgorithmCfg
from gr00t_rl_ext.policy.configs import (
    Gr00tCategoricalActorCfg,
    Gr00tCriticCfg,
    Gr00tFlowActorCfg,
    Gr00tFreezingCfg,
    Gr00tGaussianActorCfg,
    Gr00tResidualActorCfg,
    MlpActorCfg,
)


def default_device() -> str:
    """Isaac Lab's default is cuda:0, and `--device cpu` does not change it."""
    return "cuda:0" if torch.cuda.is_available() else "cpu"


@configclass
class Gr00tPpoRunnerCfg(RslRlOnPolicyRunnerCfg):
    """``gr00t_ppo``: frozen GR00T backbone, Tanh adapter with a Gaussian, critic MLP."""

    device = default_device()
    seed = 42
    num_steps_per_env = 8  # decisions: 128 control steps at chunk 16
    max_iterations = 1000
    save_interval = 50
    experiment_name = "gr00t"
    clip_actions = 1.0
    # the algorithm checks as well, and names the environments
    check_for_nan = False
    init_at_random_ep_len = True
    obs_groups = {"actor": ["rgb", "state"], "critic": ["rgb", "state"]}
    actor = Gr00tGaussianActorCfg()
    critic = Gr00tCriticCfg()
    algorithm = Gr00tPpoAlgorithmCfg()


@configclass
class Gr00tResidualPpoRunnerCfg(Gr00tPpoRunnerCfg):
    """``gr00t_residual_ppo``: frozen GR00T, whose own actions an adapter corrects."""

    # GR00T says actions in the units of its statistics, which may leave [-1, 1]
    clip_actions = None
    actor = Gr00tResidualActorCfg()
    algorithm = Gr00tPpoAlgorithmCfg(critic_warmup_iterations=2)


@configclass
class Gr00tFlowPpoRunnerCfg(Gr00tPpoRunnerCfg):
    """``gr00t_flow_ppo``: GR00T's own action head is the policy; its projectors and diffusion transformer train."""

    # GR00T says actions in the units of its statistics, which may leave [-1, 1]
    clip_actions = None
    actor = Gr00tFlowActorCfg()
    algorithm = Gr00tPpoAlgorithmCfg(
        learning_rate=5.0e-6,
        num_learning_epochs=4,
        clip_param=0.2,
        target_kl=0.05,
        huber_delta=1.0,
        use_clipped_value_loss=False,
        critic_warmup_iterations=2,
    )


@configclass
class Gr00tLoraPpoRunnerCfg(Gr00tFlowPpoRunnerCfg):
    """``gr00t_lora_ppo``: the same with low-rank adapters on the diffusion transformer."""

    actor = Gr00tFlowActorCfg(freezing=Gr00tFreezingCfg(train=["dit_lora"]))


@configclass
class Gr00tCategoricalPpoRunnerCfg(Gr00tPpoRunnerCfg):
    """``gr00t_categorical_ppo``: discrete actions; frozen GR00T backbone, categorical adapter, critic MLP."""

    # choices are numbers that clipping would change
    clip_actions = None
    actor = Gr00tCategoricalActorCfg()


@configclass
class Gr00tGrpoRunnerCfg(Gr00tPpoRunnerCfg):
    """``gr00t_grpo``: the policy of ``gr00t_ppo``, trained without a critic by groups that start from one state."""

    # every rollout begins with new episodes
    init_at_random_ep_len = False
    obs_groups = {"actor": ["rgb", "state"]}
    critic = MISSING
    algorithm = Gr00tGrpoAlgorithmCfg()


@configclass
class Gr00tFlowGrpoRunnerCfg(Gr00tGrpoRunnerCfg):
    """``gr00t_flow_grpo``: GRPO of GR00T's own action head."""

    clip_actions = None
    actor = Gr00tFlowActorCfg()
    algorithm = Gr00tGrpoAlgorithmCfg(learning_rate=5.0e-6, num_learning_epochs=4)


SMALL_FLOW: dict[str, Any] = {
    "num_learning_epochs": 4,
    "clip_param": 0.2,
    # Small steps to the end: an adaptive rate that kept the KL of an update above 0.1 stood still at 75 % on Fetch's
    # PickAndPlace, from where this one went on to 97 %
    "schedule": "linear",
    "kl_to_base_coef": 0.002,
    "target_kl": None,
}
"""PPO and GRPO of the action head of a model that trains on a CPU, with rates that would ruin one of billions of
parameters."""

SMALL_FLOW_PPO: dict[str, Any] = SMALL_FLOW | {
    "critic_schedule": "fixed",
    "critic_learning_rate": 1.0e-3,
    "critic_warmup_iterations": 4,
    "huber_delta": 1.0,
    "use_clipped_value_loss": False,
    # an episode ends with success, so that all failures are time-outs
    "bootstrap_time_outs": False,
}
"""PPO has a critic besides."""

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

LIKE_RSL_RL: dict[str, Any] = {
    "target_kl": None,
    "kl_to_base_coef": 0.0,
    # torch's, as in rsl_rl. With 1e-5, 4 of 8 runs of CartPole with a fixed rate were not solved in time
    "adam_epsilon": 1.0e-8,
}
"""What our PPO has beside them in ``mlp_ppo``, so that it is rsl_rl's."""


@configclass
class RslRlMlpPpoRunnerCfg(RslRlOnPolicyRunnerCfg):
    """``rsl_rl_cfg_entry_point``: rsl_rl's PPO with an MLP on the simulator's state, one control step per decision."""

    device = default_device()
    seed = 42
    num_steps_per_env = 32
    max_iterations = 1500
    save_interval = 50
    experiment_name = "rsl_rl_mlp"
    clip_actions = 1.0
    obs_groups = {"actor": ["state"], "critic": ["state"]}
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

    experiment_name = "mlp"
    # the algorithm checks as well, and names the environments
    check_for_nan = False
    actor = MlpActorCfg()
    critic = Gr00tCriticCfg(hidden_dims=[256, 128, 64], activation="elu", obs_clip=None, orthogonal_init=False)
    algorithm = Gr00tPpoAlgorithmCfg(critic_learning_rate=_MLP_PPO["learning_rate"], **LIKE_RSL_RL, **_MLP_PPO)
