# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The environments of one worker process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

from gr00t_rl_ext.envs.gymnasium.configs import IMAGES, GymnasiumEnvCfg
from gr00t_rl_ext.envs.gymnasium.entries import Entries
from gr00t_rl_ext.envs.gymnasium.images import BackEnd, Pictures
from gr00t_rl_ext.envs.gymnasium.registry import TaskError, make_env, success_key, time_limit
from gr00t_rl_ext.envs.gymnasium.shared import SharedArrays
from gr00t_rl_ext.envs.gymnasium.state_copy import copy_state, model_digest, obstacle
from gr00t_rl_ext.envs.gymnasium.state_record import record_state, restore_state

FINAL = "final_"
"""Before the name of an array: of the step in which an episode timed out, before the reset."""


@dataclass(frozen=True)
class TaskFacts:
    """What the learner must know of the environments."""

    entries: dict[str, range]
    """Entry of the observation -> its columns in the flattened observation."""

    action_space: gym.Space
    max_episode_length: int
    success_key: str | None

    wide_seeds: bool
    """Whether resets take seeds of 64 bits; else they get 32."""

    step_dt: float | None
    """Duration of a control step [s]; None if the environment does not say."""


class EnvBlock:
    """Some environments of a task, and what is shared of all of them.

    Args:
        cfg: The task.
        env_ids: Which of its environments.
        back_end: How MuJoCo renders.
    """

    current: int
    """The environment in progress, for error messages."""

    def __init__(self, cfg: GymnasiumEnvCfg, env_ids: Sequence[int], back_end: BackEnd) -> None:
        self._cfg, self._back_end = cfg, back_end
        self.current = env_ids[0]
        self._env_ids = env_ids
        # nothing before `attach`
        self._shared: Any = None
        self._pictures: Any = None
        self._envs: dict[int, gym.Env] = {}
        # the latest observation of each environment, where cameras read it
        self._latest: dict[int, Any] = {}

    def make(self) -> None:
        """Make the environments."""
        for env_id in self._env_ids:
            self.current = env_id
            self._envs[env_id] = make_env(self._cfg)
        self._one = self._envs[self._env_ids[0]]
        self._max_length = time_limit(self._cfg)
        # the same columns, whether images are looked at or not
        pictures = tuple(dict.fromkeys(self._cfg.observed_pictures.values()))
        self._entries = Entries(self._one.observation_space, self._cfg.env_id, pictures, self._cfg.read_entries)
        self._actions = _action_reader(self._one.action_space)

    def facts(self) -> TaskFacts:
        """What the environments are like. Tries all that an environment does, so that it is refused early."""
        env, cfg = self._one, self._cfg
        wide_seeds = _takes_wide_seeds(env)
        observation, reward, _, _, info = env.step(env.action_space.sample())
        if cfg.reward == "env":
            self._reward(reward)
        if cfg.rgb:
            self._pictures = self._make_pictures()
            self._pictures.render(env, observation, np.empty((*cfg.image_size, 3 * len(cfg.cameras)), np.uint8))
        key = success_key(cfg, info)
        return TaskFacts(self._entries.columns, env.action_space, self._max_length, key, wide_seeds, _step_dt(env))

    def attach(self, layout: tuple[str, np.dtype], seed: int, facts: TaskFacts) -> None:
        """Use this shared memory from now on. With it come the seed and what one worker found out for all."""
        if self._shared is not None:
            self._shared.close()
        self._shared = SharedArrays(*layout)
        self._seed, self._facts = seed, facts
        if IMAGES in self._shared and self._pictures is None:
            self._pictures = self._make_pictures()

    def _make_pictures(self) -> Pictures:
        return Pictures(self._cfg, self._one, self._entries, self._back_end)

    def reset(self, env_ids: Sequence[int]) -> None:
        """Begin new episodes in these environments."""
        for env_id in env_ids:
            self.current = env_id
            self._observe(env_id, self._begin(env_id), "")

    def observe_again(self, env_ids: Sequence[int]) -> None:
        """Render images that have not been rendered so far; vectors are always there."""
        if self._pictures is not None:
            for env_id in env_ids:
                self.current = env_id
                self._render(env_id, self._latest.get(env_id), "")

    def step(self) -> None:
        """Execute the chunk of every environment that is not parked."""
        for env_id in self._envs:
            if not self._shared["parked"][env_id]:
                self.current = env_id
                self._shared["busy"][env_id] = True
                self._chunk(env_id)
                self._shared["busy"][env_id] = False

    def share(self, copies: Sequence[tuple[int, int]]) -> None:
        """Put environments into the state of others: pairs (from, to)."""
        for source, target in copies:
            self.current = target
            copy_state(self._envs[source], self._envs[target])
            for name in ("flat", "elapsed", IMAGES):
                if name in self._shared:
                    self._shared[name][target] = self._shared[name][source]
            if source in self._latest:
                self._latest[target] = self._latest[source]

    def record(self) -> list[bytes]:
        """States of the environments, one after the other."""
        return [record_state(env) for env in self._envs.values()]

    def restore(self, states: Sequence[bytes]) -> str | None:
        """Put the environments into these states; returns why that cannot be, and they must be reset then."""
        for env_id, state in zip(self._env_ids, states, strict=True):
            self.current = env_id
            try:
                restore_state(self._envs[env_id], state)
            except ValueError as error:
                return f"the state of environment {env_id} in the checkpoint: {error}"
            # no camera reads the observation here, which no checkpoint holds
            self._render(env_id, None, "")
        return None

    def obstacle_to_copies(self) -> str | None:
        """Why states cannot be copied; None if they can."""
        reason = obstacle(self._one)
        if reason is not None:
            return reason
        trial = make_env(self._cfg)
        digests = set()
        for seed in (0, 1):
            trial.reset(seed=seed)
            digests.add(model_digest(trial))
        trial.close()
        return None if len(digests) == 1 else "a reset changes its MuJoCo model, which is not copied"

    def close(self) -> None:
        """Close the environments."""
        if self._pictures is not None:
            self._pictures.close()
        for env in self._envs.values():
            env.close()
        if self._shared is not None:
            self._shared.close()

    def _begin(self, env_id: int) -> Any:
        """Start the next episode of an environment's own sequence; returns its observation."""
        shared = self._shared
        episode = int(shared["episodes"][env_id])
        shared["episodes"][env_id] = episode + 1
        shared["elapsed"][env_id] = 0
        high, low = map(int, np.random.SeedSequence((self._seed, env_id, episode)).generate_state(2))
        observation, _ = self._envs[env_id].reset(seed=high << 32 | low if self._facts.wide_seeds else high)
        return observation

    def _chunk(self, env_id: int) -> None:
        shared, env, key = self._shared, self._envs[env_id], self._facts.success_key
        sparse, ends_at_success = self._cfg.reward == "sparse_success", self._cfg.terminate_on_success
        least, at_termination = self._cfg.success_reward, self._cfg.success_at_termination
        rewards: list[float] = []
        steps_left = self._max_length - int(shared["elapsed"][env_id])
        succeeded = ended = False
        observation: Any = None
        # plain numbers in the loop: small simulators take less time than a few accesses to arrays
        for action in self._actions(shared["actions"][env_id]):
            observation, reward, terminated, truncated, info = env.step(action)
            if key is not None:
                succeeded = bool(info.get(key, False))
            elif least is not None:
                succeeded = self._reward(reward) >= least
            elif at_termination:
                succeeded = bool(terminated)
            terminated = terminated or (succeeded and ends_at_success)
            rewards.append(float(succeeded) if sparse else self._reward(reward))
            # an episode that ends for both reasons has ended: nothing follows that could be bootstrapped
            truncated = not terminated and (truncated or len(rewards) >= steps_left)
            if terminated or truncated:
                ended = True
                shared["terminated"][env_id] = bool(terminated)
                shared["truncated"][env_id] = bool(truncated)
                shared["success"][env_id] = succeeded
                if truncated:
                    self._observe(env_id, observation, FINAL)
                break
        shared["step_rewards"][env_id, : len(rewards)] = rewards
        shared["executed"][env_id] = len(rewards)
        shared["elapsed"][env_id] += len(rewards)
        self._observe(env_id, self._begin(env_id) if ended else observation, "")

    def _reward(self, reward: Any) -> float:
        """The number that an environment gives; one in an array is as good."""
        if isinstance(reward, (float, int)) or getattr(reward, "shape", None) == ():
            return float(reward)
        given = np.asarray(reward)
        if given.size != 1 or given.dtype.kind not in "biuf":
            raise TaskError(
                f"The environment {self._cfg.env_id!r} gives a reward of shape {given.shape} and type {given.dtype}."
                " Expected one number per control step."
            )
        return float(given.item())

    def _observe(self, env_id: int, observation: Any, prefix: str) -> None:
        if f"{prefix}flat" in self._shared:
            self._shared[f"{prefix}flat"][env_id] = self._entries.flatten(observation)
        if self._cfg.observed_pictures:
            self._latest[env_id] = observation
        self._render(env_id, observation, prefix)

    def _render(self, env_id: int, observation: Any, prefix: str) -> None:
        if f"{prefix}{IMAGES}" in self._shared:
            self._pictures.render(self._envs[env_id], observation, self._shared[f"{prefix}{IMAGES}"][env_id])


def _takes_wide_seeds(env: gym.Env) -> bool:
    """Whether a reset takes a seed of 64 bits, as Gymnasium's generators do; numpy's older ones take 32."""
    try:
        env.reset(seed=2**64 - 1)
    except Exception:
        # what has nothing to do with the seed is raised again
        env.reset(seed=0)
        return False
    return True


def _step_dt(env: gym.Env) -> float | None:
    """Duration of a control step [s]: of the physics, else by the rate at which the environment wants to be watched."""
    dt, fps = getattr(env.unwrapped, "dt", None), env.metadata.get("render_fps")
    return float(dt) if dt else 1.0 / fps if fps else None


def _action_reader(space: gym.Space) -> Callable[[np.ndarray], Iterable[Any]]:
    """A function that turns the numbers of a chunk (length, width) into actions, clipped to a box."""
    if isinstance(space, gym.spaces.Box):
        low, high, shape, dtype = space.low, space.high, space.shape, space.dtype
        return lambda chunk: np.clip(chunk.reshape(-1, *shape), low, high).astype(dtype)
    if isinstance(space, gym.spaces.Discrete):
        return lambda chunk: [int(choice) for choice in chunk[:, 0]]
    return lambda chunk: chunk.astype(np.int64)
