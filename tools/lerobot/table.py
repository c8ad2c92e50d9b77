# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Differences, and whether they are small enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Row:
    """Differences of one case."""

    case: str
    """Its name."""

    differences: Mapping[str, float]
    """What was compared -> largest absolute difference; NaN where either side has one."""

    def within(self, bounds: Mapping[str, float]) -> bool:
        """Whether every difference is a number and not above its bound."""
        return all(self.differences[name] <= bound for name, bound in bounds.items())


def largest_difference(name: str, ours: Tensor, reference: Tensor) -> float:
    """Largest absolute difference of two tensors.

    Raises:
        ValueError: Their shapes differ, so that subtracting would broadcast.
    """
    if ours.shape != reference.shape:
        raise ValueError(f"{name}: ours has shape {tuple(ours.shape)}, LeRobot's {tuple(reference.shape)}")
    return float((ours.double() - reference.double()).abs().max())


def table(rows: Sequence[Row], bounds: Mapping[str, float]) -> str:
    """The rows as text under a line with the bounds, those above them marked."""
    width = max(len(row.case) for row in rows)
    columns = {name: max(11, len(name) + 2) for name in bounds}

    def line(first: str, cells: Mapping[str, str], end: str = "") -> str:
        return f"{first:{width}}" + "".join(f"{cells[name]:>{column}}" for name, column in columns.items()) + end

    return "\n".join(
        [
            line("", {name: name for name in bounds}),
            line("bound", {name: f"{bound:.1e}" for name, bound in bounds.items()}),
            *(
                line(
                    row.case,
                    {name: f"{row.differences[name]:.1e}" for name in bounds},
                    "" if row.within(bounds) else "  too large",
                )
                for row in rows
            ),
        ]
    )
