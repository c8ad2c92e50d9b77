# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Groups of direct environments: the buffers that a direct task keeps beside the scene's state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from gr00t_rl_ext.envs import state_copy
from gr00t_rl_ext.envs.group_states import GroupStatesMixin


class DirectGroupStates(GroupStatesMixin):
    """The part of :class:`~gr00t_rl_ext.envs.group_states.GroupStatesMixin` for tasks without managers."""

    state_buffers: tuple[str, ...] | None = None
    """Names of the task's tensors of shape (num_envs, ...) that later control steps or observations depend on, beside
    the scene's state and ``episode_length_buf``; empty if there are none. None, not declared, refuses groups."""

    _compute_observations: Any
    _own_action_space: Any
    _reset_idx: Any

    def _check_buffers(self) -> None:
        if self.state_buffers is None:
            raise ValueError(
                f"Groups cannot start from the same state: {type(self).__name__} does not declare what it keeps beside"
                " the scene's state. Declare in the class: `state_buffers = ()` if there is nothing, else the names of"
                " its tensors of shape (num_envs, ...) that later steps or observations depend on."
            )
        for name in self.state_buffers:
            buffer = getattr(self, name, None)
            if not isinstance(buffer, torch.Tensor) or buffer.shape[:1] != (self.num_envs,):
                raise ValueError(
                    f"`state_buffers` of {type(self).__name__} names `{name}`, which is"
                    f" {'no tensor' if not isinstance(buffer, torch.Tensor) else f'of shape {tuple(buffer.shape)}'};"
                    f" expected an attribute of shape ({self.num_envs}, ...)."
                )
        if self.cfg.action_noise_model:
            raise ValueError(
                "Members of a group must differ in nothing but their actions: the task adds noise to actions. Switch"
                " it off with `env.action_noise_model=null`."
            )

    def _begin_episodes(self, ids: torch.Tensor) -> None:
        with self._own_action_space():
            self._reset_idx(ids)

    def _episode_buffers(self) -> Iterable[torch.Tensor]:
        return (self.episode_length_buf,)

    def _copy_buffers(self, sources: torch.Tensor, targets: torch.Tensor) -> None:
        state_copy.copy_rows(self, self.state_buffers or (), sources, targets)

    def _copy_histories(self, sources: torch.Tensor, targets: torch.Tensor) -> None:
        """A direct task that keeps observations declares them in :attr:`state_buffers`."""
        self._copy_buffers(sources, targets)

    def _observe_states(self, copied: torch.Tensor, begin: bool) -> dict[str, Any]:
        kept = {name: getattr(self, name).clone() for name in self.state_buffers or ()}
        with self._own_action_space():
            observed = self._compute_observations()
        for name, before in kept.items():
            after = getattr(self, name)
            rows = copied.view(-1, *[1] * (after.ndim - 1))
            setattr(self, name, torch.where(rows & begin, after, before))
        return observed

    def _noisy_groups(self) -> tuple[str, ...]:
        return ("policy",) if self.cfg.observation_noise_model else ()
