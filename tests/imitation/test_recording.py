# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Experts act in the real scene, and their episodes become a dataset."""

from __future__ import annotations

import argparse
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from isaaclab_rl.rsl_rl import RslRlVecEnvWrapper
from safetensors.torch import load_file

from gr00t_rl_ext.cli import record
from gr00t_rl_ext.imitation import recording
from gr00t_rl_ext.imitation.dataset import DemonstrationDataset
from gr00t_rl_ext.imitation.experts import EXPERTS
from gr00t_rl_ext.imitation.lerobot_dataset import Episode
from gr00t_rl_ext.robot.task_spec import TaskSpec

LIFT = "Isaac-Lift-Cube-Franka-IK-Rel-v0"
STACK = "Isaac-Stack-Cube-Franka-IK-Rel-v0"
STACK_JOINTS = "Isaac-Stack-Cube-Franka-v0"
NUM_ENVS = 4
GROUPS = ("rgb", "state")
AGENT = SimpleNamespace(obs_groups={"actor": GROUPS}, actor=SimpleNamespace(chunk_length=16))
"""Of an agent's config, what recording reads."""
SCRIPT = Path(__file__).parents[2] / "scripts/record_demonstrations.py"


@pytest.fixture(scope="module")
def env(make_env: Callable[..., Any]) -> Any:
    return RslRlVecEnvWrapper(make_env(LIFT, NUM_ENVS))


def spec_of(env: Any, groups: tuple[str, ...] = GROUPS) -> TaskSpec:
    env.unwrapped.configure_decisions(1, observation_groups=groups)
    return TaskSpec.from_env(env.unwrapped, env.get_observations(), groups, over_gr00t="rgb" in groups)


def episodes(env: Any, task: str, count: int, spec: TaskSpec, **options: Any) -> list[Episode]:
    env.unwrapped.reset(seed=11)
    expert = EXPERTS[task](env.num_envs)
    return list(itertools.islice(recording.collect(env, spec, expert, **options), count))


def arguments(out: Path, **changes: Any) -> argparse.Namespace:
    command = ["--task", LIFT, "--agent", "gr00t_flow_ppo", "--out", str(out), "--episodes", "5"]
    known = record.parse(command)
    vars(known).update(changes)
    return known


def test_the_lift_expert_succeeds_and_what_it_saw_is_kept(env: Any) -> None:
    spec = spec_of(env)
    recorded = episodes(env, LIFT, 8, spec)
    assert all(one.success for one in recorded)
    assert max(len(one) for one in recorded) <= 60
    for one in recorded:
        assert one.instruction == "lift the red cube"
        assert one.images["table_cam"].shape == (len(one), 64, 64, 3)
        assert np.abs(one.action).max() <= 1.0
        # the task's success reward is 1, and comes last
        assert one.reward.argmax() == len(one) - 1
        assert one.reward[-1] == pytest.approx(1.0, abs=0.01)
        # the gripper starts open and ends around the cube, 10 cm above the table and more
        fingers, height = one.state[:, 7:9], one.state[:, 11]
        assert np.abs(fingers[0]).max() < 1e-3
        assert fingers[-1] == pytest.approx(0.0234 - 0.04, abs=2e-3)
        assert height[-1] > 0.1
        # the arm answers to the action of its row: down while the command is down
        moved, told = np.diff(height), one.action[:-1, 2]
        assert np.corrcoef(moved[1:], told[1:])[0, 1] > 0.8
    # an episode begins with its own first image, not with the last of the episode before
    late = recorded[-1]
    change = [np.abs(np.diff(late.images[name][:4].astype(int), axis=0)).mean((1, 2, 3)) for name in spec.cameras]
    assert all(step[0] < 3 * step[1:].mean() for step in change)


