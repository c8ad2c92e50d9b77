# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Tasks by name, what they observe, and what a user reads who asks for something that is not there."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from gr00t_rl_ext.envs.gymnasium import images
from gr00t_rl_ext.envs.gymnasium.configs import GymnasiumEnvCfg
from gr00t_rl_ext.envs.gymnasium.tasks import make, task_cfg
from gr00t_rl_ext.robot.task_spec import TaskSpec

TOYS = "gym:gymnasium_toys:"


@pytest.fixture(scope="module")
def fetch() -> Iterator[Any]:
    env = make("gym:FetchPickAndPlace-v4", num_envs=2, num_workers=1, seed=1, rgb=True)
    yield env
    env.close()


def columns(env: Any, group: str) -> dict[str, torch.Tensor]:
    """Term -> its numbers."""
    manager = env.observation_manager
    widths = [shape[0] for shape in manager.group_obs_term_dim[group]]
    parts = env.get_observations()[group].split(widths, dim=1)
    return dict(zip(manager.active_terms[group], parts, strict=True))


def test_terms_of_fetch_are_what_their_names_say(fetch) -> None:
    fetch.configure_decisions(1)
    fetch.reset(seed=1)
    widths = {"state": 13, "object": 18, "privileged": 35}
    assert {name: fetch.get_observations()[name].shape[1] for name in widths} == widths
    state, block, everything = (columns(fetch, group) for group in widths)
    full = everything["observation"]
    assert torch.equal(state["gripper_position"], full[:, :3])
    assert torch.equal(state["goal_position"], everything["desired_goal"])
    assert torch.equal(block["object_position"], everything["achieved_goal"])
    assert (everything["elapsed_time"] == 0.0).all()
    close = {"atol": 1e-6, "rtol": 0}
    torch.testing.assert_close(
        block["object_from_gripper"], block["object_position"] - state["gripper_position"], **close
    )
    torch.testing.assert_close(block["goal_from_object"], state["goal_position"] - block["object_position"], **close)
    # up and with opening fingers
    before = state["gripper_position"], state["finger_opening"]
    fetch.step(torch.tensor([[0.0, 0.0, 1.0, 1.0]]).expand(2, -1))
    state, block = columns(fetch, "state"), columns(fetch, "object")
    assert (state["gripper_position"][:, 2] > before[0][:, 2] + 0.01).all()
    assert (state["finger_opening"] > before[1] + 0.005).all()
    assert (state["gripper_velocity"][:, 2] > 0.005).all()
    assert (state["finger_velocity"] > 0.0005).all()
    # the block lies still, and seems to sink seen from the gripper
    torch.testing.assert_close(block["object_velocity_from_gripper"], -state["gripper_velocity"], atol=1e-3, rtol=0)
    assert block["object_angular_velocity"].abs().max() < 1e-3
    assert fetch.action_manager.active_terms == ["gripper_displacement", "finger_opening"]
    assert fetch.action_manager.action_term_dim == [3, 1]
    assert fetch.cfg.instruction == "pick up the block and move it to the red target"


