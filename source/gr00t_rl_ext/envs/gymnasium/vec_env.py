# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Gymnasium environments as an rsl_rl environment whose step is an action chunk."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from rsl_rl.env import VecEnv
from tensordict import TensorDict

from gr00t_rl_ext.envs.action_layout import ActionLayout
from gr00t_rl_ext.envs.decision import DecisionEnv, Outcome, existing_groups
from gr00t_rl_ext.envs.groups import GroupedEnv
from gr00t_rl_ext.envs.gymnasium.configs import IMAGES, GymnasiumEnvCfg
from gr00t_rl_ext.envs.gymnasium.env_block import FINAL
from gr00t_rl_ext.envs.gymnasium.fleet import Fleet
from gr00t_rl_ext.envs.gymnasium.observations import ActionTerms, ObservationGroups

_RECORDED = ("flat", "elapsed", "episodes", "parked")
"""Shared arrays that are a part of the state."""

_UNKNOWN = object()


class GymnasiumVecEnv(DecisionEnv, GroupedEnv, VecEnv):
    """Environments of one Gymnasium task in worker processes.

    One :meth:`step` executes an action chunk of H control steps, of which none follows the end of an episode. The
    ``extras`` hold an :class:`~gr00t_rl_ext.envs.decision.Outcome`. The learner talks to the workers once per chunk;
    actions, observations, rewards and images are in shared memory. Images are rendered when the policy looks, at the
    chunk's end. Continuous actions are clipped to the environment's box.

    Environments can go on from each other's states, equal to the bit: see
    :class:`~gr00t_rl_ext.envs.groups.GroupedEnv`.

    Args:
        cfg: The task.

    Raises:
        ValueError: If the task cannot work; the text says why.
    """

    cfg: GymnasiumEnvCfg

    def __init__(self, cfg: GymnasiumEnvCfg) -> None:
        self.cfg = cfg
        self.num_envs, self.device = cfg.num_envs, cfg.device
        self._final_groups: list[str] = []
        self._obstacle: Any = _UNKNOWN
        self._group_size: int | None = None
        self._episode_return = np.zeros(self.num_envs)
        self._episode_steps = np.zeros(self.num_envs, np.int64)
        self._fleet = Fleet(cfg)
        # ends the workers and gives their memory back, once; also done when this object or the program ends
        self.close = weakref.finalize(self, self._fleet.close)
        facts = self._fleet.facts
        self.max_episode_length = facts.max_episode_length
        try:
            self._action_layout = ActionLayout(facts.action_space, "cpu")
            self.observation_manager = ObservationGroups(cfg, facts.entries)
            self.action_manager = self._action_terms()
        except ValueError:
            self.close()
            raise
        self.num_actions = self.control_action_dim
        self._active_groups = self._existing(None)
        self._share_memory()
        self.reset()

    @property
    def unwrapped(self) -> GymnasiumVecEnv:
        """This environment: there are no wrappers."""
        return self

    @property
    def num_workers(self) -> int:
        """Processes that run the environments."""
        return self._fleet.num_workers

    @property
    def observation_groups(self) -> list[str]:
        """The observation groups in use."""
        return list(self._active_groups)

    @property
    def step_dt(self) -> float:
        """Duration of a control step [s]; a ValueError if the environment does not say."""
        if (step_dt := self._fleet.facts.step_dt) is None:
            raise ValueError(
                f"The environment {self.cfg.env_id!r} does not say how long a control step is: it has neither an"
                " attribute `dt` nor an entry `render_fps` of `metadata`."
            )
        return step_dt

    @property
    def episode_length_buf(self) -> torch.Tensor:
        """Control steps that count towards the time limit, int64 (num_envs,). A copy: assign to change them, as rsl_rl
        does to spread the episodes' ends (``init_at_random_ep_len``)."""
        return torch.from_numpy(self._fleet["elapsed"].copy()).to(self.device)

    @episode_length_buf.setter
    def episode_length_buf(self, value: torch.Tensor) -> None:
        steps = value.cpu().numpy()
        if steps.shape != (self.num_envs,) or (steps < 0).any() or (steps >= self.max_episode_length).any():
            raise ValueError(
                f"`episode_length_buf` needs {self.num_envs} numbers of control steps in 0 .. "
                f"{self.max_episode_length - 1}, got shape {steps.shape} with values {steps.min()} to {steps.max()}."
            )
        self._fleet["elapsed"][:] = steps

    def _configure_chunk(
        self, chunk_length: int, step_discount: float, groups: Sequence[str] | None, final_groups: Sequence[str]
    ) -> None:
        rendered_so_far = IMAGES in self._active_groups
        self._active_groups, self._final_groups = self._existing(groups), self._existing(final_groups)
        self._chunk_length, self._step_discount = chunk_length, step_discount
        self.num_actions = chunk_length * self.control_action_dim
        self._share_memory()
        if IMAGES in self._active_groups and not rendered_so_far:
            self._fleet.call_for("observe_again", range(self.num_envs))

    def reset(self, seed: int | None = None) -> tuple[TensorDict, dict[str, Any]]:
        """Begin new episodes everywhere, and unpark all environments.

        Args:
            seed: Start from the first episodes of this seed; None goes on to each environment's next episode.
        """
        if seed is not None:
            self._fleet.seed = seed
            self._fleet["episodes"][:] = 0
            self._fleet.tell_workers()
        self._fleet["parked"][:] = False
        self._forget_episodes(slice(None))
        self._fleet.call_for("reset", range(self.num_envs))
        return self.get_observations(), {}

    def get_observations(self) -> TensorDict:
        """The current observations of the groups in use."""
        return self._observations(self._active_groups, "")

    def step(self, actions: torch.Tensor) -> tuple[TensorDict, torch.Tensor, torch.Tensor, dict[str, Any]]:
        """Execute an action chunk in all environments that are not parked.

        Args:
            actions: Actions of the chunk, step by step. Shape (num_envs, chunk_length * control_action_dim). Discrete
                actions are integers stored as floats, counted from 0.

        Returns:
            The observations at the chunk's end, the discounted sum of the rewards, whether the episode ended (int64),
            each of shape (num_envs,), and the extras.

        Raises:
            ValueError: If the action's shape does not fit the chunk, or a discrete action does not exist.
            WorkerError: If an environment failed.
        """
        arrays = self._fleet
        chunk = self._checked_chunk(actions, "cpu")
        arrays["actions"][:] = self._action_layout.for_task(chunk).numpy()
        for name in ("executed", "step_rewards", "terminated", "truncated", "success"):
            arrays[name][:] = 0
        parked = arrays["parked"]
        awake = [worker for worker, block in enumerate(arrays.blocks) if not parked[block.start : block.stop].all()]
        dropped = self._step_workers(awake)
        ended = arrays["terminated"] | arrays["truncated"]
        outcome = self._outcome(ended, dropped)
        self._forget_episodes(ended)
        rewards = arrays["step_rewards"] @ self._step_discount ** np.arange(self._chunk_length)
        rewards, dones = self._tensor(rewards.astype(np.float32)), self._tensor(ended.astype(np.int64))
        return self.get_observations(), rewards, dones, outcome.to_extras()

    def _step_workers(self, awake: list[int]) -> np.ndarray | None:
        """Let workers execute the chunk; where one has ended, start it again. Returns whose episodes were dropped."""
        arrays = self._fleet
        if self._group_size is not None:
            arrays.call("step", dict.fromkeys(awake, ()))
            return None
        # what a bootstrap would read of the state that is decided on
        before = {name: arrays[name].copy() for name in ("flat", IMAGES) if f"{FINAL}{name}" in arrays}
        restarted = arrays.call_or_restart("step", dict.fromkeys(awake, ()))
        if not restarted:
            return None
        dropped = np.zeros(self.num_envs, bool)
        for worker in restarted:
            block = arrays.blocks[worker]
            part = slice(block[0], block[-1] + 1)
            dropped[part] = True
            for name in ("executed", "step_rewards", "terminated", "success", "busy"):
                arrays[name][part] = 0
            # as a time-out in the state that was decided on, of which nothing came
            arrays["truncated"][part] = True
            for name, values in before.items():
                arrays[f"{FINAL}{name}"][part] = values[part]
        arrays.call_for("reset", np.flatnonzero(dropped).tolist())
        return dropped

    def executed(self, actions: torch.Tensor) -> torch.Tensor:
        space = self._fleet.facts.action_space
        if not isinstance(space, gym.spaces.Box):
            return actions
        low, high = (torch.from_numpy(bound).flatten().to(actions) for bound in (space.low, space.high))
        return actions.clamp(low, high)

    def _outcome(self, ended: np.ndarray, dropped: np.ndarray | None) -> Outcome:
        arrays = self._fleet
        self._episode_return += arrays["step_rewards"].sum(axis=1)
        self._episode_steps += arrays["executed"]
        time_outs = self._tensor(arrays["truncated"])
        final: Any = None
        if self._final_groups and bool(time_outs.any()):
            observed = self._observations(self._final_groups, FINAL)
            final = torch.where(time_outs, observed, torch.zeros_like(observed))
        tells = self.cfg.success_without_info or arrays.facts.success_key is not None
        return Outcome(
            executed_steps=self._tensor(arrays["executed"]),
            step_rewards=self._tensor(arrays["step_rewards"].astype(np.float32)),
            episode_return=self._tensor(np.where(ended, self._episode_return, 0.0).astype(np.float32)),
            episode_steps=self._tensor(np.where(ended, self._episode_steps, 0)),
            success=self._tensor(arrays["success"]) if tells else None,
            time_outs=time_outs,
            dropped=None if dropped is None else self._tensor(dropped),
            final_observations=final,
        )

    # Groups.

    def _prepare_groups(self, group_size: int) -> None:
        reason = self._fleet.call("obstacle_to_copies", {0: ()})[0]
        if reason is not None:
            raise ValueError(
                f"The state of {self.cfg.env_id!r} cannot be copied, which groups need: {reason}. Use an agent without"
                " groups, such as PPO."
            )
        self._group_size = group_size
        if self._fleet.keep_together(group_size):
            self._fleet["episodes"][:] -= 1
            self._fleet.call_for("reset", range(self.num_envs))
            self._forget_episodes(slice(None))

    def _begin_groups(self, leaders: Sequence[int], members: Sequence[int]) -> None:
        self._fleet.call_for("reset", sorted(set(leaders)))
        self._copy_members(leaders, members)
        self._forget_episodes(members)

    def _copy_members(self, sources: Sequence[int], targets: Sequence[int]) -> None:
        copies: dict[int, list[tuple[int, int]]] = {}
        for source, target in zip(sources, targets, strict=True):
            if source != target:
                copies.setdefault(self._fleet.worker_of(source), []).append((source, target))
        self._fleet.call("share", {worker: (pairs,) for worker, pairs in copies.items()})
        for values in (self._episode_return, self._episode_steps):
            values[targets] = values[sources]
        self._fleet["parked"][[*sources, *targets]] = False

    def _set_parked(self, parked: torch.Tensor) -> None:
        self._fleet["parked"][:] = parked.cpu().numpy()

    def _forget_episodes(self, env_ids: Any) -> None:
        self._episode_return[env_ids] = 0.0
        self._episode_steps[env_ids] = 0

    # Checkpoints.

    def state(self) -> dict[str, Any] | None:
        """Where all environments are, for a checkpoint; None if that cannot be copied, as for groups, or if cameras
        read the observation, which is not recorded."""
        if self.cfg.rgb and self.cfg.observed_pictures:
            return None
        if self._obstacle is _UNKNOWN:
            self._obstacle = self._fleet.call("obstacle_to_copies", {0: ()})[0]
        if self._obstacle is not None:
            return None
        blocks = self._fleet.call("record", dict.fromkeys(range(self.num_workers), ()))
        states = [state for worker in range(self.num_workers) for state in blocks[worker]]
        return {
            "task": self.cfg.env_id,
            "seed": self._fleet.seed,
            "states": [torch.frombuffer(bytearray(state), dtype=torch.uint8) for state in states],
            "return": torch.from_numpy(self._episode_return.copy()),
            "steps": torch.from_numpy(self._episode_steps.copy()),
            **{name: torch.from_numpy(self._fleet[name].copy()) for name in _RECORDED},
        }

    def load_state(self, state: dict[str, Any]) -> str | None:
        """Go on from :meth:`state`. Returns None, or why that cannot be; then new episodes have begun everywhere."""
        if self.cfg.rgb and self.cfg.observed_pictures:
            return "cameras read the observation, which a checkpoint does not hold"
        recorded = state["task"], len(state["states"]), tuple(state["flat"].shape)
        here = self.cfg.env_id, self.num_envs, self._fleet["flat"].shape
        if recorded != here:
            return f"the checkpoint has {recorded[1]} environments of {recorded[0]}, here are {here[1]} of {here[0]}"
        for name in _RECORDED:
            self._fleet[name][:] = state[name].numpy()
        self._fleet.seed = state["seed"]
        self._fleet.tell_workers()
        states = [bytes(entry.numpy()) for entry in state["states"]]
        parts = {index: (states[block[0] : block[-1] + 1],) for index, block in enumerate(self._fleet.blocks)}
        reason = next(filter(None, self._fleet.call("restore", parts).values()), None)
        if reason is not None:
            self.reset()
            return reason
        self._episode_return, self._episode_steps = state["return"].numpy().copy(), state["steps"].numpy().copy()
        return None

    # Memory.

    def _share_memory(self) -> None:
        """Allocate what the current decisions need."""
        N, H = self.num_envs, self._chunk_length
        columns = sum(len(entry) for entry in self._fleet.facts.entries.values())
        image = (*self.cfg.image_size, 3 * len(self.cfg.cameras))
        specs: dict[str, tuple[tuple[int, ...], type]] = {
            "step_rewards": ((N, H), np.float64),
            "actions": ((N, H, self.control_action_dim), np.float64),
            "flat": ((N, columns), np.float64),
            **dict.fromkeys(("executed", "elapsed", "episodes"), ((N,), np.int64)),
            **dict.fromkeys(("terminated", "truncated", "success", "parked", "busy"), ((N,), np.bool_)),
        }
        if IMAGES in self._active_groups:
            specs[IMAGES] = ((N, *image), np.uint8)
        if any(group != IMAGES for group in self._final_groups):
            specs[f"{FINAL}flat"] = ((N, columns), np.float64)
        if IMAGES in self._final_groups:
            specs[f"{FINAL}{IMAGES}"] = ((N, *image), np.uint8)
        self._fleet.share_memory(specs)

    # Observations.

    def _observations(self, groups: Sequence[str], prefix: str) -> TensorDict:
        arrays = self._fleet
        observed: dict[str, torch.Tensor] = {}
        if IMAGES in groups:
            observed[IMAGES] = self._tensor(arrays[f"{prefix}{IMAGES}"])
        if vectors := [group for group in groups if group != IMAGES]:
            # what ended in a time-out has used up its time
            elapsed = np.ones(self.num_envs) if prefix == FINAL else arrays["elapsed"] / self.max_episode_length
            flat = np.column_stack((arrays[f"{prefix}flat"], elapsed, np.zeros(self.num_envs)))
            observed |= {group: self.observation_manager.vectors(group, flat).to(self.device) for group in vectors}
        return TensorDict(observed, batch_size=[self.num_envs], device=self.device)

    def _tensor(self, array: np.ndarray) -> torch.Tensor:
        # a copy: the workers write into the array in the next step
        return torch.from_numpy(array.copy()).to(self.device)

    def _existing(self, groups: Sequence[str] | None) -> list[str]:
        available = list(self.observation_manager.active_terms)
        wants_images = IMAGES in (groups or ()) and IMAGES not in available
        return existing_groups(groups, available, ", or ask for images (`env.rgb=true`)." if wants_images else ".")

    def _action_terms(self) -> ActionTerms | None:
        terms = self.cfg.action_terms
        if not terms:
            return None
        if sum(terms.values()) != self.control_action_dim:
            raise ValueError(
                f"`action_terms` {terms} are {sum(terms.values())} wide together, but the action of"
                f" {self.cfg.env_id!r} has {self.control_action_dim} numbers."
            )
        return ActionTerms(list(terms), list(terms.values()))
