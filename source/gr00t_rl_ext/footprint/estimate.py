# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Estimate of the memory that training takes, made before any of it is allocated.

The agent is built and run for one small iteration on fake tensors, so that the estimate knows what the code does and no
formula must follow the code. It is extrapolated to the settings of the training, and to other settings where those do
not fit.
"""

from __future__ import annotations

import bisect
import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import psutil
import torch
from torch import Tensor

from gr00t_rl_ext.footprint.trace import MemoryTrace, Timeline, extrapolate

HEADROOM = 0.05
"""Share of the free memory that is left for what no tensor shows: rounding and gaps of allocators, work space of
kernels."""

_GIB = 2**30
_NUM_ENVS = (4, 5)
"""Environments in the two traces. Not 1, for which tensors are contiguous that otherwise are not, and no fewer than an
agent may keep samples of: what is kept of the first four does not grow with their number."""

_STEPS = 2
"""Decisions per environment in a trace: in the second one, what is left of the first one is there as well."""


@dataclass(frozen=True)
class BatchSizes:
    """The settings that scale an agent's memory."""

    num_envs: int
    """Environments."""

    num_steps_per_env: int
    """Decisions per environment and iteration."""

    num_mini_batches: int
    """Mini-batches per pass over them."""

    gradient_accumulation_steps: int = 1
    """Parts of a mini-batch."""

    @property
    def num_decisions(self) -> int:
        """Decisions per iteration."""
        return self.num_envs * self.num_steps_per_env

    @property
    def part_size(self) -> int:
        """Decisions in the largest part of a mini-batch."""
        return -(-(self.num_decisions // self.num_mini_batches) // self.gradient_accumulation_steps)


class TracedAgent(Protocol):
    """An agent that the estimate can run: one built on fake tensors, with a rollout of the sizes asked for."""

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Of all that trains."""
        ...

    def stored(self) -> Mapping[str, Sequence[Tensor]]:
        """What is kept of the decisions of a rollout, by what it is. Complete once it held a decision."""
        ...

    def rollout(self) -> None:
        """All decisions of an iteration, from observations to the storage and the returns, in place of those there."""
        ...

    def update(self) -> None:
        """One step of the optimizer on all decisions in the storage, as one mini-batch. Leaves no gradients behind."""
        ...


@dataclass(frozen=True)
class PhaseMemory:
    """Bytes at the peak of a phase, beside weights and storage."""

    gradients: int
    """Gradients of the parameters."""

    optimizer: int
    """State of the optimizer, and what its step computes with."""

    activations: int
    """Observations, the copy of a mini-batch, activations and everything else."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of tensors that training holds."""

    sizes: BatchSizes
    """What it was estimated for."""

    weights: int
    """Parameters, buffers and frozen copies."""

    storage: Mapping[str, int]
    """The rollout storage by part."""

    rollout: PhaseMemory
    """While the agent decides, all environments at once."""

    update: PhaseMemory
    """While it learns."""

    take_less: Callable[[], list[str]] = list
    """Finds settings that take a quarter less, as on the command line, for a training that runs out of memory all the
    same."""

    def phase_total(self, phase: PhaseMemory) -> int:
        """All bytes at the peak of a phase."""
        return self.weights + sum(self.storage.values()) + sum(dataclasses.astuple(phase))

    @property
    def total(self) -> int:
        """The larger of the two peaks."""
        return max(self.phase_total(self.rollout), self.phase_total(self.update))

    def describe(self) -> str:
        """A table for the log."""
        unit, name = (_GIB, "GiB") if self.total >= _GIB // 10 else (2**20, "MiB")
        phases, sizes, storage = (self.rollout, self.update), self.sizes, sum(self.storage.values())
        largest = max(self.storage, key=lambda part: self.storage[part])
        stored = (
            f"{sizes.num_decisions} decisions x {storage / sizes.num_decisions / 2**20:.3f} MiB,"
            f" {self.storage[largest] / storage:.0%} of it {largest}"
        )
        at_once = f"of {sizes.num_envs} environments; of {sizes.part_size} decisions"
        rows: list[tuple[str, list[int], str]] = [
            ("weights", [self.weights] * 2, ""),
            ("rollout storage", [storage] * 2, stored),
            ("gradients", [phase.gradients for phase in phases], ""),
            ("optimizer", [phase.optimizer for phase in phases], ""),
            ("activations", [phase.activations for phase in phases], at_once),
            ("total", [self.phase_total(phase) for phase in phases], ""),
        ]
        lines = [f"memory at the peak, {name}   rollout    update"]
        for row, values, note in rows:
            figures = " ".join(f"{value / unit:9.2f}" for value in values)
            lines.append(f"  {row:20} {figures}  {note}".rstrip())
        return "\n".join(lines)


class MemoryModel:
    """What an agent's memory is, as a function of :class:`BatchSizes`.

    Args:
        build: (environments, decisions per environment, parts of a mini-batch) -> the agent. Called on fake tensors;
            whatever it makes is gone afterwards. It must not touch tensors that exist.
        device: Whose memory is counted.
    """

    def __init__(self, build: Callable[[int, int, int], TracedAgent], device: str) -> None:
        self._build = build
        self._device = device
        self._trace = functools.cache(self._run)

    def estimate(self, sizes: BatchSizes) -> MemoryEstimate:
        """Memory for some settings. The first call takes seconds for a model of full size, later ones nothing.

        An update is taken to need memory for its largest part. The few numbers per decision that it computes of all
        decisions at once, such as their order, are not counted beyond that.
        """
        # a third part finds the memory as the second does, with gradients
        num_parts = min(sizes.gradient_accumulation_steps, 2)
        num_envs, part_sizes = _NUM_ENVS, (_NUM_ENVS[0] * _STEPS // num_parts, _NUM_ENVS[1] * _STEPS // num_parts)
        few, more = (self._trace(number, num_parts) for number in num_envs)
        rollout = extrapolate(few.rollout, more.rollout, num_envs, sizes.num_envs)
        update = extrapolate(few.update, more.update, part_sizes, sizes.part_size)
        # the latest observations are there as well, which number as the environments
        kept = extrapolate(few.update, more.update, num_envs, sizes.num_envs)["kept"]
        return MemoryEstimate(
            sizes=sizes,
            weights=few.weights,
            storage={name: sizes.num_decisions * size for name, size in few.storage.items()},
            rollout=PhaseMemory(
                rollout["gradients"],
                rollout["optimizer"],
                rollout["other"] - few.late_storage * sizes.num_envs,
            ),
            update=PhaseMemory(update["gradients"], update["optimizer"], update["other"] + kept),
        )

    def _run(self, num_envs: int, num_parts: int) -> _IterationTrace:
        with MemoryTrace(self._device) as trace:
            agent = self._build(num_envs, _STEPS, num_parts)
            trace.label("storage", itertools.chain(*agent.stored().values()))
            trace.label_rest("weights")
            trace.follow(agent.optimizer)
            begun = trace.live()["storage"]
            with trace.record() as rollout:
                agent.rollout()
            # a part of it is allocated with the first decision
            stored = agent.stored()
            trace.label("storage", itertools.chain(*stored.values()))
            late_storage = trace.live()["storage"] - begun
            sizes = {name: sum(tensor.nbytes for tensor in tensors) for name, tensors in stored.items()}
            del stored
            trace.label_rest("kept")
            with trace.record() as update:
                agent.update()
            storage = {name: size // (num_envs * _STEPS) for name, size in sizes.items()}
            return _IterationTrace(trace.live()["weights"], storage, late_storage // num_envs, rollout, update)


@dataclass(frozen=True)
class _IterationTrace:
    weights: int
    storage: Mapping[str, int]
    """Bytes per decision, by part."""
    late_storage: int
    """Bytes per environment of the storage that the rollout counts as something else."""
    rollout: Timeline
    update: Timeline


def available_bytes(device: str) -> int:
    """Free memory of a device."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available


def require_memory(
    model: MemoryModel,
    sizes: BatchSizes,
    free_bytes: int,
    alternatives: Mapping[str, Callable[[], MemoryModel]] | None = None,
) -> MemoryEstimate:
    """Estimate the memory of a training run, or refuse the run.

    Args:
        model: The agent.
        sizes: Its settings.
        free_bytes: What the device has left.
        alternatives: Further settings that may make it fit, as on the command line, and the agent with each. Only tried
            where memory is short.

    Raises:
        ValueError: It does not fit. The message names every setting that makes it fit alone.
    """
    estimate = model.estimate(sizes)
    usable = int((1.0 - HEADROOM) * free_bytes)
    if estimate.total <= usable:
        return estimate
    fitting = _fitting_sizes(model, sizes, usable)
    for setting, build in (alternatives or {}).items():
        if build().estimate(sizes).total <= usable:
            fitting.append(setting)
    if fitting:
        advice = "Each of these settings alone makes it fit: " + ", ".join(f"`{setting}`" for setting in fitting)
    else:
        smallest = model.estimate(BatchSizes(1, 1, 1)).total
        advice = (
            f"No setting alone makes it fit: a single decision of one environment takes {_gib(smallest)}. Train fewer"
            " parts of the model, or use a device with more memory"
        )
    raise ValueError(
        f"Training needs {_gib(estimate.total)} of memory, but only {_gib(free_bytes)} are free, of which"
        f" {HEADROOM:.0%} are left alone.\n{estimate.describe()}\n{advice}."
    )


def settings_that_take_less(model: MemoryModel, sizes: BatchSizes, share: float = 0.75) -> list[str]:
    """Settings of the sizes, each of which alone brings the estimate to a share of what it is, as on the command
    line."""
    return _fitting_sizes(model, sizes, int(share * model.estimate(sizes).total))


def _gib(size: int) -> str:
    return f"{size / _GIB:.2f} GiB" if size >= _GIB // 10 else f"{size / 2**20:.2f} MiB"


def _fitting_sizes(model: MemoryModel, sizes: BatchSizes, usable: int) -> list[str]:
    """Settings of the sizes, each of which alone makes the estimate fit, as on the command line."""

    def fits(**change: int) -> bool:
        return model.estimate(dataclasses.replace(sizes, **change)).total <= usable

    fitting = []
    num_mini_batches = sizes.num_mini_batches
    # mini-batches are of one size, and of two decisions at least: the spread of their advantages may be divided by
    for field, setting in (("num_envs", "--num_envs "), ("num_steps_per_env", "agent.num_steps_per_env=")):
        other = sizes.num_decisions // getattr(sizes, field)
        unit = num_mini_batches // math.gcd(num_mini_batches, other)
        candidates = range(unit, getattr(sizes, field), unit)
        candidates = candidates[-(-2 * num_mini_batches // (unit * other)) - 1 :]
        # more of them take more memory
        if count := bisect.bisect_left(candidates, True, key=lambda value: not fits(**{field: value})):
            fitting.append(f"{setting}{candidates[count - 1]}")
    largest = sizes.num_decisions // 2
    more = (number for number in range(num_mini_batches + 1, largest + 1) if sizes.num_decisions % number == 0)
    value = next((number for number in more if fits(num_mini_batches=number)), None)
    if value is not None:
        fitting.append(f"agent.algorithm.num_mini_batches={value}")
    value, largest = 2 * sizes.gradient_accumulation_steps, sizes.num_decisions // num_mini_batches
    while value <= largest and not fits(gradient_accumulation_steps=value):
        value *= 2
    if value <= largest:
        fitting.append(f"agent.algorithm.gradient_accumulation_steps={value}")
    return fitting
