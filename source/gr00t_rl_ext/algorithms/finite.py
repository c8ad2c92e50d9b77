# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Guards against numbers that are not finite: what comes from the environments, and gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from tensordict import TensorDict

LARGEST = 1e12
"""Beyond it a number is taken for one of a simulation that has diverged: its square and sums of these overflow."""

NAMED = 10
"""Environments that an error names."""


def require_finite_observations(obs: TensorDict) -> None:
    """Check all observation groups, with one synchronisation of the device. Integers, such as images, are skipped.

    Args:
        obs: Batch size (num_envs,).

    Raises:
        ValueError: Naming the groups, the environments, and whether the numbers are NaN or infinite.
    """
    groups: dict[str, Any] = dict(obs.flatten_keys("/").items())
    groups = {f"Observation group '{name}' is": value for name, value in groups.items()}
    _require_finite(groups, "the observation terms of the group")


def require_finite_rewards(rewards: torch.Tensor) -> None:
    """Check the rewards (num_envs,) or (num_envs, ...), with one synchronisation of the device.

    Raises:
        ValueError: Naming the environments, and whether the numbers are NaN or infinite.
    """
    _require_finite({"The rewards are": rewards}, "the reward terms")


def _require_finite(tensors: Mapping[str, torch.Tensor], terms: str) -> None:
    floating = {subject: value for subject, value in tensors.items() if value.is_floating_point()}
    # false for NaN, too
    if not floating or torch.stack([(value.abs() <= LARGEST).all() for value in floating.values()]).all():
        return
    found = [f"{subject} {text}." for subject, value in floating.items() if (text := _describe(value))]
    raise ValueError(
        f"{' '.join(found)} Such numbers come from a simulation that has diverged, or from {terms}, e.g. a division by"
        " zero. Terminate an episode before its simulation diverges (a bound on joint velocities, a smaller time step),"
        " and bound what the terms compute."
    )


def _describe(values: torch.Tensor) -> str:
    beyond = (values.abs() > LARGEST) & values.isfinite()
    kinds = {"NaN": values.isnan(), "infinite": values.isinf(), f"beyond {LARGEST:g}": beyond}
    envs = {kind: at.reshape(len(at), -1).any(1).nonzero().flatten().tolist() for kind, at in kinds.items()}
    return " and ".join(
        f"{kind} in {len(indices)} of {len(values)} environments ({_listed(indices)})"
        for kind, indices in envs.items()
        if indices
    )


def _listed(indices: list[int]) -> str:
    named = ", ".join(str(index) for index in indices[:NAMED])
    return f"env {named}" + (", ..." if len(indices) > NAMED else "")


class DivergedError(FloatingPointError):
    """Training cannot go on: one update after the other has gradients that are not finite."""


class SkippedSteps:
    """Decides whether an update's step may be taken, and ends training when too many in a row may not.

    Skipping a step leaves weights and optimizer as they were. With fp16, where a gradient scaler begins at 65536 and
    halves at each overflow, the first few steps of a run are skipped as a matter of course.

    Args:
        limit: Skipped steps in a row that end training, 1 or more.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.total = 0
        """Skipped steps so far."""

        self._in_a_row = 0

    def record(self, finite: bool) -> bool:
        """Count an update.

        Args:
            finite: Whether its gradient is; over all processes, which must not come to different steps.

        Returns:
            Whether the step may be taken.

        Raises:
            DivergedError: ``limit`` updates in a row have had no finite gradient.
        """
        if finite:
            self._in_a_row = 0
            return True
        self.total += 1
        self._in_a_row += 1
        if self._in_a_row >= self.limit:
            raise DivergedError(
                f"Training stops: updates in a row whose gradient is not finite: {self._in_a_row} ({self.total} in"
                " all). None of these steps was taken, and the last checkpoint on disk is from before: resume from it."
                " Try a lower `agent.algorithm.learning_rate`, `agent.algorithm.use_mixed_precision=false`, and look at"
                " the rewards: one that is very large makes the value loss overflow."
            )
        return False
