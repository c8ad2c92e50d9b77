# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Action chunks on the real stack scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

STACK = "Isaac-Stack-Cube-Franka-v0"
NUM_ENVS = 4
NUM_ACTIONS = 8


@pytest.fixture(scope="module")
def env(make_env: Callable[..., Any]) -> Any:
    return make_env(STACK, NUM_ENVS)


def actions(steps: int, seed: int = 1) -> torch.Tensor:
    """Actions (steps, envs, dims) of moderate size."""
    return torch.rand(steps, NUM_ENVS, NUM_ACTIONS, generator=torch.Generator().manual_seed(seed)) - 0.5


def as_chunk(steps: torch.Tensor) -> torch.Tensor:
    """(steps, envs, dims) -> (envs, steps * dims)."""
    return steps.transpose(0, 1).flatten(1)


def restart(env: Any, chunk_length: int, **options: Any) -> None:
    """Same initial state for every test."""
    env.configure_decisions(chunk_length, **options)
    env.reset(seed=5)


def drop(env: Any, index: int, height: float) -> None:
    """Put a cube of one environment beside the table, `height` above the height at which it counts as dropped."""
    cube = env.scene["cube_1"]
    pose = torch.tensor([[3.0, 0.0, -0.05 + height, 0.0, 0.0, 0.0, 1.0]])
    pose[:, :3] += env.scene.env_origins[index]
    ids = torch.tensor([index], dtype=torch.int32)
    cube.write_root_pose_to_sim_index(root_pose=pose, env_ids=ids)
    cube.write_root_velocity_to_sim_index(root_velocity=torch.zeros(1, 6), env_ids=ids)


def count_calls(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> list[None]:
    """Count the calls of a method; returns a list that grows by one each time."""
    calls: list[None] = []
    original = getattr(owner, name)

    def counting(*args: Any, **kwargs: Any) -> Any:
        calls.append(None)
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, counting)
    return calls


def test_one_step_chunks_equal_isaac_labs_environment(make_env: Callable[..., Any]) -> None:
    from isaaclab.envs import ManagerBasedRLEnv

    def trace(env: Any) -> list[dict[str, torch.Tensor]]:
        env.reset(seed=5)
        # one environment times out on the way
        env.episode_length_buf[2] = env.max_episode_length - 4
        steps = []
        for action in actions(8):
            obs, reward, terminated, truncated, _ = env.step(action)
            steps.append({**{k: v.clone() for k, v in obs.items()}, "reward": reward.clone()})
            steps[-1].update(terminated=terminated.clone(), truncated=truncated.clone())
        return steps

    stock = trace(make_env(STACK, NUM_ENVS, env_class=ManagerBasedRLEnv))
    chunked = trace(make_env(STACK, NUM_ENVS))
    assert any(step["truncated"].any() for step in stock)
    for expected, actual in zip(stock, chunked, strict=True):
        assert expected.keys() == actual.keys()
        for name in expected:
            assert torch.equal(expected[name], actual[name]), name


def test_a_chunk_equals_its_steps(env: Any) -> None:
    """Same state, and the reward is the discounted sum."""
    steps = actions(6)
    restart(env, 1)
    rewards = [env.step(step)[1].clone() for step in steps]
    expected = {name: value.clone() for name, value in env.obs_buf.items()}
    restart(env, 6, step_discount=0.9)
    obs, reward, terminated, truncated, extras = env.step(as_chunk(steps))
    for name in expected:
        assert torch.equal(obs[name], expected[name]), name
    torch.testing.assert_close(reward, sum(r * 0.9**k for k, r in enumerate(rewards)))
    assert torch.equal(extras["step_rewards"], torch.stack(rewards, dim=1)), "undiscounted"
    assert not (terminated | truncated).any()
    assert extras["executed_steps"].tolist() == [6] * NUM_ENVS


def test_termination_inside_a_chunk(env: Any) -> None:
    """The dropped cube ends one episode early: masked after that, reset at the boundary, the others untouched."""
    steps = actions(8)
    restart(env, 8)
    _, undisturbed, *_ = env.step(as_chunk(steps))
    restart(env, 1)
    drop(env, 1, height=0.05)
    single = []
    for step in steps:
        _, reward, terminated, *_ = env.step(step)
        single.append(reward[1].clone())
        if terminated[1]:
            break
    ended_after = len(single)
    assert 1 < ended_after < 8
    restart(env, 8)
    drop(env, 1, height=0.05)
    obs, reward, terminated, truncated, extras = env.step(as_chunk(steps))
    assert terminated.tolist() == [False, True, False, False]
    assert not truncated.any()
    assert extras["executed_steps"].tolist() == [8, ended_after, 8, 8]
    assert not extras["success"].any()
    torch.testing.assert_close(reward[1], sum(single))
    torch.testing.assert_close(reward[[0, 2, 3]], undisturbed[[0, 2, 3]])
    torch.testing.assert_close(extras["step_rewards"][1], torch.stack(single + [torch.tensor(0.0)] * (8 - ended_after)))
    torch.testing.assert_close(extras["episode_return"][1], sum(single))
    assert extras["episode_steps"].tolist() == [0, ended_after, 0, 0]
    # the new episode has just begun: not one step of it was lost
    assert env.episode_length_buf.tolist() == [8, 0, 8, 8]
    cube = env.scene["cube_1"].data.root_pos_w.torch[1] - env.scene.env_origins[1]
    assert abs(cube[2] - 0.0203) < 1e-4
    joints = env.scene["robot"].data
    assert (joints.joint_pos.torch[1] - joints.default_joint_pos.torch[1]).abs().max() < 0.1
    assert obs["state"][1, :7].abs().max() < 0.1
    # Isaac Lab's own log tells the real reason
    assert extras["log"]["Episode_Termination/cube_1_dropping"] > 0
    assert extras["log"]["Episode_Termination/time_out"] == 0


