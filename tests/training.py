# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Short trainings by rsl_rl's runner, in this process, on environments of Gymnasium."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from isaaclab.utils.seed import configure_seed
from rsl_rl.runners import OnPolicyRunner

from gr00t_rl_ext.envs.gymnasium.tasks import make
from gr00t_rl_ext.runners.grpo_runner import GrpoRunner

STATE = {"actor": ["state"], "critic": ["state"]}
ACTOR = {
    "class_name": "gr00t_rl_ext.policy.mlp:MlpActor",
    "chunk_length": 4,
    "hidden_dims": [16],
    "distribution_cfg": {"class_name": "GaussianDistribution", "init_std": 0.5},
}
COMMON: dict[str, Any] = {
    "num_steps_per_env": 4,
    "save_interval": 1,
    "max_iterations": 6,
    "obs_groups": STATE,
    # tests count the steps of environments
    "preflight": {"decisions": 0},
}
PPO: dict[str, Any] = COMMON | {
    "algorithm": {
        "class_name": "gr00t_rl_ext.algorithms.ppo:Gr00tPPO",
        "learning_rate": 1e-3,
        "schedule": "linear",
        "learning_rate_warmup_steps": 9,
        "reward_normalization": True,
        "num_learning_epochs": 2,
        "num_mini_batches": 2,
    },
    "actor": ACTOR | {"obs_normalization": True},
    "critic": {"class_name": "gr00t_rl_ext.policy.critic:Gr00tCritic", "hidden_dims": [16]},
}
GRPO: dict[str, Any] = COMMON | {
    "algorithm": {
        "class_name": "gr00t_rl_ext.algorithms.grpo:Gr00tGRPO",
        "learning_rate": 1e-3,
        "group_size": 2,
        "outcome": "return",
        "baseline": "running",
        "max_resamples": 0,
        "num_learning_epochs": 2,
        "num_mini_batches": 2,
    },
    "actor": ACTOR,
}
NETWORK = {"class_name": "MLPModel", "hidden_dims": [16], "activation": "elu"}
RSL_RL: dict[str, Any] = COMMON | {
    "algorithm": {
        "class_name": "gr00t_rl_ext.algorithms.baseline:RslRlPPO",
        "num_learning_epochs": 2,
        "num_mini_batches": 2,
    },
    "actor": NETWORK | {"distribution_cfg": {"class_name": "GaussianDistribution", "init_std": 0.5}},
    "critic": NETWORK,
}
AGENTS = {"ppo": PPO, "grpo": GRPO, "rsl_rl": RSL_RL}


@contextlib.contextmanager
def training(directory: Path | None, agent: dict[str, Any], task: str = "gym:Pendulum-v1", **env: Any) -> Iterator[Any]:
    """A runner that writes into a directory."""
    settings = {"num_envs": 4, "num_workers": 1, "max_episode_steps": 20, "seed": 3} | env
    environments = make(task, **settings)
    try:
        configure_seed(3)
        runner = GrpoRunner if "group_size" in agent["algorithm"] else OnPolicyRunner
        cfg = {key: dict(value) if isinstance(value, dict) else value for key, value in agent.items()}
        log_dir = None if directory is None else str(directory)
        if directory is not None:
            directory.mkdir(exist_ok=True)
        yield runner(environments, cfg, log_dir=log_dir)
    finally:
        environments.close()
