# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""memory: the estimate is what is really allocated, and what cannot fit is refused with settings that do."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch
from allocated_memory import peak_allocated
from memory_agent import MemoryAgent
from random_gr00t import random_gr00t
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict
from torch import nn

from gr00t_rl_ext.policy import memory
from gr00t_rl_ext.policy.memory import BatchSizes, MemoryModel, require_memory
from gr00t_rl_ext.policy.memory_trace import MemoryTrace

WIDTH, NUM_ACTIONS = 64, 16
WEIGHTS = 4 * WIDTH * NUM_ACTIONS
STORED = 4 * WIDTH + 4 * 3 * NUM_ACTIONS + 5 * 4 + 1
"""Bytes per decision: the observation; the action and its distribution; rewards and values, and whether it was the
last."""


class LinearAgent:
    """One layer from observations to actions, whose memory can be counted."""

    def __init__(self, num_envs: int, num_steps: int, num_parts: int) -> None:
        self.layer = nn.Linear(WIDTH, NUM_ACTIONS, bias=False)
        self.optimizer = torch.optim.SGD(self.layer.parameters(), foreach=False)
        example = TensorDict({"obs": torch.zeros(num_envs, WIDTH)}, batch_size=[num_envs])
        self.storage = RolloutStorage("rl", num_envs, num_steps, example, [NUM_ACTIONS])
        self.num_parts = num_parts

    @torch.no_grad()
    def rollout(self) -> None:
        self.storage.clear()
        num_envs = self.storage.num_envs
        for _ in range(self.storage.num_transitions_per_env):
            transition = RolloutStorage.Transition()
            transition.observations = TensorDict({"obs": torch.zeros(num_envs, WIDTH)}, batch_size=[num_envs])
            actions = self.layer(transition.observations["obs"])
            transition.actions, transition.distribution_params = actions, (actions, actions)
            scalar = torch.zeros(num_envs, 1)
            transition.rewards = transition.dones = transition.actions_log_prob = transition.values = scalar
            self.storage.add_transition(transition)

    def update(self) -> None:
        for batch in self.storage.mini_batch_generator(1, 1):
            self.optimizer.zero_grad()
            for part in batch.observations["obs"].tensor_split(self.num_parts):
                self.layer(part).sum().backward()
            self.optimizer.step()


@pytest.fixture(scope="module")
def linear() -> MemoryModel:
    return MemoryModel(LinearAgent, "cpu")


# The estimate


def test_the_estimate_of_one_layer(linear: MemoryModel) -> None:
    estimate = linear.estimate(BatchSizes(num_envs=10, num_steps_per_env=8, num_mini_batches=4))
    assert estimate.weights == WEIGHTS
    assert sum(estimate.storage.values()) == 80 * STORED
    assert estimate.storage["obs"] == 80 * 4 * WIDTH
    assert estimate.rollout.gradients == WEIGHTS
    # the observations and actions of a decision, and what the loop holds of the one before: actions and a scalar
    assert estimate.rollout.activations == 10 * 4 * (WIDTH + 2 * NUM_ACTIONS + 1)
    # the mini-batch of 20, its output, the indices of the permutation
    batch = 20 * (STORED + 4 * NUM_ACTIONS + 8)
    assert estimate.update.activations + estimate.update.gradients == pytest.approx(batch + WEIGHTS, rel=0.1)
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
    """Its copy stays whole, and from the second part on there are gradients."""
    sizes = BatchSizes(64, 8, 1)
    assert sizes.part_size == 512
    assert dataclasses.replace(sizes, num_mini_batches=3, gradient_accumulation_steps=4).part_size == 43
    whole, parts = (linear.estimate(dataclasses.replace(sizes, gradient_accumulation_steps=n)) for n in (1, 8))
    copy = 512 * (4 * WIDTH + 3 * 4 * NUM_ACTIONS + 4 * 4)
    assert copy < parts.update.activations < whole.update.activations < parts.update.activations + 512 * 4 * NUM_ACTIONS


def test_the_storage_is_what_rsl_rl_allocates() -> None:
    agent = LinearAgent(3, 5, 1)
    agent.rollout()
    storage = agent.storage
    tensors = [value for value in vars(storage).values() if isinstance(value, torch.Tensor)]
    tensors += [*storage.observations.values(), *storage.distribution_params]  # type: ignore[misc]
    parts = memory.storage_bytes(storage)
    assert sum(parts.values()) == sum(tensor.nbytes for tensor in tensors) == 15 * STORED
    assert parts["obs"] == 15 * 4 * WIDTH


