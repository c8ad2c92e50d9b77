# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The processes of a run, one per GPU: what they must agree on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from rsl_rl.utils import reduce_gradients_in_buckets
from torch import Tensor, nn

type Total = Callable[[Tensor], Tensor]
"""Sums a tensor over the ranks."""

_BUCKET_MB = 25.0
"""Gradients that are averaged over the ranks at once [MB], as in rsl_rl."""


def on_one_rank(values: Tensor) -> Tensor:
    """The sum over the ranks where there is one."""
    return values


class Ranks:
    """This process among those of the run.

    Args:
        multi_gpu_cfg: rsl_rl's, with several processes; None: there is one.
        device: Of this one.
    """

    def __init__(self, multi_gpu_cfg: Mapping[str, Any] | None, device: str) -> None:
        self.are_many = multi_gpu_cfg is not None
        self.rank = 0 if multi_gpu_cfg is None else multi_gpu_cfg["global_rank"]
        self.count = 1 if multi_gpu_cfg is None else multi_gpu_cfg["world_size"]
        self._device = device

    def mean(self, value: float) -> float:
        """The mean over all ranks. They must take the same steps, so what decides on steps is the mean."""
        if not self.are_many:
            return value
        return float(self.total(torch.tensor(value, device=self._device))) / self.count

    def total(self, values: Tensor) -> Tensor:
        """The sum over all ranks, as a tensor of its own; the tensor itself where there is one rank. All ranks must
        ask, equally often and for equal shapes."""
        if not self.are_many:
            return values
        values = values.clone()
        torch.distributed.all_reduce(values)
        return values

    def each(self, value: int) -> list[int]:
        """The value of every rank."""
        if not self.are_many:
            return [value]
        values = torch.zeros(self.count, dtype=torch.long, device=self._device)
        values[self.rank] = value
        return self.total(values).tolist()

    def mean_if_known(self, value: float | None) -> float | None:
        """The mean over all ranks, once all of them know a value."""
        if not self.are_many:
            return value
        mean = self.mean(math.nan if value is None else value)
        return None if math.isnan(mean) else mean

    def broadcast(self, states: Iterable[Mapping[str, Tensor]]) -> None:
        """Copy the tensors of rank 0 to all ranks."""
        for tensor in [tensor for state in states for tensor in state.values()]:
            torch.distributed.broadcast(tensor, src=0)

    def average_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Average the gradients over all ranks."""
        if self.are_many:
            reduce_gradients_in_buckets(parameters, self.count, _BUCKET_MB)


def mini_batches(lengths: Sequence[int], wanted: int) -> int:
    """The number of mini-batches that all ranks make of their decisions: as many as wanted, or as parts of equal size
    allow.

    120 decisions in parts of 8 are 15 parts, and there are no 16 of equal size but for the last one. Ranks that took
    unequally many steps would wait for each other for ever. Sizes are equal, since in a batch of another size numbers
    are rounded otherwise.

    Args:
        lengths: Decisions of each rank, at least 1.
        wanted: Mini-batches.
    """
    while (most := min(-(-length // -(-length // wanted)) for length in lengths)) != wanted:
        wanted = most
    return wanted


def shares(lengths: Sequence[int], counted: Sequence[int], count: int, rank: int) -> list[float]:
    """Weight of a rank's mean in the mean of each mini-batch over all ranks; the mean over the ranks is 1.

    Args:
        lengths: Decisions of each rank.
        counted: The same; 0 for a rank whose decisions do not count.
        count: Mini-batches, of :func:`mini_batches`.
        rank: Of which the weights are.
    """
    found = []
    for number in range(count):
        sizes = []
        for length, counts in zip(lengths, counted, strict=True):
            size = -(-length // count)
            sizes.append(min(size, length - number * size) if counts else 0)
        found.append(sizes[rank] * len(sizes) / sum(sizes))
    return found
