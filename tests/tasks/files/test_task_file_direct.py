# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A file makes a task of a direct task of Isaac Lab."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import isaaclab_tasks  # noqa: F401  registers Isaac Lab's own tasks
import pytest
import torch
from isaaclab_tasks.utils import resolve_task_config

from gr00t_rl_ext.tasks.files import direct
from gr00t_rl_ext.tasks.files.reading import TaskFileError
from gr00t_rl_ext.tasks.files.registration import register_task

FILE = """\
base: Isaac-Cartpole-Direct
id: Test-Pole
instruction: keep the pole upright
cameras:
  side_cam: {pose: {position: [-5.0, 0.0, 2.0], look_at: [0.0, 0.0, 2.0]}, size: [32, 48]}
state:
  terms:
    - velocities: {func: columns, params: {group: policy, start: 2}}
    - pole: {func: joint_pos_rel, params: {asset_cfg: {entity: cartpole, joint_names: [cart_to_pole]}}}
success: {func: "test_task_file_direct:cart_is_right", params: {asset_cfg: {entity: cartpole}}}
rewards: success
chunk_length: 4
num_envs: 4
state_buffers: []
agents: [gr00t_ppo, gr00t_grpo, mlp_ppo]
"""

SUCCESS = FILE[FILE.index("success: {") : FILE.index("rewards")]

pytestmark = pytest.mark.usefixtures("no_task_files")


def cart_is_right(env: Any, asset_cfg: Any, least: float = 0.0) -> torch.Tensor:
    return env.scene[asset_cfg.name].data.joint_pos.torch[:, 0] > least


def registered(folder: Path, old: str = "", new: str = "") -> str:
    assert old in FILE
    file = folder / "pole.yaml"
    file.write_text(FILE.replace(old, new, 1))
    return register_task(file)


def configs(task: str, agent: str = "gr00t_ppo") -> tuple[Any, Any]:
    return resolve_task_config(task, agent, overrides=[])


