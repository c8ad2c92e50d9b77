# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""States in a file, for all kinds of environments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_gymnasium_state_copy import TASKS, run

from gr00t_rl_ext.envs.gymnasium.configs import GymnasiumEnvCfg
from gr00t_rl_ext.envs.gymnasium.registry import make_env
from gr00t_rl_ext.envs.gymnasium.state_record import record_state, restore_state


@pytest.mark.parametrize("env_id", TASKS)
def test_an_environment_goes_on_from_a_file_as_it_would_have(env_id: str) -> None:
    env, other = (make_env(GymnasiumEnvCfg(env_id=env_id)) for _ in range(2))
    env.reset(seed=0)
    run(env, 5, seed=1)
    state = record_state(env)
    expected = run(env, 8, seed=3)
    # neither in the state that a seed gives nor fresh
    other.reset(seed=7)
    run(other, 3, seed=2)
    restore_state(other, state)
    assert run(other, 8, seed=3) == expected
    # and the next episode, whose start no seed decides
    env.reset()
    other.reset()
    assert run(other, 4, seed=4) == run(env, 4, seed=4)
    env.close()
    other.close()


def test_a_new_environment_takes_a_state_before_its_first_reset() -> None:
    env, other = (make_env(GymnasiumEnvCfg(env_id="FetchReach-v4")) for _ in range(2))
    env.reset(seed=0)
    run(env, 5, seed=1)
    restore_state(other, record_state(env))
    assert run(other, 8, seed=3) == run(env, 8, seed=3)


def test_values_of_all_kinds_come_back() -> None:
    env, other = (make_env(GymnasiumEnvCfg(env_id="CartPole-v1")) for _ in range(2))
    env.reset(seed=0)
    values: dict[str, Any] = {
        "number": 2**100,
        "flag": True,
        "scalar": np.float32(0.1),
        "words": np.array(["a", "bc"]),
        "unsigned": np.arange(3, dtype=np.uint16),
        "raw": b"\x00\xff",
        "complex": 1 + 2j,
        "nested": {"a": [1, (2.5, None)], 3: {"x", "y"}},
        "old": np.random.RandomState(3),
    }
    for name, value in values.items():
        setattr(env.unwrapped, name, value)
    restore_state(other, record_state(env))
    restored = vars(other.unwrapped)
    for name in ("number", "flag", "scalar", "raw", "complex", "nested"):
        assert restored[name] == values[name]
        assert type(restored[name]) is type(values[name])
    for name in ("words", "unsigned"):
        assert restored[name].tolist() == values[name].tolist()
        assert restored[name].dtype == values[name].dtype
    assert restored["old"].rand() == values["old"].rand()


def test_a_state_of_another_task_is_refused() -> None:
    fetch, other, pole = (
        make_env(GymnasiumEnvCfg(env_id=name)) for name in ("FetchReach-v4", "FetchPush-v4", "CartPole-v1")
    )
    fetch.reset(seed=0)
    with pytest.raises(ValueError, match="layers of wrappers|does not fit"):
        restore_state(pole, record_state(fetch))
    with pytest.raises(ValueError, match="`data` of MujocoFetchPushEnv does not fit"):
        restore_state(other, record_state(fetch))


def test_bytes_that_are_no_state_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        restore_state(make_env(GymnasiumEnvCfg(env_id="CartPole-v1")), b"no state")
