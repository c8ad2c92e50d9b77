# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Agents for Gymnasium-Robotics' Fetch tasks: chunks of 8 control steps (0.32 s), success as the only reward.

The GR00T agents are ``_small``: their settings are for models that train on a CPU. A model of billions of parameters
wants the learning rates of :mod:`gr00t_rl_ext.tasks.recipes`.
"""

from __future__ import annotations

from typing import Any

from isaaclab.utils import configclass
from isaaclab_rl.rsl_rl import RslRlMLPModelCfg

from gr00t_rl_ext.algorithms.configs import Gr00tGrpoAlgorithmCfg, Gr00tPpoAlgorithmCfg
from gr00t_rl_ext.policy.configs import (
    FlowCfg,
    Gr00tCriticCfg,
    Gr00tFlowActorCfg,
    Gr00tFreezingCfg,
    Gr00tGaussianActorCfg,
    Gr00tResidualActorCfg,
    Gr00tSteeringActorCfg,
    MlpActorCfg,
)
from gr00t_rl_ext.tasks import recipes

CHUNK = 8
DECISIONS_PER_EPISODE = 7
"""An episode of 50 control steps."""

_VECTORS = {"actor": ["state", "object"], "critic": ["state", "privileged"]}
_VECTORS_OF_REACH = {"actor": ["state"], "critic": ["state", "privileged"]}

# 5 mini-batches of 256 decisions with 32 environments
_FLOW_PPO: dict[str, Any] = recipes.SMALL_FLOW_PPO | {"learning_rate": 6.0e-5, "num_mini_batches": 5}

_MLP_ACTOR = MlpActorCfg(
    chunk_length=CHUNK, distribution_cfg=RslRlMLPModelCfg.GaussianDistributionCfg(init_std=0.5, std_type="log")
)
_MLP_CRITIC = Gr00tCriticCfg(hidden_dims=[256, 128, 64], activation="elu", obs_clip=None)


@configclass
class Gr00tAdapterPpoSmallRunnerCfg(recipes.Gr00tAdapterPpoRunnerCfg):
    """``gr00t_adapter_ppo_small``, for dense rewards: ReachDense from 2.5 to 67.5 % in 270,000 control steps."""

    num_steps_per_env = 20
    max_iterations = 60
    save_interval = 10
    # the environments clip
    clip_actions = None
    obs_groups = recipes.CAMERAS
    actor = Gr00tGaussianActorCfg(chunk_length=CHUNK, distribution_cfg=recipes.WIDE)
    # an episode ends with success, so that all failures are time-outs
    algorithm = Gr00tPpoAlgorithmCfg(**recipes.ADAPTER_PPO, num_mini_batches=5, bootstrap_time_outs=False)


@configclass
class Gr00tResidualPpoSmallRunnerCfg(recipes.Gr00tResidualPpoRunnerCfg):
    """``gr00t_residual_ppo_small``: GR00T's own chunk, corrected by an adapter."""

    num_steps_per_env = 40
    max_iterations = 100
    save_interval = 10
    obs_groups = recipes.CAMERAS
    actor = Gr00tResidualActorCfg(chunk_length=CHUNK, distribution_cfg=recipes.CORRECTED)
    algorithm = Gr00tPpoAlgorithmCfg(**recipes.RESIDUAL_PPO, num_mini_batches=5)


@configclass
class Gr00tPpoSmallRunnerCfg(recipes.Gr00tPpoRunnerCfg):
    """``gr00t_ppo_small``: the noise of GR00T's flow, decided by an adapter."""

    num_steps_per_env = 20
    max_iterations = 80
    save_interval = 10
    obs_groups = recipes.CAMERAS
    actor = Gr00tSteeringActorCfg(chunk_length=CHUNK)
    # PickAndPlace from 55.5 % as GR00T draws its noise, or 82.5 at its centre, to 100 % in 183,000 control steps
    algorithm = Gr00tPpoAlgorithmCfg(**recipes.STEERING_PPO, num_mini_batches=5)


@configclass
class Gr00tFlowPpoSmallRunnerCfg(recipes.Gr00tFlowPpoRunnerCfg):
    """``gr00t_flow_ppo_small``: four Euler steps, of which one is random and scored (Flow-SDE)."""

    num_steps_per_env = 40
    max_iterations = 150
    save_interval = 10
    obs_groups = recipes.CAMERAS
    actor = Gr00tFlowActorCfg(chunk_length=CHUNK)
    algorithm = Gr00tPpoAlgorithmCfg(**_FLOW_PPO)


