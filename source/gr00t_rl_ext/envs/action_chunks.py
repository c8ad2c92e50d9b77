# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""How one ``step`` of an Isaac Lab environment executes a whole action chunk.

A vision-language-action policy looks once and then acts for H control steps. :class:`ActionChunkMixin` makes one
``env.step`` out of those H steps, so that rollouts, storage, GAE, PPO and GRPO see an ordinary environment whose
time step is one decision (a semi-Markov decision process; Sutton, Precup, Singh 1999):

* **reward**: ``sum_k g**k r_k`` over the executed steps, with the per-step discount ``g``;
* **episode ends inside a chunk**: the environment gets a neutral action until the chunk's end, contributes no
  reward, and is reset at the boundary, so that a new episode starts exactly when the policy looks again;
* **observations** are computed at the boundary only (terms with a history or a delay are sampled at every control
  step, as their length is counted in control steps). Cameras of Isaac Lab render when they are read, so an image is
  rendered once per chunk.

With ``H = 1`` the environment behaves as Isaac Lab's own, step by step. The mixin extends Isaac Lab at its overridable
methods and calls its ``step``; nothing of that loop is repeated here. Written against isaaclab 3.0.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import gymnasium as gym
import torch
from isaaclab.utils import replace
from tensordict import TensorDict

from gr00t_rl_ext.envs import cuda_guard, state_copy
from gr00t_rl_ext.envs.action_layout import ActionLayout
from gr00t_rl_ext.envs.decision import DecisionEnv, Outcome
from gr00t_rl_ext.envs.group_states import GroupStatesMixin
from gr00t_rl_ext.envs.start_set import StartSet
from gr00t_rl_ext.randomisation.factor import Factor

cuda_guard.install()


