# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Several tasks in one scene, on the example of four tasks with cubes and real physics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from gr00t_rl_ext.envs.decision import Outcome
from gr00t_rl_ext.tasks.files.reading import Source
from gr00t_rl_ext.tasks.files.terms import expert_class
from gr00t_rl_ext.tasks.shipped import SHIPPED

EXAMPLE, _ = SHIPPED["Gr00t-Cubes-Franka"]
NAMES = ("lift_red", "lift_green", "lift_blue", "red_on_blue")
NUM_ENVS = 8


@pytest.fixture(scope="module")
def env(make_env: Callable[..., Any]) -> Any:
    return make_env("Gr00t-Cubes-Franka", NUM_ENVS)


@pytest.fixture(autouse=True)
def _fresh(env: Any) -> None:
    env.configure_decisions(1, observation_groups=["state", "task"])
    env.reset(seed=3)


def put_into_gripper(env: Any, cube: str) -> None:
    """High above the table, between fingers that hold it."""
    gripper = env.scene["ee_frame"].data.target_pos_w.torch[:, 0].clone()
    pose = torch.cat((gripper, torch.tensor([[0.0, 0.0, 0.0, 1.0]]).repeat(NUM_ENVS, 1)), dim=1)
    env.scene[cube].write_root_pose_to_sim_index(root_pose=pose)
    env.scene[cube].write_root_velocity_to_sim_index(root_velocity=torch.zeros(NUM_ENVS, 6))
    robot = env.scene["robot"]
    fingers, _ = robot.find_joints(["panda_finger_joint.*"])
    robot.write_joint_position_to_sim_index(position=torch.full((NUM_ENVS, 2), 0.0234), joint_ids=fingers)
    # terms keep what they computed within a control step
    env.common_step_counter += 1


def of_task(env: Any, name: str) -> torch.Tensor:
    return env.task_set.index == NAMES.index(name)


def test_environments_have_tasks_by_equal_shares(env: Any) -> None:
    assert env.task_set.names == NAMES
    assert torch.bincount(env.task_set.index).tolist() == [2, 2, 2, 2]
    observed = env.obs_buf["task"]
    assert torch.equal(observed.argmax(1), env.task_set.column)
    assert torch.equal(observed.sum(1), torch.ones(NUM_ENVS))


@pytest.mark.parametrize(("cube", "name"), [("cube_1", "lift_blue"), ("cube_2", "lift_red"), ("cube_3", "lift_green")])
def test_what_counts_is_the_task_that_an_environment_has(env: Any, cube: str, name: str) -> None:
    put_into_gripper(env, cube)
    success = env.termination_manager.get_term_cfg("success")
    assert torch.equal(success.func(env, **success.params), of_task(env, name))
    for other in NAMES[:3]:
        reward = env.reward_manager.get_term_cfg(f"{other}__grasp")
        assert torch.equal(reward.func(env, **reward.params) > 0, of_task(env, name) & (other == name))


def test_members_of_a_group_have_one_task(env: Any) -> None:
    env.configure_groups(2)
    try:
        env.reset(seed=4)
        env.start_groups([0, 1, 2, 3])
        index = env.task_set.index.view(4, 2)
        assert torch.equal(index[:, 0], index[:, 1])
        assert sorted(index[:, 0].tolist()) == [0, 1, 2, 3]
        assert torch.equal(env.obs_buf["task"].argmax(1), env.task_set.column)
    finally:
        env._group_size = None


def test_the_expert_solves_each_task(env: Any) -> None:
    """In the first episode of each environment."""
    expert = expert_class(Source(EXAMPLE))(NUM_ENVS)
    running, solved = torch.ones(NUM_ENVS, dtype=torch.bool), torch.zeros(NUM_ENVS, dtype=torch.bool)
    for _ in range(env.max_episode_length):
        env.park(~running)
        *_, extras = env.step(expert.action(env))
        outcome = Outcome.from_extras(extras)
        ended = running & (outcome.episode_steps > 0)
        solved |= ended & outcome.success
        running &= ~ended
        if not running.any():
            break
    assert solved.sum() >= 7, solved


def test_an_expert_without_a_tower_for_a_task(env: Any) -> None:
    kind = expert_class(Source(EXAMPLE))
    kind.towers = {"lift_red": ["cube_2"]}
    with pytest.raises(ValueError, match="no tower for the task lift_green, lift_blue, red_on_blue; it has lift_red"):
        kind(NUM_ENVS).action(env)
