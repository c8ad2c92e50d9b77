# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Isaac Lab environments whose ``step`` executes a whole action chunk.

A vision-language-action policy looks once and then acts for H control steps. :class:`ActionChunkMixin` makes one
``env.step`` out of those H steps, so that rollouts, storage, GAE, PPO and GRPO see an ordinary environment whose
time step is one decision (a semi-Markov decision process; Sutton, Precup, Singh 1999):

* **reward**: ``sum_k g**k r_k`` over the executed steps, with the per-step discount ``g``;
* **episode ends inside a chunk**: the environment gets a neutral action until the chunk's end, contributes no
  reward, and is reset at the boundary, so that a new episode starts exactly when the policy looks again;
* **observations** are computed at the boundary only (terms with a history or a delay are sampled at every control
  step, as their length is counted in control steps). Cameras of Isaac Lab render when they are read, so an image is
  rendered once per chunk.

With ``H = 1`` the environment behaves as Isaac Lab's own, step by step.

The actions of a direct task may be discrete (``Discrete``, ``MultiDiscrete``): see
:mod:`gr00t_rl_ext.envs.action_layout`.

Environments can form groups that start from the same state, and idle when they are done: see
:mod:`gr00t_rl_ext.envs.groups`.

The mixin extends Isaac Lab at its overridable methods and calls its ``step``; nothing of that loop is repeated here.
Written against isaaclab 3.0.0.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import torch
from isaaclab.envs import DirectRLEnv, ManagerBasedRLEnv
from isaaclab.utils import replace
from tensordict import TensorDict

from gr00t_rl_ext.envs import cuda_guard
from gr00t_rl_ext.envs.action_layout import ActionLayout
from gr00t_rl_ext.envs.decisions import check_chunk, check_decision, existing_groups
from gr00t_rl_ext.envs.direct_states import DirectGroupStates
from gr00t_rl_ext.envs.group_states import GroupStatesMixin
from gr00t_rl_ext.envs.manager_states import ManagerGroupStates

cuda_guard.install()


