# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The rollout storage of GRPO: episodes of groups, of which the update reads what has a signal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gr00t_rl_ext.algorithms.storage import EXECUTED, Batch, DecisionStorage


@dataclass(frozen=True)
class GroupBatch(Batch):
    """Some decisions with advantages."""

    advantages: Tensor
    """(B,)."""

    weights: Tensor
    """Weights in the objective, (B,)."""


@dataclass(frozen=True)
class Outcomes:
    """What came of the segments of a rollout: whole episodes, or parts of them. R rounds of S segments."""

    returns: Tensor
    """Undiscounted, (R, S, N)."""

    successes: Tensor
    """Whether the episode ended in success in the segment, (R, S, N) bool."""

    lengths: Tensor
    """Decisions, 0 where the environment took no part, (R, S, N) int."""


class GroupStorage(DecisionStorage):
    """Decisions of R rounds of T steps in N environments. Rows of environments that did not act are not valid.

    Args:
        *args: As of :class:`~.storage.DecisionStorage`, with R * T steps.
        rounds: R.
        segment_length: Steps of a segment, of which T is a multiple. None: T.
    """

    def __init__(self, *args: Any, rounds: int, segment_length: int | None) -> None:
        super().__init__(*args)
        self.rounds = rounds
        self.round_length = self.num_steps // rounds
        """T."""

        self.segment_length = segment_length or self.round_length
        self.rewards = self._zeros()
        """(R * T, N)."""

        self.successes = self._zeros().bool()
        """(R * T, N)."""

        self.advantages = self._zeros()
        """(R * T, N)."""

        self.weights = self._zeros()
        """Weights of the decisions in the objective, (R * T, N)."""

        self.learned: Tensor | None = None
        """Indices of the decisions to learn from, in the flattened storage; None before they are known."""

    def clear(self) -> None:
        """Forget all decisions."""
        super().clear()
        self.learned = None
        self.forget(slice(None), slice(None))

    def forget(self, steps: slice, envs: Tensor | slice) -> None:
        """Forget the decisions of some environments in some steps."""
        for tensor in (self.observations[EXECUTED], self.rewards, self.successes):
            tensor[steps, envs] = 0

    def steps_of_round(self, number: int) -> slice:
        """Rows of a round, counted from 0."""
        return slice(number * self.round_length, (number + 1) * self.round_length)

    def outcomes(self) -> Outcomes:
        """What came of the segments."""

        def by_segment(tensor: Tensor) -> Tensor:
            return tensor.view(self.rounds, -1, self.segment_length, self.num_envs)

        acted = self.observations[EXECUTED].any(-1)
        return Outcomes(
            by_segment(self.rewards).sum(2), by_segment(self.successes).any(2), by_segment(acted.long()).sum(2)
        )

    def per_decision(self, per_segment: Tensor) -> Tensor:
        """The number of each decision's segment: (R, S, N) -> (R * T, N)."""
        return per_segment.repeat_interleave(self.segment_length, dim=1).flatten(0, 1)

    def learn_from(self, which: Tensor) -> None:
        """Choose the decisions to learn from: (R * T, N) bool."""
        chosen = [index for index, learned in enumerate(which.flatten().tolist()) if learned]
        self.learned = torch.tensor(chosen, dtype=torch.long, device=self.device)

    @property
    def num_decisions(self) -> int:
        """Decisions to learn from; all that there is room for before they are known."""
        return super().num_decisions if self.learned is None else len(self.learned)

    def shuffled(self, num_mini_batches: int) -> Iterator[Tensor]:
        """Indices of up to so many mini-batches: every decision once, in an order that is drawn anew."""
        assert self.learned is not None
        order = self.learned[torch.randperm(len(self.learned), device=self.device)]
        yield from order.split(-(-len(order) // num_mini_batches))

    def in_order(self, size: int) -> Iterator[Tensor]:
        """The decisions to learn from in parts of a size. The last one begins earlier where it would be smaller: in a
        batch of another size numbers are rounded otherwise."""
        assert self.learned is not None
        count = len(self.learned)
        for start in range(0, count, size):
            begin = max(0, min(start, count - size))
            yield self.learned[begin : begin + size]

    def batch(self, which: Tensor | slice) -> GroupBatch:
        """Some decisions, by their indices in the flattened storage."""
        return GroupBatch(*self._parts(which), self._take(self.advantages, which), self._take(self.weights, which))

    def tensors(self) -> dict[str, list[Tensor]]:
        """All that it holds, by what it is."""
        return super().tensors() | {"outcomes": [self.rewards, self.successes, self.advantages, self.weights]}
