# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""finite: what is checked, what the errors say, and when skipping ends."""

from __future__ import annotations

import math
import re

import pytest
import torch
from tensordict import TensorDict

from gr00t_rl_ext.algorithms.finite import (
    DivergedError,
    SkippedSteps,
    require_finite_observations,
    require_finite_rewards,
)


def observations(num_envs: int = 64) -> TensorDict:
    return TensorDict(
        {
            "rgb": torch.full((num_envs, 2, 4, 4, 3), 255, dtype=torch.uint8),
            "state": torch.zeros(num_envs, 7),
            "privileged": torch.full((num_envs, 3), 1e12),
        },
        batch_size=[num_envs],
    )


def test_finite_observations_and_rewards_pass() -> None:
    require_finite_observations(observations())
    require_finite_observations(observations().select("rgb"))
    require_finite_rewards(torch.tensor([0.0, -1e12, 1e-45]))


def test_an_error_names_groups_environments_and_kinds() -> None:
    obs = observations()
    obs["state"][5, 2] = math.nan
    obs["state"][0, 6] = math.nan
    obs["state"][7, 0] = -math.inf
    obs["privileged"][63] = math.inf
    message = (
        "Observation group 'state' is NaN in 2 of 64 environments (env 0, 5) and infinite in 1 of 64 environments"
        " (env 7). Observation group 'privileged' is infinite in 1 of 64 environments (env 63). Such numbers come from"
        " a simulation that has diverged, or from the observation terms of the group, e.g. a division by zero."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        require_finite_observations(obs)


def test_an_error_names_ten_environments_and_their_number() -> None:
    obs = observations(4096)
    obs["state"][100:3000] = math.nan
    message = "is NaN in 2900 of 4096 environments (env 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, ...)."
    with pytest.raises(ValueError, match=re.escape(message)):
        require_finite_observations(obs)


def test_nested_groups_and_half_precision_are_checked() -> None:
    arm = torch.zeros(2, 3, dtype=torch.bfloat16)
    obs = TensorDict({"robot": TensorDict({"arm": arm}, batch_size=[2])}, batch_size=[2])
    require_finite_observations(obs)
    arm[1, 0] = math.nan
    with pytest.raises(ValueError, match="Observation group 'robot/arm' is NaN in 1 of 2 environments \\(env 1\\)"):
        require_finite_observations(obs)


@pytest.mark.parametrize("shape", [(4,), (4, 8)])  # of decisions, of control steps
def test_rewards(shape: tuple[int, ...]) -> None:
    rewards = torch.zeros(shape)
    rewards[2] = math.nan
    rewards[3] = math.inf
    message = (
        "The rewards are NaN in 1 of 4 environments (env 2) and infinite in 1 of 4 environments (env 3). Such numbers"
        " come from a simulation that has diverged, or from the reward terms"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        require_finite_rewards(rewards)


class _CountedReads(torch.utils._python_dispatch.TorchDispatchMode):
    """Counts reads of a tensor's number by Python, each of which waits for the device."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default)
        return function(*args, **(kwargs or {}))


def test_numbers_that_are_too_large_are_blamed_on_where_they_are() -> None:
    obs = observations()
    obs["state"][3, 1] = 1e30
    with pytest.raises(
        ValueError, match=r"^Observation group .state. is beyond 1e\+12 in 1 of 64 environments \(env 3\)\."
    ):
        require_finite_observations(obs)
    with pytest.raises(ValueError, match=r"^The rewards are beyond 1e\+12 in 2 of 3 environments \(env 0, 2\)\."):
        require_finite_rewards(torch.tensor([1e13, 0.0, -1e20]))


def test_a_check_waits_for_the_device_once() -> None:
    obs = observations()
    with _CountedReads() as reads:
        require_finite_observations(obs)
    assert reads.count == 1
    with _CountedReads() as reads:
        require_finite_rewards(torch.zeros(4))
    assert reads.count == 1


def test_steps_are_skipped_until_the_limit_in_a_row() -> None:
    steps = SkippedSteps(3)
    assert [steps.record(finite) for finite in (True, False, False, True, False, False)] == [
        True,
        False,
        False,
        True,
        False,
        False,
    ]
    assert steps.total == 4
    message = (
        "Training stops: updates in a row whose gradient is not finite: 3 (5 in all). None of these steps was taken,"
        " and the last checkpoint on disk is from before: resume from it. Try a lower"
        " `agent.algorithm.learning_rate`, `agent.algorithm.use_mixed_precision=false`, and look at the rewards"
    )
    with pytest.raises(DivergedError, match=re.escape(message)):
        steps.record(False)
    assert steps.total == 5


def test_a_limit_of_one_stops_at_once() -> None:
    steps = SkippedSteps(1)
    assert steps.record(True)
    with pytest.raises(DivergedError, match="not finite: 1 \\(1 in all\\)"):
        steps.record(False)
