# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Agents with a small MLP for the toy task of toy_reach.py."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import Any

import torch
from rsl_rl.runners import OnPolicyRunner
from toy_reach import ToyReach

from gr00t_rl_ext.runners.grpo_runner import GrpoRunner

CHUNK = 4
DECISIONS = ToyReach.max_episode_length // CHUNK
"""Of an episode."""


def config(algorithm: dict[str, Any], **runner: Any) -> dict[str, Any]:
    """An agent's config as rsl_rl takes it."""
    actor = {
        "class_name": "gr00t_rl_ext.policy.mlp:MlpActor",
        "chunk_length": CHUNK,
        "hidden_dims": [64, 64],
        "activation": "elu",
        "obs_normalization": False,
        "distribution_cfg": {"class_name": "GaussianDistribution", "init_std": 0.5},
    }
    defaults = {
        "num_steps_per_env": DECISIONS,
        "save_interval": 1000,
        # there is no episode to begin anew
        "preflight": {"decisions": 0},
        "obs_groups": {"actor": ["state"], "critic": ["state"]},
        "check_for_nan": False,
        "multi_gpu": None,
        "actor": actor,
        "critic": {"class_name": "gr00t_rl_ext.policy.critic:Gr00tCritic", "hidden_dims": [64, 64]},
        "algorithm": algorithm,
    }
    return defaults | runner


def grpo(**settings: Any) -> dict[str, Any]:
    """``agent.algorithm``."""
    defaults = {
        "class_name": "gr00t_rl_ext.algorithms.grpo:Gr00tGRPO",
        "learning_rate": 1e-3,
        "num_learning_epochs": 4,
        "target_kl": None,
        "kl_to_base_coef": 0.0,
    }
    return defaults | settings


def ppo(**settings: Any) -> dict[str, Any]:
    """``agent.algorithm``."""
    defaults = {
        "class_name": "gr00t_rl_ext.algorithms.ppo:Gr00tPPO",
        "learning_rate": 1e-3,
        "critic_learning_rate": 1e-3,
        "num_learning_epochs": 4,
        "target_kl": None,
        "kl_to_base_coef": 0.0,
        "clip_param": 0.2,
        "gamma": 0.95,
    }
    return defaults | settings


def grpo_runner(
    num_envs: int = 16,
    seed: int = 0,
    log_dir: Path | None = None,
    num_steps: int = DECISIONS,
    max_iterations: int | None = None,
    **settings: Any,
) -> GrpoRunner:
    """GrpoRunner on the toy task."""
    runner = {"num_steps_per_env": num_steps, "max_iterations": max_iterations}
    return _make(GrpoRunner, grpo(**settings), num_envs, seed, log_dir, **runner)


def stock_runner(
    algorithm: dict[str, Any], num_envs: int = 16, seed: int = 0, log_dir: Path | None = None, **runner: Any
) -> OnPolicyRunner:
    """rsl_rl's runner on the toy task, as under Isaac Lab's own script."""
    return _make(OnPolicyRunner, algorithm, num_envs, seed, log_dir, **runner)


def _make(runner_class: Any, algorithm: Any, num_envs: int, seed: int, log_dir: Path | None, **runner: Any) -> Any:
    torch.manual_seed(seed)
    with contextlib.redirect_stdout(io.StringIO()):
        return runner_class(ToyReach(num_envs, seed), config(algorithm, **runner), log_dir and str(log_dir), "cpu")


def success_rate(policy: Any) -> float:
    """Of the deterministic policy over 256 episodes from initial states of their own."""
    env = ToyReach(256, seed=1000)
    env.configure_decisions(CHUNK)
    ended, succeeded = torch.zeros(256, dtype=torch.bool), torch.zeros(256, dtype=torch.bool)
    with torch.inference_mode():
        for _ in range(DECISIONS):
            _, _, dones, extras = env.step(policy(env.get_observations()))
            succeeded |= ~ended & extras["success"]
            ended |= dones.bool()
    return float(succeeded.float().mean())
