# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Advantages without a critic: the outcome of an episode against those of the other members of its group.

A group is G episodes from the same initial state. ``outcomes`` (..., G) holds one number per episode, an undiscounted
return or the success; the last axis is the members of a group, the others are groups, or groups and segments. Bool and
integers are allowed, results are fp32. An advantage belongs to every decision of its episode. Members with the same
outcome get an advantage of exactly 0, so that groups without a signal change nothing. Groups that are left out of an
update are left out of the arguments.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gr00t_rl_ext.algorithms.ranks import Total, on_one_rank


def mean_only(outcomes: Tensor) -> Tensor:
    """Outcome minus the mean of the group (Dr. GRPO, arXiv 2503.20783): no group weighs more for differing less.

    (..., G) -> (..., G). The sum over a group is 0.
    """
    outcomes = outcomes.float()
    # equal outcomes become 0 here; the rounded mean of equal numbers need not be that number
    shifted = outcomes - outcomes[..., :1]
    return shifted - shifted.mean(dim=-1, keepdim=True)


def group_relative(outcomes: Tensor, std_floor: float) -> Tensor:
    """GRPO's advantage: (R - mean) / std of the group (DeepSeekMath, arXiv 2402.03300, section 4.1.2).

    The paper does not say which standard deviation. This is the unbiased one (divisor G - 1), as in TRL and RLinf; the
    biased one would make every advantage sqrt(G / (G - 1)) times as large.

    Args:
        outcomes: (..., G).
        std_floor: Above 0. A smaller standard deviation counts as this, so that rounding errors or irrelevant
            differences of returns do not become a full signal.

    Returns:
        (..., G).
    """
    deviations = mean_only(outcomes)
    return deviations / deviations.std(dim=-1, keepdim=True).clamp(min=std_floor)


def leave_one_out(outcomes: Tensor) -> Tensor:
    """Outcome minus the mean of the other members (RLOO, arXiv 2402.14740): a baseline independent of it.

    It is :func:`mean_only` times G / (G - 1). (..., G) -> (..., G).
    """
    members = outcomes.shape[-1]
    return mean_only(outcomes) * (members / (members - 1))


class RunningBaseline:
    """Outcome minus a running mean of the outcomes, for when groups are too small or agree too often.

    Unlike the group's mean it still tells a group that succeeds as a whole from one that fails as a whole, but it
    knows nothing of how hard the initial state was.

    Args:
        momentum: In [0, 1): what remains of the baseline when a batch's mean is taken in. 0: the mean of the batch
            before.
        device: Of the outcomes.
        total: Sums a tensor over the ranks, whose outcomes are one batch.
        tasks: Names of K tasks, each with a baseline of its own.
    """

    def __init__(
        self,
        momentum: float,
        device: torch.device | str = "cpu",
        total: Total = on_one_rank,
        tasks: Sequence[str] = ("",),
    ) -> None:
        self._momentum, self._total, self._tasks = momentum, total, tuple(tasks)
        # fp64: sums of equal fp32 numbers are exact, and so is the advantage 0 of episodes like all before
        self._baselines = torch.zeros(len(tasks), dtype=torch.float64, device=device)
        self._seen = torch.zeros(len(tasks), dtype=torch.bool, device=device)

    def advantages(self, outcomes: Tensor, tasks: Tensor | None = None) -> Tensor:
        """Advantages of a batch against the baseline before it, which then takes in the batch.

        The first batch of a task has its own mean as baseline.

        Args:
            outcomes: (..., G).
            tasks: The task of each, int; None: all are of the first.

        Returns:
            (..., G).
        """
        index = torch.zeros_like(outcomes, dtype=torch.long) if tasks is None else tasks
        values, flat = outcomes.double().flatten(), index.flatten()
        zeros = torch.zeros_like(self._baselines)
        sums = torch.stack((zeros.index_add(0, flat, values), zeros.index_add(0, flat, torch.ones_like(values))))
        added, count = self._total(sums)
        mean, present = added / count.clamp(min=1), count > 0
        baseline = torch.where(self._seen, self._baselines, mean)
        moved = baseline + (1.0 - self._momentum) * (mean - baseline)
        self._baselines = torch.where(present, moved, self._baselines)
        self._seen = self._seen | present
        return (outcomes.double() - baseline[index]).float()

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: the tasks, their baselines, and whether those are known, (K,) each."""
        return {"tasks": self._tasks, "baselines": self._baselines, "seen": self._seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state, on this object's device. Tasks that it does not have begin anew."""
        # version 0.1 kept those of one task, or of several by number
        saved = tuple(state.get("tasks", self._tasks if len(state["seen"]) == len(self._tasks) else ()))
        # not in place: what a rollout leaves here is an inference tensor
        self._baselines, self._seen = torch.zeros_like(self._baselines), torch.zeros_like(self._seen)
        for number, name in enumerate(self._tasks):
            if name in saved:
                self._baselines[number] = state["baselines"][saved.index(name)]
                self._seen[number] = state["seen"][saved.index(name)]


