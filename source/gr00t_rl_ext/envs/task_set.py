# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Several tasks in the environments of one simulation: which of them each environment has, and what it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

TIE = 1e-6
"""Differences of shares that count as none."""


class TaskSet:
    """Tasks, each with one instruction or more, and the one that each environment has in its episode.

    An environment that begins an episode takes the task of which there are fewest, compared with its weight. So the
    share of each task in the control steps is its weight, however long its episodes are, and environments keep their
    task where that is possible. Ties are broken by torch's generator, which the environment seeds.

    Args:
        told: Name of a task -> its instructions, of which an episode has one at random.
        num_envs: Environments.
        device: Where they are simulated.

    Raises:
        ValueError: A task has no instruction.
    """

    def __init__(self, told: Mapping[str, Sequence[str]], num_envs: int, device: torch.device | str = "cpu") -> None:
        if empty := [name for name, texts in told.items() if not texts]:
            raise ValueError(f"The task {empty[0]!r} has no instruction.")
        self.names = tuple(told)
        """Of the tasks, K."""

        self.instructions = tuple(text for texts in told.values() for text in texts)
        """Of all tasks, E."""

        self.tasks = tuple(name for name, texts in told.items() for _ in texts)
        """Name of the task of each instruction."""

        self.column = torch.zeros(num_envs, dtype=torch.long, device=device)
        """Index of the instruction of each environment, (num_envs,)."""

        self._columns = [[at for at, of in enumerate(self.tasks) if of == name] for name in self.names]
        self._of_column = torch.tensor([self.names.index(name) for name in self.tasks], device=device)
        self.weights = torch.full((len(self.names),), 1.0 / len(self.names))
        """Share of each task, (K,), sum 1. On the CPU."""

    @property
    def index(self) -> torch.Tensor:
        """Index of the task of each environment, (num_envs,) int64."""
        return self._of_column[self.column]

    @property
    def one_hot(self) -> torch.Tensor:
        """1 in the column of its instruction, 0 in the others, (num_envs, E) float32."""
        return torch.nn.functional.one_hot(self.column, len(self.instructions)).float()

    def set_weights(self, weights: Mapping[str, float]) -> None:
        """Change the shares of the tasks, for episodes that begin from now on.

        Args:
            weights: Name -> weight, at least 0 and not all 0; they are divided by their sum.

        Raises:
            ValueError: A name or a weight is not possible.
        """
        if set(weights) != set(self.names):
            raise ValueError(
                f"Weights are of {', '.join(weights) or 'nothing'}; the tasks are {', '.join(self.names)}."
            )
        values = torch.tensor([float(weights[name]) for name in self.names])
        if not bool(torch.isfinite(values).all()) or bool((values < 0).any()) or float(values.sum()) <= 0:
            raise ValueError(f"The weights are {dict(weights)}; expected numbers of at least 0, not all of them 0.")
        self.weights = values / values.sum()

    def draw(self, env_ids: torch.Tensor, group_size: int = 1) -> None:
        """Give environments that begin an episode a task and an instruction.

        Args:
            env_ids: The environments, (n,).
            group_size: Neighbours that get the same, as members of a group do.
        """
        groups = torch.div(env_ids, group_size, rounding_mode="floor")
        leaving = torch.unique(groups).tolist()
        current = self.index[::group_size].tolist()
        counts = torch.zeros(len(self.names))
        for group in set(range(len(current))).difference(leaving):
            counts[current[group]] += 1
        wanted, chosen = self.weights * len(current), {}
        for group in leaving:
            missing = torch.where(self.weights > 0, wanted - counts, -torch.inf)
            task = _at_random((missing >= missing.max() - TIE).nonzero()[:, 0].tolist())
            counts[task] += 1
            chosen[group] = _at_random(self._columns[task])
        columns = [chosen[group] for group in groups.tolist()]
        self.column[env_ids.long()] = torch.tensor(columns, device=self.column.device)


def _at_random(choices: Sequence[int]) -> int:
    return choices[0] if len(choices) == 1 else choices[int(torch.randint(len(choices), ()))]
