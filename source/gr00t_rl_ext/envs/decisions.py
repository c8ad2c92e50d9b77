# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What a decision of the learner may be: checks that Isaac Lab's and Gymnasium's environments have in common."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def check_decision(chunk_length: int, step_discount: float) -> None:
    """Raise a ValueError unless a decision of so many control steps, discounted inside by that, is possible."""
    if chunk_length < 1:
        raise ValueError(f"The chunk length must be at least 1 control step, got {chunk_length}.")
    if not 0.0 < step_discount <= 1.0:
        raise ValueError(f"The discount per control step must lie in (0, 1], got {step_discount}.")


def check_chunk(actions: torch.Tensor, num_envs: int, chunk_length: int, width: int, discrete: bool) -> None:
    """Raise a ValueError unless actions are a chunk per environment.

    Args:
        actions: What the learner decided, to be (num_envs, chunk_length * width).
        num_envs: Environments.
        chunk_length: Control steps.
        width: Numbers, or components of a discrete action, per control step.
        discrete: Whether the actions are choices.
    """
    expected = (num_envs, chunk_length * width)
    if tuple(actions.shape) != expected:
        raise ValueError(
            f"The action has shape {tuple(actions.shape)}, expected {expected}: {num_envs} environments times"
            f" {chunk_length} control steps times {width} action dimensions."
            + (" The actions are discrete: one number per component." if discrete else "")
        )


def existing_groups(groups: Sequence[str] | None, available: list[str], remedy: str) -> list[str]:
    """The observation groups once each, all available ones for None.

    Args:
        groups: What is asked for.
        available: What the task has.
        remedy: Ends the error, after "Name the groups to use in `agent.obs_groups`".

    Raises:
        ValueError: The task does not have one.
    """
    selected = available if groups is None else list(dict.fromkeys(groups))
    missing = [group for group in selected if group not in available]
    if missing:
        raise ValueError(
            f"The task has no observation group {', '.join(map(repr, missing))}. It offers: {', '.join(available)}."
            f" Name the groups to use in `agent.obs_groups`{remedy}"
        )
    return selected