def spread(advantages: Tensor, std_floor: float, weights: Tensor | None = None, total: Total = on_one_rank) -> Tensor:
    """Standard deviation of advantages about 0, over a whole rollout or over a mini-batch, to divide them by.

    One scale for all groups (REINFORCE++ with baseline, arXiv 2501.03262) in place of one per group, whose numerator
    and denominator depend on each other. REINFORCE++ also subtracts the mean. This does not: the baseline is subtracted
    already. Over complete groups of episodes the mean is 0, and what differs from it over decisions or in a
    mini-batch is that long episodes fail; to subtract that would give groups without a signal an advantage other than
    0, and turn signs.

    Args:
        advantages: Any shape, of episodes or of decisions.
        std_floor: Above 0. A smaller standard deviation counts as this.
        weights: Like ``advantages``: a bool mask, or a weight of at least 0. Entries of weight 0 may hold anything.
        total: Sums a tensor over the ranks.

    Returns:
        (), at least ``std_floor``.
    """
    shares = torch.ones_like(advantages) if weights is None else weights.to(advantages.dtype)
    # before any function, as NaN times 0 is NaN
    counted = torch.where(shares > 0, advantages, 0.0)
    squares, weight = total(torch.stack(((shares * counted.square()).sum(), shares.sum())))
    mean_square = squares / weight.clamp(min=torch.finfo(shares.dtype).tiny)
    return mean_square.sqrt().clamp(min=std_floor)


def spread_of_tasks(
    advantages: Tensor,
    tasks: Tensor,
    num_tasks: int,
    std_floor: float,
    weights: Tensor,
    total: Total = on_one_rank,
) -> Tensor:
    """:func:`spread` of the advantages of each task alone, for each entry that of its task.

    Args:
        advantages: Any shape, of decisions.
        tasks: The task of each, int.
        num_tasks: K.
        std_floor: As of :func:`spread`.
        weights: Like ``advantages``, as of :func:`spread`.
        total: Sums a tensor over the ranks.
    """
    counted = torch.where(weights > 0, advantages, 0.0)
    zeros = torch.zeros(num_tasks, dtype=advantages.dtype, device=advantages.device)
    index = tasks.flatten()
    sums = [zeros.index_add(0, index, part.flatten()) for part in (weights * counted.square(), weights)]
    squares, weight = total(torch.stack(sums))
    scale = (squares / weight.clamp(min=torch.finfo(weights.dtype).tiny)).sqrt().clamp(min=std_floor)
    return scale[tasks]


def episode_weights(lengths: Tensor, mode: str, total: Total = on_one_rank) -> Tensor:
    """Weight in the objective of each decision of an episode. The mean over all decisions is 1.

    Args:
        lengths: Decisions of each episode, any shape, int; 0 for an episode that does not count.
        mode: ``episode``, every episode weighs the same, each of its decisions 1 / length (GRPO, arXiv 2402.03300,
            eq. 3); or ``decision``, every decision weighs the same, so long episodes weigh more (DAPO, arXiv
            2503.14476, section 3.3).
        total: Sums a tensor over the ranks.

    Returns:
        Like ``lengths``, fp32; 0 for the length 0.
    """
    counts = lengths > 0
    if mode == "decision":
        return counts.float()
    steps, episodes = total(torch.stack((lengths.sum(), counts.sum())))
    mean_length = steps / episodes.clamp(min=1)
    return torch.where(counts, mean_length / lengths.clamp(min=1), 0.0)


def has_signal(outcomes: Tensor, tolerance: float = 0.0) -> Tensor:
    """Whether the outcomes of a group differ by more than ``tolerance``. (..., G) -> (...) bool."""
    outcomes = outcomes.float()
    return outcomes.amax(dim=-1) - outcomes.amin(dim=-1) > tolerance


def within_success_range(successes: Tensor, low: float, high: float) -> Tensor:
    """Whether the success rate of a group lies in [low, high], for dynamic sampling.

    DAPO (arXiv 2503.14476, section 3.2) keeps what is above 0 and below 1. (..., G) bool or 0 and 1 -> (...) bool.
    """
    rates = successes.float().mean(dim=-1)
    # a mean of 3 in 10 may come out beside 0.3, depending on the device
    return (rates > low - 1e-6) & (rates < high + 1e-6)


def return_diversity(outcomes: Tensor) -> Tensor:
    """Share of the outcomes' variance that lies within the groups, 0 to 1: what is left for the policy to learn from.

    Mean of the variances within groups, over that plus the variance of the groups' means, each biased (law of total
    variance). 1: the groups' means are all the same. 0: the members of each group agree, whether or not groups differ.
    (..., G) -> ().
    """
    deviations = mean_only(outcomes)
    within = deviations.square().mean()
    between = outcomes.float().mean(dim=-1).var(correction=0)
    return torch.where(within > 0, within / (within + between), 0.0)


def success_histogram(successes: Tensor) -> Tensor:
    """Number of groups with 0, 1, ..., G successes. (..., G) bool or 0 and 1 -> (G + 1,) int64."""
    counts = torch.arange(successes.shape[-1] + 1, device=successes.device)
    return (successes.long().sum(dim=-1).flatten().unsqueeze(1) == counts).sum(dim=0)
