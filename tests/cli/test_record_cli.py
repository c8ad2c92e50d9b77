# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""scripts/record_demonstrations.py for tasks of Gymnasium; tests/imitation/test_recording.py has those of Isaac Lab."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from gr00t_rl_ext.cli import record
from gr00t_rl_ext.cli.arguments import with_quoted_names
from gr00t_rl_ext.envs.gymnasium.vec_env import GymnasiumVecEnv
from gr00t_rl_ext.imitation.dataset import DemonstrationDataset
from gr00t_rl_ext.imitation.experts.fetch import ReachExpert
from gr00t_rl_ext.imitation.training_data import spec_of
from gr00t_rl_ext.robot.task_spec import TaskSpec
from gr00t_rl_ext.tasks.gymnasium import resolution
from gr00t_rl_ext.tasks.gymnasium.agents import fetch_cfg
from gr00t_rl_ext.tasks.stack.config.franka.agents import rsl_rl_cfg

PICK, REACH = "gym:FetchPickAndPlace-v4", "gym:FetchReach-v4"
SMALL = ("env.image_size=[32,32]", "env.num_workers=1")


def run(task: str, out: Path, *more: str) -> int:
    return record.main(["--task", task, "--out", str(out), "--device", "cpu", "--num_envs", "2", *SMALL, *more])


def spec_in_training(task: str, *overrides: str) -> TaskSpec:
    """What the policy sees of the task in train.py."""
    quoted = [with_quoted_names(item) for item in (*SMALL, *overrides)]
    env_cfg, agent_cfg = resolution.resolve(task, "gr00t_flow_ppo_small", quoted, num_envs=1)
    with contextlib.closing(GymnasiumVecEnv(env_cfg)) as env:
        return TaskSpec.from_env(env, env.get_observations(), agent_cfg.obs_groups["actor"])


def test_what_is_recorded_is_what_the_policy_sees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    chosen = ["env.cameras=[side]", "--groups", "rgb", "state", "object"]
    assert run(PICK, out, "--episodes", "3", "--noise_std", "0.1", *chosen) == 0
    shown = capsys.readouterr().out
    assert "31 numbers of state, object" in shown
    assert re.search(r"--dataset \S+/set --checkpoint small --horizon 8", shown)
    dataset = DemonstrationDataset(out)
    assert (len(dataset), dataset.fps) == (3, 25)
    session = dataset.session
    assert session["overrides"] == [*SMALL, "env.cameras=[side]", "agent.obs_groups.actor=[rgb,state,object]"]
    assert (session["task"], session["groups"], session["noise_std"]) == (PICK, ["rgb", "state", "object"], 0.1)
    trained = spec_in_training(PICK, *session["overrides"])
    known = spec_of(dataset, dataset.cameras, trained.instruction)
    assert dataset[0].instructions[0] == trained.instruction
    for name in ("cameras", "state_terms", "action_terms"):
        assert getattr(known, name) == getattr(trained, name)
        assert list(getattr(known, name)) == list(getattr(trained, name)), "the order counts"
    # the state is that before the action: the gripper then moves as the action says
    for one in dataset:
        moved = np.diff(one.state["gripper_position"], axis=0).ravel()
        if len(moved) > 30:
            assert np.corrcoef(moved, one.action["gripper_displacement"][:-1].ravel())[0, 1] > 0.6
        assert one.images("side").shape == (len(one), 32, 32, 3)
    # what was recorded otherwise cannot be added
    assert run(PICK, out, "--episodes", "1", "--resume", "env.cameras=[side]") == 2
    assert "holds a dataset of another kind" in capsys.readouterr().err


def test_the_next_command_names_the_agents_chunk_if_it_has_one() -> None:
    def shown(agent: type) -> str:
        return record.sft_command(Path("set"), agent())

    assert "--checkpoint small --horizon 8 --out" in shown(fetch_cfg.Gr00tFlowPpoSmallRunnerCfg)
    assert "--checkpoint small --out" in shown(rsl_rl_cfg.Gr00tFlowPpoRunnerCfg)
    assert "--checkpoint small --out" in shown(rsl_rl_cfg.RslRlMlpPpoRunnerCfg)


def test_without_options_it_is_what_the_agent_sees(tmp_path: Path) -> None:
    assert run(REACH, tmp_path / "set", "--episodes", "2") == 0
    dataset, trained = DemonstrationDataset(tmp_path / "set"), spec_in_training(REACH)
    assert tuple(dataset.cameras) == trained.cameras
    assert {key: part.width for key, part in dataset.modality.state.items()} == trained.state_terms


@pytest.mark.parametrize(
    ("task", "more", "message"),
    [
        ("gym:FetchPush-v4", [], "no scripted expert for gym:FetchPush-v4. There is one for: .*gym:FetchReach-v4"),
        ("gym:FetchReech-v4", [], "no task 'gym:FetchReech-v4'.*Similar: gym:FetchReach-v4"),
        (REACH, ["--agent", "gr00t"], "has no agent 'gr00t'. It has: gr00t_adapter_ppo_small"),
        (REACH, ["--groups", "rgb", "state", "object"], "names the observation group 'object'.*offers: state, priv"),
        (REACH, ["--groups", "rgb"], r"GR00T needs the robot's state, but .*reads only images \(rgb\).*--groups"),
        (REACH, ["--groups", "state"], "GR00T needs at least one camera.*--groups"),
        (REACH, ["--groups", "rgb", "agent.obs_groups.actor=[rgb,state]"], "say the same thing; give one of them"),
        (REACH, ["--groups", "env.cameras=[front]"], "--groups is empty"),
        (REACH, ["env.cameras=[top]"], "expected some of its cameras front, side"),
        (REACH, ["env.image_size=[33,32]"], "'front' has 32 x 33 px; a video in yuv420p needs even numbers"),
        (REACH, ["--seed", "-1"], "--seed is -1; expected at least 0"),
    ],
)
def test_a_command_line_that_cannot_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str, more: list[str], message: str
) -> None:
    assert run(task, tmp_path / "set", *more) == 2
    error = capsys.readouterr().err
    assert re.search(message, error.replace("\n", " ")), error
    assert not (tmp_path / "set").exists()


def test_without_a_single_success_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReachExpert, "act", lambda self, scene: torch.zeros(len(scene.goal), 4))
    assert run(REACH, tmp_path / "set", "--episodes", "2", "env.max_episode_steps=2") == 1
    assert "none of 20 episodes succeeded" in (error := capsys.readouterr().err)
    assert "env.max_episode_steps" in error
    assert not (tmp_path / "set").exists()
