# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The agents' recipes, whatever the task: beside what all share (:class:`RunnerCfg`), one class is the whole recipe.

A task's own recipe derives from one of them. It names its observation groups and an experiment, and what else it
decides.
"""

from __future__ import annotations

from typing import Any

import torch
from isaaclab.utils import configclass
from isaaclab_rl.rsl_rl import RslRlMLPModelCfg, RslRlOnPolicyRunnerCfg, RslRlPpoAlgorithmCfg

from gr00t_rl_ext.algorithms.configs import Gr00tGrpoAlgorithmCfg, Gr00tPpoAlgorithmCfg
from gr00t_rl_ext.policy.configs import (
    BoundedGaussianCfg,
    BoundedStdCfg,
    Gr00tCategoricalActorCfg,
    Gr00tCriticCfg,
    Gr00tFlowActorCfg,
    Gr00tFreezingCfg,
    Gr00tGaussianActorCfg,
    Gr00tResidualActorCfg,
    Gr00tSteeringActorCfg,
    MlpActorCfg,
)
from gr00t_rl_ext.preflight.configs import PreflightCfg
from gr00t_rl_ext.runs.configs import CheckpointsCfg

CAMERAS = {"actor": ["rgb", "state"], "critic": ["rgb", "state", "privileged"]}
"""Observation groups of a policy with cameras whose critic is told what only the simulator knows."""

VECTORS = {"actor": ["state", "privileged"], "critic": ["state", "privileged"]}
"""Observation groups of an MLP that is told the same."""

POLICY_WARM_UP: dict[str, Any] = {"learning_rate_warmup_steps": 20}
"""Adam's first steps are as large as the rate allows, however small the gradient. Without a warm-up the first update of
GR00T's head was three times as large as the next ones."""

WARM_UPS: dict[str, Any] = POLICY_WARM_UP | {"critic_warmup_iterations": 0, "critic_warmup_epochs": 8}
"""The critic, too, learns the first rollout before the policy does, instead of rollouts that only it would learn
from."""

FLOW_PPO: dict[str, Any] = {
    "learning_rate": 5.0e-6,
    "num_learning_epochs": 4,
    "clip_param": 0.2,
    "target_kl": 0.05,
    "huber_delta": 1.0,
    "use_clipped_value_loss": False,
    **WARM_UPS,
}
"""PPO of the action head of a model of billions of parameters."""

LORA_PPO: dict[str, Any] = FLOW_PPO | {"learning_rate": 5.0e-5}
"""The same by low-rank adapters, which want ten times the rate of the weights themselves (Schulman et al. 2025, "LoRA
Without Regret")."""

ADAPTER: dict[str, Any] = {
    # of a small network that begins at random, whatever GR00T's size. A KL to what is random would only hold it back
    "learning_rate": 3.0e-4,
    "schedule": "linear",
    "num_learning_epochs": 4,
    "clip_param": 0.2,
    "target_kl": 0.15,
    "kl_to_base_coef": 0.0,
}
"""PPO and GRPO of an adapter that learns from scratch."""

ADAPTER_PPO: dict[str, Any] = ADAPTER | {
    "critic_learning_rate": 1.0e-3,
    "critic_warmup_iterations": 2,
    "use_clipped_value_loss": False,
}
"""PPO has a critic besides."""

WIDE = BoundedGaussianCfg(init_std=0.5, std_range=(0.1, 1.0))
"""Exploration of an adapter that knows nothing yet, in units of the action range."""

STEERING: dict[str, Any] = {
    # of a small network that begins with 0, whatever GR00T's size
    "learning_rate": 5.0e-4,
    "schedule": "linear",
    "num_learning_epochs": 4,
    "clip_param": 0.2,
    "target_kl": 0.15,
    "kl_to_base_coef": 0.002,
}
"""PPO and GRPO of the noise that a frozen GR00T begins with. Measured with a model of a million parameters."""

STEERING_PPO: dict[str, Any] = STEERING | {
    "critic_schedule": "fixed",
    "critic_learning_rate": 1.0e-3,
    # its first update was smaller than the next ones without any other warm-up
    "critic_warmup_iterations": 2,
    "huber_delta": 1.0,
    "use_clipped_value_loss": False,
    # an episode ends with success, so that all failures are time-outs
    "bootstrap_time_outs": False,
}
"""PPO has a critic besides."""

