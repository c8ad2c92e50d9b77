# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Groups of the direct cartpole, whose task counts how long the pole has been upright."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

NUM_ENVS, CHUNK = 4, 2


@pytest.fixture(scope="module")
def env(make_env: Callable[..., Any]) -> Any:
    return make_env("Isaac-Cartpole-Camera-Discrete-v0", NUM_ENVS)


@pytest.fixture
def fresh(env: Any) -> Any:
    env.configure_decisions(CHUNK)
    env.configure_groups(2)
    env.reset(seed=5)
    return env


def choices(seed: int) -> torch.Tensor:
    return torch.randint(0, 3, (NUM_ENVS, CHUNK), generator=torch.Generator().manual_seed(seed)).float()


def spread(values: torch.Tensor) -> float:
    """Largest difference within the two groups of two."""
    return float((values[1::2].double() - values[::2].double()).abs().max())


def test_members_start_equal_and_stay_so(fresh: Any) -> None:
    fresh.step(choices(0))
    assert spread(fresh.obs_buf["state"]) > 1e-2
    assert spread(fresh.obs_buf["rgb"]) > 1
    fresh.start_groups([0, 1])
    assert fresh.episode_length_buf.tolist() == [0] * NUM_ENVS
    assert fresh._upright_steps.tolist() == [0] * NUM_ENVS
    assert spread(fresh.obs_buf["state"]) < 1e-6
    assert spread(fresh.obs_buf["rgb"]) == 0
    assert not torch.equal(fresh.obs_buf["state"][0], fresh.obs_buf["state"][2])
    assert "log" not in fresh.extras
    for seed in range(10):
        fresh.step(choices(seed)[:1].expand(NUM_ENVS, -1))
    assert spread(fresh.obs_buf["state"]) < 1e-5


def test_other_groups_do_not_notice(fresh: Any) -> None:
    fresh.step(choices(0))
    before, upright = {name: value.clone() for name, value in fresh.obs_buf.items()}, fresh._upright_steps.clone()
    fresh.start_groups([1])
    for name in before:
        assert torch.equal(fresh.obs_buf[name][:2], before[name][:2])
    assert fresh._upright_steps.tolist() == [*upright[:2].tolist(), 0, 0]
    assert fresh.episode_length_buf.tolist() == [CHUNK, CHUNK, 0, 0]


def test_followers_continue_from_the_leader(fresh: Any) -> None:
    """Including the steps that its pole has been upright, without which it would not succeed."""
    for seed in range(3):
        fresh.step(choices(seed))
    fresh._upright_steps[:] = torch.tensor([3, 40, 50, 7])
    before = fresh.obs_buf["state"].clone()
    fresh.share_states([1, 2])
    assert fresh._upright_steps.tolist() == [40, 40, 50, 50]
    assert torch.equal(fresh.obs_buf["state"][[1, 2]], before[[1, 2]])
    assert spread(fresh.obs_buf["state"]) < 1e-6
    assert spread(before) > 1e-2
    for seed in range(3, 8):
        fresh.step(choices(seed)[:1].expand(NUM_ENVS, -1))
    assert spread(fresh.obs_buf["state"]) < 1e-5


def test_parked_environments(fresh: Any) -> None:
    fresh.step(choices(0))
    fresh.park(torch.tensor([True, False, False, True]))
    fresh.episode_length_buf[0] = fresh.max_episode_length - 1
    fresh.episode_length_buf[1] = fresh.max_episode_length - 1
    _, reward, terminated, truncated, extras = fresh.step(choices(1))
    assert truncated.tolist() == [False, True, False, False]
    assert not terminated.any()
    assert extras["executed_steps"].tolist() == [0, 1, CHUNK, 0]
    assert not reward[[0, 3]].any()
    assert fresh.episode_length_buf.tolist() == [fresh.max_episode_length - 1, 0, 2 * CHUNK, CHUNK]
    fresh.share_states([0])
    *_, truncated, _ = fresh.step(choices(2))
    assert truncated.tolist() == [True, True, False, False]


def test_what_a_task_must_declare(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(type(fresh), "state_buffers", None)
        with pytest.raises(
            ValueError, match=r"CartpoleCameraEnv does not declare .*`state_buffers: \[\]`\) if there is"
        ):
            fresh.configure_groups(2)
    for names, message in ((("cfg",), "names `cfg`, which is no tensor"), (("_pole_dof_idx",), r"of shape \(1,\)")):
        with monkeypatch.context() as patch:
            patch.setattr(type(fresh), "state_buffers", names)
            with pytest.raises(ValueError, match=message):
                fresh.configure_groups(2)
    monkeypatch.setattr(fresh.cfg, "action_noise_model", object())
    with pytest.raises(ValueError, match="adds noise to actions.*`env.action_noise_model=null`"):
        fresh.configure_groups(2)


def test_without_its_buffer_a_task_is_not_copied(fresh: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests above notice what is forgotten."""
    monkeypatch.setattr(type(fresh), "state_buffers", ())
    fresh._upright_steps[:] = torch.tensor([3, 40, 50, 7])
    fresh.share_states([1, 2])
    assert fresh._upright_steps.tolist() == [3, 40, 50, 7]
