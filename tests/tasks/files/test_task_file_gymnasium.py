# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A file makes a task of an environment of Gymnasium."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gr00t_rl_ext.envs.gymnasium import tasks
from gr00t_rl_ext.tasks.files.reading import TaskFileError
from gr00t_rl_ext.tasks.files.registration import register_task, without_task_file
from gr00t_rl_ext.tasks.gymnasium.resolution import resolve, start

FILE = """\
base: gym:gymnasium_toys:Seen-v0
id: Toy
kwargs: {goal: 4}
instruction: count to four
cameras:
  front: {observation: pixels.front}
image_size: [8, 16]
state:
  terms:
    count: {key: arm.joints, start: 1}
privileged:
  terms:
    all: {key: arm.joints}
success: {info: is_success}
rewards: success
episode_steps: 8
chunk_length: 2
num_envs: 3
agents: [gr00t_ppo, gr00t_grpo, gr00t_flow_ppo_small, mlp_ppo]
overrides:
  mlp_ppo: {algorithm: {gamma: 0.5}}
"""


pytestmark = pytest.mark.usefixtures("no_task_files")


def write(folder: Path, text: str = FILE) -> Path:
    file = folder / "toy.yaml"
    file.write_text(text)
    return file


def test_the_environment(tmp_path: Path) -> None:
    assert register_task(write(tmp_path)) == "gym:Toy"
    cfg, _ = resolve("gym:Toy", "gr00t_ppo")
    assert (cfg.env_id, cfg.env_kwargs, cfg.instruction) == ("gymnasium_toys:Seen-v0", {"goal": 4}, "count to four")
    assert (cfg.num_envs, cfg.image_size, cfg.max_episode_steps, cfg.rgb) == (3, (8, 16), 8, True)
    assert (cfg.success_key, cfg.terminate_on_success, cfg.reward) == ("is_success", True, "sparse_success")
    assert list(cfg.groups) == ["state", "privileged"]
    assert cfg.cameras["front"].observation == "pixels.front"
    # the command line has the last word
    cfg, agent = resolve("gym:Toy", "mlp_ppo", ["env.instruction=count", "agent.algorithm.gamma=0.25"], num_envs=2)
    assert (cfg.instruction, cfg.num_envs, agent.algorithm.gamma) == ("count", 2, 0.25)
    assert not cfg.rgb


def test_agents(tmp_path: Path) -> None:
    register_task(write(tmp_path))
    found = {name: resolve("gym:Toy", name)[1] for name in ("gr00t_ppo", "gr00t_grpo", "gr00t_flow_ppo_small")}
    assert found["gr00t_ppo"].obs_groups == {"actor": ["rgb", "state"], "critic": ["rgb", "state", "privileged"]}
    assert found["gr00t_ppo"].actor.chunk_length == found["gr00t_flow_ppo_small"].actor.chunk_length == 2
    assert found["gr00t_grpo"].num_steps_per_env == 4
    mlp = resolve("gym:Toy", "mlp_ppo")[1]
    assert mlp.obs_groups["actor"] == ["state", "privileged"]
    assert mlp.algorithm.gamma == 0.5
    with pytest.raises(ValueError, match=r"has no agent 'gr00t_lora_ppo'\. It has: gr00t_ppo, gr00t_grpo"):
        resolve("gym:Toy", "gr00t_lora_ppo")


def test_what_a_file_leaves_open_is_the_base_tasks(tmp_path: Path) -> None:
    file = write(tmp_path, "base: gym:FetchPush-v4\ninstruction: push\n")
    assert register_task(file) == "gym:Gr00t-FetchPush-v4"
    cfg, base = resolve("gym:Gr00t-FetchPush-v4", "gr00t_flow_ppo")[0], tasks.task_cfg("gym:FetchPush-v4")
    assert (cfg.groups, cfg.cameras, cfg.success_key) == (base.groups, base.cameras, base.success_key)
    assert (cfg.instruction, cfg.image_size) == ("push", (224, 224))


def test_two_files_that_differ_in_one_value(tmp_path: Path) -> None:
    def configs(text: str) -> list[dict[str, Any]]:
        register_task(write(tmp_path, text))
        env, agent = resolve("gym:Toy", "gr00t_flow_ppo_small")
        return [env.model_dump(), agent.to_dict()]

    first, second = configs(FILE), configs(FILE.replace("episode_steps: 8", "episode_steps: 9"))
    assert second[0].pop("max_episode_steps") == 1 + first[0].pop("max_episode_steps")
    assert first == second


