# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Several initial states of a task, of which some are nearer to success: where each environment begins."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from gr00t_rl_ext.envs.shares import Shares

WHOLE = "whole"
"""The task's own initial states, which evaluations begin with."""


class StartSet(Shares):
    """Named distributions of initial states, and the one that each environment's episode began with.

    Nothing but :data:`WHOLE` is drawn before somebody asks for it (:meth:`set_weights`).

    Args:
        names: Of the others.
        num_envs: Environments.
        device: Where they are simulated.
    """

    def __init__(self, names: Sequence[str], num_envs: int, device: torch.device | str = "cpu") -> None:
        super().__init__((WHOLE, *names))
        self.begin_whole()
        self.index = torch.zeros(num_envs, dtype=torch.long, device=device)
        """Number of the distribution of each environment, (num_envs,); 0 is :data:`WHOLE`."""

    def begin_whole(self) -> None:
        """Let episodes begin with the task's own initial states alone."""
        self.set_weights({name: float(name == WHOLE) for name in self.names})

    def draw(self, env_ids: torch.Tensor) -> None:
        """Choose for environments that begin an episode, (n,)."""
        chosen = self.choose(self.index, env_ids)
        # not in place: what a rollout leaves here is an inference tensor, which a later reset may not write to
        index = self.index.clone()
        index[env_ids.long()] = torch.tensor([chosen[env] for env in env_ids.tolist()], device=index.device)
        self.index = index

    def copy(self, sources: torch.Tensor, targets: torch.Tensor) -> None:
        """Environments ``targets`` go on from the states of ``sources``, both (n,)."""
        index = self.index.clone()
        index[targets.long()] = index[sources.long()]
        self.index = index