def test_reach_which_has_no_object() -> None:
    env = make("gym:FetchReach-v4", num_envs=1, num_workers=1)
    try:
        assert list(env.observation_manager.active_terms) == ["state", "privileged"]
        before = columns(env, "state")
        env.step(torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
        after = columns(env, "state")
        assert (after["gripper_position"] - before["gripper_position"])[0, 0] > 0.01
        assert after["gripper_velocity"][0, 0] > 0.005
        assert (after["finger_opening"].abs() < 1e-3).all()  # blocked
        assert torch.equal(after["goal_position"], columns(env, "privileged")["desired_goal"])
        # walk to the goal: success ends the episode with reward 1
        env.configure_decisions(1)
        for _ in range(20):
            way = columns(env, "privileged")["goal_from_achieved"]
            _, rewards, dones, extras = env.step(torch.cat([(20 * way).clamp(-1, 1), torch.zeros(1, 1)], dim=1))
            if dones.any():
                break
        assert extras["success"].tolist() == [True]
        assert rewards.tolist() == [1.0]
        assert not extras["time_outs"].any()
    finally:
        env.close()


def test_cameras_see_what_moves_and_leave_the_physics_alone(fetch) -> None:
    chunk = torch.tensor([[0.0, 0.0, -1.0, 1.0] * 5]).expand(2, -1)
    episodes = []
    for groups in (["state", "rgb"], ["state"]):
        fetch.configure_decisions(5, observation_groups=groups)
        fetch.reset(seed=3)
        episodes.append([fetch.get_observations(), *(fetch.step(chunk)[0] for _ in range(3))])
    seen, blind = episodes
    assert seen[0]["rgb"].shape == (2, 64, 64, 6)
    assert fetch.observation_manager.active_terms["rgb"] == ["front", "side"]
    for with_images, without in zip(seen, blind, strict=True):
        assert torch.equal(with_images["state"], without["state"])
    targets = []
    for camera in (slice(0, 3), slice(3, 6)):
        first, last = (seen[step]["rgb"][..., camera].float() for step in (0, -1))
        assert first.std() > 30  # a picture
        assert ((first - last).abs().amax(-1) > 50).float().mean() > 0.01  # the arm
        targets.append((first[..., 0] > 150) & (first[..., 1] < 80) & (first[..., 2] < 80))
    both = torch.stack(targets)
    assert both.any(0).any(dim=(1, 2)).all()  # the arm may hide it from one camera
    assert not torch.equal(both[:, 0], both[:, 1])


def test_an_episode_depends_on_its_number_and_not_on_what_was_done_before(fetch) -> None:
    """Nor on the number of processes."""
    chunk = 2 * torch.rand(2, 20, generator=torch.Generator().manual_seed(0)) - 1
    fetch.configure_decisions(5, observation_groups=["privileged"])

    def third_episode(env: Any, active: bool) -> list[torch.Tensor]:
        env.reset(seed=4)
        for _ in range(2):
            if active:
                for _ in range(4):
                    env.step(chunk)
            env.reset()
        return [env.get_observations()["privileged"], *(env.step(chunk)[0]["privileged"] for _ in range(4))]

    expected = third_episode(fetch, active=True)
    assert all(map(torch.equal, third_episode(fetch, active=False), expected))
    spread = make("gym:FetchPickAndPlace-v4", num_envs=2, num_workers=2)
    try:
        spread.configure_decisions(5)
        assert all(map(torch.equal, third_episode(spread, active=False), expected))
    finally:
        spread.close()


@pytest.mark.parametrize(
    ("task", "settings", "message"),
    [
        ("Isaac-Cartpole-v0", {}, r"'Isaac-Cartpole-v0' is no Gymnasium task. Expected e.g. 'gym:Fetch"),
        ("gym:", {}, "'gym:' is no Gymnasium task"),
        ("gym:FetchPickAndplace-v4", {}, r"Neither Gymnasium nor Gymnasium-Robotics has an environment 'FetchPickAnd"),
        ("gym:CartPole-v99", {}, r"has an environment 'CartPole-v99'.*[Vv]ersion"),
        ("gym:a b", {}, r"'a b' is no id of a Gymnasium environment"),
        ("gym:no_such_module:X-v0", {}, r"names a module that cannot be imported: No module named 'no_such_module'"),
        (f"{TOYS}Cound-v0", {}, r"The module 'gymnasium_toys' registers no environment 'Cound-v0'"),
        (f"{TOYS}Endless-v0", {}, r"registered without a time limit. Set one \(`env.max_episode_steps`\)"),
        (f"{TOYS}Varying-v0", {}, r"has no fixed number of columns. Supported are Box"),
        (f"{TOYS}Count-v0", {"env_kwargs": {"goul": 3}}, r"refuses its arguments {'goul': 3} \(`env_kwargs`\)"),
        (
            f"{TOYS}Count-v0",
            {"env_kwargs": {"space": "binary"}},
            r"action space is MultiBinary\(2\). Supported are Box",
        ),
        (f"{TOYS}Count-v0", {"num_env": 3}, r"`env.num_env` does not exist; there are env_id,"),
        (f"{TOYS}Count-v0", {"num_envs": 0}, r"`env.num_envs` is 0: Input should be greater than 0"),
        (f"{TOYS}Count-v0", {"reward": "dense"}, r"`env.reward` is 'dense': Input should be 'env' or 'sparse_success'"),
        (f"{TOYS}Count-v0", {"rgb": True, "cameras": {}}, "`rgb` asks for images, but `cameras` is empty"),
        (f"{TOYS}Count-v0", {"groups": {"rgb": {}}}, "`groups` cannot define 'rgb'"),
        (
            f"{TOYS}Count-v0",
            {"cameras": {"a": {"distance": 1.0}}},
            r"all of lookat, distance, azimuth, elevation, or nothing of these; got distance",
        ),
        (
            f"{TOYS}Count-v0",
            {"terminate_on_success": True},
            r"`env.terminate_on_success=true` needs an `info` entry is_success or success, .* It gives: nothing",
        ),
        (f"{TOYS}Count-v0", {"success_key": "won", "env_kwargs": {"goal": 1}}, r"entry won, .* It gives: is_success"),
        (
            f"{TOYS}Count-v0",
            {"groups": {"state": {"a": {"key": "goal"}}}},
            r"`groups.state.a` reads the entry 'goal', .* It has: observation",
        ),
        (
            f"{TOYS}Count-v0",
            {"groups": {"state": {"a": {"start": 2, "stop": 9}}}},
            r"`groups.state.a` reads the columns 2 to 9 of 'observation', which has 4",
        ),
        (
            f"{TOYS}Count-v0",
            {"groups": {"state": {"a": {"stop": 2, "minus": {"stop": 1}}}}},
            r"`groups.state.a` has 2 columns, but its `minus` has 1",
        ),
        (f"{TOYS}Count-v0", {"action_terms": {"a": 3}}, r"`action_terms` {'a': 3} are 3 wide .* has 2 numbers"),
        (
            f"{TOYS}Count-v0",
            {"rgb": True, "cameras": {"a": {"model_camera": "top"}}},
            r"`cameras` defines a, but the environment is not made with MuJoCo",
        ),
        (
            "gym:FetchReach-v4",
            {"rgb": True, "cameras": {"a": {"model_camera": "top"}}},
            r"`cameras.a.model_camera` is 'top', .* It has: head_camera_rgb, gripper_camera_rgb, lidar",
        ),
    ],
)
def test_what_is_not_there(task: str, settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"(?s){message}"):
        make(task, **{"num_envs": 1, **settings})


def test_settings_replace_the_tasks_own() -> None:
    cfg = task_cfg("gym:FetchPush-v4", terminate_on_success=False, num_envs=7)
    assert (cfg.terminate_on_success, cfg.num_envs, cfg.success_key) == (False, 7, "is_success")
    assert (cfg.reward, task_cfg("gym:FetchPushDense-v4").reward) == ("sparse_success", "env")


def test_what_the_loggers_store_is_json() -> None:
    stored = json.loads(json.dumps(task_cfg("gym:FetchSlide-v4", num_envs=7).to_dict()))
    assert stored["num_envs"] == 7
    assert GymnasiumEnvCfg(**stored) == task_cfg("gym:FetchSlide-v4", num_envs=7)


def test_what_a_gr00t_policy_knows_of_fetch(fetch) -> None:
    fetch.configure_decisions(1)
    spec = TaskSpec.from_env(fetch, fetch.get_observations(), ["rgb", "state"])
    assert spec.cameras == ("front", "side")
    assert spec.image_groups == ("rgb",)
    assert spec.state_terms == {
        "gripper_position": 3,
        "finger_opening": 2,
        "gripper_velocity": 3,
        "finger_velocity": 2,
        "goal_position": 3,
    }
    assert spec.action_terms == {"gripper_displacement": 3, "finger_opening": 1}
    assert spec.instruction == "pick up the block and move it to the red target"


@pytest.mark.skipif(importlib.util.find_spec("pygame") is not None, reason="pygame is installed")
def test_a_missing_package_is_named() -> None:
    with pytest.raises(ValueError, match=r'pygame is not installed, run `pip install "gymnasium\[classic'):
        make("gym:CartPole-v1", num_envs=1, rgb=True)


def test_without_gymnasium_robotics_the_error_says_how_to_get_it() -> None:
    program = (
        "import sys; sys.modules['gymnasium_robotics'] = None\n"
        "from gr00t_rl_ext.envs.gymnasium.registry import load_spec\n"
        "load_spec('CartPole-v1')\n"
        "load_spec('FetchReach-v4')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "TaskError: Gymnasium has no environment 'FetchReach-v4'" in done.stderr
    assert "`pip install gr00t_rl_ext[gymnasium]`" in done.stderr


def test_without_a_graphics_library_the_error_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "no_such_thing")
    images._failure.cache_clear()
    with pytest.raises(ValueError, match=r"MUJOCO_GL=no_such_thing: .*invalid value.*libegl1.*libosmesa6.*unset"):
        make("gym:FetchReach-v4", num_envs=1, rgb=True)
    # environments that draw themselves do not need it, and neither do those without images
    make(f"{TOYS}Count-v0", num_envs=1, rgb=True).close()
    make("gym:FetchReach-v4", num_envs=1).close()


def test_the_first_back_end_that_works_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(images, "_failure", {"egl": "no EGL", "osmesa": None}.get)
    assert images.choose_back_end() == images.BackEnd("osmesa")
    monkeypatch.setattr(images, "_failure", {"egl": "no EGL", "osmesa": "no OSMesa"}.get)
    problem = images.choose_back_end().problem
    assert "MUJOCO_GL=egl: no EGL; MUJOCO_GL=osmesa: no OSMesa." in problem
    assert "`apt-get install libegl1 libegl-mesa0` (egl) or `apt-get install libosmesa6` (osmesa)" in problem


def test_cameras_are_chosen_and_ordered_by_name() -> None:
    everything = task_cfg("gym:FetchReach-v4").cameras
    chosen = task_cfg("gym:FetchReach-v4", cameras=["side", "front"]).cameras
    assert list(chosen) == ["side", "front"]
    assert chosen == everything
    assert list(task_cfg("gym:FetchReach-v4", cameras=["side"]).cameras) == ["side"]
    for names in (["top"], ["side", "side"]):
        with pytest.raises(ValueError, match="`env.cameras` is .*; expected some of its cameras front, side"):
            task_cfg("gym:FetchReach-v4", cameras=names)


@pytest.mark.parametrize(("task", "step_dt"), [("gym:FetchReach-v4", 0.04), (f"{TOYS}Count-v0", 0.1)])
def test_the_duration_of_a_control_step(task: str, step_dt: float) -> None:
    with contextlib.closing(make(task, num_envs=1, num_workers=1, max_episode_steps=5)) as env:
        assert env.step_dt == pytest.approx(step_dt)
