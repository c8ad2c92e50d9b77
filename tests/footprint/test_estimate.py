# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""memory: the estimate is what is really allocated, and what cannot fit is refused with settings that do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import nn

from gr00t_rl_ext.footprint import estimate as memory
from gr00t_rl_ext.footprint.estimate import BatchSizes, MemoryModel, PhaseMemory, require_memory
from gr00t_rl_ext.footprint.trace import MemoryTrace

WIDTH, NUM_ACTIONS = 64, 16
WEIGHTS = 4 * WIDTH * NUM_ACTIONS
STORED = 4 * WIDTH + 4 * NUM_ACTIONS + 4
"""Bytes per decision: the observation, the action, the reward."""


class LinearStorage:
    """Decisions of some steps in some environments."""

    def __init__(self, num_envs: int, num_steps: int) -> None:
        self.num_envs, self.num_steps = num_envs, num_steps
        self.obs = torch.zeros(num_steps, num_envs, WIDTH)
        self.rewards = torch.zeros(num_steps, num_envs)
        self.actions: torch.Tensor | None = None

    def add(self, step: int, obs: torch.Tensor, actions: torch.Tensor) -> None:
        if self.actions is None:
            # with the first decision, as rsl_rl's storage does it for distributions
            self.actions = actions.new_zeros(self.num_steps, self.num_envs, NUM_ACTIONS)
        self.obs[step] = obs
        self.actions[step] = actions


