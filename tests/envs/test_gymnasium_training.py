# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Our PPO and rsl_rl's train on Gymnasium environments as they do on Isaac Lab's, through rsl_rl's runner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from rsl_rl.runners import OnPolicyRunner

from gr00t_rl_ext.envs.gymnasium.tasks import make

GROUPS = {"actor": ["state"], "critic": ["state", "privileged"]}


def recipe(**changes: Any) -> dict[str, Any]:
    """An agent with small MLPs under our PPO."""
    return {
        "num_steps_per_env": 4,
        "save_interval": 100,
        "obs_groups": GROUPS,
        "algorithm": {
            "class_name": "gr00t_rl_ext.algorithms.ppo:Gr00tPPO",
            "num_learning_epochs": 2,
            "num_mini_batches": 2,
        },
        "actor": {
            "class_name": "gr00t_rl_ext.policy.mlp:MlpActor",
            "chunk_length": 4,
            "hidden_dims": [16],
            "distribution_cfg": {"class_name": "GaussianDistribution", "init_std": 0.5},
        },
        "critic": {"class_name": "gr00t_rl_ext.policy.critic:Gr00tCritic", "hidden_dims": [16]},
        **changes,
    }


def test_our_ppo_trains_on_fetch(tmp_path: Path) -> None:
    env = make("gym:FetchReach-v4", num_envs=4, num_workers=2, max_episode_steps=12)
    try:
        runner = OnPolicyRunner(env, recipe(), log_dir=str(tmp_path))
        assert env.num_actions == 16
        before = [parameter.clone() for parameter in runner.alg.actor_critic.actor.parameters()]
        runner.learn(2, init_at_random_ep_len=True)
        after = list(runner.alg.actor_critic.actor.parameters())
        assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
        # 8 decisions of 4 steps are more than two episodes of each
        assert len(runner.alg._statistics._episodes["charts/success_rate"]) >= 8
    finally:
        env.close()


def test_our_ppo_trains_on_discrete_actions() -> None:
    env = make("gym:CartPole-v1", num_envs=4, num_workers=1)
    cfg = recipe(obs_groups={"actor": ["state"], "critic": ["state"]})
    del cfg["actor"]["distribution_cfg"]
    try:
        runner = OnPolicyRunner(env, cfg, log_dir=None)
        before = [parameter.clone() for parameter in runner.alg.actor_critic.actor.parameters()]
        runner.learn(1)
        after = list(runner.alg.actor_critic.actor.parameters())
        assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    finally:
        env.close()


def test_rsl_rls_ppo_trains() -> None:
    env = make("gym:Pendulum-v1", num_envs=4, num_workers=1)
    network = {"class_name": "MLPModel", "hidden_dims": [16], "activation": "elu"}
    distribution = {"class_name": "GaussianDistribution", "init_std": 0.5}
    changes = {
        "obs_groups": {"actor": ["state"], "critic": ["state"]},
        "algorithm": {"class_name": "PPO", "num_learning_epochs": 1, "num_mini_batches": 1},
        "actor": network | {"distribution_cfg": distribution},
        "critic": network,
    }
    try:
        runner = OnPolicyRunner(env, recipe(**changes), log_dir=None)
        before = [parameter.clone() for parameter in runner.alg.actor.parameters()]
        runner.learn(1)
        assert any(not torch.equal(old, new) for old, new in zip(before, runner.alg.actor.parameters(), strict=True))
    finally:
        env.close()
