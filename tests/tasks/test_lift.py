# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The lift task: when a cube counts as lifted, and what an episode is worth, in the real scene."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

LIFT = "Isaac-Lift-Cube-Franka-IK-Rel-v0"
STACK = "Isaac-Stack-Cube-Franka-IK-Rel-v0"
REST = 0.0203
HELD = 0.0234
"""Opening of each finger around a cube [m]."""


@pytest.fixture(scope="module")
def env(make_env: Callable[..., Any]) -> Any:
    return make_env(LIFT, 2)


@pytest.fixture(autouse=True)
def _fresh(env: Any) -> None:
    env.configure_decisions(1)
    env.termination_manager.get_term_cfg("success").params["rest_height"] = REST
    env.reset(seed=3)


def set_scene(env: Any, rise: float, speed: float = 0.0, opening: float = HELD, beside: float = 0.0) -> None:
    """Lower the scene's table height in the term instead of moving the arm: the red cube goes where the gripper is.

    Args:
        rise: Height of the cube above where it would lie [m].
        speed: Its vertical speed [m/s].
        opening: Of each finger [m].
        beside: Horizontal distance from the gripper [m].
    """
    term = env.termination_manager.get_term_cfg("success")
    gripper = env.scene["ee_frame"].data.target_pos_w.torch[:, 0].clone()
    term.params["rest_height"] = float(gripper[0, 2]) - rise
    pose = torch.cat((gripper, torch.tensor([[0.0, 0.0, 0.0, 1.0]]).repeat(env.num_envs, 1)), dim=1)
    pose[:, 0] += beside
    velocity = torch.zeros(env.num_envs, 6)
    velocity[:, 2] = speed
    env.scene["cube_2"].write_root_pose_to_sim_index(root_pose=pose)
    env.scene["cube_2"].write_root_velocity_to_sim_index(root_velocity=velocity)
    robot = env.scene["robot"]
    fingers, _ = robot.find_joints(["panda_finger_joint.*"])
    robot.write_joint_position_to_sim_index(position=torch.full((env.num_envs, 2), opening), joint_ids=fingers)
    # the grasp term keeps what it computed within a control step
    env.common_step_counter += 1


@pytest.mark.parametrize(
    ("scene", "lifted"),
    [
        ({"rise": 0.101}, True),
        ({"rise": 0.099}, False),
        ({"rise": 0.101, "speed": 0.14}, True),
        ({"rise": 0.101, "speed": 0.16}, False),
        ({"rise": 0.101, "speed": -0.16}, False),
        ({"rise": 0.101, "opening": 0.04}, False),
        ({"rise": 0.101, "opening": 0.0}, False),
        ({"rise": 0.101, "beside": 0.05}, False),
    ],
    ids=["held", "too low", "slow", "thrown", "falling", "open fingers", "closed fingers", "beside the fingers"],
)
def test_what_counts_as_lifted(env: Any, scene: dict[str, float], lifted: bool) -> None:
    set_scene(env, **scene)
    term = env.termination_manager.get_term_cfg("success")
    assert term.func(env, **term.params)[0].item() is lifted


def test_an_episode_lasts_five_seconds(env: Any) -> None:
    assert env.max_episode_length == 100
    assert env.step_dt == pytest.approx(0.05)
    env.episode_length_buf[0] = 99
    _, _, terminated, truncated, extras = env.step(torch.zeros(2, 7))
    assert truncated.tolist() == [True, False]
    assert not terminated.any()
    assert not extras["success"].any()


def test_a_cube_off_the_table_ends_the_episode(env: Any) -> None:
    pose = torch.tensor([[3.0, 0.0, -0.06, 0.0, 0.0, 0.0, 1.0]])
    pose[:, :3] += env.scene.env_origins[1]
    env.scene["cube_2"].write_root_pose_to_sim_index(root_pose=pose, env_ids=torch.tensor([1], dtype=torch.int32))
    _, _, terminated, _, extras = env.step(torch.zeros(2, 7))
    assert terminated.tolist() == [False, True]
    assert not extras["success"].any()


def test_success_is_worth_one_and_dense_terms_less(env: Any) -> None:
    weights = {name: env.reward_manager.get_term_cfg(name).weight for name in env.reward_manager.active_terms}
    assert weights["success"] * env.step_dt == pytest.approx(1.0)
    dense = sum(weights[name] for name in ("reach", "grasp", "lift"))
    assert dense * env.step_dt * env.max_episode_length == pytest.approx(0.5)


def test_the_dense_terms_follow_the_red_cube_wherever_it_is(env: Any) -> None:
    set_scene(env, rise=0.1)
    reach, grasp, lift = (env.reward_manager.get_term_cfg(name) for name in ("reach", "grasp", "lift"))
    assert reach.func(env, **reach.params)[0] == pytest.approx(1.0, abs=1e-3)
    assert grasp.func(env, **grasp.params)[0] == 1.0
    # 24 cm up, which is more than the 10 cm that count
    assert lift.func(env, **lift.params)[0] == 1.0
    assert lift.params["clearance"] + 0.0468 == pytest.approx(0.1)


def test_scene_and_interface_are_those_of_the_stack_task(env: Any) -> None:
    from isaaclab_tasks.utils import resolve_task_config

    lift, stack = (resolve_task_config(task, None, overrides=[])[0] for task in (LIFT, STACK))
    assert lift.instruction == "lift the red cube"
    for part in ("scene", "observations", "actions", "events"):
        assert getattr(lift, part).to_dict() == getattr(stack, part).to_dict(), part
    assert lift.decimation == stack.decimation
    # the stack task keeps its own goal
    assert "tower" not in stack.terminations.success.params
    assert stack.episode_length_s == 30.0


def test_the_group_object_says_where_the_cubes_are(env: Any) -> None:
    env.configure_decisions(1, observation_groups=["rgb", "state", "object"])
    obs, _ = env.reset(seed=5)
    assert set(obs) == {"rgb", "state", "object"}
    assert obs["object"].shape == (2, 39)
    assert env.observation_manager.active_terms["object"] == ["cubes"]
    red = env.scene["cube_2"].data
    expected = torch.cat((red.root_pos_w.torch - env.scene.env_origins, red.root_quat_w.torch), dim=1)
    torch.testing.assert_close(obs["object"][:, 7:14], expected)
    to_red = red.root_pos_w.torch - env.scene["ee_frame"].data.target_pos_w.torch[:, 0]
    torch.testing.assert_close(obs["object"][:, 24:27], to_red)


def test_agents(env: Any) -> None:
    import gymnasium as gym
    from isaaclab_tasks.utils import resolve_task_config

    assert {key for key in gym.spec(LIFT).kwargs if "ppo" in key} == {
        key for key in gym.spec(STACK).kwargs if "ppo" in key
    }
    ours = (
        "gr00t_adapter_ppo",
        "gr00t_flow_ppo",
        "gr00t_flow_ppo_small",
        "gr00t_lora_ppo",
        "gr00t_adapter_grpo",
        "gr00t_flow_grpo",
    )
    ours += ("gr00t_residual_ppo", "gr00t_ppo", "gr00t_ppo_small", "mlp_ppo")
    for agent in (*ours, "rsl_rl_cfg_entry_point"):
        _, cfg = resolve_task_config(LIFT, agent, overrides=[])
        assert "lift" in cfg.experiment_name