@configclass
class Gr00tLoraPpoSmallRunnerCfg(recipes.Gr00tLoraPpoRunnerCfg):
    """``gr00t_lora_ppo_small``: the same by low-rank adapters, at ten times the rate, which moves the policy as far."""

    num_steps_per_env = 40
    max_iterations = 150
    save_interval = 10
    obs_groups = recipes.CAMERAS
    actor = Gr00tFlowActorCfg(freezing=Gr00tFreezingCfg(train=["dit_lora"]), chunk_length=CHUNK)
    algorithm = Gr00tPpoAlgorithmCfg(**_FLOW_PPO | {"learning_rate": 6.0e-4})


@configclass
class Gr00tFlowPpoSmallReachRunnerCfg(recipes.Gr00tFlowPpoRunnerCfg):
    """``gr00t_flow_ppo_small`` for Reach, whose goal is 5 cm large: more noise, 1 to 4 cm in every control step, all of
    it in the last step of the flow, with a std that is learned."""

    num_steps_per_env = 20
    max_iterations = 80
    save_interval = 10
    obs_groups = recipes.CAMERAS
    actor = Gr00tFlowActorCfg(chunk_length=CHUNK, flow=FlowCfg(noise="learned", random_steps=1, std_range=(0.2, 0.8)))
    algorithm = Gr00tPpoAlgorithmCfg(**_FLOW_PPO)


@configclass
class Gr00tAdapterGrpoSmallRunnerCfg(recipes.Gr00tAdapterGrpoRunnerCfg):
    """``gr00t_adapter_grpo_small``: with 32 environments 32 groups per update."""

    num_steps_per_env = DECISIONS_PER_EPISODE
    max_iterations = 100
    save_interval = 10
    # the environments clip
    clip_actions = None
    actor = Gr00tGaussianActorCfg(chunk_length=CHUNK, distribution_cfg=recipes.WIDE)
    algorithm = Gr00tGrpoAlgorithmCfg(**recipes.ADAPTER, num_rounds=8)


@configclass
class Gr00tFlowGrpoSmallRunnerCfg(recipes.Gr00tFlowGrpoRunnerCfg):
    """``gr00t_flow_grpo_small``: likewise."""

    num_steps_per_env = DECISIONS_PER_EPISODE
    max_iterations = 100
    save_interval = 10
    actor = Gr00tFlowActorCfg(chunk_length=CHUNK)
    # a KL of 0.02 per update: PickAndPlace from 58 to 93.5 %
    algorithm = Gr00tGrpoAlgorithmCfg(**recipes.SMALL_FLOW, learning_rate=4.0e-5, num_rounds=8)


@configclass
class Gr00tGrpoSmallRunnerCfg(recipes.Gr00tGrpoRunnerCfg):
    """``gr00t_grpo_small``: with 32 environments 16 groups per update."""

    num_steps_per_env = DECISIONS_PER_EPISODE
    max_iterations = 80
    save_interval = 10
    actor = Gr00tSteeringActorCfg(chunk_length=CHUNK)
    algorithm = Gr00tGrpoAlgorithmCfg(**recipes.STEERING, num_rounds=4)


@configclass
class RslRlRunnerCfg(recipes.RslRlMlpPpoRunnerCfg):
    """``rsl_rl_cfg_entry_point``: rsl_rl's PPO with an MLP, one control step per decision."""

    num_steps_per_env = 64
    max_iterations = 200
    clip_actions = None
    obs_groups = _VECTORS


@configclass
class RslRlReachRunnerCfg(recipes.RslRlMlpPpoRunnerCfg):
    """``rsl_rl_cfg_entry_point`` for Reach: what the robot knows of itself and of the goal is all there is."""

    num_steps_per_env = 64
    max_iterations = 200
    clip_actions = None
    obs_groups = _VECTORS_OF_REACH


@configclass
class MlpPpoRunnerCfg(recipes.MlpPpoRunnerCfg):
    """``mlp_ppo``: an MLP on the state, without GR00T."""

    num_steps_per_env = 40
    max_iterations = 200
    clip_actions = None
    obs_groups = _VECTORS
    actor = _MLP_ACTOR
    critic = _MLP_CRITIC


@configclass
class MlpPpoReachRunnerCfg(recipes.MlpPpoRunnerCfg):
    """``mlp_ppo`` for Reach."""

    num_steps_per_env = 40
    max_iterations = 200
    clip_actions = None
    obs_groups = _VECTORS_OF_REACH
    actor = _MLP_ACTOR
    critic = _MLP_CRITIC


# names of version 0.1, for one version
Gr00tResidualPpoRunnerCfg = Gr00tResidualPpoSmallRunnerCfg
Gr00tFlowPpoRunnerCfg = Gr00tFlowPpoSmallRunnerCfg
Gr00tFlowPpoReachRunnerCfg = Gr00tFlowPpoSmallReachRunnerCfg
Gr00tFlowGrpoRunnerCfg = Gr00tFlowGrpoSmallRunnerCfg