def test_noise_moves_the_arm_and_not_the_label(env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    executed: list[torch.Tensor] = []
    step = env.step
    monkeypatch.setattr(env, "step", lambda action: executed.append(action.clone()) or step(action))
    generator = torch.Generator().manual_seed(0)
    recorded = episodes(env, LIFT, NUM_ENVS, spec_of(env), noise_std=0.03, generator=generator)
    assert all(one.success for one in recorded)
    labels = np.concatenate([one.action[:20] for one in recorded])
    acted = torch.stack(executed[:20], dim=1)
    assert set(labels[:, 6].tolist()) == {-1.0, 1.0}
    assert set(acted[..., 6].unique().tolist()) == {-1.0, 1.0}
    # rows of environments in the order in which their episodes ended are not compared one by one, but as sets
    first = torch.tensor(np.stack([one.action[0] for one in recorded]))
    nearest = torch.cdist(first, acted[:, 0]).min(dim=1).values
    assert (nearest > 0.01).all()
    assert (nearest < 0.03 * 4 * 6**0.5).all()


def test_a_dataset_is_recorded_resumed_and_described(
    env: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "set"
    assert record.record_from(env, LIFT, AGENT, "new", arguments(out)) == 0
    shown = capsys.readouterr().out
    assert "5 of 5 episodes that were tried" in shown
    assert "lift the red cube" in shown
    assert record.record_from(env, LIFT, AGENT, "resume", arguments(out, episodes=2, noise_std=0.02)) == 0
    dataset = DemonstrationDataset(out)
    assert len(dataset) == 7
    assert dataset.fps == 20
    assert {key: part.width for key, part in dataset.modality.state.items()} == {"joint_position": 9, "eef_pose": 7}
    assert {key: part.width for key, part in dataset.modality.action.items()} == {"arm_action": 6, "gripper_action": 1}
    assert dataset.cameras == ["table_cam", "wrist_cam"]
    assert dataset[6].images("wrist_cam").shape == (len(dataset[6]), 64, 64, 3)
    sessions = json.loads((out / "meta/recording.json").read_text())["sessions"]
    assert [session["succeeded"] for session in sessions] == [5, 2]
    assert [session["noise_std"] for session in sessions] == [0.0, 0.02]
    # the second session starts from states that the first did not have
    assert [session["seed"] for session in sessions] == [0, 5]
    starts = [tuple(one.state["joint_position"][0].round(4)) for one in dataset]
    assert len(set(starts)) == 7


def test_states_of_successful_episodes_are_kept(env: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    states = tmp_path / "deep" / "states.safetensors"
    given = arguments(tmp_path / "set", episodes=3)
    given.states = states
    assert record.record_from(env, LIFT, AGENT, "new", given) == 0
    kept, dataset = load_file(states), DemonstrationDataset(tmp_path / "set")
    assert len(kept["progress"]) == sum(map(len, dataset)), "a state for each decision"
    assert f"{len(kept['progress'])} of successful episodes in" in " ".join(capsys.readouterr().out.split())
    assert kept["progress"].min() == 0.0
    assert 0.9 < kept["progress"].max() < 1.0
    # before success, the fingers hold the cube above the table
    cubes = kept["state.rigid_object.cube_2.root_pose"]
    assert cubes[kept["progress"] < 0.1, 2].max() < 0.05 < cubes[kept["progress"] > 0.95, 2].max()


def test_without_a_single_success_nothing_is_written(
    env: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EXPERTS[LIFT], "rise", 0.05)
    monkeypatch.setattr(env.unwrapped.cfg, "episode_length_s", 0.5)
    assert record.record_from(env, LIFT, AGENT, "new", arguments(tmp_path / "set")) == 1
    assert "none of 20 episodes succeeded" in capsys.readouterr().err
    assert not (tmp_path / "set").exists()
    # asked for, they are kept, and marked
    assert record.record_from(env, LIFT, AGENT, "new", arguments(tmp_path / "all", keep_failures=True)) == 1
    assert len(DemonstrationDataset(tmp_path / "all", only_successes=False)) == 5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--task", "Isaac-Lift-Cub-Franka"], "There is no task 'Isaac-Lift-Cub-Franka'. Similar: Isaac-Lift-"),
        (["--task", "Isaac-Cartpole-State-v0"], "no scripted expert for Isaac-Cartpole-State-v0.*IK-Rel"),
        (["--episodes", "0"], "--episodes is 0; expected at least 1"),
        (["--num_envs", "0"], "--num_envs is 0; expected at least 1"),
        (["--noise_std", "-1"], "--noise_std is -1.0; expected 0 to 1"),
        (["--resume", "--overwrite"], "give one of them"),
        (["--states", "states.pt"], "--states is 'states.pt'; expected a file that ends in .safetensors"),
        (["--task", "gym:FetchReach-v4", "--states", "s.safetensors"], "--states is for tasks of Isaac Lab; gym:Fetch"),
        (["--resume"], "holds no dataset to add to"),
        (["--device", "tpu"], "expected cpu, cuda or cuda:N"),
        (["presets=tiny_cameras"], "do not fit the configs"),
    ],
)
def test_a_command_line_that_cannot_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: list[str], message: str
) -> None:
    assert record.main(["--task", LIFT, "--out", str(tmp_path / "set"), *changes]) == 2
    error = capsys.readouterr().err
    assert re.search(message, error.replace("\n", " ")), error
    assert not (tmp_path / "set").exists()


def test_a_directory_that_is_not_empty_is_refused_before_the_simulator_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "notes.txt").write_text("")
    assert record.main(["--task", LIFT, "--out", str(tmp_path)]) == 2
    assert "is not empty and holds no dataset" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(("task", "share", "longest"), [(LIFT, 0.95, 60), (STACK, 0.9, 300), (STACK_JOINTS, 0.95, 200)])
def test_experts_succeed(make_env: Callable[..., Any], task: str, share: float, longest: int) -> None:
    env = make_env(task, 32)
    env.configure_decisions(1, observation_groups=("state",))
    env.reset(seed=0)
    expert = EXPERTS[task](32)
    results: list[tuple[bool, int]] = []
    # each environment's first four episodes, so that quick ones do not count more often
    counts = torch.zeros(32, dtype=torch.long)
    while (counts < 4).any():
        _, _, terminated, truncated, extras = env.step(expert.action(env))
        done = terminated | truncated
        for i in (done & (counts < 4)).nonzero().flatten().tolist():
            results.append((bool(extras["success"][i]), int(extras["episode_steps"][i])))
        counts += done
        expert.reset(done)
    lengths = sorted(steps for success, steps in results if success)
    print(f"{task}: {len(lengths)} of {len(results)}, {lengths[0]} to {lengths[-1]} steps")
    assert len(lengths) >= share * len(results)
    assert lengths[int(0.95 * len(lengths))] <= longest


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--task", LIFT, "--out", str(tmp_path / "set"), "--episodes", "4"]
    done = subprocess.run(
        [*command, "--assets", "offline", "presets=small_cameras"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "4 of 4 episodes" in done.stdout
    assert len(DemonstrationDataset(tmp_path / "set")) == 4
    again = subprocess.run([*command, "--assets", "offline"], capture_output=True, text=True, check=False)
    assert again.returncode == 2
    assert "already holds a dataset" in again.stderr
