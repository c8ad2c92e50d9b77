# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Gymnasium environments whose every number is known, registered as ``gymnasium_toys:Count-v0`` and so on."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np

SPACES = {
    "box": gym.spaces.Box(-1.0, 1.0, (2,)),
    "discrete": gym.spaces.Discrete(3, start=5),
    "binary": gym.spaces.MultiBinary(2),
    "multi": gym.spaces.MultiDiscrete([3, 2]),
}
DRAW, NOISE, STEP, GIVEN = 0, 1, 2, 3
"""Columns of the observation."""


class Count(gym.Env):
    """Counts its steps.

    Observes a number drawn at the reset, one drawn in the step, the number of steps, and the action's first number.
    The reward is that first number.

    Args:
        space: Key of ``SPACES``.
        goal: Step from which on ``info["is_success"]`` is true; None for no such entry.
        end: Step in which the episode terminates.
        crash: Step that raises; None for never.
        vanish: Step in which the process ends.
        hang: Step that never ends.
        secret: Whether it holds an object that nobody knows how to copy.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(
        self,
        space: str = "box",
        goal: int | None = None,
        end: int | None = None,
        crash: int | None = None,
        vanish: int | None = None,
        hang: int | None = None,
        secret: bool = False,
        render_mode: str | None = None,
    ) -> None:
        self.action_space = SPACES[space]
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (4,))
        self.goal, self.end, self.crash, self.vanish, self.hang = goal, end, crash, vanish, hang
        self.render_mode = render_mode
        self.state = np.zeros(4)
        if secret:
            self.secret = Secret()

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.state = np.array([self.np_random.uniform(), 0.0, 0.0, 0.0])
        return self.state.copy(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        assert self.action_space.contains(action), action
        given = float(np.ravel(action)[0])
        self.state = np.array([self.state[DRAW], self.np_random.uniform(), self.state[STEP] + 1, given])
        count = self.state[STEP]
        if count == self.crash:
            raise ArithmeticError("the toy is broken")
        if count == self.vanish:
            os._exit(3)
        if count == self.hang:
            time.sleep(3600)
        info = {} if self.goal is None else {"is_success": count >= self.goal}
        return self.state.copy(), given, count == self.end, False, info

    def render(self) -> np.ndarray:
        return np.full((20, 40, 3), int(self.state[STEP]), np.uint8)


class Secret:
    """Something that changes unseen."""


class Endless(Count):
    """Has no time limit."""


class Goal(Count):
    """Observes a dictionary."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        box = gym.spaces.Box(-np.inf, np.inf, (2,))
        self.observation_space = gym.spaces.Dict({"place": box, "choice": gym.spaces.Discrete(3), "aim": box})

    def reset(self, **kwargs: Any) -> Any:
        super().reset(**kwargs)
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        return (self._observation(), *super().step(action)[1:])

    def _observation(self) -> dict[str, Any]:
        return {"place": np.array([1.0, 2.0]), "choice": 1, "aim": np.array([1.5, 4.0])}


class Seen(Count):
    """Observes pictures of two cameras, the colour of which is the number of steps, beside numbers of an arm."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        picture = gym.spaces.Box(0, 255, (8, 16, 3), np.uint8)
        arm = gym.spaces.Dict({"joints": gym.spaces.Box(-np.inf, np.inf, (2,)), "mode": gym.spaces.Discrete(2)})
        pixels = gym.spaces.Dict({"front": picture, "wrist": picture})
        self.observation_space = gym.spaces.Dict({"pixels": pixels, "arm": arm})

    def reset(self, **kwargs: Any) -> Any:
        super().reset(**kwargs)
        return self._observation(), {}

    def step(self, action: Any) -> Any:
        _, *rest = super().step(action)
        return self._observation(), *rest

    def _observation(self) -> dict[str, Any]:
        steps, drawn = int(self.state[STEP]), self.state[DRAW]
        pixels = {"front": np.full((8, 16, 3), steps, np.uint8), "wrist": np.full((8, 16, 3), 100 + steps, np.uint8)}
        return {"pixels": pixels, "arm": {"joints": np.array([drawn, steps]), "mode": 1}}


class Screen(Count):
    """Observes a picture alone, under a name that is a word of Python, and takes choices."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(space="discrete", **kwargs)
        self.observation_space = gym.spaces.Dict({"class": gym.spaces.Box(0, 255, (8, 8, 3), np.uint8)})

    def reset(self, **kwargs: Any) -> Any:
        super().reset(**kwargs)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        _, *rest = super().step(action)
        return self.observation_space.sample(), *rest


class Varying(Count):
    """Observes something of changing length."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.observation_space = gym.spaces.Sequence(gym.spaces.Discrete(2))


PICTURES: dict[str, Callable[[int], Any]] = {
    "rgba": lambda value: np.full((20, 40, 4), value, np.uint8),
    "grey": lambda value: np.full((20, 40), value, np.uint8),
    "whole numbers": lambda value: np.full((20, 40, 3), value),
    "floats to 1": lambda value: np.full((20, 40, 3), value / 255, np.float32),
    "floats to 255": lambda value: np.full((20, 40, 3), float(value)),
    "nothing": lambda value: None,
    "negative": lambda value: np.full((20, 40, 3), -1.0),
    "not a number": lambda value: np.full((20, 40, 3), np.nan),
    "channels first": lambda value: np.full((3, 20, 40), value, np.uint8),
}


class Odd(Count):
    """Differs from Gymnasium's own environments.

    Args:
        picture: Key of ``PICTURES``; None for an environment that does not render.
        shape: Of the reward and of what tells the end.
        narrow: Whether a reset takes seeds of 32 bits only.
    """

    def __init__(
        self, picture: str | None = None, shape: tuple[int, ...] | None = None, narrow: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.picture, self.shape, self.narrow = picture, shape, narrow

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        if self.narrow:
            self.state[DRAW] = np.random.RandomState(seed).uniform()
        return self.state.copy(), {}

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        if self.shape is not None:
            reward, terminated = np.full(self.shape, reward), np.full(self.shape, terminated)
        return observation, reward, terminated, truncated, info

    def render(self) -> Any:
        return gym.Env.render(self) if self.picture is None else PICTURES[self.picture](int(self.state[STEP]))


class Blind(gym.Env):
    """Knows nothing of rendering, and takes seeds of 32 bits."""

    observation_space, action_space = gym.spaces.Box(-1, 1, (3,)), gym.spaces.Box(-1, 1, (2,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        np.random.RandomState(seed)
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> Any:
        return np.zeros(3, np.float32), 0.0, False, False, {}


for _name in ("Count", "Goal", "Screen", "Seen", "Varying", "Odd", "Blind"):
    gym.register(f"{_name}-v0", entry_point=f"{__name__}:{_name}", max_episode_steps=10)
gym.register("Choices-v0", entry_point=f"{__name__}:Count", max_episode_steps=10, kwargs={"space": "multi"})
gym.register("Late-v0", entry_point=f"{__name__}:Count", max_episode_steps=10, kwargs={"crash": 9})
gym.register("Broken-v0", entry_point=f"{__name__}:Count", max_episode_steps=10, kwargs={"crash": 1})
gym.register("Endless-v0", entry_point=f"{__name__}:Endless")
