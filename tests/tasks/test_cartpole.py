# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The cartpole by sight, in the simulator: what is seen is true, choices act, and success means a balanced pole."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

DISCRETE, CONTINUOUS = "Isaac-Cartpole-Camera-Discrete-v0", "Isaac-Cartpole-Camera-Continuous-v0"
NUM_ENVS = 8
PIXELS = 96
NONE, NEGATIVE, POSITIVE = 0.0, 1.0, 2.0
VIEW = 5.12 * 20.955 / 24.0
"""Width of the picture in the plane of the pole [m]: 5.12 m before the camera."""


@pytest.fixture(scope="module")
def env(make_env: Callable[..., Any]) -> Any:
    return make_env(DISCRETE, NUM_ENVS)


def restart(env: Any, chunk_length: int = 1, **options: Any) -> dict[str, torch.Tensor]:
    env.configure_decisions(chunk_length, **options)
    return env.reset(seed=3)[0]


def put(env: Any, cart: list[float], pole: list[float]) -> None:
    """Set the positions of carts [m] and poles [rad], at rest."""
    joints = torch.cat((env._cart_dof_idx, env._pole_dof_idx)).tolist()
    position = torch.tensor([cart, pole]).T.contiguous()
    env.cartpole.write_joint_position_to_sim_index(position=position, joint_ids=joints)
    env.cartpole.write_joint_velocity_to_sim_index(velocity=torch.zeros_like(position), joint_ids=joints)


def column(image: torch.Tensor, channel: int) -> float:
    """Where a colour is: red for the pole, blue for the cart. In metres to the left of the picture's middle."""
    image = image.int()
    coloured = image.amax(dim=-1) - image.amin(dim=-1) > 30
    mask = coloured & (image.argmax(dim=-1) == channel)
    assert mask.any()
    columns = mask.nonzero()[:, 1].float().mean().item()
    return (PIXELS / 2 - 0.5 - columns) / PIXELS * VIEW


def test_observations_and_spaces(env: Any) -> None:
    obs = restart(env)
    assert {name: (tuple(value.shape), value.dtype) for name, value in obs.items()} == {
        "rgb": ((NUM_ENVS, PIXELS, PIXELS, 3), torch.uint8),
        "state": ((NUM_ENVS, 4), torch.float32),
    }
    assert env.observation_space["rgb"].shape == obs["rgb"].shape
    assert env.observation_space["state"].shape == obs["state"].shape
    assert env.action_choices == (3,)
    assert env.max_episode_length == 300
    assert (obs["state"][:, 0].abs() <= 1.0).all()
    assert (obs["state"][:, 1].abs() <= math.pi / 8).all()


def test_the_spec_that_a_policy_reads(env: Any) -> None:
    from tensordict import TensorDict

    from gr00t_rl_ext.robot.task_spec import TaskSpec

    obs = TensorDict(restart(env, 4), batch_size=[NUM_ENVS])
    spec = TaskSpec.from_env(env, obs, ["rgb", "state"])
    assert spec.instruction == "keep the pole upright by moving the cart"
    assert (spec.cameras, spec.state_dim, spec.action_dim, spec.action_choices) == (("rgb",), 4, 1, (3,))


def test_the_picture_shows_the_state(env: Any) -> None:
    """Everywhere that the cart may go, after a reset by hand and after the end of an episode."""
    restart(env)
    carts = torch.linspace(-1.9, 1.9, NUM_ENVS).tolist()
    poles = torch.linspace(-1.2, 1.2, NUM_ENVS).tolist()
    put(env, carts, poles)
    pictures = [env.step(torch.zeros(NUM_ENVS, 1))[0], restart(env)]
    env.episode_length_buf[:] = env.max_episode_length - 3
    moving = env.step(torch.full((NUM_ENVS, 1), POSITIVE))[0]
    env.step(torch.full((NUM_ENVS, 1), POSITIVE))
    ended, _, _, truncated, _ = env.step(torch.full((NUM_ENVS, 1), POSITIVE))
    assert truncated.all()
    for obs in (*pictures, moving, ended):
        for image, (cart, pole, *_) in zip(obs["rgb"], obs["state"].tolist(), strict=True):
            assert column(image, channel=2) == pytest.approx(cart, abs=0.06)
            assert column(image, channel=0) == pytest.approx(cart - 0.47 * math.sin(pole), abs=0.1)


def test_choices_move_the_cart_their_way(env: Any) -> None:
    before = restart(env, 4)["state"].clone()
    choice = torch.tensor([NONE, NEGATIVE, POSITIVE, NONE, NEGATIVE, POSITIVE, NONE, NEGATIVE])
    obs, *_ = env.step(choice.unsqueeze(1).repeat(1, 4))
    gained = obs["state"][:, 2] - before[:, 2]
    assert (gained[choice == POSITIVE] > 0.4).all()
    assert (gained[choice == NEGATIVE] < -0.4).all()
    assert (gained[choice == NONE].abs() < 0.4).all()


