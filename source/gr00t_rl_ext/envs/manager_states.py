# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Groups of manager-based environments: what the managers and their terms keep beside the scene's state."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from isaaclab.managers import ManagerTermBase

from gr00t_rl_ext.envs import state_copy
from gr00t_rl_ext.envs.group_states import GroupStatesMixin


class ManagerGroupStates(GroupStatesMixin):
    """The part of :class:`~gr00t_rl_ext.envs.group_states.GroupStatesMixin` that knows Isaac Lab's managers."""

    action_manager: Any
    command_manager: Any
    curriculum_manager: Any
    event_manager: Any
    observation_manager: Any
    reward_manager: Any
    termination_manager: Any

    _observation_groups: list[str]
    _reset_idx: Any

    def _class_terms(self) -> Iterator[tuple[str, str, Any]]:
        """Kind of manager, name and object of every term that may keep values between control steps."""
        for name, term in self.command_manager._terms.items():
            yield "command", name, term
        for name, term in self.action_manager._terms.items():
            yield "action", name, term
        for manager, kind in (
            (self.reward_manager, "reward"),
            (self.termination_manager, "termination"),
            (self.curriculum_manager, "curriculum"),
        ):
            for name, term_cfg in zip(manager._term_names, manager._term_cfgs, strict=True):
                if isinstance(term_cfg.func, ManagerTermBase):
                    yield kind, name, term_cfg.func

    def _check_buffers(self) -> None:
        for kind, name, term in self._class_terms():
            state_copy.buffers_of_term(term, kind, name)
        manager = self.observation_manager
        for group, names in manager.active_terms.items():
            for name, term_cfg in zip(names, manager._group_obs_term_cfgs[group], strict=True):
                state_copy.check_observation_term(term_cfg, f"{group}.{name}")

    def _begin_episodes(self, ids: torch.Tensor) -> None:
        self._reset_idx(ids)

    def _episode_buffers(self) -> Iterable[torch.Tensor]:
        return self.episode_length_buf, self.reward_manager._episode_sum_buf

    def _copy_buffers(self, sources: torch.Tensor, targets: torch.Tensor) -> None:
        state_copy.copy_rows(self.action_manager, ("_action", "_prev_action"), sources, targets)
        for kind, name, term in self._class_terms():
            state_copy.copy_rows(term, state_copy.buffers_of_term(term, kind, name), sources, targets)
        for term in self.command_manager._terms.values():
            state_copy.copy_rows(term, ("time_left", "command_counter"), sources, targets)
            for metric in term.metrics.values():
                metric[targets] = metric[sources]
        state_copy.copy_event_timers(self.event_manager, sources, targets)
        self._copy_histories(sources, targets)

    def _histories(self) -> list[Any]:
        """History and delay buffers of the selected groups; those of the others do not advance."""
        manager = self.observation_manager
        buffers = (manager._group_obs_term_history_buffer, manager._group_obs_term_delay_buffer)
        return [buffer for group in self._observation_groups for of in buffers for buffer in of[group].values()]

    def _copy_histories(self, sources: torch.Tensor, targets: torch.Tensor) -> None:
        state_copy.copy_histories(self._histories(), sources, targets)

    def _observe_states(self, copied: torch.Tensor, begin: bool) -> dict[str, Any]:
        manager = self.observation_manager
        # without a first sample no history advances
        kept = copy.deepcopy(self._histories()) if begin else []
        observed = {group: manager.compute_group(group, update_history=begin) for group in self._observation_groups}
        if begin:
            others = (~copied).nonzero().squeeze(-1)
            for buffer, before in zip(self._histories(), kept, strict=True):
                state_copy.keep_histories(buffer, before, others)
        return observed

    def _noisy_groups(self) -> list[str]:
        term_cfgs = self.observation_manager._group_obs_term_cfgs
        return [group for group, terms in term_cfgs.items() if any(term.noise is not None for term in terms)]
