# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Action chunks around Isaac Lab's direct cartpole, as a user would add them to an own direct task."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import pytest
import torch

from gr00t_rl_ext.envs.decision import HOW_TO_CHUNK

NUM_ENVS = 4


def advised_class(direct_env: type) -> Any:
    """What errors advise to register in place of a direct environment, by the letter."""
    [(statement, name)] = re.findall(r"`(class (\w+)\(.*\))`", HOW_TO_CHUNK)
    [(module, first)] = re.findall(r"with (\S+)\.(\w+) first", HOW_TO_CHUNK)
    names = {first: getattr(importlib.import_module(module), first), "MyDirectEnv": direct_env}
    exec(f"{statement}: pass", names)
    return names[name]


@pytest.fixture(scope="module")
def make_cartpole(launch: Callable[..., Any]) -> Callable[[bool], Any]:
    """A function that makes the stock environment, or the one with chunks."""
    from isaaclab_ov.physics import OvPhysxCfg
    from isaaclab_tasks.core.cartpole.cartpole_direct_env import CartpoleEnv
    from isaaclab_tasks.core.cartpole.cartpole_direct_env_cfg import CartpoleEnvCfg
    from isaaclab_tasks.utils import resolve_presets

    class ChunkedCartpole(advised_class(CartpoleEnv)):
        success_term = "balanced"

        def _pre_physics_step(self, actions: torch.Tensor) -> None:
            # a name that Isaac Lab's tasks use
            self._actions = actions.clone()
            super()._pre_physics_step(actions)

        def _get_dones(self) -> tuple[torch.Tensor, torch.Tensor]:
            self.balanced = self.episode_length_buf >= self.max_episode_length
            return super()._get_dones()

        def _reset_idx(self, env_ids: Any) -> None:
            super()._reset_idx(env_ids)
            # as tasks do that keep such a buffer
            self.balanced = torch.zeros(self.num_envs, dtype=torch.bool)

    def make(chunked: bool) -> Any:
        cfg = resolve_presets(CartpoleEnvCfg())
        cfg.sim.physics = OvPhysxCfg()
        cfg.scene.num_envs = NUM_ENVS
        return launch(cfg, lambda: (ChunkedCartpole if chunked else CartpoleEnv)(cfg))

    return make


@pytest.fixture(scope="module")
def env(make_cartpole: Callable[[bool], Any]) -> Any:
    return make_cartpole(True)


def pushes(steps: int) -> torch.Tensor:
    """Actions (steps, envs, 1)."""
    return 0.2 * torch.randn(steps, NUM_ENVS, 1, generator=torch.Generator().manual_seed(2))


def as_chunk(steps: torch.Tensor) -> torch.Tensor:
    return steps.transpose(0, 1).flatten(1)


def test_one_step_chunks_equal_isaac_labs_environment(make_cartpole: Callable[[bool], Any]) -> None:
    def trace(env: Any) -> list[torch.Tensor]:
        env.reset(seed=5)
        env.episode_length_buf[1] = env.max_episode_length - 3
        rows = []
        for action in pushes(8):
            obs, reward, terminated, truncated, _ = env.step(action)
            rows.append(torch.cat((obs["policy"], reward[:, None], terminated[:, None], truncated[:, None]), dim=1))
        return rows

    stock = trace(make_cartpole(False))
    chunked = trace(make_cartpole(True))
    assert any(row[:, -1].any() for row in stock)
    for expected, actual in zip(stock, chunked, strict=True):
        assert torch.equal(expected, actual)


def test_the_advised_registrations_have_action_chunks(env: Any) -> None:
    """Every test of this file runs the class that errors advise; a manager-based one is registered like this."""
    from isaaclab.envs import ManagerBasedRLEnv

    import gr00t_rl_ext.tasks  # noqa: F401

    assert env.chunk_length == 1
    [entry_point] = re.findall(r"entry_point='(\S+)'", HOW_TO_CHUNK)
    assert entry_point == gym.spec("Isaac-Stack-Cube-Franka-v0").entry_point
    made = gym.envs.registration.load_env_creator(entry_point)
    assert issubclass(made, ManagerBasedRLEnv)
    assert callable(made.configure_decisions)
    assert callable(made.park)