class ActionChunkMixin(GroupStatesMixin):
    """Turns H control steps of an Isaac Lab environment into one step. See the module's description.

    Put it before the environment class: ``class MyEnv(ActionChunkMixin, MyDirectEnv)``, or use
    :class:`ChunkedManagerBasedRLEnv` and :class:`ChunkedDirectRLEnv`.

    The learner sets the chunk with :meth:`configure_decisions`, because its length belongs to the policy: the same
    task then serves a GR00T agent with 16 steps per decision and an MLP agent with one.

    ``extras`` returned by :meth:`step` holds, besides what Isaac Lab puts there:

    * ``executed_steps`` (num_envs,) int64: control steps of the chunk that were executed before the episode ended;
    * ``success`` (num_envs,) bool: the episode ended in this chunk by the task's success term. Absent if the task
      declares none;
    * ``episode_return`` and ``episode_steps`` (num_envs,): undiscounted return and length in control steps of the
      episode that ended in this chunk, zero where none did;
    * ``step_rewards`` (num_envs, chunk_length): undiscounted reward of each control step, zero for steps that were not
      executed;
    * ``final_observations``, a TensorDict of groups (num_envs, ...): what was observed in the control step in which an
      episode timed out, before the reset and before the neutral actions, for a bootstrap with the value of that state
      (Pardo et al. 2018, "Time Limits in Reinforcement Learning"). Rows of environments whose ``truncated`` is False
      are zero. Absent if no episode timed out in this chunk or no group was asked for.
    """

    num_envs: int
    device: str
    sim: Any
    extras: dict
    has_rtx_sensors: bool
    reset_buf: torch.Tensor
    reset_terminated: torch.Tensor
    reset_time_outs: torch.Tensor

    success_term: str = "success"
    """Name of the termination term (manager-based) or of the boolean attribute (direct) that means success."""

    neutral_action: Sequence[float] = ()
    """Action of an environment whose episode has ended, until the chunk ends, one number per dimension of the action
    of a control step (a choice, counted from 0, where it is discrete). Empty for zeros: the default pose for joint
    targets, no motion for relative poses, the first choice of each discrete component."""

    single_action_space: Any
    _control_action_space: Any
    """The task's own action space, of one control step."""

    _actions: ActionLayout
    _chunk_length: int = 1
    _step_discount: float = 1.0
    _in_chunk: bool = False
    """Whether the control step in progress is followed by another one of the same chunk."""

    _finished: torch.Tensor | None = None
    """Environments whose episode ended earlier in the current chunk. Shape (num_envs,). None outside a chunk."""

    _of_parked: Sequence[torch.Tensor] = ()
    """The rows of parked environments in the episode buffers, from before the chunk in progress; empty outside one."""

    _final_groups: Sequence[str] = ()
    _final_images: bool = False
    """Whether one of the final groups holds images."""

    _final_observations: TensorDict | None = None
    """Final observations of the episodes that timed out in the current chunk; None as long as none did."""

    _renders: bool = True
    """`render_enabled` as it was before the chunk."""

    def __init__(self, cfg: Any, *args: Any, **kwargs: Any) -> None:
        if cfg.scene.num_envs < 1:
            raise ValueError(f"The number of environments is {cfg.scene.num_envs}; expected at least 1 (--num_envs).")
        # A task declares its recorder so that `--video` works without Isaac Sim. Isaac Lab 3.0 would record with it
        # in every run; it sets the output directory only when `--video` was given.
        cfg.video_recorders = [recorder for recorder in cfg.video_recorders if recorder.output_dir is not None]
        super().__init__(cfg, *args, **kwargs)  # type: ignore[call-arg]
        self._neutral = self._actions.neutral(self.neutral_action)

    @property
    def chunk_length(self) -> int:
        """Control steps per :meth:`step`."""
        return self._chunk_length

    @property
    def control_action_dim(self) -> int:
        """Width of the action of one control step: numbers, or components of a discrete action."""
        return self._actions.width

    @property
    def action_choices(self) -> tuple[int, ...]:
        """Number of choices of each component of a discrete action; empty for continuous actions."""
        return self._actions.choices

    def configure_decisions(
        self,
        chunk_length: int,
        *,
        step_discount: float = 1.0,
        observation_groups: Sequence[str] | None = None,
        final_observation_groups: Sequence[str] = (),
    ) -> None:
        """Set what one decision of the learner is. Takes effect at once; environments are not reset.

        Args:
            chunk_length: Control steps H per :meth:`step`, at least 1.
            step_discount: Discount per control step inside the chunk, in (0, 1].
            observation_groups: Observation groups to compute; the others cost nothing, except that a direct task
                computes all of them by one function. None computes all.
            final_observation_groups: Groups of ``extras["final_observations"]``, which need not be among the others.
                They are computed, for all environments, in each control step in which an episode times out; a group
                with images renders then. Histories and delays do not advance by it. Noise draws random numbers,
                so later noise differs from that of a run without; a modifier or a term with a state of its own, and
                a direct task whose observation function has one (a frame stack), is called once more.

        Raises:
            ValueError: If a value is out of range, a group does not exist, or discrete actions are clipped.
        """
        check_decision(chunk_length, step_discount)
        if self.action_choices and isinstance(self.single_action_space, gym.spaces.Box):
            # rsl_rl's wrapper puts a box there if the agent clips
            raise ValueError(
                f"The task's actions are choices ({self._control_action_space}), which cannot be clipped. Set"
                " `agent.clip_actions=null`."
            )
        self._select_observation_groups(observation_groups, final_observation_groups)
        scale = chunk_length / self._chunk_length
        self._chunk_length = chunk_length
        self._step_discount = step_discount
        self._update_action_space()
        # `--video_length` counts the learner's steps, the recorder counts control steps
        for recorder in getattr(self, "video_recorders", []):
            recorder.cfg = replace(
                recorder.cfg,
                video_length=max(1, round(recorder.cfg.video_length * scale)),
                video_interval=round(recorder.cfg.video_interval * scale),
            )

    def step(self, action: torch.Tensor):
        """Execute an action chunk.

        Args:
            action: Actions of the chunk, step by step. Shape (num_envs, chunk_length * control_action_dim). Discrete
                actions are integers stored as floats, counted from 0.

        Returns:
            The observations at the chunk's end, the discounted sum of the rewards, terminated, truncated (each of
            shape (num_envs,)) and the extras.

        Raises:
            ValueError: If the action's shape does not fit the chunk, or a discrete action does not exist.
        """
        check_chunk(action, self.num_envs, self._chunk_length, self.control_action_dim, bool(self.action_choices))
        chunk = action.to(self.device).view(self.num_envs, self._chunk_length, self.control_action_dim)
        self._actions.check(chunk)
        parked = self._parked
        if parked is not None and bool(parked.all()):
            return self._step_of_nobody()
        finished = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        terminated, truncated = finished.clone(), finished.clone()
        success = finished.clone()
        executed = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        reward = torch.zeros(self.num_envs, device=self.device)
        # Isaac Lab writes `log` only when it resets an environment; what is left from an earlier step is stale
        self.extras.pop("log", None)
        self._renders = self.render_enabled
        self._finished = finished
        self._final_observations = None
        step_rewards: list[torch.Tensor] = []
        obs: Any = None
        self._of_parked = () if parked is None else [buffer[parked] for buffer in self._episode_buffers()]
        try:
            for k in range(self._chunk_length):
                self._in_chunk = k + 1 < self._chunk_length
                self.render_enabled = self._renders and not self._in_chunk
                alive = ~finished if parked is None else ~(finished | parked)
                step_action = self._actions.for_task(torch.where(alive.unsqueeze(1), chunk[:, k], self._neutral))
                with self._own_action_space():
                    obs, step_reward, step_terminated, step_truncated, _ = super().step(step_action)  # type: ignore[misc]
                step_rewards.append(torch.where(alive, step_reward, 0.0))
                reward += step_rewards[-1] * self._step_discount**k
                # not in place: what a rollout leaves here is an inference tensor, which later steps may not write to
                self._episode_return = self._episode_return + step_rewards[-1]
                executed += alive
                terminated |= alive & step_terminated
                # an episode that ends for both reasons has ended: nothing follows that could be bootstrapped
                truncated |= alive & step_truncated & ~step_terminated
                ended_now = alive & (step_terminated | step_truncated)
                succeeded = self._success_buffer()
                if succeeded is not None:
                    success |= ended_now & succeeded
                if self._in_chunk and bool(ended_now.any()):
                    self._remember_episode_statistics(ended_now)
                finished |= ended_now
        finally:
            self._in_chunk = False
            self._finished = None
            self._of_parked = ()
            self.render_enabled = self._renders
        self._episode_steps = self._episode_steps + executed
        self.extras["executed_steps"] = executed
        self.extras["step_rewards"] = torch.stack(step_rewards, dim=1)
        self.extras.pop("final_observations", None)
        if self._final_observations is not None:
            self.extras["final_observations"] = self._final_observations
        self.extras["episode_return"] = torch.where(finished, self._episode_return, 0.0)
        self.extras["episode_steps"] = torch.where(finished, self._episode_steps, 0)
        self._episode_return = torch.where(finished, 0.0, self._episode_return)
        self._episode_steps = torch.where(finished, 0, self._episode_steps)
        if self._success_buffer() is not None:
            self.extras["success"] = success
        return obs, reward, terminated, truncated, self.extras

    def reset(self, *args: Any, **kwargs: Any):
        """Reset as Isaac Lab does, and forget the running episodes and who is parked."""
        self._parked = None
        self._episode_return = torch.zeros(self.num_envs, device=self.device)
        self._episode_steps = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        with self._own_action_space():
            return super().reset(*args, **kwargs)  # type: ignore[misc]

    def _step_of_nobody(self):
        """What :meth:`step` returns when all environments are parked."""
        nothing = torch.zeros(self.num_envs, device=self.device)
        nobody = torch.zeros(self.num_envs, dtype=torch.bool, device=self.device)
        for name in ("log", "final_observations"):
            self.extras.pop(name, None)
        self.extras["executed_steps"] = nobody.long()
        self.extras["step_rewards"] = nothing.unsqueeze(1).repeat(1, self._chunk_length)
        self.extras["episode_return"] = nothing.clone()
        self.extras["episode_steps"] = nobody.long()
        if self._success_buffer() is not None:
            self.extras["success"] = nobody.clone()
        return self.obs_buf, nothing.clone(), nobody.clone(), nobody.clone(), self.extras

    @contextmanager
    def _own_action_space(self) -> Iterator[None]:
        """For the task, which may ask what kind of space it has, its own one; for the learner that of a chunk."""
        of_learner = self.single_action_space
        self.single_action_space = self._control_action_space
        try:
            yield
        finally:
            self.single_action_space = of_learner

    def _configure_gym_env_spaces(self) -> None:
        super()._configure_gym_env_spaces()  # type: ignore[misc]
        self._control_action_space = self.single_action_space
        self._actions = ActionLayout(self._control_action_space, self.device)

    def _update_action_space(self) -> None:
        space = self.single_action_space
        low = float(space.low.min()) if isinstance(space, gym.spaces.Box) else -float("inf")
        high = float(space.high.max()) if isinstance(space, gym.spaces.Box) else float("inf")
        self.single_action_space = self._actions.chunk_space(self._chunk_length, low, high)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, self.num_envs)

    def _restore_parked(self) -> None:
        """Take back what Isaac Lab has just counted of parked environments, before an observation shows the time."""
        if self._of_parked:
            for buffer, values in zip(self._episode_buffers(), self._of_parked, strict=True):
                buffer[self._parked] = values

    def _keep_final_observations(self, time_outs: torch.Tensor) -> None:
        """Observe the state of the control step in progress, before anything is reset.

        Args:
            time_outs: Environments whose time is over and that did not terminate. Shape (num_envs,).
        """
        if not self._final_groups or self._finished is None:
            return
        time_outs = time_outs & ~self._finished
        if not bool(time_outs.any()):
            return
        if self._final_images and self._in_chunk and self._renders and self.has_rtx_sensors:
            # Isaac Sim's cameras show its last rendering, which was skipped in this step
            self.sim.render()
        observed = TensorDict(self._observations_of_state(), batch_size=[self.num_envs])
        kept = torch.zeros_like(observed) if self._final_observations is None else self._final_observations
        self._final_observations = torch.where(time_outs, observed, kept)

    # What the two kinds of environment do differently.

    def _select_observation_groups(self, groups: Sequence[str] | None, final_groups: Sequence[str]) -> None:
        raise NotImplementedError

    def _observations_of_state(self) -> Mapping[str, Any]:
        """The final groups, computed without a trace in what is observed later."""
        raise NotImplementedError

    def _success_buffer(self) -> torch.Tensor | None:
        raise NotImplementedError

    def _remember_episode_statistics(self, ended: torch.Tensor) -> None:
        """Keep the episode's statistics as they are now, before the neutral steps add to them."""


