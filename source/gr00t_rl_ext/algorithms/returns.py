# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Generalised advantages of action chunks. Pure functions, no state; fp32.

T decisions of N environments; a decision executes the first ``executed`` of the H control steps of its chunk, 1 to H.
The end of an episode cuts a chunk short; the control steps after it do not count, whatever stands in their entries.
What follows the end of an episode is worth 0 after a termination, and the value of the final observation after a
time-out (Pardo et al. 2018, arXiv 1712.00378).
"""

from __future__ import annotations

import torch


def executed_mask(executed: torch.Tensor, chunk_length: int) -> torch.Tensor:
    """Which control steps of a chunk were executed. (...) int -> (..., H) bool."""
    return torch.arange(chunk_length, device=executed.device) < executed.unsqueeze(-1)


def _backward_sums(deltas: torch.Tensor, decays: torch.Tensor) -> torch.Tensor:
    """``A_l = delta_l + decay_l A_{l+1}`` with ``A_L = 0``. (L, N) each -> (L, N)."""
    sums = torch.empty_like(deltas)
    following = torch.zeros_like(deltas[0])
    for step in reversed(range(len(deltas))):
        following = deltas[step] + decays[step] * following
        sums[step] = following
    return sums


def _following_values(
    values: torch.Tensor, last_values: torch.Tensor, dones: torch.Tensor, final_values: torch.Tensor
) -> torch.Tensor:
    """Value of what follows each decision, given the values before each. Arguments as below; (T, N)."""
    return torch.where(dones, final_values, torch.cat([values[1:], last_values.unsqueeze(0)]))


def chunk_advantages(
    rewards: torch.Tensor,
    values: torch.Tensor,
    last_values: torch.Tensor,
    dones: torch.Tensor,
    final_values: torch.Tensor,
    executed: torch.Tensor,
    chunk_length: int,
    gamma: float,
    lam: float,
) -> torch.Tensor:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438, eq. 16) of decisions.

    ``delta_t = r_t + gamma_t V'_t - V_t`` and ``A_t = delta_t + gamma_t lam c_t A_{t+1}``, with ``A_T = 0``. V' is the
    value of what follows, and c whether that belongs to the same episode. A decision of k executed steps discounts
    what follows by ``gamma_t = gamma ** (k / H)``. Without time-outs this is rsl_rl's recursion. At a time-out rsl_rl
    adds ``gamma V(s_t)``, the value of the state before the decision, in place of the final one's.

    Args:
        rewards: Sums of rewards inside the chunk, discounted by ``gamma ** (1 / H)`` per control step. (T, N).
        values: Values of the observations decided on, (T, N).
        last_values: Values of the observations after the last decision, (N,).
        dones: Whether the episode ended in the decision, (T, N) bool.
        final_values: Where ``dones``: 0 for a termination, the value of the final observation for a time-out. (T, N).
        executed: Executed control steps, (T, N) int.
        chunk_length: H.
        gamma: Discount per decision.
        lam: Lambda per decision.

    Returns:
        (T, N). With ``values`` added, the returns.
    """
    discounts = gamma ** (executed / chunk_length)
    deltas = rewards + discounts * _following_values(values, last_values, dones, final_values) - values
    return _backward_sums(deltas, discounts * lam * ~dones)


def step_advantages(
    step_rewards: torch.Tensor,
    values: torch.Tensor,
    last_values: torch.Tensor,
    dones: torch.Tensor,
    final_values: torch.Tensor,
    executed: torch.Tensor,
    gamma: float,
    lam: float,
) -> torch.Tensor:
    """Generalised advantages of control steps, of a critic that gives a value before each control step of a chunk.

    The other arguments are those of :func:`chunk_advantages`.

    Args:
        step_rewards: (T, N, H).
        values: ``values[t, n, k]`` is the value of the state before control step k of decision t. (T, N, H).
        gamma: Discount per control step.
        lam: Lambda per control step.

    Returns:
        (T, N, H); 0 for the steps that were not executed, whose rewards and values influence nothing.
    """
    chunk_length = step_rewards.shape[-1]
    valid = executed_mask(executed, chunk_length)
    is_last = torch.arange(chunk_length, device=executed.device) == executed.unsqueeze(-1) - 1
    following = _following_values(values[..., 0], last_values, dones, final_values)
    next_values = torch.where(is_last, following.unsqueeze(-1), values.roll(-1, dims=-1))
    deltas = torch.where(valid, step_rewards + gamma * next_values - values, 0.0)
    ends = is_last & dones.unsqueeze(-1)
    # a step that was not executed hands on what follows it unchanged
    decays = torch.where(valid, gamma * lam * ~ends, 1.0)
    sums = _backward_sums(_in_time(deltas), _in_time(decays))
    sums = sums.unflatten(0, (-1, chunk_length)).transpose(1, 2)
    return torch.where(valid, sums, 0.0)


def _in_time(per_step: torch.Tensor) -> torch.Tensor:
    """(T, N, H) -> (T * H, N)."""
    return per_step.transpose(1, 2).flatten(0, 1)
