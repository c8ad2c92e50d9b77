# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""``--task gym:<id>`` in train.py and play.py: configs, errors, and runs in real processes."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from gr00t_rl_ext.cli import arguments as cli_arguments
from gr00t_rl_ext.cli import checks, filming, play, train
from gr00t_rl_ext.cli.handler import UsageError
from gr00t_rl_ext.cli.summary import read_scalars
from gr00t_rl_ext.envs import episodes
from gr00t_rl_ext.tasks import compatibility
from gr00t_rl_ext.tasks.gymnasium import EXAMPLES, family_of, resolution

ROOT = Path(__file__).parents[2]
CARTPOLE = ("--task", "gym:CartPole-v1", "--agent", "mlp_ppo", "--device", "cpu", "--no-record")
SMALL = ("--num_envs", "2", "agent.num_steps_per_env=4", "env.num_workers=1")


# Configs


@pytest.mark.parametrize("task", EXAMPLES)
def test_every_agent_of_every_family_has_a_config(task: str) -> None:
    agents = family_of(task.removeprefix("gym:")).agents
    for agent in agents:
        env_cfg, agent_cfg = resolution.resolve(task, agent)
        assert agent_cfg.experiment_name
        assert env_cfg.rgb == agent.startswith("gr00t_")
        compatibility.check_agent(agent_cfg, resolution.observations_of(env_cfg), env_cfg.num_envs)
        decisions = agent_cfg.num_steps_per_env * env_cfg.num_envs
        assert decisions % agent_cfg.algorithm.num_mini_batches == 0