def test_a_chunk_equals_its_steps(env: Any) -> None:
    env.configure_decisions(1)
    env.reset(seed=5)
    rewards = [env.step(action)[1].clone() for action in pushes(5)]
    expected = env.obs_buf["policy"].clone()
    env.configure_decisions(5, step_discount=0.9)
    env.reset(seed=5)
    obs, reward, *_ = env.step(as_chunk(pushes(5)))
    assert torch.equal(obs["policy"], expected)
    torch.testing.assert_close(reward, sum(r * 0.9**k for k, r in enumerate(rewards)))


def test_episode_ends_inside_a_chunk(env: Any) -> None:
    """One by time-out, which is this task's success; one by leaving the rail."""
    env.configure_decisions(8)
    env.reset(seed=5)
    env.episode_length_buf[1] = env.max_episode_length - 3
    cart = torch.tensor([[2.9]])
    speed = torch.tensor([[20.0]])
    joint = env._cart_dof_idx.tolist()
    ids = torch.tensor([2], dtype=torch.int32)
    env.cartpole.write_joint_position_to_sim_index(position=cart, joint_ids=joint, env_ids=ids)
    env.cartpole.write_joint_velocity_to_sim_index(velocity=speed, joint_ids=joint, env_ids=ids)
    _, reward, terminated, truncated, extras = env.step(as_chunk(pushes(8)))
    assert terminated.tolist() == [False, False, True, False]
    assert truncated.tolist() == [False, True, False, False]
    assert extras["success"].tolist() == [False, True, False, False]
    assert extras["executed_steps"].tolist()[1] == 3
    assert extras["executed_steps"].tolist()[2] < 8
    # the penalty of leaving the rail is paid once: -2 among the steps before
    assert torch.isfinite(reward).all()
    assert env.episode_length_buf.tolist() == [8, 0, 0, 8]


def test_success_in_the_last_step_of_a_chunk_survives_the_reset(env: Any) -> None:
    env.configure_decisions(4)
    env.reset(seed=5)
    env.episode_length_buf[3] = env.max_episode_length - 4
    *_, extras = env.step(as_chunk(pushes(4)))
    assert extras["success"].tolist() == [False, False, False, True]
    assert extras["executed_steps"].tolist() == [4, 4, 4, 4]


def test_steps_outside_inference_mode_follow_a_rollout(env: Any) -> None:
    """A runner steps in inference mode; whoever uses the environment afterwards need not."""
    env.configure_decisions(2)
    env.reset(seed=5)
    with torch.inference_mode():
        env.step(as_chunk(pushes(2)))
    *_, extras = env.step(as_chunk(pushes(2)))
    assert extras["executed_steps"].tolist() == [2, 2, 2, 2]


def test_unknown_groups_are_refused(env: Any) -> None:
    with pytest.raises(ValueError, match="no observation group 'rgb'. It offers: policy"):
        env.configure_decisions(2, observation_groups=["rgb"])
    env.configure_decisions(2, observation_groups=["policy"])
    assert list(env.obs_buf) == ["policy"]


def test_final_observations(env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the step of the time-out, inside a chunk and at its end, equal to those of single steps."""
    env.configure_decisions(1)
    env.reset(seed=5)
    expected = [env.step(action)[0]["policy"].clone() for action in pushes(6)]
    env.configure_decisions(6, final_observation_groups=["policy"])
    env.reset(seed=5)
    env.episode_length_buf[1] = env.max_episode_length - 2
    env.episode_length_buf[3] = env.max_episode_length - 6
    with monkeypatch.context() as patch:
        calls = []
        original = env._get_observations
        patch.setattr(env, "_get_observations", lambda: (calls.append(None), original())[1])
        *_, truncated, extras = env.step(as_chunk(pushes(6)))
    assert truncated.tolist() == [False, True, False, True]
    assert len(calls) == 3, "two time-outs and the boundary"
    final = extras["final_observations"]["policy"]
    torch.testing.assert_close(final[1], expected[1][1])
    torch.testing.assert_close(final[3], expected[5][3])
    assert not final[[0, 2]].any()
    assert (extras["step_rewards"][1, :2] != 0).all()
    assert not extras["step_rewards"][1, 2:].any()
    with pytest.raises(ValueError, match="no observation group 'rgb'. It offers: policy"):
        env.configure_decisions(6, final_observation_groups=["rgb"])
