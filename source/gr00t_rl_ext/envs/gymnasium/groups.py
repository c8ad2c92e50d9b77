# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Groups of Gymnasium environments: common starts, shared states, and parking of finished members."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from gr00t_rl_ext.envs.groups import check_group_size
from gr00t_rl_ext.envs.gymnasium.configs import GymnasiumEnvCfg
from gr00t_rl_ext.envs.gymnasium.fleet import Fleet


class GroupsMixin:
    """Lets environments go on from each other's states, equal to the bit.

    Group g holds the environments g * G .. (g + 1) * G - 1; its first one is the leader at the start.
    """

    cfg: GymnasiumEnvCfg
    num_envs: int
    _fleet: Fleet
    _episode_return: np.ndarray
    _episode_steps: np.ndarray
    _group_size: int | None = None

    def configure_groups(self, group_size: int) -> None:
        """Let environments share states in groups of G. If members of a group are in different processes they move into
        one; then all environments begin the episodes again that they are in.

        Raises:
            ValueError: If the number of environments is not divisible by G, G is less than 2, or the environment's
                state cannot be copied.
        """
        check_group_size(self.num_envs, group_size)
        reason = self._fleet.call("obstacle_to_copies", {0: ()})[0]
        if reason is not None:
            raise ValueError(
                f"The state of {self.cfg.env_id!r} cannot be copied, which groups need: {reason}. Use an agent without"
                " groups, such as PPO."
            )
        if self._fleet.keep_together(group_size):
            self._fleet["episodes"][:] -= 1
            self._fleet.call_for("reset", range(self.num_envs))
            self._forget_episodes(slice(None))
        self._group_size = group_size

    def start_groups(self, groups: Sequence[int]) -> None:
        """Begin a new episode in these groups: the leader's next one, in whose initial state all members are.

        Raises:
            ValueError: If a group does not exist, or :meth:`configure_groups` was not called.
        """
        size = self._size_of_groups()
        wrong = [group for group in groups if not 0 <= group < self.num_envs // size]
        if wrong:
            raise ValueError(f"There are no groups {wrong}; there are {self.num_envs // size} (of {size}).")
        leaders = [group * size for group in groups]
        self._fleet.call_for("reset", leaders)
        self._share(leaders)
        self._forget_episodes(self._members(leaders))

    def share_states(self, leaders: Sequence[int]) -> None:
        """Let the members of these environments' groups go on from their state as it is now, in mid-episode. What the
        leader's episode has gained and how long it is holds for them as well.

        Args:
            leaders: Indices of environments, at most one of each group.

        Raises:
            ValueError: If an environment does not exist, two are of one group, or :meth:`configure_groups` was not
                called.
        """
        size = self._size_of_groups()
        if any(not 0 <= leader < self.num_envs for leader in leaders):
            raise ValueError(f"`leaders` are {list(leaders)}; expected environments in 0 .. {self.num_envs - 1}.")
        if len({leader // size for leader in leaders}) < len(leaders):
            raise ValueError(f"`leaders` are {list(leaders)}, of which two are of one group (of {size}).")
        self._share(leaders)
        for leader in leaders:
            members = self._members([leader])
            self._episode_return[members] = self._episode_return[leader]
            self._episode_steps[members] = self._episode_steps[leader]

    def park(self, parked: torch.Tensor) -> None:
        """Say which environments rest: they execute nothing, are not reset and report zeros, until they are unparked
        here or by new states.

        Args:
            parked: bool (num_envs,); the others are unparked.
        """
        self._fleet["parked"][:] = parked.cpu().numpy()

    def _size_of_groups(self) -> int:
        if self._group_size is None:
            raise ValueError("There are no groups so far: call `configure_groups(group_size)` first.")
        return self._group_size

    def _members(self, leaders: Sequence[int]) -> list[int]:
        """All environments of the groups of these ones."""
        size = self._size_of_groups()
        return [leader // size * size + index for leader in leaders for index in range(size)]

    def _share(self, leaders: Sequence[int]) -> None:
        copies: dict[int, list[tuple[int, int]]] = {}
        for leader in leaders:
            worker = self._fleet.worker_of(leader)
            pairs = [(leader, member) for member in self._members([leader]) if member != leader]
            copies.setdefault(worker, []).extend(pairs)
        self._fleet.call("share", {worker: (pairs,) for worker, pairs in copies.items()})
        self._fleet["parked"][self._members(leaders)] = False

    def _forget_episodes(self, env_ids: Any) -> None:
        self._episode_return[env_ids] = 0.0
        self._episode_steps[env_ids] = 0