class LinearAgent:
    """One layer from observations to actions, whose memory can be counted."""

    def __init__(self, num_envs: int, num_steps: int, num_parts: int) -> None:
        self.layer = nn.Linear(WIDTH, NUM_ACTIONS, bias=False)
        self.optimizer = torch.optim.SGD(self.layer.parameters(), foreach=False)
        self.storage = LinearStorage(num_envs, num_steps)
        self.num_parts = num_parts

    def stored(self) -> dict[str, list[torch.Tensor]]:
        storage = self.storage
        actions = [] if storage.actions is None else [storage.actions]
        return {"obs": [storage.obs], "actions": actions, "rewards": [storage.rewards]}

    @torch.no_grad()
    def rollout(self) -> None:
        for step in range(self.storage.num_steps):
            obs = torch.zeros(self.storage.num_envs, WIDTH)
            self.storage.add(step, obs, self.layer(obs))

    def update(self) -> None:
        decisions = self.storage.obs.flatten(0, 1)
        num_decisions = len(decisions)
        for which in torch.randperm(num_decisions).split(-(-num_decisions // self.num_parts)):
            self.loss(decisions[which]).backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def loss(self, obs: torch.Tensor) -> torch.Tensor:
        return self.layer(obs).sum()


@pytest.fixture(scope="module")
def linear() -> MemoryModel:
    return MemoryModel(LinearAgent, "cpu")


# The estimate


def test_the_estimate_of_one_layer(linear: MemoryModel) -> None:
    estimate = linear.estimate(BatchSizes(num_envs=10, num_steps_per_env=8, num_mini_batches=4))
    assert estimate.weights == WEIGHTS
    assert sum(estimate.storage.values()) == 80 * STORED
    assert estimate.storage == {"obs": 80 * 4 * WIDTH, "actions": 80 * 4 * NUM_ACTIONS, "rewards": 80 * 4}
    # the observations of a decision, and those that the loop holds of the one before
    assert estimate.rollout == PhaseMemory(gradients=0, optimizer=0, activations=10 * 4 * 2 * WIDTH)
    # a mini-batch of 20: its observations and its indices; the loss and its gradient; the new gradient of the layer
    part = 20 * (4 * WIDTH + 8) + 2 * 4
    assert estimate.update == PhaseMemory(gradients=0, optimizer=0, activations=part + WEIGHTS)
    assert estimate.total == max(estimate.phase_total(estimate.rollout), estimate.phase_total(estimate.update))


@pytest.mark.parametrize("sizes", [BatchSizes(7, 5, 1), BatchSizes(30, 2, 1), BatchSizes(5, 12, 1)])
def test_the_estimate_holds_for_sizes_that_were_not_traced(linear: MemoryModel, sizes: BatchSizes) -> None:
    """Traced are 2 and 3 environments with 2 decisions."""
    with MemoryTrace() as trace:
        agent = LinearAgent(sizes.num_envs, sizes.num_steps_per_env, 1)
        trace.follow(agent.optimizer)
        agent.rollout()
        with trace.record() as rollout:
            agent.rollout()
        with trace.record() as update:
            agent.update()
    estimate = linear.estimate(sizes)
    assert estimate.phase_total(estimate.rollout) == pytest.approx(sum(rollout.peak().values()), rel=0.01)
    assert estimate.phase_total(estimate.update) == pytest.approx(sum(update.peak().values()), rel=0.01)


def test_parts_of_a_mini_batch(linear: MemoryModel) -> None:
    """Each is indexed by itself, and from the second one on there are gradients."""
    sizes = BatchSizes(64, 8, 1)
    assert sizes.part_size == 512
    assert dataclasses.replace(sizes, num_mini_batches=3, gradient_accumulation_steps=4).part_size == 43
    whole, parts = (linear.estimate(dataclasses.replace(sizes, gradient_accumulation_steps=n)) for n in (1, 8))
    # observations, indices and output, and their sum; that is more than what the backward pass takes
    assert whole.update == PhaseMemory(0, 0, 512 * (4 * WIDTH + 8 + 4 * NUM_ACTIONS) + 4)
    # the indices of two parts are counted, not of all
    assert parts.update == PhaseMemory(WEIGHTS, 0, 64 * (4 * WIDTH + 2 * 8) + 2 * 4 + WEIGHTS)


# The log


def test_the_log(linear: MemoryModel) -> None:
    estimate = linear.estimate(BatchSizes(1024, 100, 4))
    assert estimate.describe().splitlines() == [
        "memory at the peak, MiB   rollout    update",
        "  weights                   0.00      0.00",
        f"  rollout storage      {102400 * STORED / 2**20:9.2f} {102400 * STORED / 2**20:9.2f}"
        f"  102400 decisions x {STORED / 2**20:.3f} MiB, {4 * WIDTH / STORED:.0%} of it obs",
        "  gradients                 0.00      0.00",
        "  optimizer                 0.00      0.00",
        f"  activations          {estimate.rollout.activations / 2**20:9.2f}"
        f" {estimate.update.activations / 2**20:9.2f}  of 1024 environments; of 25600 decisions",
        f"  total                {estimate.phase_total(estimate.rollout) / 2**20:9.2f}"
        f" {estimate.phase_total(estimate.update) / 2**20:9.2f}",
    ]
    assert "memory at the peak, GiB" in linear.estimate(BatchSizes(4096, 100, 4)).describe()


# Refusal

SIZES = BatchSizes(num_envs=64, num_steps_per_env=32, num_mini_batches=2)


def refusal(model: MemoryModel, free: int, alternatives: dict[str, Callable[[], MemoryModel]] | None = None) -> str:
    with pytest.raises(ValueError, match="Training needs") as caught:
        require_memory(model, SIZES, free, alternatives)
    return str(caught.value)


def test_what_fits_is_not_refused(linear: MemoryModel) -> None:
    total = linear.estimate(SIZES).total
    assert require_memory(linear, SIZES, int(total / (1 - memory.HEADROOM)) + 2).total == total
    refusal(linear, total)  # nothing would be left


def test_a_refusal_names_every_setting_that_fits_and_the_largest_value(linear: MemoryModel) -> None:
    free = int(0.9 * linear.estimate(SIZES).total)
    usable = int((1 - memory.HEADROOM) * free)
    text = refusal(linear, free)
    total = linear.estimate(SIZES).total / 2**20
    assert f"needs {total:.2f} MiB of memory, but only {free / 2**20:.2f} MiB are free, of which 5% are left" in text
    assert linear.estimate(SIZES).describe() in text
    named = text.splitlines()[-1].removeprefix("Each of these settings alone makes it fit: ").removesuffix(".")
    settings = dict(setting.strip("`").replace("=", " ").split(" ") for setting in named.split(", "))
    fields = {
        "--num_envs": "num_envs",
        "agent.num_steps_per_env": "num_steps_per_env",
        "agent.algorithm.num_mini_batches": "num_mini_batches",
        "agent.algorithm.gradient_accumulation_steps": "gradient_accumulation_steps",
    }
    assert "--num_envs" in settings
    assert "agent.num_steps_per_env" in settings
    assert "agent.algorithm.num_mini_batches" in settings
    assert "agent.algorithm.gradient_accumulation_steps" in settings
    for setting, value in settings.items():
        field, value = fields[setting], int(value)
        assert linear.estimate(dataclasses.replace(SIZES, **{field: value})).total <= usable
        nearer = value + 1 if value < getattr(SIZES, field) else value // 2
        assert linear.estimate(dataclasses.replace(SIZES, **{field: nearer})).total > usable, setting


def test_parts_are_not_named_where_the_storage_is_what_is_large(linear: MemoryModel) -> None:
    text = refusal(linear, int(0.6 * linear.estimate(SIZES).total))
    assert "`--num_envs " in text
    assert "agent.algorithm" not in text


def test_parts_are_named_where_activations_are_what_is_large() -> None:
    class DeepAgent(LinearAgent):
        """A hundred layers on top, without weights."""

        def loss(self, obs: torch.Tensor) -> torch.Tensor:
            x = self.layer(obs)
            for _ in range(100):
                x = x.sin()
            return x.sum()

    model = MemoryModel(DeepAgent, "cpu")
    text = refusal(model, int(0.4 * model.estimate(SIZES).total))
    assert "`agent.algorithm.num_mini_batches=8`" in text
    assert "`agent.algorithm.gradient_accumulation_steps=4`" in text


def test_alternatives_are_named_only_where_they_fit(linear: MemoryModel) -> None:
    class SmallAgent(LinearAgent):
        def __init__(self, num_envs: int, num_steps: int, num_parts: int) -> None:
            super().__init__(max(num_envs // 2, 1), num_steps, num_parts)

    small = MemoryModel(SmallAgent, "cpu")
    assert small.estimate(SIZES).total < 0.8 * linear.estimate(SIZES).total
    free = int(0.9 * linear.estimate(SIZES).total)
    text = refusal(linear, free, {"agent.small=true": lambda: small, "agent.same=true": lambda: linear})
    assert "`agent.small=true`." in text
    assert "agent.same" not in text


def test_a_refusal_says_when_nothing_helps(linear: MemoryModel) -> None:
    text = refusal(linear, 1000)
    smallest = linear.estimate(BatchSizes(1, 1, 1)).total / 2**20
    assert f"No setting alone makes it fit: a single decision of one environment takes {smallest:.2f} MiB" in text


def test_alternatives_are_not_tried_where_memory_suffices(linear: MemoryModel) -> None:
    def never() -> MemoryModel:
        raise AssertionError

    require_memory(linear, SIZES, 2**40, {"agent.small=true": never})


def test_free_memory_of_the_cpu_is_known() -> None:
    assert memory.available_bytes("cpu") > 2**20
