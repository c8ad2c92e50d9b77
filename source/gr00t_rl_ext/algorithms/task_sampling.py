# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""How often each of several tasks, or of several initial states, is practised, by how well it goes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MODES = ("uniform", "inverse_success", "learning_progress")
"""Values of ``agent.algorithm.task_sampling``."""

OFF = "off"
"""Of ``agent.algorithm.start_sampling``, beside these."""

FAST, SLOW = 0.5, 0.1
"""Shares of the latest success rate in the two running means whose difference is the learning progress."""


@dataclass
class TaskSampler:
    """Weights of tasks from their success rates.

    * ``uniform``: all alike.
    * ``inverse_success``: proportional to the rate of failures.
    * ``learning_progress``: proportional to how fast the success rate changes, up or down: a task that is forgotten is
      practised again (Matiisen et al. 2017, "Teacher-Student Curriculum Learning", arXiv 1707.00183).

    Args:
        names: Of the tasks.
        mode: Entry of :data:`MODES`.
        floor: Share of the weight that all tasks have alike, in [0, 1], so that none is given up.
    """

    names: Sequence[str]
    mode: str
    floor: float

    rates: dict[str, float | None] = field(default_factory=dict)
    """Task -> its latest success rate; None: not known yet."""

    means: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Task -> fast and slow running mean of its success rate."""

    def update(self, rates: Mapping[str, float | None]) -> None:
        """Take in the latest success rates; None: not known yet."""
        self.rates = {name: rates.get(name) for name in self.names}
        for name, rate in self.rates.items():
            if rate is None:
                continue
            fast, slow = self.means.get(name, (rate, rate))
            self.means[name] = fast + FAST * (rate - fast), slow + SLOW * (rate - slow)

    def weights(self) -> dict[str, float]:
        """Task -> weight, sum 1. A task of which nothing is known weighs as much as the one that weighs most."""
        scores = {name: self._score(name) for name in self.names}
        most = max((score for score in scores.values() if score is not None), default=0.0)
        filled = {name: most if score is None else score for name, score in scores.items()}
        even, total = 1.0 / len(self.names), sum(filled.values())
        if self.mode == "uniform" or total <= 0.0:
            return dict.fromkeys(self.names, even)
        return {name: self.floor * even + (1.0 - self.floor) * score / total for name, score in filled.items()}

    def _score(self, name: str) -> float | None:
        if self.mode == "inverse_success":
            rate = self.rates.get(name)
            return None if rate is None else 1.0 - rate
        if name not in self.means:
            return None
        fast, slow = self.means[name]
        return abs(fast - slow)

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"rates": dict(self.rates), "means": {name: list(pair) for name, pair in self.means.items()}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from :meth:`state_dict`; tasks that are gone are forgotten."""
        self.rates = {name: rate for name, rate in state["rates"].items() if name in self.names}
        self.means = {name: (pair[0], pair[1]) for name, pair in state["means"].items() if name in self.names}