def test_the_actuators_damping_acts(env: Any) -> None:
    """30 N against 10 N s/m on cart and hanging pole: 2.4 m/s after 1/3 s, 5.3 m/s without a drive on the joint."""
    restart(env, 20, observation_groups=["state"])
    put(env, [0.0] * NUM_ENVS, [math.pi] * NUM_ENVS)
    obs, *_ = env.step(torch.full((NUM_ENVS, 20), POSITIVE))
    assert (obs["state"][:, 2] < 3.0).all()
    assert (obs["state"][:, 2] > 1.5).all()


def test_success_is_a_balanced_pole(env: Any) -> None:
    """A pole that stands, one that hangs, one beside a cart that has left, and one that stands only at the end."""
    restart(env, 70, observation_groups=["state"])
    env.episode_length_buf[:] = env.max_episode_length - 70
    standing, hanging = 0.0, math.pi
    put(env, [0.0, 0.0, 2.5, *[0.0] * 5], [standing, hanging, standing, *[hanging] * 5])
    *_, terminated, truncated, extras = env.step(torch.zeros(NUM_ENVS, 70))
    assert terminated.tolist() == [False, False, True, *[False] * 5]
    assert truncated.tolist() == [True, True, False, *[True] * 5]
    assert extras["success"].tolist() == [True, *[False] * 7]
    assert "Metrics/success_rate" not in extras["log"]


def test_success_needs_the_whole_last_second(env: Any) -> None:
    """Upright without a break, by a cart that is still there, within one episode."""
    standing, hanging, middle = 0.0, math.pi, [0.0] * NUM_ENVS

    def stay(steps: int, carts: list[float], first_pole: float) -> dict[str, Any]:
        """Hold all poles upright but that of the first environment."""
        env.configure_decisions(steps, observation_groups=["state"])
        put(env, carts, [first_pole, *[standing] * 7])
        return env.step(torch.zeros(NUM_ENVS, steps))[-1]

    restart(env, observation_groups=["state"])
    env.episode_length_buf[:] = env.max_episode_length - 81
    stay(40, middle, standing)
    stay(10, middle, hanging)
    stay(30, middle, standing)
    extras = stay(1, [0.0, 2.5, *[0.0] * 6], standing)
    assert extras["success"].tolist() == [False, False, *[True] * 6]
    env.episode_length_buf[:] = env.max_episode_length - 50
    assert not stay(50, middle, standing)["success"].any(), "what was held in the last episode does not count"
    env.episode_length_buf[:] = env.max_episode_length - 60
    assert stay(60, middle, standing)["success"].all()


def test_choices_can_balance_the_pole(make_env: Callable[..., Any]) -> None:
    """A linear quadratic regulator on the state succeeds in most of 24 episodes, random choices in none of 8."""
    env = make_env(DISCRETE, 32)
    # of the model linearised about the upright pole, per control step; costs 1, 1, 0.1, 0.1 and 0.001 / N^2
    gain = torch.tensor([27.3, -156.8, 40.2, -38.8])
    draw = torch.Generator().manual_seed(1)
    state = restart(env)["state"]
    ended, succeeded = torch.zeros(32, dtype=torch.bool), torch.zeros(32, dtype=torch.bool)
    for _ in range(env.max_episode_length):
        force = state @ gain / env.cfg.action_scale
        choice = torch.where(force > 0.5, POSITIVE, torch.where(force < -0.5, NEGATIVE, NONE))
        choice[24:] = torch.randint(3, (8,), generator=draw).float()
        obs, _, terminated, truncated, extras = env.step(choice.unsqueeze(1))
        succeeded |= extras["success"] & ~ended
        ended |= terminated | truncated
        state = obs["state"]
    assert ended.all()
    assert succeeded[:24].sum() >= 21
    assert not succeeded[24:].any()


def test_the_continuous_twin(make_env: Callable[..., Any]) -> None:
    env = make_env(CONTINUOUS, NUM_ENVS)
    before = restart(env, 4)["state"].clone()
    assert env.action_choices == ()
    force = torch.linspace(-1.0, 1.0, NUM_ENVS)
    obs, *_ = env.step(force.unsqueeze(1).repeat(1, 4))
    gained = obs["state"][:, 2] - before[:, 2]
    # 100 N on about 2 kg for 1/15 s, damped by 10 N s/m
    assert (gained[1:] > gained[:-1]).all()
    assert gained[0] < -1.0
    assert gained[-1] > 1.0


def test_the_twin_on_the_state(make_env: Callable[..., Any]) -> None:
    """Isaac Lab's own resets, no camera, and a success of three seconds."""
    env = make_env("Isaac-Cartpole-State-v0", NUM_ENVS, has_cameras=False)
    obs = restart(env)
    assert {name: tuple(value.shape) for name, value in obs.items()} == {"state": (NUM_ENVS, 4)}
    assert set(env.observation_space.spaces) == {"state"}
    assert env.cfg.initial_pole_angle_range == (-0.25 * math.pi, 0.25 * math.pi)
    steps = round(3.0 / env.step_dt)
    for missing, succeeds in ((0, True), (1, False)):
        restart(env, steps - missing)
        env.episode_length_buf[:] = env.max_episode_length - steps + missing
        put(env, [0.0] * NUM_ENVS, [0.0] * NUM_ENVS)
        *_, truncated, extras = env.step(torch.zeros(NUM_ENVS, steps - missing))
        assert truncated.all()
        assert (extras["success"] == succeeds).all()