RESIDUAL_PPO: dict[str, Any] = STEERING_PPO | WARM_UPS | {"learning_rate": 1.2e-4}
"""PPO of the correction of a frozen GR00T's actions: likewise of a small network, whatever GR00T's size."""

CORRECTED = BoundedStdCfg(init_std=0.15)
"""Exploration of that correction, in GR00T's normalised actions."""

SMALL_FLOW: dict[str, Any] = {
    "num_learning_epochs": 4,
    "clip_param": 0.2,
    # Small steps to the end: an adaptive rate that kept the KL of an update above 0.1 stood still at 75 % on Fetch's
    # PickAndPlace, from where this one went on to 97 %
    "schedule": "linear",
    "kl_to_base_coef": 0.002,
    # no epoch more after a step that is too large
    "target_kl": 0.15,
    **POLICY_WARM_UP,
}
"""PPO and GRPO of the action head of a model that trains on a CPU, with rates that would ruin one of billions of
parameters."""

SMALL_FLOW_PPO: dict[str, Any] = SMALL_FLOW | {
    "critic_schedule": "fixed",
    "critic_learning_rate": 1.0e-3,
    **WARM_UPS,
    "huber_delta": 1.0,
    "use_clipped_value_loss": False,
    # an episode ends with success, so that all failures are time-outs
    "bootstrap_time_outs": False,
}
"""PPO has a critic besides."""

