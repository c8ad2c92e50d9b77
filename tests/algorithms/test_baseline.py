# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""rsl_rl's PPO on discrete actions: as many choices as the task has."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from isaaclab_rl.rsl_rl import create_rsl_rl_runner
from rsl_rl.utils import resolve_callable
from torch.distributions import Categorical, kl_divergence

from gr00t_rl_ext.algorithms.baseline import CategoricalDistribution
from gr00t_rl_ext.envs.gymnasium.vec_env import GymnasiumVecEnv
from gr00t_rl_ext.runners.config import for_installed_rsl_rl
from gr00t_rl_ext.tasks.gymnasium import resolution

CHOICES, B = (3, 2), 5
BASELINE = "rsl_rl_cfg_entry_point"


def logits(seed: int) -> torch.Tensor:
    return torch.randn(B, sum(CHOICES), generator=torch.Generator().manual_seed(seed))


def test_it_equals_torchs_categoricals() -> None:
    distribution = CategoricalDistribution(len(CHOICES), CHOICES)
    assert distribution.input_dim == 5
    distribution.update(logits(0))
    old = distribution.params
    distribution.update(logits(1))
    expected, before = ([Categorical(logits=part) for part in logits(seed).split(CHOICES, -1)] for seed in (1, 0))
    actions = distribution.sample()
    assert (actions.shape, actions.dtype) == ((B, 2), torch.float32)
    assert (actions < torch.tensor(CHOICES)).all()
    close = torch.testing.assert_close
    close(distribution.log_prob(actions), sum(e.log_prob(actions[:, i]) for i, e in enumerate(expected)))
    close(distribution.entropy, sum(e.entropy() for e in expected))
    divergence = sum(kl_divergence(b, e) for b, e in zip(before, expected, strict=True))
    close(distribution.kl_divergence(old, distribution.params), divergence)
    likeliest = torch.stack([e.probs.argmax(-1) for e in expected], dim=-1).float()
    assert torch.equal(distribution.mean, likeliest)
    assert torch.equal(distribution.deterministic_output(logits(1)), likeliest)
    assert torch.equal(torch.jit.script(distribution.as_deterministic_output_module())(logits(1)), likeliest)
    close(distribution.std, torch.stack([1 - e.probs.amax(-1) for e in expected], dim=-1))


def trained(task: str, *overrides: str) -> int:
    """Train for an iteration; returns the logits that the actor has."""
    settings = ["env.num_workers=1", "agent.num_steps_per_env=8", "agent.algorithm.num_mini_batches=1", *overrides]
    env_cfg, cfg = resolution.resolve(task, BASELINE, settings, num_envs=2)
    with closing(GymnasiumVecEnv(env_cfg)) as env:
        runner = create_rsl_rl_runner(env, for_installed_rsl_rl(cfg))
        before = [parameter.clone() for parameter in runner.alg.actor.parameters()]
        runner.learn(1)
        pairs = zip(before, runner.alg.actor.parameters(), strict=True)
        assert any(not torch.equal(old, new) for old, new in pairs)
        return runner.alg.actor.distribution.input_dim


@pytest.mark.parametrize(("task", "number"), [("gym:CartPole-v1", 2), ("gym:Acrobot-v1", 3), ("gym:MountainCar-v0", 3)])
def test_the_task_says_how_many_choices_there_are(task: str, number: int) -> None:
    assert trained(task) == number


def test_a_gaussian_on_discrete_actions_is_refused_and_the_advice_helps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "envs"))
    task = "gym:gymnasium_toys:Choices-v0"
    with pytest.raises(ValueError, match=r"discrete \(3, 2 choices\).*Set `agent.actor.distribution_cfg=null`"):
        trained(task)
    assert trained(task, "agent.actor.distribution_cfg=null") == 5
    assert "gymnasium_toys" in sys.modules


OLD = "gr00t_rl_ext.tasks.gymnasium.agents.categorical:CategoricalDistribution"


def test_the_distribution_that_configs_of_version_0_1_name() -> None:
    """It was one categorical of logits (B, A, C)."""
    distribution: Any = resolve_callable(OLD)(2, num_choices=3)
    assert distribution.input_dim == 6
    drawn = torch.randn(B, 6, generator=torch.Generator().manual_seed(0))
    distribution.update(drawn)
    expected = Categorical(logits=drawn.unflatten(-1, (2, 3)))
    actions = distribution.sample()
    torch.testing.assert_close(distribution.log_prob(actions), expected.log_prob(actions).sum(-1))
    torch.testing.assert_close(distribution.entropy, expected.entropy().sum(-1))
    assert torch.equal(distribution.mean, expected.probs.argmax(-1).float())
    assert trained("gym:CartPole-v1", f"agent.actor.distribution_cfg={{class_name: '{OLD}', num_choices: 2}}") == 2
