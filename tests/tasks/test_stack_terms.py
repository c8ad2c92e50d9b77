# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Rewards, success and terminations of the stack task on states set by hand, in the real scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from gr00t_rl_ext.tasks.stack.mdp.rewards import CUBE_HEIGHT

CUBES = ("cube_1", "cube_2", "cube_3")
REST = 0.0203
"""Height of the centre of a cube on the table [m]."""


@pytest.fixture(scope="module")
def env(make_env: Callable[..., Any]) -> Any:
    return make_env("Isaac-Stack-Cube-Franka-IK-Rel-v0", 2)


@pytest.fixture(autouse=True)
def _fresh(env: Any) -> None:
    env.configure_decisions(1)
    env.reset(seed=3)
    # the frame sensor is stale right after a reset
    env.step(torch.zeros(2, env.control_action_dim))
    set_fingers(env, 0.04)


def place(env: Any, **positions: tuple[float, float, float]) -> None:
    """Put cubes at positions in every environment's frame [m], upright and at rest."""
    for name, position in positions.items():
        pose = torch.tensor([[*position, 0.0, 0.0, 0.0, 1.0]]).repeat(env.num_envs, 1)
        pose[:, :3] += env.scene.env_origins
        env.scene[name].write_root_pose_to_sim_index(root_pose=pose)
        env.scene[name].write_root_velocity_to_sim_index(root_velocity=torch.zeros(env.num_envs, 6))
    # the terms share what they compute within a control step
    env.common_step_counter += 1


def set_fingers(env: Any, opening: float) -> None:
    """Set both finger joints [m]."""
    robot = env.scene["robot"]
    fingers, _ = robot.find_joints(["panda_finger_joint.*"])
    robot.write_joint_position_to_sim_index(position=torch.full((env.num_envs, 2), opening), joint_ids=fingers)


def gripper(env: Any) -> tuple[float, float, float]:
    """Position between the fingertips in the frame of environment 0 [m]."""
    position = env.scene["ee_frame"].data.target_pos_w.torch[0, 0] - env.scene.env_origins[0]
    return tuple(position.tolist())


def term(env: Any, name: str) -> float:
    """Value of a reward term in environment 0, without its weight."""
    cfg = env.reward_manager.get_term_cfg(name)
    value = cfg.func(env, **cfg.params)
    assert value.shape == (env.num_envs,)
    return float(value[0])


def success(env: Any) -> bool:
    cfg = env.termination_manager.get_term_cfg("success")
    return bool(cfg.func(env, **cfg.params)[0])


def tower(top_offset: float = 0.0) -> dict[str, tuple[float, float, float]]:
    """Positions of a finished tower, with the top cube shifted sideways [m]."""
    return {
        "cube_1": (0.5, 0.0, REST),
        "cube_2": (0.5, 0.0, REST + CUBE_HEIGHT),
        "cube_3": (0.5 + top_offset, 0.0, REST + 2 * CUBE_HEIGHT),
    }


def test_a_released_tower_is_success(env: Any) -> None:
    place(env, **tower())
    assert success(env)


def test_cubes_5_cm_apart_are_no_success(env: Any) -> None:
    place(env, **tower(top_offset=0.05))
    assert not success(env)


def test_a_tower_that_is_held_is_no_success(env: Any) -> None:
    place(env, **tower())
    set_fingers(env, 0.0234)
    assert not success(env)


def test_the_wrong_order_is_no_success(env: Any) -> None:
    wrong = tower()
    wrong["cube_1"], wrong["cube_2"] = wrong["cube_2"], wrong["cube_1"]
    place(env, **wrong)
    assert not success(env)


def test_success_ends_the_episode_and_is_logged(env: Any) -> None:
    place(env, **tower())
    place_only_in_first = env.scene.env_origins[1] + torch.tensor([0.45, 0.1, REST])
    pose = torch.cat((place_only_in_first, torch.tensor([0.0, 0.0, 0.0, 1.0]))).unsqueeze(0)
    env.scene["cube_3"].write_root_pose_to_sim_index(root_pose=pose, env_ids=torch.tensor([1], dtype=torch.int32))
    hold = torch.zeros(2, env.control_action_dim)
    hold[:, -1] = 1.0
    for _ in range(4):
        _, reward, terminated, truncated, extras = env.step(hold)
        if terminated[0]:
            break
    assert terminated.tolist() == [True, False]
    assert extras["success"].tolist() == [True, False]
    assert not truncated.any()
    assert extras["log"]["Episode_Termination/success"] == 0.5
    # weight 20 times the step of 0.05 s, and what the dense terms say of a tower
    assert 1.0 < reward[0] < 1.01
    assert reward[1] < 0.01