def test_time_out_inside_a_chunk_is_no_termination(env: Any) -> None:
    restart(env, 8)
    env.episode_length_buf[3] = env.max_episode_length - 3
    _, _, terminated, truncated, extras = env.step(as_chunk(actions(8)))
    assert truncated.tolist() == [False, False, False, True]
    assert not terminated.any()
    assert extras["executed_steps"].tolist() == [8, 8, 8, 3]
    assert env.episode_length_buf.tolist() == [8, 8, 8, 0]


def test_a_termination_in_the_step_of_the_time_out_wins(env: Any) -> None:
    """Both terms fire in the same control step; a bootstrapped value would be added to a finished episode."""
    restart(env, 2)
    env.episode_length_buf[1] = env.max_episode_length - 1
    drop(env, 1, height=-0.01)
    _, _, terminated, truncated, extras = env.step(as_chunk(actions(2)))
    assert terminated[1]
    assert not truncated[1]
    assert extras["executed_steps"][1] == 1


def test_what_follows_the_end_of_an_episode_does_not_matter(env: Any) -> None:
    outcomes = []
    for seed in (1, 2):
        steps = actions(8)
        steps[3:, 3] = actions(8, seed)[3:, 3]
        restart(env, 8)
        env.episode_length_buf[3] = env.max_episode_length - 3
        _, reward, *_ = env.step(as_chunk(steps))
        outcomes.append(reward.clone())
    assert torch.equal(outcomes[0], outcomes[1])


def test_two_episode_ends_in_one_chunk_count_once(env: Any) -> None:
    """A cube keeps falling after the episode ended by time-out: still one truncation."""
    restart(env, 8)
    env.episode_length_buf[0] = env.max_episode_length - 2
    drop(env, 0, height=0.2)
    _, _, terminated, truncated, extras = env.step(as_chunk(actions(8)))
    assert truncated[0]
    assert not terminated[0]
    assert extras["executed_steps"][0] == 2


def test_cameras_render_once_per_chunk(env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    restart(env, 8)
    renders = {
        name: count_calls(monkeypatch, env.scene[name], "_update_buffers_impl") for name in ("table_cam", "wrist_cam")
    }
    for _ in range(3):
        env.step(as_chunk(actions(8)))
    assert {name: len(calls) for name, calls in renders.items()} == {"table_cam": 3, "wrist_cam": 3}


def test_unused_groups_are_not_computed(env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    restart(env, 4, observation_groups=["state"])
    renders = count_calls(monkeypatch, env.scene["table_cam"], "_update_buffers_impl")
    obs, *_ = env.step(as_chunk(actions(4)))
    assert list(obs) == ["state"]
    assert not renders
    env.configure_decisions(4)
    assert list(env.obs_buf) == ["rgb", "state", "object", "privileged"]


def test_wrist_camera_moves_with_the_hand(env: Any) -> None:
    restart(env, 8)
    before = env.obs_buf["rgb"].clone().float()
    move = torch.zeros(8, NUM_ENVS, NUM_ACTIONS)
    move[..., 0] = 1.0  # turn the arm about its vertical axis
    after = env.step(as_chunk(move))[0]["rgb"].float()
    change = (after - before).abs().mean(dim=(1, 2)).view(NUM_ENVS, 2, 3).mean(dim=-1)  # (env, camera)
    still = torch.zeros(8, NUM_ENVS, NUM_ACTIONS)
    restart(env, 8)
    env.step(as_chunk(still))
    reference = env.obs_buf["rgb"].clone().float()
    unmoved = env.step(as_chunk(still))[0]["rgb"].float()
    noise = (unmoved - reference).abs().mean(dim=(1, 2)).view(NUM_ENVS, 2, 3).mean(dim=-1)
    assert (change[:, 1] > 5.0).all()
    assert (noise[:, 1] < 1.0).all()
    # the table camera stays where it is: its lowest rows show nothing but the table
    assert (after[:, -6:, :, :3] - before[:, -6:, :, :3]).abs().max() <= 1.0


def test_errors_say_what_is_expected(env: Any) -> None:
    restart(env, 4)
    with pytest.raises(ValueError, match=r"shape \(4, 8\), expected \(4, 32\): 4 environments times 4 control steps"):
        env.step(torch.zeros(NUM_ENVS, NUM_ACTIONS))
    with pytest.raises(ValueError, match="at least 1 control step, got 0"):
        env.configure_decisions(0)
    with pytest.raises(ValueError, match=r"must lie in \(0, 1\], got 1.5"):
        env.configure_decisions(4, step_discount=1.5)
    with pytest.raises(ValueError, match="no observation group 'depth'. It offers: rgb, state, object, privileged"):
        env.configure_decisions(4, observation_groups=["rgb", "depth"])
    assert env.chunk_length == 4


def test_a_declared_recorder_waits_for_the_video_flag(env: Any) -> None:
    """Isaac Lab sets the output directory only with --video; without it nothing is recorded."""
    assert env.video_recorders == []


def test_no_environments_is_refused(make_env: Callable[..., Any]) -> None:
    from gr00t_rl_ext.envs.chunking import ChunkedManagerBasedRLEnv

    class _Scene:
        num_envs = 0

    class _Cfg:
        scene = _Scene()
        video_recorders: tuple[()] = ()

    with pytest.raises(ValueError, match=r"number of environments is 0; expected at least 1 \(--num_envs\)"):
        ChunkedManagerBasedRLEnv(_Cfg())
