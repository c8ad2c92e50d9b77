# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Isaac Lab's two kinds of environment with action chunks and groups.

Each knows where its kind keeps rewards, ends of episodes, histories and other state; see
:mod:`gr00t_rl_ext.envs.action_chunks` for what a chunk is and :mod:`gr00t_rl_ext.envs.groups` for groups. Actions of a
direct task may be discrete (``Discrete``, ``MultiDiscrete``): see :mod:`gr00t_rl_ext.envs.action_layout`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from isaaclab.envs import DirectRLEnv, ManagerBasedRLEnv
from isaaclab.managers import ManagerTermBase

from gr00t_rl_ext.envs import state_copy
from gr00t_rl_ext.envs.action_chunks import ActionChunkMixin
from gr00t_rl_ext.envs.decision import existing_groups
from gr00t_rl_ext.envs.task_set import TaskSet


class ChunkedManagerBasedRLEnv(ActionChunkMixin, ManagerBasedRLEnv):
    """Isaac Lab's manager-based environment with action chunks."""

    @property
    def task_set(self) -> TaskSet | None:  # type: ignore[override]
        """Several tasks in these environments, which a command term draws; None where all have the same one."""
        terms = self.command_manager._terms.values()
        return next((found for term in terms if (found := getattr(term, "task_set", None)) is not None), None)

    def load_managers(self) -> None:
        super().load_managers()
        self._observation_groups: list[str] = list(self.observation_manager.active_terms)
        self._remembered: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        # the managers are created by Isaac Lab, so their instances are the seam
        self._evaluate_terminations: Callable[[], torch.Tensor] = self.termination_manager.compute
        setattr(self.termination_manager, "compute", self._dones_to_reset)  # noqa: B010
        setattr(self.observation_manager, "compute", self._observations_of_decision)  # noqa: B010
        self._compute_group: Callable[..., Any] = self.observation_manager.compute_group
        setattr(self.observation_manager, "compute_group", self._group)  # noqa: B010

    def _dones_to_reset(self) -> torch.Tensor:
        """Evaluate the termination terms; return the environments to reset now. Shape (num_envs,)."""
        manager, parked = self.termination_manager, self._parked
        last_ends = manager._last_episode_dones.clone()
        dones = self._evaluate_terminations()
        if parked is not None:
            # what the terms found of parked environments is withdrawn, also from Isaac Lab's statistics
            for buffer in (manager._truncated_buf, manager._terminated_buf, manager._term_dones):
                buffer[parked] = False
            manager._last_episode_dones[parked] = last_ends[parked]
            dones = manager.dones
        self._keep_final_observations(manager.time_outs & ~manager.terminated)
        if self._in_chunk:
            return torch.zeros_like(dones)
        return dones if self._finished is None else dones | self._finished

    def _observations_of_decision(self, update_history: bool = False) -> dict:
        self._before_observation()
        manager = self.observation_manager
        if not self._in_chunk:
            observations = {
                group: manager.compute_group(group, update_history=update_history) for group in self._observation_groups
            }
            manager._obs_buffer = observations
            return observations
        for group in self._observation_groups:
            if update_history and self._counts_control_steps(group):
                manager.compute_group(group, update_history=True)
        return self.obs_buf

    def _group(self, group: str, update_history: bool = False) -> Any:
        return self._observed(group, self._compute_group(group, update_history=update_history))

    def _counts_control_steps(self, group: str) -> bool:
        """Whether a term of the group has a history or a delay."""
        manager = self.observation_manager
        return bool(manager._group_obs_term_delay_buffer[group] or manager._group_obs_term_history_buffer[group])

    def _observations_of_state(self) -> dict[str, Any]:
        manager = self.observation_manager
        observations = {}
        for group in self._final_groups:
            history, delay = manager._group_obs_term_history_buffer, manager._group_obs_term_delay_buffer
            kept = history[group], delay[group]
            try:
                # the state belongs to the history that is observed, and not to the one that goes on
                history[group], delay[group] = copy.deepcopy(kept)
                observations[group] = manager.compute_group(group, update_history=self._counts_control_steps(group))
            finally:
                history[group], delay[group] = kept
        return observations

    def _select_observation_groups(self, groups: Sequence[str] | None, final_groups: Sequence[str]) -> None:
        available = list(self.observation_manager.active_terms)
        selected, final = existing_groups(groups, available), existing_groups(final_groups, available)
        self._observation_groups, self._final_groups = selected, final
        # a term of an image has the shape (height, width, channels)
        term_shapes = self.observation_manager.group_obs_term_dim
        self._final_images = any(len(shape) > 2 for group in final for shape in term_shapes[group])
        self.obs_buf = self._observations_of_decision()

    def _success_buffer(self) -> torch.Tensor | None:
        if self.success_term not in self.termination_manager.active_terms:
            return None
        return self.termination_manager.get_term(self.success_term)

    def _remember_episode_statistics(self, ended: torch.Tensor) -> None:
        ids = ended.nonzero().squeeze(-1)
        sums = self.reward_manager._episode_sum_buf[ids].clone()
        dones = self.termination_manager._last_episode_dones[ids].clone()
        self._remembered.append((ids, sums, dones))

    def _reset_idx(self, env_ids: Any) -> None:
        if (tasks := self.task_set) is not None and not self.keeps_draws:
            # before the events, so that they can put environments where their task begins
            tasks.draw(torch.arange(self.num_envs, device=self.device)[env_ids], self.group_size or 1)
        # the neutral steps after an episode's end would otherwise show up in `Episode_Reward/*` and overwrite the
        # reason in `Episode_Termination/*`, which Isaac Lab logs and clears here
        for ids, sums, dones in self._remembered:
            self.reward_manager._episode_sum_buf[ids] = sums
            self.termination_manager._last_episode_dones[ids] = dones
        self._remembered.clear()
        super()._reset_idx(env_ids)

    # Groups: what the managers and their terms keep beside the scene's state.

    def _class_terms(self) -> Iterator[tuple[str, str, Any]]:
        """Kind of manager, name and object of every term that may keep values between control steps."""
        for kind in ("command", "action"):
            for name, term in getattr(self, f"{kind}_manager")._terms.items():
                yield kind, name, term
        for kind in ("reward", "termination", "curriculum"):
            manager = getattr(self, f"{kind}_manager")
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
        state_copy.copy_histories(self._histories(), sources, targets)

    def _histories(self) -> list[Any]:
        """History and delay buffers of the selected groups; those of the others do not advance."""
        manager = self.observation_manager
        buffers = (manager._group_obs_term_history_buffer, manager._group_obs_term_delay_buffer)
        return [buffer for group in self._observation_groups for of in buffers for buffer in of[group].values()]

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