def test_configs(tmp_path: Path) -> None:
    cfg, agent = configs(registered(tmp_path), "gr00t_grpo")
    assert (cfg.instruction, cfg.scene.num_envs, cfg.scene.side_cam.width) == ("keep the pole upright", 4, 48)
    # 5 s of 1/60 s, 4 steps per decision
    assert agent.num_steps_per_env == 75
    assert agent.obs_groups["actor"] == ["rgb", "state"]
    assert configs("Test-Pole")[1].obs_groups["critic"] == ["rgb", "state", "policy"]
    assert configs("Test-Pole", "mlp_ppo")[1].obs_groups["actor"] == ["policy"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (SUCCESS, "success: upright\n", r"line 10, success: .*survived"),
        (
            SUCCESS,
            "success: {term: survived, hold_s: 1}\n",
            r"line 10, success\.hold_s: survived is true at the end only",
        ),
        (SUCCESS, "success: {hold_s: 1}\n", r"line 10, success: expected one of term and func"),
        (
            "rewards: success",
            "rewards: {alive: {func: is_alive, weight: 1}}",
            r"line 11, rewards: a direct task has no",
        ),
        ("Isaac-Cartpole-Direct", "Isaac-Cartpole-State-v0", r"line 1, base: .* is a task for GR00T already"),
        ("start: 2}", "begin: 2}", r"line 8, .*velocities.*: got an unexpected keyword argument 'begin'"),
        ("func: joint_pos_rel", "func: joint_vel_out_of_limit", r"line 9, .*pole"),
        ("success: {func", "success: {hold_s: 9, func", r"line 10, success\.hold_s: 9 s are more than an episode, 5 s"),
        ("func: joint_pos_rel", "func: joint_pos_rl", r"line 9, .*pole\.func: .*did you mean joint_pos_rel"),
        (
            "entity: cartpole, joint",
            "entity: pole, joint",
            r"line 9, .*: the scene has no part 'pole'.*cartpole",
        ),
        ("test_task_file_direct:cart_is", "test_task_file_direct:card_is", r"line 10, success\.func: .*cannot be imp"),
        ("base: Isaac-Cartpole-Direct", "base: Isaac-Pendulum-MARL-Direct", r"line 1, base: .* of one agent"),
    ],
)
def test_files_that_cannot_work(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(TaskFileError, match=message):
        configs(registered(tmp_path, old, new))


def test_columns() -> None:
    given = {"policy": torch.arange(6.0).view(2, 3), "image": torch.zeros(2, 4, 4, 3)}
    env = SimpleNamespace(_file_observations=given)
    assert direct.columns(env, start=1).tolist() == [[1.0, 2.0], [4.0, 5.0]]
    with pytest.raises(ValueError, match="no vectors 'image'; it observes policy"):
        direct.columns(env, "image")
    with pytest.raises(ValueError, match="columns 1 to 4 of 'policy' are asked for, which has 3"):
        direct.columns(env, stop=4, start=1)


def make(launch: Callable[..., Any], task: str) -> Any:
    cfg, _ = configs(task)
    return launch(cfg, lambda: gym.make(task, cfg=cfg).unwrapped)


def test_the_environment(launch: Callable[..., Any], tmp_path: Path) -> None:
    env = make(launch, registered(tmp_path))
    obs, _ = env.reset(seed=1)
    assert {name: tuple(value.shape) for name, value in obs.items()} == {
        "rgb": (4, 32, 48, 3),
        "state": (4, 3),
        "policy": (4, 4),
    }
    assert env.observation_terms == {"rgb": {"side_cam": (32, 48, 3)}, "state": {"velocities": (2,), "pole": (1,)}}
    torch.testing.assert_close(obs["state"][:, :2], obs["policy"][:, 2:])
    torch.testing.assert_close(obs["state"][:, 2:], obs["policy"][:, 1:2])
    assert float(obs["rgb"].float().std()) > 5.0
    # a decision: pushed to the right until it is there, which ends the episode in success
    env.configure_decisions(60)
    _, rewards, dones, _, extras = env.step(torch.ones(4, 60))
    assert dones.all()
    assert extras["success"].all()
    assert rewards.tolist() == [1.0] * 4
    # groups, since the file says that nothing else is kept
    env.configure_groups(2)


def test_factors(launch: Callable[..., Any], tmp_path: Path) -> None:
    """The base task has no events. The picture is drawn anew, as the file wants, and groups share the draw."""
    drawn = "rewards: success\nrandomise: [lighting, actuator_gains, observation_noise, action_delay]"
    env = make(launch, registered(tmp_path, "rewards: success", drawn))
    obs, _ = env.reset(seed=1)
    assert list(env.factors) == ["lighting", "actuator_gains", "observation_noise", "action_delay"]
    pictures = obs["rgb"].float()
    assert (pictures[0] - pictures[1]).abs().mean() > 5
    noise = obs["state"][:, :2] - obs["policy"][:, 2:]
    assert 0.0 < noise.abs().max() < 0.06, "of the state alone"
    assert torch.equal(env.as_simulated["state"][:, :2], obs["policy"][:, 2:])
    env.configure_groups(2)
    env.start_groups([0, 1])
    pictures = env.obs_buf["rgb"].float()
    assert (pictures[0] - pictures[1]).abs().mean() < 1 < (pictures[1] - pictures[2]).abs().mean()
    env.configure_decisions(4, observation_groups=["rgb", "state"])
    obs, *_ = env.step(torch.ones(4, 4))
    assert obs["state"].isfinite().all()


def test_factors_of_what_the_scene_does_not_have(launch: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"mass cannot be randomised: the scene has no rigid object\."):
        make(launch, registered(tmp_path, "rewards: success", "rewards: success\nrandomise: [mass]"))


def test_success_that_must_hold(launch: Callable[..., Any], tmp_path: Path) -> None:
    """It is true in every step; 0.1 s are 6 of them. Each episode counts anew."""
    always = 'success: {func: "test_task_file_direct:cart_is_right", hold_s: 0.1, params: {least: -9.0, asset_cfg: {'
    env = make(launch, registered(tmp_path, SUCCESS, f"{always}entity: cartpole}}}}}}\n"))
    env.reset(seed=1)
    for _ in range(2):
        env.configure_decisions(5)
        _, _, dones, _, _ = env.step(torch.zeros(4, 5))
        assert not dones.any()
        env.configure_decisions(1)
        _, rewards, dones, _, extras = env.step(torch.zeros(4, 1))
        assert dones.all()
        assert extras["success"].all()
        assert rewards.tolist() == [1.0] * 4


def test_to_survive(launch: Callable[..., Any], tmp_path: Path) -> None:
    rest = FILE[FILE.index("success: {") : FILE.index("chunk_length")]
    task = registered(tmp_path, rest, "success: survived\nepisode_length_s: 0.5\n")
    env = make(launch, task)
    env.reset(seed=1)
    env.configure_decisions(30)
    _, rewards, _, time_outs, extras = env.step(torch.zeros(4, 30))
    assert time_outs.all()
    assert extras["success"].all()
    assert not torch.equal(rewards, torch.ones(4)), "the base task's"


def test_a_term_that_does_not_fit(launch: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(TaskFileError, match=r"line 8, state\.terms.*velocities: columns 9 to 4 of 'policy'"):
        make(launch, registered(tmp_path, "start: 2", "start: 9"))