MLP_PPO: dict[str, Any] = {
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
"""PPO with an MLP, rsl_rl's and ours."""


def rsl_rl_ppo(settings: dict[str, Any]) -> RslRlPpoAlgorithmCfg:
    """rsl_rl's PPO with some settings."""
    return RslRlPpoAlgorithmCfg(class_name="gr00t_rl_ext.algorithms.baseline:RslRlPPO", **settings)


def like_rsl_rl_ppo(settings: dict[str, Any]) -> Gr00tPpoAlgorithmCfg:
    """Our PPO with the same settings, and what it has beside them such that it is rsl_rl's."""
    return Gr00tPpoAlgorithmCfg(
        critic_learning_rate=settings["learning_rate"],
        target_kl=None,
        kl_to_base_coef=0.0,
        # torch's, as in rsl_rl. With 1e-5, 4 of 8 runs of CartPole with a fixed rate were not solved in time
        adam_epsilon=1.0e-8,
        **settings,
    )


def default_device() -> str:
    """Isaac Lab's default is cuda:0, and `--device cpu` does not change it."""
    return "cuda:0" if torch.cuda.is_available() else "cpu"


@configclass
class RunnerCfg(RslRlOnPolicyRunnerCfg):
    """What the agents share."""

    device = default_device()
    seed = 42
    num_steps_per_env = 8  # decisions: 128 control steps at chunk 16
    max_iterations = 1000
    save_interval = 50
    checkpoints = CheckpointsCfg()
    preflight = PreflightCfg()
    experiment_name = "gr00t"
    # the algorithm checks as well, and names the environments
    check_for_nan = False
    obs_groups = {"actor": ["rgb", "state"], "critic": ["rgb", "state"]}
    # GR00T's actions are in the units of its statistics, which may leave [-1, 1]; choices are numbers that clipping
    # would change
    clip_actions = None


@configclass
class Gr00tAdapterPpoRunnerCfg(RunnerCfg):
    """``gr00t_adapter_ppo``: frozen GR00T backbone, Tanh adapter with a Gaussian, critic MLP."""

    clip_actions = 1.0
    actor = Gr00tGaussianActorCfg(distribution_cfg=WIDE)
    critic = Gr00tCriticCfg()
    algorithm = Gr00tPpoAlgorithmCfg(**ADAPTER_PPO)


@configclass
class Gr00tResidualPpoRunnerCfg(RunnerCfg):
    """``gr00t_residual_ppo``: frozen GR00T, whose own actions an adapter corrects."""

    actor = Gr00tResidualActorCfg(distribution_cfg=CORRECTED)
    critic = Gr00tCriticCfg()
    algorithm = Gr00tPpoAlgorithmCfg(**RESIDUAL_PPO)


@configclass
class Gr00tPpoRunnerCfg(RunnerCfg):
    """``gr00t_ppo``: frozen GR00T; an adapter decides the noise that its flow begins with."""

    actor = Gr00tSteeringActorCfg()
    critic = Gr00tCriticCfg()
    # Fetch's recipe, which was measured without them, is the exception
    algorithm = Gr00tPpoAlgorithmCfg(**STEERING_PPO | WARM_UPS)


@configclass
class Gr00tFlowPpoRunnerCfg(RunnerCfg):
    """``gr00t_flow_ppo``: GR00T's own action head is the policy; its projectors and diffusion transformer train."""

    actor = Gr00tFlowActorCfg()
    critic = Gr00tCriticCfg()
    algorithm = Gr00tPpoAlgorithmCfg(**FLOW_PPO)


@configclass
class Gr00tLoraPpoRunnerCfg(RunnerCfg):
    """``gr00t_lora_ppo``: the same with low-rank adapters on the diffusion transformer."""

    actor = Gr00tFlowActorCfg(freezing=Gr00tFreezingCfg(train=["dit_lora"]))
    critic = Gr00tCriticCfg()
    algorithm = Gr00tPpoAlgorithmCfg(**LORA_PPO)


@configclass
class Gr00tCategoricalPpoRunnerCfg(RunnerCfg):
    """``gr00t_categorical_ppo``: discrete actions; frozen GR00T backbone, categorical adapter, critic MLP."""

    actor = Gr00tCategoricalActorCfg()
    critic = Gr00tCriticCfg()
    algorithm = Gr00tPpoAlgorithmCfg(**ADAPTER_PPO)


@configclass
class Gr00tAdapterGrpoRunnerCfg(RunnerCfg):
    """``gr00t_adapter_grpo``: GRPO of the policy of ``gr00t_adapter_ppo``."""

    # every rollout begins with new episodes
    init_at_random_ep_len = False
    clip_actions = 1.0
    obs_groups = {"actor": ["rgb", "state"]}
    actor = Gr00tGaussianActorCfg(distribution_cfg=WIDE)
    algorithm = Gr00tGrpoAlgorithmCfg(learning_rate=3.0e-4, schedule="linear", kl_to_base_coef=0.0)


@configclass
class Gr00tFlowGrpoRunnerCfg(RunnerCfg):
    """``gr00t_flow_grpo``: GRPO of GR00T's own action head."""

    init_at_random_ep_len = False
    obs_groups = {"actor": ["rgb", "state"]}
    actor = Gr00tFlowActorCfg()
    algorithm = Gr00tGrpoAlgorithmCfg(learning_rate=5.0e-6, num_learning_epochs=4, **POLICY_WARM_UP)


@configclass
class Gr00tGrpoRunnerCfg(RunnerCfg):
    """``gr00t_grpo``: GRPO of the noise that a frozen GR00T begins with."""

    init_at_random_ep_len = False
    obs_groups = {"actor": ["rgb", "state"]}
    actor = Gr00tSteeringActorCfg()
    algorithm = Gr00tGrpoAlgorithmCfg(**STEERING)


@configclass
class RslRlMlpPpoRunnerCfg(RunnerCfg):
    """``rsl_rl_cfg_entry_point``: rsl_rl's PPO with an MLP on the simulator's state, one control step per decision."""

    num_steps_per_env = 32
    max_iterations = 1500
    experiment_name = "rsl_rl_mlp"
    check_for_nan = True
    clip_actions = 1.0
    obs_groups = {"actor": ["state"], "critic": ["state"]}
    actor = RslRlMLPModelCfg(
        hidden_dims=[256, 128, 64],
        activation="elu",
        obs_normalization=True,
        distribution_cfg=RslRlMLPModelCfg.GaussianDistributionCfg(init_std=0.5),
    )
    critic = RslRlMLPModelCfg(hidden_dims=[256, 128, 64], activation="elu", obs_normalization=True)
    algorithm = rsl_rl_ppo(MLP_PPO)


@configclass
class MlpPpoRunnerCfg(RunnerCfg):
    """``mlp_ppo``: the networks and settings of that baseline, trained by the PPO that trains GR00T."""

    num_steps_per_env = 32
    max_iterations = 1500
    experiment_name = "mlp"
    clip_actions = 1.0
    obs_groups = {"actor": ["state"], "critic": ["state"]}
    actor = MlpActorCfg()
    critic = Gr00tCriticCfg(hidden_dims=[256, 128, 64], activation="elu", obs_clip=None, orthogonal_init=False)
    algorithm = like_rsl_rl_ppo(MLP_PPO)
