# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The rollout of GRPO: rounds of whole episodes in groups, attempts at a round, segments of an episode."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gr00t_rl_ext.algorithms.options import GrpoOptions
from gr00t_rl_ext.algorithms.storage import GroupStorage, Outcomes


class Rounds:
    """Which groups act, and which step of the storage their decisions belong to.

    A round is begun by all groups. When all of its episodes have ended, groups without a signal begin anew, up to
    ``max_resamples`` times; then the next round begins. An environment whose episode has ended is parked.

    Args:
        options: The fields of ``agent.algorithm``.
        num_envs: Environments.
        device: Of the learner.
        has_signal: Which groups there is something to learn from: outcomes -> (R, S, groups) bool.
    """

    def __init__(
        self, options: GrpoOptions, num_envs: int, device: str, has_signal: Callable[[Outcomes], Tensor]
    ) -> None:
        self._options, self._device, self._has_signal = options, device, has_signal
        self._num_envs, self._num_groups = num_envs, num_envs // options.group_size
        self._env: Any = None
        self._are_groups_configured = False
        self._active: list[int] = []
        """Environments whose episode goes on."""

        self.ids = torch.arange(num_envs, device=device)
        """The same, for indexing."""

        self.in_progress = False
        """Whether a rollout has begun and its advantages are not computed yet."""

        self.complete = False
        """Whether the rollout in progress needs no further step."""

        self.resampled = 0
        """Groups that were tried again in this rollout."""

        self.round, self._attempt, self._step = 0, 0, 0
        self._attempted: list[int] = []
        """Groups that the attempt in progress is for."""

        self._moved = False
        """Whether environments were set to other states since the runner observed them."""

    def bind(self, env: Any) -> None:
        """Take the runner's environment."""
        self._env = env

    def configure(self, chunk_length: int, round_length: int) -> None:
        """Form the groups: before the first rollout, and not to play, where there are none.

        Raises:
            ValueError: The environment cannot have groups.
        """
        if self._are_groups_configured:
            return
        env, unwrapped = self._env, self._env.unwrapped
        if not hasattr(unwrapped, "configure_groups"):
            raise ValueError(
                f"The task's environment class {type(unwrapped).__name__} cannot copy the state of one environment to"
                " others, which GRPO's groups need. Register the task with"
                " entry_point='gr00t_rl_ext.envs.chunking:ChunkedManagerBasedRLEnv', or use a PPO agent."
            )
        unwrapped.configure_groups(self._options.group_size)
        most = -(-int(env.max_episode_length) // chunk_length)
        if most > round_length:
            print(
                f"An episode has up to {most} decisions, a rollout {round_length}: outcomes are what is reached until"
                f" then. For whole episodes set agent.num_steps_per_env={most}."
            )
        self._are_groups_configured = True

    # A rollout, step by step

    def begin(self, storage: GroupStorage) -> None:
        """All groups begin the first round."""
        self.in_progress, self.complete, self.resampled = True, False, 0
        storage.clear()
        self._begin_round(storage, 0)

    def begin_step(self, storage: GroupStorage, obs: Any) -> Any:
        """A decision is to be made: groups may go on from the state of one member, and what is observed may be stale.

        Args:
            storage: Told which step it is.
            obs: What the runner observed, (num_envs,).

        Returns:
            Observations of the environments that act, in the order of :attr:`ids`.
        """
        if self._step and self._step % storage.segment_length == 0:
            self._share_states()
        if self._moved:
            obs = self._env.get_observations().to(self._device)
            self._moved = False
        storage.step = self.round * storage.round_length + self._step
        return obs if len(self._active) == self._num_envs else obs[self.ids]

    @property
    def is_first_step(self) -> bool:
        """Whether no decision of the rollout has been made."""
        return self.round == self._attempt == self._step == 0

    def finish_step(self, storage: GroupStorage, dones: Tensor) -> Tensor | None:
        """A decision was executed: park where an episode ended (num_envs,), and go on.

        Returns:
            Where episodes are over as a whole, once the attempt in progress is: (num_envs,) bool. None before.
        """
        done = (dones > 0).tolist()
        self._set_active([env for env in self._active if not done[env]])
        self._step += 1
        if self._step < storage.round_length and self._active:
            return None
        return self._mask(self._members(self._attempted))

    def finish_attempt(self, storage: GroupStorage) -> None:
        """Try groups without a signal again, or begin the next round, or complete the rollout."""
        if self._attempt < self._options.max_resamples:
            signal = self._has_signal(storage.outcomes())[self.round].any(0).tolist()
            dull = [group for group, has_signal in enumerate(signal) if not has_signal]
            if dull:
                self._attempt += 1
                self.resampled += len(dull)
                self._begin_attempt(storage, dull)
                return
        if self.round + 1 < storage.rounds:
            self._begin_round(storage, self.round + 1)
            return
        self.complete = True
        self._set_active([])

    def _begin_round(self, storage: GroupStorage, number: int) -> None:
        self.round, self._attempt = number, 0
        self._begin_attempt(storage, list(range(self._num_groups)))

    def _begin_attempt(self, storage: GroupStorage, groups: list[int]) -> None:
        """Begin new episodes in some groups; the decisions of earlier attempts in this round are forgotten."""
        self._step, self._attempted = 0, groups
        members = self._members(groups)
        storage.forget(storage.steps_of_round(self.round), torch.tensor(members, device=self._device))
        self._env.unwrapped.start_groups(groups)
        self._moved = True
        self._set_active(members)

    def _share_states(self) -> None:
        """A segment begins: each group goes on from one of its members whose episode goes on, if there is one."""
        leaders, active, going = [], [], set(self._active)
        for group in self._attempted:
            members = self._members([group])
            if alive := [member for member in members if member in going]:
                # drawn by torch, whose generator a checkpoint keeps
                leaders.append(alive[int(torch.randint(len(alive), ()))])
                active += members
        self._env.unwrapped.share_states(leaders)
        self._moved = True
        self._set_active(active)

    def _members(self, groups: list[int]) -> list[int]:
        """The environments of some groups."""
        size = self._options.group_size
        return [env for group in groups for env in range(group * size, (group + 1) * size)]

    def _mask(self, envs: list[int]) -> Tensor:
        """Which environments are among some, (num_envs,) bool."""
        chosen = set(envs)
        return torch.tensor([env in chosen for env in range(self._num_envs)], device=self._device)

    def _set_active(self, active: list[int]) -> None:
        self._active = active
        self.ids = torch.tensor(active, dtype=torch.long, device=self._device)
        self._env.unwrapped.park(~self._mask(active))
