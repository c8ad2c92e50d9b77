# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Groups under Newton physics, whose frame sensors follow physics steps only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch


@pytest.mark.slow
def test_members_start_equal_and_stay_so(make_env: Callable[..., Any]) -> None:
    env = make_env("Isaac-Stack-Cube-Franka-v0", 2, overrides=("physics=newton_mjwarp",))
    env.configure_decisions(4)
    env.configure_groups(2)
    env.start_groups([0])
    for name, value in env.obs_buf.items():
        assert torch.equal(value[0], value[1]), name
    for seed in range(5):
        action = torch.rand(1, 32, generator=torch.Generator().manual_seed(seed)) - 0.5
        env.step(action.expand(2, -1))
    assert (env.obs_buf["state"][0] - env.obs_buf["state"][1]).abs().max() < 1e-5
    env.step(torch.rand(2, 32, generator=torch.Generator().manual_seed(9)) - 0.5)
    assert (env.obs_buf["state"][0] - env.obs_buf["state"][1]).abs().max() > 1e-2
    env.share_states([1])
    for name, value in env.obs_buf.items():
        assert torch.equal(value[0], value[1]), name