class ChunkedDirectRLEnv(ActionChunkMixin, DirectRLEnv):
    """Isaac Lab's direct environment with action chunks. For your own:
    ``class MyChunkedEnv(ChunkedDirectRLEnv, MyDirectEnv)``.

    Success is read from the boolean attribute named by ``success_term``, if the task has it.
    """

    state_buffers: tuple[str, ...] | None = None
    """Names of the task's tensors of shape (num_envs, ...) that later control steps or observations depend on, beside
    the scene's state and ``episode_length_buf``; empty if there are none. None, not declared, refuses groups."""

    _observation_groups: list[str] | None = None
    _latest_success: torch.Tensor | None = None

    def _get_observations(self) -> Any:
        observations = super()._get_observations()  # type: ignore[safe-super]
        if not isinstance(observations, dict):
            return observations
        return {group: self._observed(group, values) for group, values in observations.items()}

    def _get_dones(self) -> tuple[torch.Tensor, torch.Tensor]:
        terminated, time_outs = super()._get_dones()  # type: ignore[safe-super]
        if self._parked is not None:
            terminated, time_outs = terminated & ~self._parked, time_outs & ~self._parked
        # kept now: the task's reset, which follows in the same step, may clear it
        success = getattr(self, self.success_term, None)
        self._latest_success = None if success is None else success.clone()
        if not self._in_chunk and self._finished is not None:
            # reset at the boundary what ended earlier in the chunk; those rewards are masked already
            terminated = terminated | self._finished
        return terminated, time_outs

    def _reset_envs_from_buffer(self):
        self._keep_final_observations(self.reset_time_outs & ~self.reset_terminated)
        if self._in_chunk:
            return torch.empty(0, dtype=torch.int32, device=self.device)
        return super()._reset_envs_from_buffer()

    def _compute_observations(self):
        self._before_observation()
        if self._in_chunk:
            return self.obs_buf
        observations = super()._compute_observations()
        if self._observation_groups is None or not isinstance(observations, dict):
            return observations
        return {group: observations[group] for group in self._observation_groups}

    def _observations_of_state(self) -> dict[str, Any]:
        observations = super()._compute_observations()
        return {group: observations[group] for group in self._final_groups}

    def _select_observation_groups(self, groups: Sequence[str] | None, final_groups: Sequence[str]) -> None:
        observations: Any = super()._compute_observations()
        selected = None if groups is None else existing_groups(groups, list(observations))
        final = existing_groups(final_groups, list(observations)) if final_groups else []
        self._observation_groups, self._final_groups = selected, final
        self._final_images = any(observations[group].ndim > 2 for group in final)
        self.obs_buf = observations if selected is None else {group: observations[group] for group in selected}

    def _success_buffer(self) -> torch.Tensor | None:
        return self._latest_success

    # Groups: the buffers that a direct task keeps beside the scene's state.

    def _check_buffers(self) -> None:
        if self.state_buffers is None:
            raise ValueError(
                f"Groups cannot start from the same state: {type(self).__name__} does not declare what it keeps beside"
                " the scene's state. Declare in the class `state_buffers = ()` (in a task file `state_buffers: []`) if"
                " there is nothing, else the names of its tensors of shape (num_envs, ...) that later steps or"
                " observations depend on."
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

    def _episode_buffers(self) -> Iterable[torch.Tensor]:
        return (self.episode_length_buf,)

    def _copy_buffers(self, sources: torch.Tensor, targets: torch.Tensor) -> None:
        state_copy.copy_rows(self, self.state_buffers or (), sources, targets)

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
