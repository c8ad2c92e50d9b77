# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What happened in the environments: episodes, control steps, speed."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import torch

WINDOW = 100
"""Episodes that returns, lengths and the success rate are averaged over."""

_EPISODE_FIELDS = {
    "charts/episodic_return": "episode_return",
    "charts/episodic_length": "episode_steps",
    "charts/success_rate": "success",
}
"""Metric -> what the environment reports of a finished episode."""


class RolloutStatistics:
    """Counts over one rollout, and the latest episodes over all of them."""

    def __init__(self) -> None:
        self._episodes: dict[str, deque[float]] = {name: deque(maxlen=WINDOW) for name in _EPISODE_FIELDS}
        self.start()

    def start(self) -> None:
        """A rollout begins."""
        self._control_steps, self._reward_sum = 0, 0.0
        self._began = time.perf_counter()

    def record(
        self, executed: torch.Tensor, rewards: torch.Tensor, dones: torch.Tensor, extras: dict[str, Any]
    ) -> None:
        """Count a decision: executed control steps, rewards and ends of episodes, each (num_envs,)."""
        self._control_steps += int(executed.sum())
        self._reward_sum += float(rewards.sum())
        for name, key in _EPISODE_FIELDS.items():
            if key in extras:
                self._episodes[name].extend(extras[key].to(dones.device)[dones > 0].float().tolist())

    def success_rate(self, min_episodes: int) -> float | None:
        """Success rate of the latest episodes; None for fewer than ``min_episodes``."""
        successes = self._episodes["charts/success_rate"]
        return sum(successes) / len(successes) if len(successes) >= min_episodes else None

    def metrics(self) -> dict[str, float]:
        """The ``charts/*`` of an iteration."""
        elapsed = time.perf_counter() - self._began
        metrics = {
            "charts/SPS": self._control_steps / elapsed,
            "charts/reward_per_step": self._reward_sum / self._control_steps,
        }
        return metrics | {name: sum(values) / len(values) for name, values in self._episodes.items() if values}