def test_a_dropped_cube_ends_the_episode_without_success(env: Any) -> None:
    place(env, cube_3=(3.0, 0.0, -0.06))
    _, _, terminated, truncated, extras = env.step(torch.zeros(2, env.control_action_dim))
    assert terminated.all()
    assert not truncated.any()
    assert not extras["success"].any()


def test_the_active_cube_is_the_lowest_that_is_not_placed(env: Any) -> None:
    from gr00t_rl_ext.tasks.stack import mdp

    place(env, cube_1=(0.5, 0.0, REST), cube_2=(0.5, 0.15, REST), cube_3=(0.4, -0.15, REST))
    assert mdp.active_cube(env).tolist() == [1, 1]
    assert mdp.placed(env)[0].tolist() == [True, False, False]
    place(env, cube_2=(0.5, 0.0, REST + CUBE_HEIGHT))
    assert mdp.active_cube(env).tolist() == [2, 2]
    place(env, **tower())
    assert mdp.placed(env).all()
    assert mdp.active_cube(env).tolist() == [2, 2]
    # the top cube floats in its place, but the one below it is gone
    place(env, cube_2=(0.4, 0.2, REST))
    assert mdp.placed(env)[0].tolist() == [True, False, False]


def test_reach(env: Any) -> None:
    x, y, z = gripper(env)
    place(env, cube_1=(0.5, 0.2, REST), cube_2=(x, y, z))
    assert term(env, "reach") == pytest.approx(1.0, abs=1e-3)
    place(env, cube_2=(x + 0.1, y, z))
    assert term(env, "reach") == pytest.approx(1.0 - torch.tanh(torch.tensor(1.0)).item(), abs=1e-3)


@pytest.mark.parametrize(
    ("offset", "opening", "held"),
    [(0.0, 0.0234, 1.0), (0.0, 0.04, 0.0), (0.0, 0.0, 0.0), (0.05, 0.0234, 0.0)],
    ids=["held", "open", "closed beside it", "too far"],
)
def test_grasp(env: Any, offset: float, opening: float, held: float) -> None:
    x, y, z = gripper(env)
    place(env, cube_1=(0.5, 0.2, REST), cube_2=(x, y, z + offset))
    set_fingers(env, opening)
    assert term(env, "grasp") == held


def test_lift_grows_with_the_height_of_the_held_cube(env: Any) -> None:
    x, y, z = gripper(env)
    set_fingers(env, 0.0234)
    # half of the height to the target's top plus 3 cm clearance
    half = 0.5 * (CUBE_HEIGHT + 0.03)
    below = z - half - REST
    place(env, cube_1=(x - 0.2, y, REST + below), cube_2=(x, y, z))
    # the target lies higher than the table by `below`, so the way is longer by it
    expected = (z - REST) / (below + CUBE_HEIGHT + 0.03)
    assert term(env, "lift") == pytest.approx(min(expected, 1.0), abs=1e-3)
    place(env, cube_1=(x - 0.2, y, z))
    partial = (z - REST) / (z - REST + CUBE_HEIGHT + 0.03)
    assert term(env, "lift") == pytest.approx(partial, abs=1e-3)
    set_fingers(env, 0.04)
    assert term(env, "lift") == 0.0


def test_align_counts_only_above_the_target(env: Any) -> None:
    place(env, cube_1=(0.5, 0.0, REST), cube_2=(0.55, 0.0, REST + CUBE_HEIGHT + 0.03))
    assert term(env, "align") == pytest.approx(1.0 - torch.tanh(torch.tensor(1.0)).item(), abs=1e-3)
    place(env, cube_2=(0.55, 0.0, REST))
    assert term(env, "align") == 0.0


def test_stack_counts_placed_cubes(env: Any) -> None:
    place(env, cube_1=(0.5, 0.0, REST), cube_2=(0.4, 0.2, REST), cube_3=(0.4, -0.2, REST))
    assert term(env, "stack") == 0.0
    place(env, cube_2=(0.5, 0.0, REST + CUBE_HEIGHT))
    assert term(env, "stack") == 0.5
    place(env, **tower())
    assert term(env, "stack") == 1.0


def test_action_rate_is_the_squared_change(env: Any) -> None:
    env.step(torch.zeros(2, env.control_action_dim))
    action = torch.zeros(2, env.control_action_dim)
    action[:, 0] = 0.5
    env.step(action)
    assert term(env, "action_rate") == pytest.approx(0.25)


def test_later_stages_are_worth_more(env: Any) -> None:
    """Per step, each stage outweighs what an agent could collect by staying before it."""
    weights = {name: env.reward_manager.get_term_cfg(name).weight for name in env.reward_manager.active_terms}
    assert weights["stack"] * 0.5 >= weights["reach"] + weights["grasp"] + weights["lift"] + weights["align"]
    # finishing at once pays more than collecting every dense term for the whole episode
    dense = sum(weights[name] for name in ("reach", "grasp", "lift", "align", "stack"))
    assert weights["success"] > dense * env.max_episode_length
