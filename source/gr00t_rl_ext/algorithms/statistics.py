# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What happened in the environments: episodes, control steps, speed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

WINDOW = 100
"""Episodes that returns, lengths and the success rate are averaged over, at least: all that ended since they were asked
for the last time, which is once per rollout, if those are more.

Of many environments, those that succeed early are the first to end their episodes; the latest few are no fair sample.
"""

_OF_EPISODES = ("episodic_return", "episodic_length", "success_rate")


def _metric(name: str, kind: str = "charts", of: str | None = None) -> str:
    return "/".join((kind, name) if of is None else (kind, of, name))


class RolloutStatistics:
    """Counts over one rollout, and the latest episodes over all of them.

    The device is not waited for while the rollout runs: what it reports is kept, and looked at when it is asked for.

    Args:
        tasks: Names of the tasks, where there are several.
        starts: Names of the distributions of initial states, where there are several. Episodes that begin with another
            than the first, the task's own, count in ``starts/*`` alone.
    """

    def __init__(self, tasks: Sequence[str] = (), starts: Sequence[str] = ()) -> None:
        self._tasks, self._starts = tuple(tasks), tuple(starts)
        kinds = [("charts", None), *(("tasks", task) for task in tasks), *(("starts", start) for start in starts)]
        metrics = [_metric(name, *kind) for kind in kinds for name in _OF_EPISODES]
        self._episodes: dict[str, list[float]] = {metric: [] for metric in metrics}
        self._reported: dict[str, list[tuple[Tensor, ...]]] = {name: [] for name in _OF_EPISODES}
        self._executed: list[Tensor] = []
        self._before: int | Tensor = 0
        self.dropped = 0
        """Episodes that ended because their environment had to be started again."""

        self.start()

    def start(self) -> None:
        """A rollout begins."""
        self._before = sum(self._executed, start=self._before)
        self._executed = []
        self._rewards: list[Tensor] = []
        self._began = time.perf_counter()

    def record(self, executed: Tensor, rewards: Tensor) -> None:
        """Count decisions: executed control steps and rewards, any shape."""
        self._executed.append(executed.sum())
        self._rewards.append(rewards.sum())

    def report_episodes(
        self,
        ended: Tensor,
        returns: Tensor,
        lengths: Tensor,
        successes: Tensor | None,
        tasks: Tensor | None = None,
        starts: Tensor | None = None,
    ) -> None:
        """Take note of episodes, (num_envs,) each and all on one device.

        Args:
            ended: Where one ended, bool.
            returns: Undiscounted returns of those.
            lengths: Their control steps.
            successes: Whether they succeeded; None if that is not known.
            tasks: Which task they had, int; None where there is one.
            starts: Which initial states they began with, int; None where there is one distribution.
        """
        only = torch.zeros_like(ended, dtype=torch.long)
        own = (only if of is None else of for of in (tasks, starts))
        numbers = torch.stack((ended.long(), *own))
        for name, values in zip(_OF_EPISODES, (returns, lengths, successes), strict=True):
            if values is not None:
                self._reported[name].append((values, numbers))

    def _look(self) -> None:
        """Take in what was reported of episodes."""
        for name, reported in self._reported.items():
            if reported:
                values, numbers = (torch.cat(parts, dim=-1) for parts in zip(*reported, strict=True))
                ended = numbers[0] > 0
                latest, (tasks, starts) = values[ended].float(), numbers[1:, ended]
                whole = starts == 0
                self._add(_metric(name), latest[whole])
                for number, task in enumerate(self._tasks):
                    self._add(_metric(name, "tasks", task), latest[whole & (tasks == number)])
                for number, start in enumerate(self._starts):
                    self._add(_metric(name, "starts", start), latest[starts == number])
                reported.clear()

    def _add(self, metric: str, values: Tensor) -> None:
        latest = values.tolist()
        self._episodes[metric] = (self._episodes[metric] + latest)[-max(WINDOW, len(latest)) :]

    def success_rate(self, min_episodes: int, kind: str = "charts", of: str | None = None) -> float | None:
        """Success rate of the latest episodes; None for fewer than ``min_episodes``.

        Args:
            min_episodes: How many there must be.
            kind: ``charts``, all of the task's own initial states, of several tasks the mean; ``tasks``; ``starts``.
            of: Name of a task or of a start.
        """
        self._look()
        if self._tasks and kind == "charts":
            rates = [self.success_rate(min_episodes, "tasks", task) for task in self._tasks]
            known = [rate for rate in rates if rate is not None]
            return sum(known) / len(known) if len(known) == len(rates) else None
        successes = self._episodes[_metric("success_rate", kind, of)]
        return sum(successes) / len(successes) if len(successes) >= min_episodes else None

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint: the latest episodes, and the control steps so far."""
        self._look()
        episodes = {name: list(values) for name, values in self._episodes.items()}
        return {"episodes": episodes, "control_steps": int(sum(self._executed, start=self._before))}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from :meth:`state_dict`."""
        self._episodes = {name: list(state["episodes"].get(name, [])) for name in self._episodes}
        self._before, self._executed = state["control_steps"], []

    def metrics(self, total: Callable[[list[float]], list[float]] = list) -> dict[str, float]:
        """The ``charts/*`` of an iteration.

        Args:
            total: Sums numbers over the ranks.
        """
        self._look()
        elapsed = time.perf_counter() - self._began
        own = [float(self._before), float(torch.stack(self._executed).sum()), float(torch.stack(self._rewards).sum())]
        episodes = [number for values in self._episodes.values() for number in (sum(values), len(values))]
        before, control_steps, rewards, *episodes = total([*own, *episodes])
        metrics = {
            "charts/env_steps": int(before + control_steps),
            "charts/SPS": control_steps / elapsed,
            "charts/reward_per_step": rewards / control_steps,
        }
        if self.dropped:
            metrics["charts/dropped_episodes"] = self.dropped
        counted = zip(self._episodes, episodes[::2], episodes[1::2], strict=True)
        means = {name: added / count for name, added, count in counted if count}
        for name in _OF_EPISODES:
            # each task counts alike, however many episodes it had: those that go well are short, and there are more
            of_tasks = [means[metric] for task in self._tasks if (metric := _metric(name, "tasks", task)) in means]
            if of_tasks:
                means[_metric(name)] = sum(of_tasks) / len(of_tasks)
        return metrics | means