@pytest.mark.parametrize("policy", ["ppo", "residual_ppo", "flow_ppo", "grpo", "flow_grpo"])
def test_plain_names_are_recipes_for_small_models(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    agent, task = f"gr00t_{policy}", "gym:FetchReach-v4"
    _, old = resolution.resolve(task, agent)
    note = f"note: {task} has recipes for small models only, so that {agent} is {agent}_small."
    assert capsys.readouterr().out.splitlines() == [note]
    _, new = resolution.resolve(task, f"{agent}_small")
    assert capsys.readouterr().out == ""
    assert old.experiment_name == f"{agent}_fetchreach_v4"
    assert old.to_dict() == new.to_dict() | {"experiment_name": old.experiment_name}


def test_what_the_command_line_says_reaches_the_configs() -> None:
    overrides = [
        "agent.algorithm.clip_param=0.3",
        "agent.actor.flow.num_steps=2",
        "agent.obs_groups.actor=['rgb','state','object']",
        "env.max_episode_steps=20",
        "env.image_size=[32,48]",
        "env.cameras.front.distance=1.25",
    ]
    task = "gym:FetchPickAndPlace-v4"
    env_cfg, agent_cfg = resolution.resolve(task, "gr00t_flow_ppo_small", overrides, num_envs=6, seed=7)
    assert (agent_cfg.algorithm.clip_param, agent_cfg.actor.flow.num_steps) == (0.3, 2)
    assert agent_cfg.obs_groups["actor"] == ["rgb", "state", "object"]
    assert (env_cfg.num_envs, env_cfg.seed, agent_cfg.seed) == (6, 7, 7)
    assert (env_cfg.max_episode_steps, env_cfg.image_size) == (20, (32, 48))
    front, untouched = (
        env_cfg.cameras["front"],
        resolution.resolve(task, "gr00t_flow_ppo_small")[0].cameras["front"],
    )
    assert (front.distance, front.azimuth) == (1.25, untouched.azimuth)
    assert untouched.distance == 1.0
    # the recipe itself is as it was
    assert resolution.resolve(task, "gr00t_flow_ppo_small")[1].algorithm.clip_param == 0.2


def test_cameras_are_chosen_by_name_and_changed_by_field() -> None:
    def cameras(*overrides: str) -> dict[str, Any]:
        return resolution.resolve("gym:FetchReach-v4", "gr00t_flow_ppo_small", overrides)[0].cameras

    assert list(cameras("env.cameras=['side']")) == ["side"]
    for order in (1, -1):
        chosen = cameras(*("env.cameras=[side]", "env.cameras.side.distance=1.25")[::order])
        assert (list(chosen), chosen["side"].distance) == (["side"], 1.25)


@pytest.mark.parametrize(
    ("task", "agent", "overrides", "message"),
    [
        ("gym:FetchReech-v4", "mlp_ppo", [], r"no task 'gym:FetchReech-v4'.*Similar: gym:FetchReach-v4"),
        ("gym:CartPole-v7", "mlp_ppo", [], r"no task 'gym:CartPole-v7'.*Similar: gym:CartPole-v1"),
        ("gym:CartPole-v1", "gr00t_ppo", [], r"no agent 'gr00t_ppo'. It has: mlp_ppo, rsl_rl_cfg_entry_point"),
        ("gym:CartPole-v1", "mlp_ppo", ["agent.algorithm.clip_parm=0.1"], r"has no 'clip_parm'. Similar: clip_param"),
        ("gym:CartPole-v1", "mlp_ppo", ["env.num_env=1"], r"env has no 'num_env'. Similar: num_envs"),
        ("gym:CartPole-v1", "mlp_ppo", ["physics=ovphysx"], r"the task has no 'physics'"),
        ("gym:CartPole-v1", "mlp_ppo", ["agent.algorithm.gamma=high"], r"takes a number \(default: 0.98\), got 'high'"),
        ("gym:CartPole-v1", "mlp_ppo", ["env.image_size=[1]"], r"`env.image_size"),
        ("gym:CartPole-v1", "mlp_ppo", ["agent.clip_actions=1.0"], r"`agent.clip_actions` is 1.0"),
        ("gym:FetchReach-v4", "mlp_ppo", ["agent.obs_groups.actor=['object']"], r"offers: state, privileged"),
        (
            "gym:FetchReach-v4",
            "gr00t_adapter_ppo_small",
            ["env.cameras=['top']"],
            r"some of its cameras front, side, each once",
        ),
        ("gym:FetchReach-v4", "gr00t_adapter_ppo_small", ["env.rgb=false"], r"names the observation group 'rgb'"),
    ],
)
def test_what_does_not_fit_is_refused(task: str, agent: str, overrides: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolution.resolve(task, agent, overrides)


def test_other_tasks_are_told_of_the_prefix(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--task", "CartPole-v1", "--device", "cpu"]) == 2
    assert "Use --task gym:CartPole-v1." in capsys.readouterr().err
    with pytest.raises(UsageError, match="Tasks of Gymnasium begin with gym:, such as gym:FetchReach-v4"):
        checks.find_task("Isaac-Nothing")
    with pytest.raises(SystemExit):
        cli_arguments.parse(["--help"], "train.py", "")
    assert "gym:FetchPickAndPlace-v4" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--distributed"], "--distributed needs several processes, which torchrun starts:"),
        (["--viz"], "--viz has no use for a Gymnasium task. Besides the arguments of --help, there are: --seed,"),
        (["--seed", "x"], "argument --seed: invalid int value: 'x'"),
        (["--num_envs", "0"], "--num_envs is 0; expected at least 1."),
        (["--checkpoint", "nowhere.pt"], "There is no checkpoint 'nowhere.pt'. Expected a model_*.pt"),
        (["agent.algorithm.clip_param=-1"], "`agent.algorithm.clip_param`"),
    ],
)
def test_bad_arguments_leave_nothing_behind(
    extra: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train.main([*CARTPOLE, *extra]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# Runs


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory in which CartPole was trained for two iterations."""
    cwd = tmp_path_factory.mktemp("gym")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        extra = ("--max_iterations", "2", "--seed", "3", "--run_timestamp", "first", "--run_name", "mine")
        assert train.main([*CARTPOLE, *SMALL, *extra]) == 0
    return cwd


def test_a_run_has_what_isaac_labs_runs_have(trained: Path) -> None:
    run = trained / "logs" / "rsl_rl" / "mlp_ppo_cartpole_v1" / "first_mine"
    agent = yaml.safe_load((run / "params" / "agent.yaml").read_text())
    env = yaml.safe_load((run / "params" / "env.yaml").read_text())
    assert (agent["seed"], agent["num_steps_per_env"], env["seed"], env["num_envs"]) == (3, 4, 3, 2)
    assert list(run.glob("events.*"))
    saved = torch.load(run / "model_1.pt", weights_only=True)
    assert (saved["algorithm"], saved["iter"]) == ("Gr00tPPO", 2)


def test_a_run_goes_on_where_it_stopped(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trained)
    resumed = ("--checkpoint", "latest", "--max_iterations", "1", "--run_timestamp", "second")
    assert train.main([*CARTPOLE, *SMALL, *resumed]) == 0
    run = trained / "logs" / "rsl_rl" / "mlp_ppo_cartpole_v1" / "second"
    # another run, from the iteration after the last one
    saved = torch.load(run / "model_2.pt", weights_only=True)
    assert saved["iter"] == saved["iteration"] == 3


def test_a_run_is_resumed_in_its_own_directory(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(trained)
    run = Path("logs", "rsl_rl", "mlp_ppo_cartpole_v1", "first_mine")
    assert train.main(["--resume", str(run)]) == 2
    assert "has made 2 iterations, of 2 that it was to make" in capsys.readouterr().err
    assert train.main(["--resume", str(run), "--max_iterations", "4"]) == 0
    out = capsys.readouterr().out
    assert f"Going on with the run {run}" in out
    assert "The environments go on where they were." in out
    assert torch.load(run / "model_3.pt", weights_only=True)["iter"] == 4
    assert [step for step, _ in read_scalars(run)["Loss/surrogate"]] == [0, 1, 2, 3]
    # it is not what the run was started by
    assert "--resume" not in (run / "params" / "command.json").read_text()
    # to stay two iterations long for other tests
    (run / "model_3.pt").unlink()
    (run / "model_2.pt").unlink(missing_ok=True)


def test_play_says_how_the_policy_does(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(trained)
    played = ("--checkpoint", "logs/rsl_rl/mlp_ppo_cartpole_v1/first_mine", "--num_envs", "3")
    assert play.main([*CARTPOLE, *played]) == 0
    assert "3 episodes: mean return " in capsys.readouterr().out
    assert play.main([*CARTPOLE, *played, "agent.actor.chunk_length=0"]) == 2
    assert "error: `agent.actor.chunk_length` is 0; expected at least 1 control step." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("task", "reason"),
    [("Blind", "cannot be rendered"), ("Late", "Environment 0 .* failed: ArithmeticError: the toy is broken")],
)
def test_a_video_that_cannot_be_made_is_told_in_the_summary(
    task: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "envs"))
    command = ["--task", f"gym:gymnasium_toys:{task}-v0", "--agent", "mlp_ppo", "--device", "cpu", *SMALL]
    assert train.main([*command, "agent.algorithm.num_mini_batches=1", "--max_iterations", "1"]) == 0
    output = capsys.readouterr().out
    assert re.search(rf"(?m)^video: +none.*{reason}", output)
    assert "Traceback" not in output
    assert re.search(r"(?m)^play: ", output)


def test_fetch_trains_as_a_program_without_a_simulator(tmp_path: Path) -> None:
    """None is imported either: that would be most of the time that the start takes."""
    command = ["--task", "gym:FetchReach-v4", "--agent", "mlp_ppo", "--device", "cpu", "--no-record"]
    command += ["--num_envs", "4", "--max_iterations", "1", "--run_timestamp", "run", "env.num_workers=1"]
    command += ["agent.num_steps_per_env=4", "agent.algorithm.num_mini_batches=1", "env.max_episode_steps=16"]
    program = (
        "import sys; sys.argv[0] = 'train.py'; from gr00t_rl_ext.cli.train import main; code = main();"
        "found = {'isaaclab_tasks', 'newton', 'ovphysx', 'pxr'} & {*sys.modules};"
        "print('heavy:', sorted(found)); sys.exit(code)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "source")}
    done = subprocess.run(
        [sys.executable, "-c", program, *command],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "heavy: []" in done.stdout
    assert (tmp_path / "logs" / "rsl_rl" / "mlp_ppo_fetchreach_v4" / "run" / "model_0.pt").is_file()


STARTER = ("--task", "gym:FetchPickAndPlace-v4", "--agent", "gr00t_ppo", "--device", "cpu", "--num_envs", "8")


def test_a_preflight_trains_nothing_and_tells_how_the_policy_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train.main([*STARTER, "--preflight", "agent.preflight.episodes=8"]) == 0
    output = capsys.readouterr().out
    assert "Preflight (2 random and 2 policy decisions in 8 environments, 8 episodes" in output
    for subject in ("camera front", "state.gripper_position", "instruction", "actions", "ratio", "memory", "policy"):
        assert re.search(rf"(?m)^  ok +{re.escape(subject)}: ", output), subject
    assert "Learning iteration" not in output
    (report,) = (tmp_path / "logs").glob("rsl_rl/*/*/params/preflight.json")
    assert str(report) in output.replace("\n", "")
    assert not list((tmp_path / "logs").rglob("model_*.pt"))
    assert train.main(["--resume", str(report.parents[1]), "--preflight"]) == 2


def test_the_first_command_evaluates_before_and_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the starter policy; what it leaves for people and for programs."""
    monkeypatch.chdir(tmp_path)
    assert train.main([*STARTER, "--max_iterations", "2", "--evaluate", "8", "agent.num_steps_per_env=5"]) == 0
    output = capfd.readouterr().out
    (run,) = (tmp_path / "logs" / "rsl_rl").glob("*/*")
    summary = json.loads((run / "summary.json").read_text())
    assert summary["episodes"] == 8
    assert 0.0 <= summary["before"]["success"] <= 1.0
    assert 0.0 <= summary["p_value"] <= 1.0
    assert (run / "curve.png").stat().st_size > 10_000
    assert list(run.rglob("*.mp4")), "the video of both"
    assert "base" in output
    assert "model_1" in output


def test_videos_while_training_leave_it_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = []
    for name, film in (("filmed", ["--video", "--video_interval", "8"]), ("plain", ["--no-record"])):
        command = ["--task", "gym:FetchReach-v4", "--agent", "mlp_ppo", "--device", "cpu", "env.max_episode_steps=8"]
        command += [*SMALL, "--max_iterations", "5", "--seed", "3", "--run_name", name, *film]
        assert train.main(command) == 0
        runs.append(next((tmp_path / "logs").rglob(f"*_{name}")))
    # 4 decisions in an iteration; the last one is filmed as well
    videos = sorted(file.name for file in (runs[0] / "videos" / "train").iterdir())
    assert videos == ["iteration_1.mp4", "iteration_3.mp4", "iteration_4.mp4"]
    assert re.search(r"(?m)^video: +.*iteration_4.mp4$", capsys.readouterr().out)
    assert not (runs[1] / "videos").exists()
    filmed, plain = (torch.load(run / "model_4.pt", weights_only=True)["actor_state_dict"] for run in runs)
    assert all(torch.equal(value, plain[name]) for name, value in filmed.items())
    assert train.main([*CARTPOLE, *SMALL, "--video", "--video_interval", "0"]) == 2
    assert "--video_interval is 0; expected at least 1." in capsys.readouterr().err


def test_any_environment_with_a_picture_has_agents_over_gr00t(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["--task", "gym:Reacher-v5", "--agent", "gr00t_ppo", "--device", "cpu", "--num_envs", "5", "--no-record"]
    assert train.main([*command, "--max_iterations", "1", "agent.num_steps_per_env=4", "env.instruction=reach"]) == 0
    output = capsys.readouterr().out
    assert "note: gym:Reacher-v5 has recipes for small models only" in output
    assert "warning success: The task tells nothing of success" in output
    (run,) = (tmp_path / "logs" / "rsl_rl" / "gr00t_ppo_reacher_v5").iterdir()
    assert (run / "model_0.pt").is_file()
    assert (run / "params" / "camera_view.png").is_file()


def test_a_video_that_takes_too_long_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["--task", "gym:FetchReach-v4", "--agent", "mlp_ppo", "--device", "cpu", *SMALL, "--max_iterations", "1"]
    for limit, reason in ((0.0, "of 4 episodes were done after 0 s"), (None, "the pictures took too long")):
        if limit is None:
            # the episodes are in time, what is rendered of them is not
            monkeypatch.setattr(filming, "LIMIT", 1e6)
            monkeypatch.setattr(episodes, "time", SimpleNamespace(monotonic=lambda: math.inf))
        else:
            monkeypatch.setattr(filming, "LIMIT", limit)
        assert train.main([*command, "env.max_episode_steps=8"]) == 0
        output = capsys.readouterr().out
        assert re.search(rf"(?m)^video: +none.*{reason}", output)
        assert "Summary" in output
