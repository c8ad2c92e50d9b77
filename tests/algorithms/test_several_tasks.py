# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Training on several tasks: advantages, figures and shares of each, over made-up experience."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from made_up_experience import extras_of
from tensordict import TensorDict
from tiny_policy import SPEC, actor_critic, load_encoder, observations

from gr00t_rl_ext.algorithms import objectives
from gr00t_rl_ext.algorithms.ppo import Gr00tPPO
from gr00t_rl_ext.envs.task_set import TaskSet
from gr00t_rl_ext.robot.task_spec import TASK

TOLD = {"lift": ["lift the red cube"], "stack": ["stack the red cube on the blue cube", "red onto blue"]}
NAMES = tuple(TOLD)
N, T, H = 6, 8, 4


class Environments:
    """Six of two tasks, in which every third episode of stacking and all of lifting succeed."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.task_set = TaskSet(TOLD, N)
        self.task_set.draw(torch.arange(N))
        self.unwrapped = self
        self.chunk: dict[str, Any] = {}

    def configure_decisions(self, chunk_length: int, **settings: Any) -> None:
        self.chunk = settings

    def observe(self, seed: int) -> TensorDict:
        return TensorDict({**observations(N, seed), TASK: self.task_set.one_hot}, batch_size=[N])


def algorithm(env: Environments, **options: Any) -> Gr00tPPO:
    told = env.task_set
    spec = dataclasses.replace(SPEC, instruction=told.instructions[0], instructions=told.instructions, tasks=told.tasks)
    pair = actor_critic(load_encoder(spec), H)
    settings = {"learning_rate": 1e-3, "num_mini_batches": 2, "num_learning_epochs": 1} | options
    alg = Gr00tPPO(pair, env.observe(0), T, max_iterations=4, **settings)
    alg.bind(env, ["rgb", "state", TASK])
    alg.train_mode()
    return alg


def rollout(alg: Gr00tPPO, env: Environments, seed: int = 0) -> dict[str, Any]:
    """Every decision is an episode. Rewards of stacking are a hundred times as large."""
    generator = torch.Generator().manual_seed(seed)
    log: dict[str, Any] = {}
    with torch.inference_mode():
        for step in range(T):
            alg.act(env.observe(seed + step))
            is_stack = env.task_set.index == 1
            rewards = torch.randn(N, generator=generator) * torch.where(is_stack, 100.0, 1.0)
            success = ~is_stack | (step % 3 == 0)
            extras = extras_of(N, success=success, episode_return=rewards, episode_steps=torch.full((N,), H))
            # a new episode may have another task
            env.task_set.draw(torch.arange(N))
            alg.process_env_step(env.observe(seed + step + 1), rewards, torch.ones(N), extras)
            log = extras["log"]
        alg.compute_returns(env.observe(seed + T))
    return log


def test_advantages_are_normalised_for_each_task_alone() -> None:
    env = Environments()
    alg = algorithm(env)
    rollout(alg, env)
    tasks = alg.storage.observations[TASK].argmax(-1) > 0
    raw = (alg.storage.returns - alg.storage.values).squeeze(-1)
    for of_task in (tasks, ~tasks):
        found = alg.storage.advantages.squeeze(-1)[of_task]
        torch.testing.assert_close(found, objectives.normalize_advantages(raw[of_task]), rtol=1e-3, atol=1e-3)
    assert raw[tasks].std() > 20 * raw[~tasks].std(), "else one of them would do"


def test_each_task_is_logged_by_the_episodes_that_it_had() -> None:
    env = Environments()
    alg = algorithm(env)
    log = rollout(alg, env)
    alg.update()
    assert (log["tasks/lift/success_rate"], log["tasks/stack/success_rate"]) == (1.0, pytest.approx(3 / 8))
    assert log["charts/success_rate"] == pytest.approx((1 + 3 / 8) / 2)
    assert not [name for name in log if name.endswith("/share")], "all alike, by default"


def test_tasks_that_fail_are_had_more_often() -> None:
    env = Environments()
    alg = algorithm(env, task_sampling="inverse_success", task_sampling_floor=0.2)
    log = rollout(alg, env)
    alg.update()
    assert log["tasks/stack/share"] == pytest.approx(0.9)
    assert env.task_set.weights.tolist() == pytest.approx([0.1, 0.9])
    env = Environments()
    alg = algorithm(env, task_sampling="inverse_success", task_sampling_floor=0.6)
    log = rollout(alg, env)
    alg.update()
    assert log["tasks/stack/share"] == pytest.approx(0.7)


def test_a_run_goes_on_with_its_shares() -> None:
    env, again = Environments(), Environments()
    alg = algorithm(env, task_sampling="learning_progress")
    for seed in range(2):
        rollout(alg, env, seed)
        alg.update()
    resumed = algorithm(again, task_sampling="learning_progress")
    resumed.load(alg.save(), None, True)
    assert torch.equal(again.task_set.weights, env.task_set.weights)
    assert resumed._sampler.state_dict() == alg._sampler.state_dict()


def test_each_task_learns_what_is_rewarded_in_it() -> None:
    """Large actions in one, small ones in the other: no decision is taken for one of the other task."""
    env = Environments()
    settings = {"learning_rate": 3e-3, "num_learning_epochs": 4, "target_kl": None, "kl_to_base_coef": 0.0}
    alg = algorithm(env, **settings, max_grad_norm=10.0)
    for round_number in range(30):
        done: list[list[float]] = [[], []]
        with torch.inference_mode():
            for step in range(round_number * T, (round_number + 1) * T):
                actions, task = alg.act(env.observe(step)).mean(1), env.task_set.index.clone()
                rewards = torch.where(task == 0, actions, -actions)
                for number in (0, 1):
                    done[number] += actions[task == number].tolist()
                env.task_set.draw(torch.arange(N))
                failed = torch.zeros(N, dtype=torch.bool)
                extras = extras_of(N, success=failed, episode_return=rewards, episode_steps=torch.full((N,), H))
                alg.process_env_step(env.observe(step + 1), rewards, torch.ones(N), extras)
            alg.compute_returns(env.observe((round_number + 1) * T))
        alg.update()
    lift, stack = (sum(actions) / len(actions) for actions in done)
    assert lift > 0.05 > -0.05 > stack


def test_a_checkpoint_of_other_tasks_is_refused() -> None:
    saved = algorithm(Environments()).save()
    saved["actor_recipe"]["spec"]["tasks"] = ("stack", "stack", "lift")
    with pytest.raises(
        ValueError, match=r"trained on other tasks \(.*: stack, stack, lift\) than the environments have"
    ):
        algorithm(Environments()).load(saved, None, True)


def test_a_task_that_hardly_differs_is_not_blown_up() -> None:
    advantages = torch.tensor([[1.0], [-1.0], [1e-6], [-1e-6]])
    tasks = torch.tensor([0, 0, 1, 1])
    normalized = objectives.normalize_advantages_of_tasks(advantages, tasks, 2)
    assert normalized[:2, 0].tolist() == pytest.approx([0.5**0.5, -(0.5**0.5)])
    # by hand: over all, the deviation is sqrt(2 / 3)
    least = objectives.LEAST_SPREAD * (2 / 3) ** 0.5
    assert normalized[2:, 0].tolist() == pytest.approx([1e-6 / least, -1e-6 / least], rel=1e-3)


def test_what_is_not_possible() -> None:
    with pytest.raises(ValueError, match="task_sampling` is 'often'; expected one of uniform, inverse_success"):
        algorithm(Environments(), task_sampling="often")
    with pytest.raises(ValueError, match=r"task_sampling_floor` is 1.5; expected a number in \[0, 1\]"):
        algorithm(Environments(), task_sampling_floor=1.5)
    with pytest.raises(ValueError, match="start_sampling` is 'often'; expected one of off, uniform, inverse_success"):
        algorithm(Environments(), start_sampling="often")
    with pytest.raises(ValueError, match=r"start_sampling_floor` is -1; expected a number in \[0, 1\]"):
        algorithm(Environments(), start_sampling_floor=-1)
    with pytest.raises(ValueError, match="'inverse_success', but the environments have one task"):
        Gr00tPPO(
            actor_critic(load_encoder(), H), observations(N), T, num_mini_batches=2, task_sampling="inverse_success"
        )


def test_a_final_image_is_seen_with_the_instruction_that_it_belongs_to() -> None:
    alg = algorithm(Environments(), bootstrap_images=True)
    assert alg.final_observation_groups == ["state", "privileged", "rgb", TASK]
