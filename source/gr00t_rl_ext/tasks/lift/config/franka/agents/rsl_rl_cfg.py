# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""rsl_rl agents: those of the stack task."""

from __future__ import annotations

from isaaclab.utils import configclass, replace

from gr00t_rl_ext.tasks.stack.config.franka.agents import rsl_rl_cfg as stack

DECISIONS_PER_EPISODE = 13
"""An episode of 5 s is 100 control steps, which chunks of 8 cover."""


@configclass
class Gr00tPpoRunnerCfg(stack.Gr00tPpoRunnerCfg):
    """``gr00t_ppo``."""

    experiment_name = "gr00t_lift_cube_franka"


@configclass
class Gr00tResidualPpoRunnerCfg(stack.Gr00tResidualPpoRunnerCfg):
    """``gr00t_residual_ppo``."""

    experiment_name = "gr00t_residual_lift_cube_franka"


@configclass
class Gr00tFlowPpoRunnerCfg(stack.Gr00tFlowPpoRunnerCfg):
    """``gr00t_flow_ppo``."""

    experiment_name = "gr00t_flow_lift_cube_franka"


@configclass
class Gr00tLoraPpoRunnerCfg(stack.Gr00tLoraPpoRunnerCfg):
    """``gr00t_lora_ppo``."""

    experiment_name = "gr00t_lora_lift_cube_franka"


@configclass
class Gr00tFlowPpoSmallRunnerCfg(stack.Gr00tFlowPpoSmallRunnerCfg):
    """``gr00t_flow_ppo_small``: for models that train on a CPU, with 128 environments. It looks again after 4 of the 8
    control steps that the model says. From 44 to 95.5 % and more in 21 to 23 minutes of two cores (three seeds,
    ``docs/results/lift.md``)."""

    experiment_name = "gr00t_flow_lift_cube_franka"
    # half an episode
    num_steps_per_env = 13
    max_iterations = 75
    save_interval = 10
    actor = replace(stack.Gr00tFlowPpoSmallRunnerCfg().actor, chunk_length=4)
    algorithm = replace(stack.Gr00tFlowPpoSmallRunnerCfg().algorithm, learning_rate=6.0e-5, critic_warmup_iterations=3)


@configclass
class Gr00tGrpoRunnerCfg(stack.Gr00tGrpoRunnerCfg):
    """``gr00t_grpo``."""

    experiment_name = "gr00t_grpo_lift_cube_franka"
    num_steps_per_env = DECISIONS_PER_EPISODE


@configclass
class Gr00tFlowGrpoRunnerCfg(stack.Gr00tFlowGrpoRunnerCfg):
    """``gr00t_flow_grpo``."""

    experiment_name = "gr00t_flow_grpo_lift_cube_franka"
    num_steps_per_env = DECISIONS_PER_EPISODE


@configclass
class RslRlMlpPpoRunnerCfg(stack.RslRlMlpPpoRunnerCfg):
    """``rsl_rl_cfg_entry_point``: rsl_rl's PPO with an MLP on the simulator's state."""

    experiment_name = "rsl_rl_lift_cube_franka"


@configclass
class MlpPpoRunnerCfg(stack.MlpPpoRunnerCfg):
    """``mlp_ppo``: the networks and settings of that baseline, trained by the PPO that trains GR00T."""

    experiment_name = "mlp_lift_cube_franka"
