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

DECISIONS_PER_EPISODE = 38
"""An episode of 30 s is 600 control steps, which chunks of 16 cover."""

SMALL_CHUNK = 8
"""Control steps of a chunk of the small models: 0.4 s."""


@configclass
class Gr00tAdapterPpoRunnerCfg(recipes.Gr00tAdapterPpoRunnerCfg):
    """``gr00t_adapter_ppo``."""

    experiment_name = "gr00t_adapter_stack_cube_franka"
    obs_groups = recipes.CAMERAS
    algorithm = Gr00tPpoAlgorithmCfg(**recipes.ADAPTER_PPO, bootstrap_time_outs=False)


@configclass
class Gr00tResidualPpoRunnerCfg(recipes.Gr00tResidualPpoRunnerCfg):
    """``gr00t_residual_ppo``."""

    experiment_name = "gr00t_residual_stack_cube_franka"
    obs_groups = recipes.CAMERAS


@configclass
class Gr00tPpoRunnerCfg(recipes.Gr00tPpoRunnerCfg):
    """``gr00t_ppo``."""

    experiment_name = "gr00t_stack_cube_franka"
    obs_groups = recipes.CAMERAS


@configclass
class Gr00tFlowPpoRunnerCfg(recipes.Gr00tFlowPpoRunnerCfg):
    """``gr00t_flow_ppo``."""

    experiment_name = "gr00t_flow_stack_cube_franka"
    obs_groups = recipes.CAMERAS
    algorithm = Gr00tPpoAlgorithmCfg(**recipes.FLOW_PPO, bootstrap_time_outs=False)


@configclass
class Gr00tLoraPpoRunnerCfg(recipes.Gr00tLoraPpoRunnerCfg):
    """``gr00t_lora_ppo``."""

    experiment_name = "gr00t_lora_stack_cube_franka"
    obs_groups = recipes.CAMERAS
    algorithm = Gr00tPpoAlgorithmCfg(**recipes.LORA_PPO, bootstrap_time_outs=False)


@configclass
class Gr00tFlowPpoSmallRunnerCfg(recipes.Gr00tFlowPpoRunnerCfg):
    """``gr00t_flow_ppo_small``: for models that train on a CPU, with 128 environments. From 46.5 to 90.5 % in 87
    minutes of two cores (``docs/results/stack.md``)."""

    experiment_name = "gr00t_flow_stack_cube_franka"
    num_steps_per_env = 16
    max_iterations = 200
    save_interval = 5
    obs_groups = recipes.CAMERAS
    actor = Gr00tFlowActorCfg(chunk_length=SMALL_CHUNK)
    algorithm = Gr00tPpoAlgorithmCfg(**recipes.SMALL_FLOW_PPO, learning_rate=4.0e-5, num_mini_batches=8)


@configclass
class Gr00tPpoSmallRunnerCfg(recipes.Gr00tPpoRunnerCfg):
    """``gr00t_ppo_small``: with 128 environments, as ``gr00t_flow_ppo_small``. From 70.5 to 88.0 % in 160 iterations
    (``docs/results/stack.md``)."""

    experiment_name = "gr00t_stack_cube_franka"
    num_steps_per_env = 16
    max_iterations = 120
    save_interval = 5
    obs_groups = recipes.CAMERAS
    actor = Gr00tSteeringActorCfg(chunk_length=SMALL_CHUNK)
    algorithm = Gr00tPpoAlgorithmCfg(**recipes.STEERING_PPO | recipes.WARM_UPS, num_mini_batches=8)


@configclass
class Gr00tResidualPpoSmallRunnerCfg(recipes.Gr00tResidualPpoRunnerCfg):
    """``gr00t_residual_ppo_small``: with 128 environments, as ``gr00t_ppo_small``. Not measured."""

    experiment_name = "gr00t_residual_stack_cube_franka"
    num_steps_per_env = 16
    max_iterations = 120
    save_interval = 5
    obs_groups = recipes.CAMERAS
    actor = Gr00tResidualActorCfg(chunk_length=SMALL_CHUNK, distribution_cfg=recipes.CORRECTED)
    algorithm = Gr00tPpoAlgorithmCfg(**recipes.RESIDUAL_PPO, num_mini_batches=8)


@configclass
class Gr00tGrpoRunnerCfg(recipes.Gr00tGrpoRunnerCfg):
    """``gr00t_grpo``."""

    experiment_name = "gr00t_grpo_stack_cube_franka"
    num_steps_per_env = DECISIONS_PER_EPISODE


@configclass
class Gr00tAdapterGrpoRunnerCfg(recipes.Gr00tAdapterGrpoRunnerCfg):
    """``gr00t_adapter_grpo``."""

    experiment_name = "gr00t_adapter_grpo_stack_cube_franka"
    num_steps_per_env = DECISIONS_PER_EPISODE


@configclass
class Gr00tFlowGrpoRunnerCfg(recipes.Gr00tFlowGrpoRunnerCfg):
    """``gr00t_flow_grpo``."""

    experiment_name = "gr00t_flow_grpo_stack_cube_franka"
    num_steps_per_env = DECISIONS_PER_EPISODE


@configclass
class Gr00tFlowGrpoSmallRunnerCfg(recipes.Gr00tFlowGrpoRunnerCfg):
    """``gr00t_flow_grpo_small``: the same by GRPO, over episodes of 16 s in segments of 4 s. From 46.5 to 82.5 % in 94
    minutes."""

    experiment_name = "gr00t_flow_grpo_stack_cube_franka"
    num_steps_per_env = 40
    max_iterations = 92
    save_interval = 5
    actor = Gr00tFlowActorCfg(chunk_length=SMALL_CHUNK)
    algorithm = Gr00tGrpoAlgorithmCfg(
        **recipes.SMALL_FLOW,
        learning_rate=4.0e-5,
        num_mini_batches=16,
        segment_length=10,
        outcome="return",
        # a second with the first cube in place is worth 0.008, with one in the gripper 0.001 to 0.007, a tower 1
        std_floor=2.0e-3,
        max_resamples=0,
    )


@configclass
class RslRlMlpPpoRunnerCfg(recipes.RslRlMlpPpoRunnerCfg):
    """``rsl_rl_cfg_entry_point``."""

    experiment_name = "rsl_rl_stack_cube_franka"
    obs_groups = recipes.VECTORS


@configclass
class MlpPpoRunnerCfg(recipes.MlpPpoRunnerCfg):
    """``mlp_ppo``."""

    experiment_name = "mlp_stack_cube_franka"
    obs_groups = recipes.VECTORS