def test_recipes_are_those_of_the_base(tmp_path: Path) -> None:
    """CartPole's are for choices."""
    base = "base: gym:CartPole-v1\nid: Pole\ninstruction: balance\nagents: [mlp_ppo]\n"
    own = resolve(register_task(write(tmp_path, base)), "mlp_ppo")[1]
    shipped = resolve("gym:CartPole-v1", "mlp_ppo")[1]
    assert own.actor.to_dict() == shipped.actor.to_dict()
    assert own.experiment_name == "mlp_ppo_pole"


def test_a_name_of_its_own_is_kept(tmp_path: Path) -> None:
    named = FILE.replace("gamma: 0.5}", "gamma: 0.5}, experiment_name: mine")
    assert resolve(register_task(write(tmp_path, named)), "mlp_ppo")[1].experiment_name == "mine"


def test_without_a_time_limit(tmp_path: Path) -> None:
    """Groups need one, and the command line may give it to others."""
    text = FILE.replace("Seen-v0", "Endless-v0").replace("episode_steps: 8\n", "")
    task = register_task(write(tmp_path, text))
    assert resolve(task, "mlp_ppo", ["env.max_episode_steps=5"])[0].max_episode_steps == 5
    with pytest.raises(TaskFileError, match=r"agents: gr00t_grpo needs a time limit.*set episode_steps"):
        resolve(task, "gr00t_grpo")


def test_a_file_that_lost_a_field(tmp_path: Path) -> None:
    register_task(write(tmp_path))
    task = register_task(write(tmp_path, FILE.replace("success: {info: is_success}\n", "")))
    cfg = resolve(task, "mlp_ppo")[0]
    assert (cfg.success_key, cfg.terminate_on_success) == (None, False)


def test_a_file_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GR00T_RL_TASKS", "")
    assert without_task_file(["--task_config", str(write(tmp_path)), "--agent", "mlp_ppo"]) == [
        "--task",
        "gym:Toy",
        "--agent",
        "mlp_ppo",
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("key: arm.joints, start: 1", "key: arm.joint", r"line 10, state\.terms\.count: .* has: arm\.joints"),
        ("{key: arm.joints, start: 1}", "{start: 1}", r"line 10, state\.terms\.count: .*'observation', which"),
        ("start: 1", "start: 2", r"line 10, state\.terms\.count: .* reads the columns 2 to 2 of 'arm\.joints'"),
        ("pixels.front", "pixels.top", r"line 5, cameras: A camera reads the entry 'pixels\.top'"),
        ("observation: pixels.front", "model_camera: top", r"line 5, cameras: `cameras` defines front"),
        ("goal: 4", "aim: 4", r"line 3, kwargs: The environment .* refuses its arguments"),
        ("rewards: success", "actions: {arm: 3}", r"line 15, actions: `action_terms` {'arm': 3} are 3 wide together"),
        ("{info: is_success}", "{info: done}", r"line 14, success: `env.success_key=done` needs an `info` entry done"),
    ],
)
def test_what_the_environment_does_not_have(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in FILE
    task = register_task(write(tmp_path, FILE.replace(old, new)))
    with pytest.raises(TaskFileError, match=message):
        start(task, resolve(task, "gr00t_flow_ppo_small", ["env.num_workers=1"])[0])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("observation: pixels.front", "view: pixels.front", r"line 6, cameras\.front\.view: .*Fields: observation"),
        ("id: Toy", "id: FetchReach-v4", r"line 2, id: there is an environment 'FetchReach-v4' already"),
        ("kwargs: {goal: 4}", "kwargs: {render_mode: human}", r"line 3, kwargs: render_mode is none of"),
        ("{info: is_success}", "{}", r"line 14, success: expected one of info, reward, termination; got none"),
        ("{info: is_success}", "{info: a, reward: 1}", r"line 14, success: .* got info, reward"),
        ("rewards: success", "rewards: sparse", r"line 15, rewards: input should be 'keep' or 'success'"),
        ("state:\n  terms:\n    count: {key: arm.joints, start: 1}\n", "", r"line 8, privileged: there is no state"),
        ("instruction: count to four", "instruction: '  '", r"line 4, instruction: it is empty"),
        ("gym:gymnasium_toys:Seen-v0", "gym:gymnasium_toys:Sen-v0", r"line 1, base: .*no environment 'Sen-v0'"),
        ("episode_steps", "episode_length_s", r"line 16, episode_length_s: there is no such field.*episode_steps"),
        ("gamma: 0.5", "gama: 0.5", r"line 21, overrides\.mlp_ppo: .*gama"),
    ],
)
def test_files_that_cannot_work(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in FILE
    file = write(tmp_path, FILE.replace(old, new))
    with pytest.raises(TaskFileError, match=message):
        resolve(register_task(file), "mlp_ppo")
