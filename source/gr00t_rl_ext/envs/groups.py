# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Groups of environments that start from the same state: what a group-relative learner asks of an environment.

GRPO compares attempts at the same problem (Shao et al. 2024, "DeepSeekMath"). An attempt is one environment, a group
is G neighbours, and their return tells them apart only if they began equal. :class:`GroupedEnv` is the contract.
Nothing here needs a simulator.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch


class GroupedEnv:
    """Environments that can continue from each other's states.

    Group ``g`` consists of the environments ``g * G`` to ``g * G + G - 1``; the first one is its leader at the start.
    """

    num_envs: int
    _group_size: int | None = None

    @property
    def group_size(self) -> int | None:
        """Environments of a group; None where there are no groups."""
        return self._group_size

    def configure_groups(self, group_size: int) -> None:
        """Declare groups of ``group_size`` environments.

        Nothing is reset, unless members of a group must move into one process. Then all environments begin the
        episodes again that they are in.

        Raises:
            ValueError: If the sizes do not fit, the environment cannot copy its state, or it randomises what the copy
                does not carry.
        """
        check_group_size(self.num_envs, group_size)
        self._prepare_groups(group_size)
        self._group_size = group_size

    def start_groups(self, groups: Sequence[int]) -> None:
        """Begin a new episode in all members of these groups, in the state of the group's leader.

        Other groups are not touched. Members stop being parked. Nothing of this counts as an end of an episode.
        Observations are those of the new states.

        Raises:
            ValueError: If a group does not exist, groups are not configured, or members do not observe what their
                leader does.
        """
        size = self._configured_size()
        members = members_of_groups(groups, self.num_envs, size)
        if members:
            self._begin_groups([member // size * size for member in members], members)

    def share_states(self, leaders: Sequence[int]) -> None:
        """In mid-episode: every member of a leader's group continues from the leader's state as it is now.

        Members stop being parked; their running episode statistics continue from the leader's.

        Args:
            leaders: Indices of environments, at most one per group.

        Raises:
            ValueError: If an environment does not exist, two are of one group, groups are not configured, or members
                do not observe what their leader does.
        """
        sources, targets = followers_of_leaders(leaders, self.num_envs, self._configured_size())
        if sources:
            self._copy_members(sources, targets)

    def park(self, parked: torch.Tensor) -> None:
        """Let environments idle until unparked by this method, :meth:`start_groups` or :meth:`share_states`.

        A parked environment executes nothing: no reward, no end of an episode, no reset. When all are parked, a step
        costs no physics.

        Args:
            parked: Which environments to park; the others are unparked. Shape (num_envs,), bool.

        Raises:
            ValueError: If the shape or type differs.
        """
        if tuple(parked.shape) != (self.num_envs,) or parked.dtype != torch.bool:
            raise ValueError(
                f"The environments to park are a tensor of shape {tuple(parked.shape)} and type {parked.dtype};"
                f" expected ({self.num_envs},) and torch.bool."
            )
        self._set_parked(parked)

    def _configured_size(self) -> int:
        if self._group_size is None:
            raise ValueError("The environments have no groups yet; call `configure_groups` first.")
        return self._group_size

    # What the kinds of environment do differently.

    def _prepare_groups(self, group_size: int) -> None:
        """Raise a ValueError unless groups of this size, which fits, can share states."""
        raise NotImplementedError

    def _begin_groups(self, leaders: Sequence[int], members: Sequence[int]) -> None:
        """Begin episodes of members, among them their leaders, in the state of the leader of each."""
        raise NotImplementedError

    def _copy_members(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        """Let each target go on from its source's state and statistics, and both execute."""
        raise NotImplementedError

    def _set_parked(self, parked: torch.Tensor) -> None:
        raise NotImplementedError


def check_group_size(num_envs: int, group_size: int) -> None:
    """Raise a ValueError, with the nearest numbers that work, unless the environments divide into groups."""
    if group_size < 2:
        raise ValueError(
            f"The group size is {group_size}; expected at least 2, as members are compared with each other"
            " (`agent.algorithm.group_size`)."
        )
    if num_envs % group_size:
        below = num_envs // group_size * group_size
        nearest = " or ".join(str(count) for count in (below, below + group_size) if count)
        raise ValueError(
            f"{num_envs} environments do not divide into groups of {group_size}. Use `--num_envs` {nearest}, or"
            " another `agent.algorithm.group_size`."
        )


def members_of_groups(groups: Sequence[int], num_envs: int, group_size: int) -> list[int]:
    """Indices of all members of the groups, ascending; a ValueError for a group that does not exist."""
    count = num_envs // group_size
    missing = [group for group in groups if not 0 <= group < count]
    if missing:
        raise ValueError(f"There is no group {missing[0]}: {num_envs} environments make groups 0 to {count - 1}.")
    return [group * group_size + member for group in sorted(set(groups)) for member in range(group_size)]


def followers_of_leaders(leaders: Sequence[int], num_envs: int, group_size: int) -> tuple[list[int], list[int]]:
    """Leader and index of every other member of the leaders' groups; a ValueError for a leader that does not exist, or
    two of the same group."""
    of_group: dict[int, int] = {}
    for leader in leaders:
        if not 0 <= leader < num_envs:
            raise ValueError(f"There is no environment {leader} to lead: there are {num_envs}.")
        other = of_group.setdefault(leader // group_size, leader)
        if other != leader:
            raise ValueError(
                f"The environments {other} and {leader} are both of group {leader // group_size}: a group of"
                f" {group_size} can continue from one state only."
            )
    pairs = [
        (leader, member)
        for group, leader in sorted(of_group.items())
        for member in range(group * group_size, (group + 1) * group_size)
        if member != leader
    ]
    return [leader for leader, _ in pairs], [member for _, member in pairs]


def state_only[Event: Callable](event: Event) -> Event:
    """Vouch that an event function or class of a task changes nothing but state that is copied within a group.

    That is poses and velocities of the scene's entities, joint targets, and buffers declared as ``state_buffers``;
    neither masses, materials, gains nor colours. Without it, groups refuse event functions they do not know::

        @state_only
        def put_cube_into_bin(env, env_ids): ...
    """
    setattr(event, "state_only", True)  # noqa: B010
    return event