class ActionChunkMixin(GroupStatesMixin, DecisionEnv):
    """Turns H control steps of an Isaac Lab environment into one step: what its two kinds have in common.

    Tasks use :class:`~gr00t_rl_ext.envs.chunking.ChunkedManagerBasedRLEnv` or
    :class:`~gr00t_rl_ext.envs.chunking.ChunkedDirectRLEnv`. Their ``extras`` hold an
    :class:`~gr00t_rl_ext.envs.decision.Outcome`.

    Final observations are computed, for all environments, in each control step in which an episode times out; a group
    with images renders then. Histories and delays do not advance by it. Noise draws random numbers, so later noise
    differs from that of a run without; a modifier or a term with a state of its own, and a direct task whose
    observation function has one (a frame stack), is called once more.
    """

    success_term: str = "success"
    """Name of the termination term (manager-based) or of the boolean attribute (direct) that means success."""

    neutral_action: Sequence[float] = ()
    """Action of an environment whose episode has ended, until the chunk ends, one number per dimension of the action
    of a control step (a choice, counted from 0, where it is discrete). Empty for zeros: the default pose for joint
    targets, no motion for relative poses, the first choice of each discrete component."""

    single_action_space: Any
    _control_action_space: Any
    """The task's own action space, of one control step."""

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

    _events: Sequence[Any] | None = None
    """Functions and objects of the event terms; None: not known yet."""

    _has_reset: bool = False
    """Whether environments were reset since the latest observation."""

    _renders: bool = True
    """`render_enabled` as it was before the chunk."""

    def __init__(self, cfg: Any, *args: Any, **kwargs: Any) -> None:
        if cfg.scene.num_envs < 1:
            raise ValueError(f"The number of environments is {cfg.scene.num_envs}; expected at least 1 (--num_envs).")
        # A task declares its recorder so that `--video` works without Isaac Sim. Isaac Lab 3.0 would record with it
        # in every run; it sets the output directory only when `--video` was given.
        cfg.video_recorders = [recorder for recorder in cfg.video_recorders if recorder.output_dir is not None]
        self.as_simulated = {}
        super().__init__(cfg, *args, **kwargs)  # type: ignore[call-arg]
        self._neutral = self._action_layout.neutral(self.neutral_action)

    def _configure_chunk(
        self, chunk_length: int, step_discount: float, groups: Sequence[str] | None, final_groups: Sequence[str]
    ) -> None:
        space = self.single_action_space
        if self.action_choices and isinstance(space, gym.spaces.Box):
            # rsl_rl's wrapper puts a box there if the agent clips
            raise ValueError(
                f"The task's actions are choices ({self._control_action_space}), which cannot be clipped. Set"
                " `agent.clip_actions=null`."
            )
        self.as_simulated = {}
        self._select_observation_groups(groups, final_groups)
        scale = chunk_length / self._chunk_length
        self._chunk_length, self._step_discount = chunk_length, step_discount
        # rsl_rl's wrapper bounds the box if the agent clips
        low, high = (space.low.min(), space.high.max()) if isinstance(space, gym.spaces.Box) else (0.0, 0.0)
        self.single_action_space = self._action_layout.chunk_space(chunk_length, float(low), float(high))
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, self.num_envs)
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
        chunk = self._checked_chunk(action, self.device)
        parked = self._parked
        # where nobody acts, no physics runs
        num_steps = 0 if parked is not None and bool(parked.all()) else self._chunk_length
        finished, terminated, truncated, success = (
            torch.zeros(self.num_envs, dtype=torch.bool, device=self.device) for _ in range(4)
        )
        executed = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        reward = torch.zeros(self.num_envs, device=self.device)
        step_rewards = torch.zeros(self.num_envs, self._chunk_length, device=self.device)
        # Isaac Lab writes `log` only when it resets an environment; what is left from an earlier step is stale
        self.extras.pop("log", None)
        factors = list(self.factors.values())
        # before the resets of this decision
        starts = None if self.start_set is None else self.start_set.index
        self._renders = self.render_enabled
        self._finished = finished
        self._final_observations = None
        obs: Any = self.obs_buf
        self._of_parked = () if parked is None else [buffer[parked] for buffer in self._episode_buffers()]
        try:
            for k in range(num_steps):
                self._in_chunk = k + 1 < self._chunk_length
                self.render_enabled = self._renders and not self._in_chunk
                alive = ~finished if parked is None else ~(finished | parked)
                decided = torch.where(alive.unsqueeze(1), chunk[:, k], self._neutral)
                for factor in factors:
                    decided = factor.act(decided)
                step_action = self._action_layout.for_task(decided)
                with self._own_action_space():
                    obs, step_reward, step_terminated, step_truncated, _ = super().step(step_action)  # type: ignore[misc]
                step_rewards[:, k] = gained = torch.where(alive, step_reward, 0.0)
                reward += gained * self._step_discount**k
                # not in place: what a rollout leaves here is an inference tensor, which later steps may not write to
                self._episode_return = self._episode_return + gained
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
        Outcome(
            executed_steps=executed,
            step_rewards=step_rewards,
            episode_return=torch.where(finished, self._episode_return, 0.0),
            episode_steps=torch.where(finished, self._episode_steps, 0),
            start=starts,
            success=None if self._success_buffer() is None else success,
            final_observations=self._final_observations,
        ).to_extras(self.extras)
        self._episode_return = torch.where(finished, 0.0, self._episode_return)
        self._episode_steps = torch.where(finished, 0, self._episode_steps)
        return obs, reward, terminated, truncated, self.extras

    def reset(self, *args: Any, **kwargs: Any):
        """Reset as Isaac Lab does, and forget the running episodes and who is parked."""
        self._parked = None
        self._episode_return = torch.zeros(self.num_envs, device=self.device)
        self._episode_steps = torch.zeros(self.num_envs, dtype=torch.long, device=self.device)
        if (seed := kwargs.get("seed")) is not None:
            for factor in self.factors.values():
                factor.seed(seed)
        with self._own_action_space():
            return super().reset(*args, **kwargs)  # type: ignore[misc]

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
        self._action_layout = ActionLayout(self._control_action_space, self.device)

    def _reset_idx(self, env_ids: Any) -> None:
        super()._reset_idx(env_ids)  # type: ignore[misc]
        self._has_reset = True

    def _before_observation(self) -> None:
        """Bring up to date what observations show, and Isaac Lab does not."""
        if self._has_reset:
            self._has_reset = False
            # or the first observation of an episode would show where things were before it
            state_copy.refresh_frame_sensors(self.sim)
        # what was just counted of parked environments, before an observation shows the time
        if self._of_parked:
            for buffer, values in zip(self._episode_buffers(), self._of_parked, strict=True):
                buffer[self._parked] = values

    def _keep_final_observations(self, time_outs: torch.Tensor) -> None:
        """Observe what timed out, (num_envs,) bool, and did not terminate in the control step in progress, before
        anything is reset."""
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

    @property
    def factors(self) -> Mapping[str, Factor]:  # type: ignore[override]
        return {term.name: term for term in self._event_terms() if isinstance(term, Factor)}

    @property
    def start_set(self) -> StartSet | None:  # type: ignore[override]
        return next((term.start_set for term in self._event_terms() if hasattr(term, "start_set")), None)

    @property
    def keeps_draws(self) -> bool:
        """Whether environments that are reset now keep their task and their start: a member of a group whose episode
        has ended in the step in progress waits for the others, and what it had is counted."""
        return self.group_size is not None and self._finished is not None

    def _event_terms(self) -> Sequence[Any]:
        """Functions and objects of the event terms."""
        if self._events is not None:
            return self._events
        manager = getattr(self, "event_manager", None)
        if manager is None:
            return ()
        names = [name for listed in manager.active_terms.values() for name in listed]
        terms = [manager.get_term_cfg(name).func for name in names]
        if manager._is_scene_entities_resolved:
            # before, classes are no objects yet: they become such when the simulation plays
            self._events = terms
        return terms

    def _observed(self, group: str, values: Any) -> Any:
        """What is observed of a group, given what the simulator has."""
        if not isinstance(values, torch.Tensor):
            # terms that lie beside each other, which are neither images nor the state of a policy
            return values
        observed = values
        for factor in self.factors.values():
            observed = factor.observe(group, observed)
        self.as_simulated.pop(group, None)
        if observed is not values and observed.is_floating_point():
            self.as_simulated[group] = values
        return observed

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