SMALL = BatchSizes(6, 4, 1)
IN_PARTS = dataclasses.replace(SMALL, gradient_accumulation_steps=3)


@pytest.mark.parametrize(
    ("version", "trained", "checkpointing", "dtype", "sizes"),
    [
        ("N1.5", "adapter", False, torch.bfloat16, SMALL),
        ("N1.5", "head", False, torch.float32, SMALL),
        ("N1.5", "head", True, torch.bfloat16, IN_PARTS),
        ("N1.5", "dit_lora", False, torch.float32, SMALL),
        ("N1.5", "dit_lora", True, torch.bfloat16, SMALL),
        ("N1.5", "full", False, torch.float32, SMALL),
        ("N1.5", "full", True, torch.float32, SMALL),
        ("N1.7", "dit", False, torch.bfloat16, BatchSizes(3, 2, 1)),
    ],
)
def test_the_estimate_is_what_training_allocates(
    version: str, trained: str, checkpointing: bool, dtype: torch.dtype, sizes: BatchSizes
) -> None:
    estimate, measured = estimate_and_measure(version, trained, checkpointing, dtype, sizes, "cpu")
    # required are 15 %; where kernels compute in more precision than they are given, they allocate unseen
    assert estimate.total == pytest.approx(measured, rel=0.03)
    assert estimate.update.activations > 0.2 * estimate.total  # it is not the weights that are compared


@pytest.mark.gpu
@pytest.mark.parametrize("trained", ["adapter", "dit_lora", "full"])
def test_the_estimate_is_what_training_allocates_on_a_gpu(trained: str) -> None:
    sizes = BatchSizes(32, 4, 2)
    estimate, measured = estimate_and_measure("N1.5", trained, False, torch.bfloat16, sizes, "cuda:0", sixteenths=4)
    assert estimate.total == pytest.approx(measured, rel=0.15)


def estimate_and_measure(
    version: str,
    trained: str,
    checkpointing: bool,
    dtype: torch.dtype,
    sizes: BatchSizes,
    device: str,
    sixteenths: int = 1,
) -> tuple[memory.MemoryEstimate, int]:
    shape = {"sixteenths": sixteenths, "depth": 0.1, "image_size": 56 if version == "N1.5" else None}

    def build(num_envs: int, num_steps: int, num_parts: int, num_mini_batches: int = 1) -> MemoryAgent:
        model = random_gr00t(version, dtype=dtype, device=device, **shape)
        return MemoryAgent(
            model, trained, num_envs, num_steps, num_parts, num_mini_batches, checkpointing=checkpointing
        )

    def run() -> None:
        agent = build(
            sizes.num_envs, sizes.num_steps_per_env, sizes.gradient_accumulation_steps, sizes.num_mini_batches
        )
        for _ in range(2):
            agent.rollout()
            agent.update()

    return MemoryModel(build, device).estimate(sizes), peak_allocated(run, device)


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
    # the copy of the mini-batch stays, and it is what the activations of this agent are
    assert "agent.algorithm.gradient_accumulation_steps" not in settings
    for setting, value in settings.items():
        field, value = fields[setting], int(value)
        assert linear.estimate(dataclasses.replace(SIZES, **{field: value})).total <= usable
        nearer = value + 1 if value < getattr(SIZES, field) else value // 2
        assert linear.estimate(dataclasses.replace(SIZES, **{field: nearer})).total > usable, setting


def test_parts_are_named_where_activations_are_what_is_large() -> None:
    class DeepAgent(LinearAgent):
        """Twenty layers on top, without weights."""

        def update(self) -> None:
            for batch in self.storage.mini_batch_generator(1, 1):
                self.optimizer.zero_grad()
                for part in batch.observations["obs"].tensor_split(self.num_parts):
                    x = self.layer(part)
                    for _ in range(100):
                        x = x.sin()
                    x.sum().backward()
                self.optimizer.step()

    model = MemoryModel(DeepAgent, "cpu")
    free = int(0.6 * model.estimate(SIZES).total)
    text = refusal(model, free)
    assert "`agent.algorithm.num_mini_batches=4`" in text
    # the copy of the mini-batch does not shrink with its parts
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
