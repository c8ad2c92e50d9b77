# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Several tasks in the environments of one simulation: which of them each environment has, and what it is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from gr00t_rl_ext.envs.shares import Shares, at_random


class TaskSet(Shares):
    """Tasks, each with one instruction or more, and the one that each environment has in its episode.

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
        super().__init__(tuple(told))
        self.instructions = tuple(text for texts in told.values() for text in texts)
        """Of all tasks, E."""

        self.tasks = tuple(name for name, texts in told.items() for _ in texts)
        """Name of the task of each instruction."""

        self.column = torch.zeros(num_envs, dtype=torch.long, device=device)
        """Index of the instruction of each environment, (num_envs,)."""

        self._columns = [[at for at, of in enumerate(self.tasks) if of == name] for name in self.names]
        self._of_column = torch.tensor([self.names.index(name) for name in self.tasks], device=device)

    @property
    def index(self) -> torch.Tensor:
        """Index of the task of each environment, (num_envs,) int64."""
        return self._of_column[self.column]

    @property
    def one_hot(self) -> torch.Tensor:
        """1 in the column of its instruction, 0 in the others, (num_envs, E) float32."""
        return torch.nn.functional.one_hot(self.column, len(self.instructions)).float()

    def draw(self, env_ids: torch.Tensor, group_size: int = 1) -> None:
        """Give environments that begin an episode a task and an instruction.

        Args:
            env_ids: The environments, (n,).
            group_size: Neighbours that get the same, as members of a group do.
        """
        tasks = self.choose(self.index, env_ids, group_size)
        chosen = {group: at_random(self._columns[task]) for group, task in tasks.items()}
        columns = [chosen[group] for group in torch.div(env_ids, group_size, rounding_mode="floor").tolist()]
        self.column[env_ids.long()] = torch.tensor(columns, device=self.column.device)
