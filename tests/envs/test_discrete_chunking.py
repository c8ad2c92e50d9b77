# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Chunks of discrete actions, on Isaac Lab's showcase of the direct cartpole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest
import torch

NUM_ENVS = 4
NONE, LEFT, RIGHT = 0, 1, 2
CART_SPEED = 3
"""Column of the observation [m/s]."""


@pytest.fixture(scope="module")
def make_cartpole(launch: Callable[..., Any]) -> Callable[..., Any]:
    """A function that makes the environment for an action space, with or without chunks."""
    from isaaclab_ov.physics import OvPhysxCfg
    from isaaclab_tasks.contrib.cartpole_showcase.cartpole.cartpole_env import CartpoleShowcaseEnv
    from isaaclab_tasks.core.cartpole.cartpole_direct_env_cfg import CartpoleEnvCfg
    from isaaclab_tasks.utils import resolve_presets

    from gr00t_rl_ext.envs.chunking import ChunkedDirectRLEnv

    class ChunkedShowcase(ChunkedDirectRLEnv, CartpoleShowcaseEnv):
        pass

    class RestsPushingLeft(ChunkedShowcase):
        neutral_action = (LEFT,)

    def make(space: gym.Space, name: str = "chunked") -> Any:
        cfg = resolve_presets(CartpoleEnvCfg())
        cfg.sim.physics = OvPhysxCfg()
        cfg.scene.num_envs = NUM_ENVS
        cfg.action_space = space
        kinds = {"chunked": ChunkedShowcase, "pushing": RestsPushingLeft, "stock": CartpoleShowcaseEnv}
        return launch(cfg, lambda: kinds[name](cfg))

    return make


@pytest.fixture(scope="module")
def env(make_cartpole: Callable[..., Any]) -> Any:
    return make_cartpole(gym.spaces.Discrete(3))


def choices(steps: int, width: int = 1, number: int = 3) -> torch.Tensor:
    """Choices (steps, envs, width), as floats."""
    return torch.randint(number, (steps, NUM_ENVS, width), generator=torch.Generator().manual_seed(2)).float()


def as_chunk(steps: torch.Tensor) -> torch.Tensor:
    return steps.transpose(0, 1).flatten(1)


def pushed(env: Any) -> list[float]:
    """Effort on each cart in the last physics step, in units of the task's scale."""
    effort = env.cartpole.data.joint_effort_target.torch[:, env._cart_dof_idx].flatten()
    return (effort / env.cfg.action_scale).tolist()


@pytest.mark.parametrize("space", [gym.spaces.Discrete(3), gym.spaces.MultiDiscrete([3, 2])])
def test_one_step_chunks_equal_isaac_labs_environment(make_cartpole: Callable[..., Any], space: gym.Space) -> None:
    width = 1 if isinstance(space, gym.spaces.Discrete) else 2
    actions = choices(6, width, number=2)
    stock = make_cartpole(space, "stock")
    stock.reset(seed=5)
    expected = [stock.step(action.long())[0]["policy"].clone() for action in actions]
    chunked = make_cartpole(space)
    assert chunked.action_choices == tuple(space.nvec) if width == 2 else (3,)
    chunked.configure_decisions(1)
    chunked.reset(seed=5)
    for action, observation in zip(actions, expected, strict=True):
        torch.testing.assert_close(chunked.step(action)[0]["policy"], observation)
    chunked.configure_decisions(6)
    chunked.reset(seed=5)
    torch.testing.assert_close(chunked.step(as_chunk(actions))[0]["policy"], expected[-1])


def test_the_space_of_a_chunk(env: Any) -> None:
    env.configure_decisions(4)
    assert env.control_action_dim == 1
    assert env.single_action_space == gym.spaces.MultiDiscrete([3] * 4)
    assert env.action_space.shape == (NUM_ENVS, 4)


def test_each_choice_pushes_its_way(env: Any) -> None:
    env.configure_decisions(2)
    env.reset(seed=5)
    before = env.obs_buf["policy"][:, CART_SPEED].clone()
    last = torch.tensor([NONE, LEFT, RIGHT, RIGHT]).float()
    obs, *_ = env.step(torch.stack((last, last), dim=1))
    assert pushed(env) == [0.0, -1.0, 1.0, 1.0]
    gained = obs["policy"][:, CART_SPEED] - before
    assert gained[1] < -1.0 < gained[0].abs() < 1.0 < gained[2]


def test_a_finished_environment_gets_the_first_choice(env: Any) -> None:
    env.configure_decisions(3)
    env.reset(seed=5)
    env.episode_length_buf[1] = env.max_episode_length - 2
    efforts = []
    original = env._apply_action

    def record() -> None:
        original()
        efforts.append(pushed(env))

    env._apply_action = record
    try:
        env.step(torch.full((NUM_ENVS, 3), float(RIGHT)))
    finally:
        del env._apply_action
    substeps = env.cfg.decimation
    assert [row[1] for row in efforts] == [1.0] * 2 * substeps + [0.0] * substeps
    assert all(row[0] == 1.0 for row in efforts)


def test_bad_actions_are_refused_before_anything_moves(env: Any) -> None:
    env.configure_decisions(2)
    env.reset(seed=5)
    action = torch.zeros(NUM_ENVS, 2)
    action[2, 1], action[3, 0] = 3.0, 0.5
    steps = env.common_step_counter
    with pytest.raises(ValueError, match=r"2 environments \(2, 3\) are no choices of this task: 0.5, 3.*in 0\.\.2"):
        env.step(action)
    with pytest.raises(ValueError, match=r"expected \(4, 2\).*The actions are discrete: one number per component"):
        env.step(torch.zeros(NUM_ENVS, 6))
    assert env.common_step_counter == steps


def test_the_neutral_choice_of_a_task(make_cartpole: Callable[..., Any]) -> None:
    env = make_cartpole(gym.spaces.Discrete(3), "pushing")
    env.configure_decisions(3)
    env.reset(seed=5)
    env.episode_length_buf[:2] = env.max_episode_length - 1
    efforts = []
    original = env._reset_idx
    env._reset_idx = lambda ids: (efforts.append(pushed(env)), original(ids))
    env.step(torch.full((NUM_ENVS, 3), float(RIGHT)))
    assert efforts == [[-1.0, -1.0, 1.0, 1.0]]


def test_clipping_is_refused(make_cartpole: Callable[..., Any]) -> None:
    from isaaclab_rl.rsl_rl import RslRlVecEnvWrapper

    env = make_cartpole(gym.spaces.Discrete(3))
    RslRlVecEnvWrapper(env, clip_actions=None)
    env.configure_decisions(2)
    RslRlVecEnvWrapper(env, clip_actions=1.0)
    with pytest.raises(
        ValueError, match=r"choices \(Discrete\(3\)\).*cannot be clipped. Set `agent.clip_actions=null`"
    ):
        env.configure_decisions(2)
