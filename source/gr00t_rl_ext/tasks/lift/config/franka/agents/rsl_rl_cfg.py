# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""rsl_rl agents: recipes of :mod:`gr00t_rl_ext.tasks.recipes` with what this task decides.

Our PPO does not bootstrap at time-outs here: an episode ends with success, so nearly all failures are time-outs.
"""

from __future__ import annotations

from isaaclab.utils import configclass

from gr00t_rl_ext.algorithms.configs import Gr00tGrpoAlgorithmCfg, Gr00tPpoAlgorithmCfg
from gr00t_rl_ext.policy.configs import Gr00tFlowActorCfg, Gr00tResidualActorCfg, Gr00tSteeringActorCfg
from gr00t_rl_ext.tasks import recipes

DECISIONS_PER_EPISODE = 13
"""An episode of 5 s is 100 control steps, which chunks of 8 cover."""


@configclass
class Gr00tAdapterPpoRunnerCfg(recipes.Gr00tAdapterPpoRunnerCfg):
    """``gr00t_adapter_ppo``."""

    experiment_name = "gr00t_adapter_lift_cube_franka"
    obs_groups = recipes.CAMERAS
    algorithm = Gr00tPpoAlgorithmCfg(**recipes.ADAPTER_PPO, bootstrap_time_outs=False)


@configclass
class Gr00tResidualPpoRunnerCfg(recipes.Gr00tResidualPpoRunnerCfg):
    """``gr00t_residual_ppo``."""

    experiment_name = "gr00t_residual_lift_cube_franka"
    obs_groups = recipes.CAMERAS


@configclass
class Gr00tPpoRunnerCfg(recipes.Gr00tPpoRunnerCfg):
    """``gr00t_ppo``."""

    experiment_name = "gr00t_lift_cube_franka"
    obs_groups = recipes.CAMERAS


@configclass
class Gr00tFlowPpoRunnerCfg(recipes.Gr00tFlowPpoRunnerCfg):
    """``gr00t_flow_ppo``."""

    experiment_name = "gr00t_flow_lift_cube_franka"
    obs_groups = recipes.CAMERAS
    algorithm = Gr00tPpoAlgorithmCfg(**recipes.FLOW_PPO, bootstrap_time_outs=False)


@configclass
class Gr00tLoraPpoRunnerCfg(recipes.Gr00tLoraPpoRunnerCfg):
    """``gr00t_lora_ppo``."""

    experiment_name = "gr00t_lora_lift_cube_franka"
    obs_groups = recipes.CAMERAS
    algorithm = Gr00tPpoAlgorithmCfg(**recipes.LORA_PPO, bootstrap_time_outs=False)


@configclass
class Gr00tFlowPpoSmallRunnerCfg(recipes.Gr00tFlowPpoRunnerCfg):
    """``gr00t_flow_ppo_small``: for models that train on a CPU, with 128 environments. It looks again after 4 of the 8
    control steps that the model predicts. From 44 to 95.5 % and more in 21 to 23 minutes of two cores (three seeds,
    ``docs/results/lift.md``)."""

    experiment_name = "gr00t_flow_lift_cube_franka"
    # half an episode
    num_steps_per_env = 13
    max_iterations = 75
    save_interval = 10
    obs_groups = recipes.CAMERAS
    actor = Gr00tFlowActorCfg(chunk_length=4)
    algorithm = Gr00tPpoAlgorithmCfg(**recipes.SMALL_FLOW_PPO, learning_rate=6.0e-5, num_mini_batches=8)


@configclass
class Gr00tPpoSmallRunnerCfg(recipes.Gr00tPpoRunnerCfg):
    """``gr00t_ppo_small``: with 128 environments, as ``gr00t_flow_ppo_small``. The starter goes from 62.0 to 81.5 % in
    41 iterations. With 8 steps executed from 47.0 to 66.0 %, no better than the flow agent (one seed each,
    ``docs/results/lift.md``)."""

    experiment_name = "gr00t_lift_cube_franka"
    # half an episode
    num_steps_per_env = 13
    max_iterations = 60
    save_interval = 10
    obs_groups = recipes.CAMERAS
    actor = Gr00tSteeringActorCfg(chunk_length=4)
    algorithm = Gr00tPpoAlgorithmCfg(**recipes.STEERING_PPO | recipes.WARM_UPS, num_mini_batches=8)


@configclass
class Gr00tResidualPpoSmallRunnerCfg(recipes.Gr00tResidualPpoRunnerCfg):
    """``gr00t_residual_ppo_small``: with 128 environments, as ``gr00t_ppo_small``. The starter goes from 62.0 to 69.5 %
    in 41 iterations."""

    experiment_name = "gr00t_residual_lift_cube_franka"
    num_steps_per_env = 13
    max_iterations = 60
    save_interval = 10
    obs_groups = recipes.CAMERAS
    actor = Gr00tResidualActorCfg(chunk_length=4, distribution_cfg=recipes.CORRECTED)
    algorithm = Gr00tPpoAlgorithmCfg(**recipes.RESIDUAL_PPO, num_mini_batches=8)


@configclass
class Gr00tGrpoRunnerCfg(recipes.Gr00tGrpoRunnerCfg):
    """``gr00t_grpo``."""

    experiment_name = "gr00t_grpo_lift_cube_franka"
    num_steps_per_env = DECISIONS_PER_EPISODE


@configclass
class Gr00tGrpoSmallRunnerCfg(recipes.Gr00tGrpoRunnerCfg):
    """``gr00t_grpo_small``: with 128 environments 16 groups of 8 per update, over whole episodes."""

    experiment_name = "gr00t_grpo_lift_cube_franka"
    num_steps_per_env = 25
    max_iterations = 41
    save_interval = 10
    actor = Gr00tSteeringActorCfg(chunk_length=4)
    algorithm = Gr00tGrpoAlgorithmCfg(**recipes.STEERING, num_mini_batches=16)


@configclass
class Gr00tAdapterGrpoRunnerCfg(recipes.Gr00tAdapterGrpoRunnerCfg):
    """``gr00t_adapter_grpo``."""

    experiment_name = "gr00t_adapter_grpo_lift_cube_franka"
    num_steps_per_env = DECISIONS_PER_EPISODE


@configclass
class Gr00tFlowGrpoRunnerCfg(recipes.Gr00tFlowGrpoRunnerCfg):
    """``gr00t_flow_grpo``."""

    experiment_name = "gr00t_flow_grpo_lift_cube_franka"
    num_steps_per_env = DECISIONS_PER_EPISODE


@configclass
class RslRlMlpPpoRunnerCfg(recipes.RslRlMlpPpoRunnerCfg):
    """``rsl_rl_cfg_entry_point``."""

    experiment_name = "rsl_rl_lift_cube_franka"
    obs_groups = recipes.VECTORS


@configclass
class MlpPpoRunnerCfg(recipes.MlpPpoRunnerCfg):
    """``mlp_ppo``."""

    experiment_name = "mlp_lift_cube_franka"
    obs_groups = recipes.VECTORS
