# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Observations of the states in which episodes time out, on the real stack scene."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

STACK = "Isaac-Stack-Cube-Franka-v0"
NUM_ENVS = 4
GROUPS = ["rgb", "state", "privileged"]


@pytest.fixture(scope="module")
def env(make_env: Callable[..., Any]) -> Any:
    """The policy sees the last three states; noise would make observations incomparable."""
    return make_env(STACK, NUM_ENVS, overrides=("env.observations.state.history_length=3",))


def actions(steps: int) -> torch.Tensor:
    """Actions (steps, envs, dims) of moderate size."""
    return torch.rand(steps, NUM_ENVS, 8, generator=torch.Generator().manual_seed(1)) - 0.5


def as_chunk(steps: torch.Tensor) -> torch.Tensor:
    return steps.transpose(0, 1).flatten(1)


def restart(env: Any, chunk_length: int, final: Sequence[str], groups: Sequence[str] | None = None) -> None:
    """Same initial state for every test."""
    env.configure_decisions(chunk_length, observation_groups=groups, final_observation_groups=final)
    env.reset(seed=5)


def states(env: Any, steps: int) -> list[dict[str, torch.Tensor]]:
    """What is observed after each control step if no episode ends."""
    restart(env, 1, [])
    return [{name: value.clone() for name, value in env.step(action)[0].items()} for action in actions(steps)]


def limit(env: Any, index: int, steps: int) -> None:
    """Let the episode of an environment time out after so many steps."""
    env.episode_length_buf[index] = env.max_episode_length - steps


def drop_cube(env: Any, index: int) -> None:
    """Put a cube of one environment below the height at which the episode terminates."""
    pose = torch.tensor([[3.0, 0.0, -0.06, 0.0, 0.0, 0.0, 1.0]])
    pose[:, :3] += env.scene.env_origins[index]
    ids = torch.tensor([index], dtype=torch.int32)
    env.scene["cube_1"].write_root_pose_to_sim_index(root_pose=pose, env_ids=ids)


def agree(actual: torch.Tensor, expected: torch.Tensor) -> bool:
    """Equal but for what physics itself differs by after a reset to the same seed: 4e-7 in the joints."""
    difference = (actual.float() - expected.float()).abs()
    return bool(difference.mean() < 0.01) if actual.dtype == torch.uint8 else bool(difference.max() < 1e-4)


def test_time_outs_in_a_chunk_and_at_its_last_step(env: Any) -> None:
    """Camera and history included; the reset and the neutral actions that follow leave no trace."""
    expected = states(env, 8)
    restart(env, 8, GROUPS)
    limit(env, 1, 3)
    limit(env, 2, 8)
    *_, truncated, extras = env.step(as_chunk(actions(8)))
    assert truncated.tolist() == [False, True, True, False]
    final = extras["final_observations"]
    assert list(final.keys()) == GROUPS
    assert final.batch_size == (NUM_ENVS,)
    # the last number of the privileged state is the time that is left, of which there is none
    time_left = [observed["privileged"][..., -1:].clone() for observed in (final, *expected)]
    assert not time_left[0].any()
    assert all(left.min() > 0.0 for left in time_left[1:])
    for observed in (final, *expected):
        observed["privileged"] = observed["privileged"][..., :-1]
    for name, value in final.items():
        assert agree(value[1], expected[2][name][1]), name
        assert agree(value[2], expected[7][name][2]), name
        assert not value[[0, 3]].any(), name
        assert not agree(expected[1][name][1], expected[2][name][1]), f"{name} tells neighbouring steps apart"
    # the newest of the three states is the one in which the episode ended
    history = final["state"][1, :27].view(3, 9)
    assert agree(history[2], expected[2]["state"][1, 18:27])
    assert not agree(history[2], history[1])
    *_, extras = env.step(as_chunk(actions(8)))
    assert "final_observations" not in extras


def test_one_step_chunks_observe_before_the_reset(env: Any) -> None:
    expected = states(env, 2)
    restart(env, 1, ["state"])
    limit(env, 3, 2)
    *_, extras = env.step(actions(2)[0])
    assert "final_observations" not in extras
    obs, _, _, truncated, extras = env.step(actions(2)[1])
    assert truncated[3]
    assert extras["step_rewards"].shape == (NUM_ENVS, 1)
    assert agree(extras["final_observations"]["state"][3], expected[1]["state"][3])
    assert not agree(obs["state"][3], expected[1]["state"][3])


def test_later_observations_do_not_notice(env: Any) -> None:
    traces = []
    for final in ([], GROUPS):
        restart(env, 4, final)
        limit(env, 0, 3)
        traces.append([])
        for _ in range(2):
            obs, *_ = env.step(as_chunk(actions(4)))
            traces[-1].append({name: value.clone() for name, value in obs.items()})
    for without, observed in zip(*traces, strict=True):
        for name in GROUPS:
            assert agree(without[name], observed[name]), name


def test_a_termination_has_none(env: Any) -> None:
    """Nothing follows it that could be bootstrapped, even where the time is over in the same step."""
    restart(env, 4, GROUPS)
    drop_cube(env, 0)
    limit(env, 0, 1)
    drop_cube(env, 2)
    *_, extras = env.step(as_chunk(actions(4)))
    assert extras["executed_steps"].tolist() == [1, 4, 1, 4]
    assert "final_observations" not in extras


def test_only_named_groups_are_computed_and_only_at_time_outs(env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    restart(env, 4, ["privileged"], groups=["state"])
    limit(env, 2, 2)
    computed = []
    original = env.observation_manager.compute_group

    def record(group: str, **options: Any) -> Any:
        computed.append(group)
        return original(group, **options)

    monkeypatch.setattr(env.observation_manager, "compute_group", record)
    obs, *_, extras = env.step(as_chunk(actions(4)))
    assert list(obs) == ["state"]
    assert list(extras["final_observations"].keys()) == ["privileged"]
    assert computed == ["state", "privileged", "state", "state", "state"], "the history samples every step"
    computed.clear()
    env.step(as_chunk(actions(4)))
    assert computed == ["state"] * 4


def test_rollouts_in_inference_mode(env: Any) -> None:
    """Histories that a runner wrote can be copied."""
    expected = states(env, 5)
    restart(env, 1, ["state"])
    with torch.inference_mode():
        for action in actions(5)[:3]:
            env.step(action)
        env.configure_decisions(2, final_observation_groups=["state"])
        limit(env, 1, 2)
        *_, extras = env.step(as_chunk(actions(5)[3:]))
    assert agree(extras["final_observations"]["state"][1], expected[4]["state"][1])


def test_rsl_rls_wrapper_passes_them_on(env: Any) -> None:
    from isaaclab_rl.rsl_rl import RslRlVecEnvWrapper

    wrapper = RslRlVecEnvWrapper(env)
    restart(env, 2, ["state"])
    limit(env, 1, 2)
    _, _, dones, extras = wrapper.step(as_chunk(actions(2)))
    assert dones.tolist() == extras["time_outs"].long().tolist() == [0, 1, 0, 0]
    assert extras["final_observations"]["state"][1].any()
    assert extras["step_rewards"].shape == (NUM_ENVS, 2)


def test_an_unknown_group_is_refused(env: Any) -> None:
    restart(env, 2, ["state"])
    with pytest.raises(ValueError, match="no observation group 'depth'. It offers: rgb, state, object, privileged"):
        env.configure_decisions(4, final_observation_groups=["state", "depth"])
    assert env.chunk_length == 2
