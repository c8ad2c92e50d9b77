# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The task of a run with its settings, from the files that the run left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from isaaclab.utils.io import dump_yaml

from gr00t_rl_ext.cli import checks
from gr00t_rl_ext.cli.arguments import with_quoted_names
from gr00t_rl_ext.cli.handler import UsageError
from gr00t_rl_ext.cli.run_settings import RunSettings
from gr00t_rl_ext.tasks.gymnasium import resolution

PICK, LIFT = "gym:FetchPickAndPlace-v4", "Isaac-Lift-Cube-Franka-IK-Rel-v0"
AGENT = {PICK: "gr00t_ppo_small", LIFT: "gr00t_ppo"}


def configs(task: str, overrides: list[str]) -> tuple[Any, Any]:
    """Those of a training with these overrides, the environment's as its file holds it."""
    if task == PICK:
        env_cfg, agent_cfg = resolution.resolve(task, AGENT[task], [with_quoted_names(item) for item in overrides])
        return env_cfg.to_dict(), agent_cfg
    env_cfg, agent_cfg = checks.check_resolved(task, AGENT[task], overrides)
    return env_cfg, agent_cfg


def write_run(run: Path, task: str, *overrides: str) -> Path:
    """What a training with these overrides writes, but for the weights."""
    env_cfg, agent_cfg = configs(task, list(overrides))
    dump_yaml(str(run / "params" / "env.yaml"), env_cfg)
    dump_yaml(str(run / "params" / "agent.yaml"), agent_cfg)
    manifest = {"task": task.removeprefix("gym:"), "metadata": {"agent": AGENT[task]}}
    (run / "run.json").write_text(json.dumps(manifest))
    (run / "model_3.pt").write_bytes(b"")
    return run


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["env.cameras=[side,front]", "agent.obs_groups.actor=[rgb,state,object]"],
        ["env.cameras=[front]", "env.cameras.front.distance=0.8", "env.image_size=[32,48]"],
        ["env.cameras={'top':{'lookat':[1.3,0.7,0.5],'distance':1.0,'azimuth':90.0,'elevation':-90.0}}"],
        [
            "env.max_episode_steps=12",
            "env.reward=env",
            "env.instruction=place it: now",
            "env.terminate_on_success=false",
        ],
        ["env.groups.object={'goal':{'key':'desired_goal'}}", "env.env_kwargs={'reward_type':'dense'}"],
    ],
)
def test_a_gymnasium_task_is_as_it_was(tmp_path: Path, overrides: list[str]) -> None:
    settings = RunSettings.read(write_run(tmp_path, PICK, *overrides))
    assert (settings.task, settings.agent) == (PICK, AGENT[PICK])
    assert settings.checkpoint == tmp_path / "model_3.pt"
    found, _ = settings.overrides(settings.agent, [])
    (env, agent), (env_again, agent_again) = configs(PICK, overrides), configs(PICK, found)
    assert env_again == env
    assert list(env_again["cameras"]) == list(env["cameras"]), "the order counts"
    assert agent_again.obs_groups == agent.obs_groups
    assert agent_again.clip_actions == agent.clip_actions


def test_what_is_given_wins(tmp_path: Path) -> None:
    run = write_run(tmp_path, PICK, "env.cameras.front.distance=0.8", "env.max_episode_steps=12")
    given = ["env.cameras=['front']", "env.max_episode_steps=20", "agent.actor.chunk_length=4"]
    found, agent_cfg = RunSettings.read(run).overrides(AGENT[PICK], given)
    assert agent_cfg.actor.chunk_length == 4
    env, _ = configs(PICK, [*found, *given])
    assert env["max_episode_steps"] == 20
    assert list(env["cameras"]) == ["front"]
    assert env["cameras"]["front"]["distance"] == 0.8


def test_numbers_and_texts_of_an_isaac_lab_task_are_restored(tmp_path: Path) -> None:
    changed = ["env.episode_length_s=3.5", "env.instruction='lift it'", "env.sim.gravity=[0.0,0.0,-9.0]"]
    settings = RunSettings.read(write_run(tmp_path, LIFT, "presets=small_cameras", *changed))
    assert (settings.task, settings.agent) == (LIFT, AGENT[LIFT])
    found, _ = settings.overrides(AGENT[LIFT], [])
    (env, agent), (env_again, agent_again) = configs(LIFT, ["presets=small_cameras", *changed]), configs(LIFT, found)
    assert env_again.scene.table_cam.width == env_again.scene.wrist_cam.height == 64
    assert env_again.to_dict() == env.to_dict()
    assert agent_again.obs_groups == agent.obs_groups


def test_another_class_is_refused_until_it_is_chosen(tmp_path: Path) -> None:
    settings = RunSettings.read(write_run(tmp_path, LIFT, "physics=newton_mjwarp"))
    with pytest.raises(UsageError, match=r"had another env\.sim\.physics\..* than .*Append the overrides.*physics="):
        settings.overrides(AGENT[LIFT], [])
    assert not [item for item in settings.overrides(AGENT[LIFT], ["physics=newton_mjwarp"])[0] if "physics" in item]


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"There is no checkpoint '.*gone'. Expected a model_"):
        RunSettings.read(tmp_path / "gone")
    with pytest.raises(UsageError, match="has no model_<iteration>.pt"):
        RunSettings.read(tmp_path)
    run = write_run(tmp_path / "run", PICK)
    (run / "params" / "env.yaml").unlink()
    (run / "run.json").unlink()
    with pytest.raises(UsageError, match=r"is no run of train.py: it has no run\.json, params/env\.yaml, from which"):
        RunSettings.read(run / "model_3.pt")
    write_run(tmp_path / "run", PICK)
    for name, text in (("run.json", "{}"), ("run.json", "no"), ("params/env.yaml", "env_id: [")):
        (write_run(tmp_path / "run", PICK) / name).write_text(text)
        with pytest.raises(UsageError, match="cannot be read"):
            RunSettings.read(run)
