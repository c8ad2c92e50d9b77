# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The scripted experts of the Fetch tasks: on states written by hand, and in the simulator."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch

from gr00t_rl_ext.envs.gymnasium.tasks import make
from gr00t_rl_ext.imitation.experts import EXPERTS
from gr00t_rl_ext.imitation.experts.fetch import CLOSE, GRASP, HOVER, OPEN, FetchScene, PickAndPlaceExpert, ReachExpert

REACH, PICK = "gym:FetchReach-v4", "gym:FetchPickAndPlace-v4"
WIDE, AROUND_BLOCK = 0.1, 0.048
"""Distances of the fingers: open, and on the block."""


def scene(gripper: list[float], block: list[float], goal: list[float], opening: float = WIDE) -> FetchScene:
    """A scene of one environment."""
    return FetchScene(torch.tensor([gripper]), torch.tensor([opening]), torch.tensor([block]), torch.tensor([goal]))


def pick(*arguments: Any, **changes: Any) -> list[float]:
    return PickAndPlaceExpert(1).act(scene(*arguments, **changes))[0].tolist()


def test_reaching_goes_the_whole_way_or_as_far_as_an_action_reaches() -> None:
    near, far = [1.0, 0.5, 0.5], [1.0, 0.5, 0.5]
    act = ReachExpert(1).act
    assert act(scene(near, near, [1.01, 0.5, 0.48]))[0].tolist() == pytest.approx([0.2, 0.0, -0.4, 0.0], abs=1e-4)
    assert act(scene(far, far, [1.3, 0.5, 0.9]))[0].tolist() == pytest.approx([0.6, 0.0, 0.8, 0.0], abs=1e-4)


def test_picking_comes_from_above_with_open_fingers() -> None:
    goal = [1.3, 0.7, 0.6]
    # beside the block and as low: up and towards it
    x, y, z, fingers = pick([1.2, 0.7, 0.42], [1.3, 0.7, 0.42], goal)
    assert (y, fingers) == (0.0, OPEN)
    assert x > 0
    assert z / x == pytest.approx(HOVER / 0.1, rel=1e-4)
    # above it: straight down
    assert pick([1.3, 0.7, 0.5], [1.3, 0.7, 0.42], goal) == pytest.approx([0.0, 0.0, -1.0, OPEN], abs=1e-5)


def test_fingers_close_around_the_block_and_stay_closed_while_it_is_carried() -> None:
    block, goal = [1.3, 0.7, 0.42], [1.3, 0.74, 0.45]
    inside = [1.3 + 0.5 * GRASP, 0.7, 0.42]
    assert pick(inside, block, goal)[3] == CLOSE
    assert pick(inside, block, goal)[0] == pytest.approx(-0.5 * GRASP / 0.05, rel=1e-3)
    # held, it is the block that goes to the goal
    assert pick(inside, block, goal, opening=AROUND_BLOCK) == pytest.approx([0.0, 0.8, 0.6, CLOSE], abs=1e-4)
    # closed on nothing: open again, and back to the block
    away = [1.3, 0.65, 0.5]
    assert pick(away, block, goal, opening=0.0)[1] > 0
    assert pick(away, block, goal, opening=0.0)[3] == OPEN


@pytest.mark.parametrize("task", [REACH, PICK])
def test_what_is_read_is_what_the_terms_say(task: str) -> None:
    with contextlib.closing(make(task, num_envs=2, num_workers=1, seed=1)) as env:
        env.configure_decisions(1, observation_groups=["state", "privileged"])
        seen = FetchScene.read(env)
        state = env.get_observations()["state"]
        torch.testing.assert_close(seen.gripper, state[:, :3])
        torch.testing.assert_close(seen.opening, state[:, 3] + state[:, 4])
        torch.testing.assert_close(seen.goal, state[:, 10:13])
        # the block lies on the table, 11 cm below the gripper's rest pose
        height = (seen.gripper - seen.moved)[:, 2]
        assert (height > 0.1).all() if task == PICK else torch.equal(seen.moved, seen.gripper)


def successes(task: str, num_envs: int, each: int, noise: float = 0.0) -> tuple[float, list[int]]:
    """Share of successes in the first episodes of each environment, and the lengths of these."""
    generator = torch.Generator().manual_seed(0)
    with contextlib.closing(make(task, num_envs=num_envs, seed=7)) as env:
        expert = EXPERTS[task](num_envs)
        env.configure_decisions(1, observation_groups=expert.groups)
        env.reset(seed=7)
        counts, lengths, tried = torch.zeros(num_envs, dtype=torch.long), [], 0
        while (counts < each).any():
            action = expert.action(env)
            assert action.shape == (num_envs, 4)
            assert action.abs().max() <= 1.0
            action[:, :3] += noise * torch.randn(num_envs, 3, generator=generator)
            _, _, dones, extras = env.step(action)
            counted = (dones > 0) & (counts < each)
            tried += int(counted.sum())
            lengths += extras["episode_steps"][counted & extras["success"]].tolist()
            counts += dones > 0
    return len(lengths) / tried, sorted(lengths)


@pytest.mark.parametrize(("task", "longest"), [(REACH, 10), (PICK, 35)])
def test_an_expert_succeeds_in_the_simulator(task: str, longest: int) -> None:
    share, lengths = successes(task, num_envs=4, each=2)
    assert share == 1.0
    assert lengths[-1] <= longest


@pytest.mark.slow
@pytest.mark.parametrize(("task", "noise", "at_least"), [(REACH, 0.0, 0.99), (PICK, 0.0, 0.98), (PICK, 0.2, 0.95)])
def test_experts_succeed(task: str, noise: float, at_least: float) -> None:
    share, lengths = successes(task, num_envs=32, each=8, noise=noise)
    print(f"{task}, noise {noise}: {share:.1%}, median of {lengths[len(lengths) // 2]} steps")
    assert share >= at_least
