# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The processes of a run, one per GPU: what they must agree on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from rsl_rl.utils import reduce_gradients_in_buckets
from torch import Tensor, nn

_BUCKET_MB = 25.0
"""Gradients that are averaged over the ranks at once [MB], as in rsl_rl."""


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
        mean = torch.tensor(value, device=self._device)
        torch.distributed.all_reduce(mean)
        return float(mean) / self.count

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
