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

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

DECISION_WEIGHTS = {
    "episode": "every episode weighs the same, each of its decisions 1 / length (GRPO, arXiv 2402.03300, eq. 3)",
    "decision": "every decision weighs the same, so long episodes weigh more (DAPO, arXiv 2503.14476, section 3.3)",
}
"""What :func:`episode_weights` may do: name -> what it does."""


def mean_only(outcomes: Tensor) -> Tensor:
    """Outcome minus the mean of the group (Dr. GRPO, arXiv 2503.20783): no group weighs more for differing less.

    (..., G) -> (..., G). The sum over a group is 0.

    Raises:
        ValueError: A group has one member.
    """
    if outcomes.shape[-1] < 2:
        raise ValueError(
            f"A group has {outcomes.shape[-1]} member, which has nobody to be compared with. Expected 2 or more, such"
            " as 8."
        )
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
    """Outcome minus a running mean of the outcomes of its task, for when groups are too small or agree too often.

    Unlike the group's mean it still tells a group that succeeds as a whole from one that fails as a whole, but it
    knows nothing of how hard the initial state was.

    Args:
        num_tasks: Number of tasks.
        momentum: In [0, 1): what remains of the baseline when a batch's mean is taken in. 0: the mean of the batch
            before.
        device: Of the outcomes.

    Raises:
        ValueError: The momentum is out of range.
    """

    def __init__(self, num_tasks: int, momentum: float, device: torch.device | str = "cpu") -> None:
        if not 0.0 <= momentum < 1.0:
            raise ValueError(
                f"The momentum of the running baseline is {momentum}. Expected at least 0 and less than 1, such as"
                " 0.9; with 1 it would never change."
            )
        self._momentum = momentum
        # fp64: sums of equal fp32 numbers are exact, and so is the advantage 0 of episodes like all before
        self._baselines = torch.zeros(num_tasks, dtype=torch.float64, device=device)
        self._seen = torch.zeros(num_tasks, dtype=torch.bool, device=device)

    def advantages(self, outcomes: Tensor, tasks: Tensor) -> Tensor:
        """Advantages of a batch against the baseline before it, which then takes in the batch.

        A task that was not seen before has its mean over this batch as baseline.

        Args:
            outcomes: (..., G).
            tasks: Task of each group, (...) int64 from 0 to num_tasks - 1.

        Returns:
            (..., G).
        """
        # a matrix product, as scatter-adds are not deterministic on a GPU
        of_task = F.one_hot(tasks.flatten(), len(self._baselines)).double()
        counts = of_task.sum(dim=0) * outcomes.shape[-1]
        means = of_task.T @ outcomes.double().sum(dim=-1).flatten() / counts.clamp(min=1.0)
        baselines = torch.where(self._seen, self._baselines, means)
        advantages = (outcomes.double() - baselines[tasks].unsqueeze(-1)).float()
        present = counts > 0
        updated = baselines + (1.0 - self._momentum) * (means - baselines)
        self._baselines = torch.where(present, updated, self._baselines)
        self._seen = self._seen | present
        return advantages

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: the baselines and which tasks they are known of."""
        return {"baselines": self._baselines, "seen": self._seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state, on this object's device.

        Raises:
            ValueError: It is of another number of tasks.
        """
        saved, expected = len(state["baselines"]), len(self._baselines)
        if saved != expected:
            raise ValueError(
                f"The checkpoint holds running baselines of {saved} task(s), but there are {expected} here. Resume with"
                " the tasks that it was trained on."
            )
        self._baselines = state["baselines"].to(self._baselines)
        self._seen = state["seen"].to(self._seen)


def spread(advantages: Tensor, std_floor: float, weights: Tensor | None = None) -> Tensor:
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

    Returns:
        (), at least ``std_floor``.
    """
    shares = torch.ones_like(advantages) if weights is None else weights.to(advantages.dtype)
    # before any function, as NaN times 0 is NaN
    counted = torch.where(shares > 0, advantages, 0.0)
    mean_square = (shares * counted.square()).sum() / shares.sum().clamp(min=torch.finfo(shares.dtype).tiny)
    return mean_square.sqrt().clamp(min=std_floor)


def episode_weights(lengths: Tensor, mode: str) -> Tensor:
    """Weight in the objective of each decision of an episode. The mean over all decisions is 1.

    Args:
        lengths: Decisions of each episode, any shape, int; 0 for an episode that does not count.
        mode: One of :data:`DECISION_WEIGHTS`.

    Returns:
        Like ``lengths``, fp32; 0 for the length 0.

    Raises:
        ValueError: The mode is unknown.
    """
    if mode not in DECISION_WEIGHTS:
        available = "; ".join(f"'{name}' ({what})" for name, what in DECISION_WEIGHTS.items())
        raise ValueError(f"The weighting of decisions is {mode!r}. Available are {available}.")
    counts = lengths > 0
    if mode == "decision":
        return counts.float()
    mean_length = lengths.sum() / counts.sum().clamp(min=1)
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


def frac_zero_std(outcomes: Tensor, tolerance: float = 0.0) -> Tensor:
    """Fraction of the groups without a signal, see :func:`has_signal`. (..., G) -> ()."""
    return 1.0 - has_signal(outcomes, tolerance).float().mean()


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