def _existing_groups(groups: Sequence[str] | None, available: list[str]) -> list[str]:
    return existing_groups(groups, available, ", or add the group to the task's observations.")


class ChunkedManagerBasedRLEnv(ManagerGroupStates, ActionChunkMixin, ManagerBasedRLEnv):
    """Isaac Lab's manager-based environment with action chunks."""

    def load_managers(self) -> None:
        super().load_managers()
        self._observation_groups: list[str] = list(self.observation_manager.active_terms)
        self._remembered: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        # the managers are created by Isaac Lab, so their instances are the seam
        self._evaluate_terminations: Callable[[], torch.Tensor] = self.termination_manager.compute
        setattr(self.termination_manager, "compute", self._dones_to_reset)  # noqa: B010
        setattr(self.observation_manager, "compute", self._observations_of_decision)  # noqa: B010

    def _dones_to_reset(self) -> torch.Tensor:
        """Evaluate the termination terms; return the environments to reset now. Shape (num_envs,)."""
        last_ends = self.termination_manager._last_episode_dones.clone() if self._parked is not None else None
        dones = self._evaluate_terminations()
        if last_ends is not None:
            dones = self._without_ends_of_parked(last_ends)
        self._keep_final_observations(self.termination_manager.time_outs & ~self.termination_manager.terminated)
        if self._in_chunk:
            return torch.zeros_like(dones)
        return dones if self._finished is None else dones | self._finished

    def _without_ends_of_parked(self, last_ends: torch.Tensor) -> torch.Tensor:
        """Withdraw what termination terms said of parked environments, also from Isaac Lab's statistics."""
        manager, parked = self.termination_manager, self._parked
        manager._truncated_buf[parked] = False
        manager._terminated_buf[parked] = False
        manager._term_dones[parked] = False
        manager._last_episode_dones[parked] = last_ends[parked]
        return manager.dones

    def _observations_of_decision(self, update_history: bool = False) -> dict:
        self._restore_parked()
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
        selected, final = _existing_groups(groups, available), _existing_groups(final_groups, available)
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
        # the neutral steps after an episode's end would otherwise show up in `Episode_Reward/*` and overwrite the
        # reason in `Episode_Termination/*`, which Isaac Lab logs and clears here
        for ids, sums, dones in self._remembered:
            self.reward_manager._episode_sum_buf[ids] = sums
            self.termination_manager._last_episode_dones[ids] = dones
        self._remembered.clear()
        super()._reset_idx(env_ids)


class ChunkedDirectRLEnv(DirectGroupStates, ActionChunkMixin, DirectRLEnv):
    """Isaac Lab's direct environment with action chunks. Mix :class:`ActionChunkMixin`'s methods into your own with
    ``class MyChunkedEnv(ChunkedDirectRLEnv, MyDirectEnv)``.

    Success is read from the boolean attribute named by :attr:`ActionChunkMixin.success_term`, if the task has it.
    """

    def __init__(self, cfg: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(cfg, *args, **kwargs)
        self._observation_groups: list[str] | None = None
        self._latest_success: torch.Tensor | None = None

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
        self._restore_parked()
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
        selected = None if groups is None else _existing_groups(groups, list(observations))
        final = _existing_groups(final_groups, list(observations)) if final_groups else []
        self._observation_groups, self._final_groups = selected, final
        self._final_images = any(observations[group].ndim > 2 for group in final)
        self.obs_buf = observations if selected is None else {group: observations[group] for group in selected}

    def _success_buffer(self) -> torch.Tensor | None:
        return self._latest_success
