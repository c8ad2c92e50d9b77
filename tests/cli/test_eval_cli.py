# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""scripts/rsl_rl/eval.py: what it refuses, and evaluations of Gymnasium tasks."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gr00t_rl_ext.cli import eval as cli_eval
from gr00t_rl_ext.cli import train
from gr00t_rl_ext.cli.handler import UsageError
from gr00t_rl_ext.evaluation import report
from gr00t_rl_ext.gr00t import build_tiny_checkpoint
from gr00t_rl_ext.imitation.video import read_video
from gr00t_rl_ext.randomisation import FACTORS

CARTPOLE = ("--task", "gym:CartPole-v1", "--agent", "mlp_ppo", "--device", "cpu")
FEW = ("--episodes", "5", "--num_envs", "4", "--half-width", "0.4")


FETCH = ("--task", "gym:FetchReach-v4", "--agent", "gr00t_flow_ppo_small", "--device", "cpu")
FETCH += ("env.num_workers=1", "env.image_size=[32,32]")


def fetch_checkpoint(directory: Path, ranges: dict[str, tuple[float, float]]) -> Path:
    """A tiny GR00T for FetchReach with wide statistics, but for some keys."""
    state = {"gripper_position": 3, "finger_opening": 2, "gripper_velocity": 3, "finger_velocity": 2}
    state["goal_position"] = 3
    return build_tiny_checkpoint(
        directory,
        state_keys=state,
        action_keys={"gripper_displacement": 3, "finger_opening": 1},
        video_keys=("front", "side"),
        ranges={f"state.{key}": (-2.0, 2.0) for key in state} | ranges,
    )


@pytest.mark.parametrize(
    ("program", "damaged"), [(cli_eval.main, "weights"), (train.main, "weights"), (train.main, "statistics")]
)
def test_a_checkpoint_with_nan_is_refused(
    damaged: str,
    program: Callable[[list[str]], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An incomplete download, or a training that diverged. The policy's actions would be NaN, and its success 0 %."""
    base = fetch_checkpoint(tmp_path / "gr00t", {})
    if damaged == "statistics":
        file = base / "experiment_cfg" / "metadata.json"
        metadata = json.loads(file.read_text())
        metadata["new_embodiment"]["statistics"]["state"]["finger_opening"]["max"][1] = math.nan
        file.write_text(json.dumps(metadata))
        message = "max is not finite in dimension 1 of the statistics of state.finger_opening of new_embodiment in"
    else:
        file = base / "model-00001-of-00002.safetensors"
        tensors = load_file(file)
        tensors["action_head.future_tokens.weight"][0, :5] = math.nan
        save_file(tensors, file, metadata={"format": "pt"})
        message = "not finite: action_head.future_tokens.weight (5 NaN of 256, in model-00001-of-00002.safetensors)"
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    own = [*FEW, "--checkpoint", "base", "--out", "out.json"] if program is cli_eval.main else ["--num_envs", "2"]
    assert program([*FETCH, *own, f"agent.actor.gr00t.checkpoint={base}"]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "cwd" / "out.json").exists()


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of CartPole, as `mlp_ppo_cartpole_v1/run` of a working directory."""
    cwd = tmp_path_factory.mktemp("eval")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        small = ("--num_envs", "4", "--max_iterations", "8", "agent.save_interval=100", "env.num_workers=1")
        assert train.main([*CARTPOLE, *small, "--no-record", "--run_timestamp", "run"]) == 0
    return cwd / "logs" / "rsl_rl" / "mlp_ppo_cartpole_v1" / "run"


def test_checkpoints_are_compared_and_two_runs_agree(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [*CARTPOLE, *FEW, "--checkpoint", "base", str(run_dir), "env.num_workers=1", "--out"]
    assert cli_eval.main([*command, str(tmp_path / "a.json")]) == 0
    shown = capsys.readouterr().out
    assert "run/model_7" in shown.replace("\n", "")
    assert cli_eval.main([*command, str(tmp_path / "deep" / "b.json")]) == 0
    assert (tmp_path / "a.json").read_text() == (tmp_path / "deep" / "b.json").read_text()
    base, trained = report.load(tmp_path / "a.json")
    assert (base.name, trained.name) == ("base", "run/model_7")
    assert base.initial_states == trained.initial_states
    assert len(set(base.initial_states)) == 5
    assert base.successes is None
    assert base.chunk_length == trained.chunk_length == 1
    assert base.fingerprint != trained.fingerprint
    assert base.returns == tuple(float(length) for length in base.lengths)
    assert base.returns != trained.returns
    table = (tmp_path / "a.md").read_text()
    assert table.startswith("| checkpoint | episodes | return | vs. base | length |")
    assert "The task says nothing of success." in table


def test_base_is_the_policy_that_the_run_began_with(run_dir: Path, tmp_path: Path) -> None:
    """Its network was drawn at random, with another seed than the evaluation's."""
    saved = torch.load(run_dir / "model_7.pt", weights_only=True)
    saved["actor_state_dict"] = saved["reference_state_dict"]
    torch.save(saved, tmp_path / "origin.pt")
    checkpoints = ("--checkpoint", "base", str(tmp_path / "origin.pt"), str(run_dir))
    command = [*CARTPOLE, *FEW, *checkpoints, "--seed", "9", "env.num_workers=1", "--out", str(tmp_path / "out.json")]
    assert cli_eval.main(command) == 0
    base, origin, trained = report.load(tmp_path / "out.json")
    assert base.fingerprint == origin.fingerprint != trained.fingerprint
    assert base.returns == origin.returns


def test_gr00t_on_fetch_is_filmed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By a checkpoint whose statistics are of another robot, which the report has a note on."""
    out, checkpoint = tmp_path / "fetch.json", fetch_checkpoint(tmp_path / "gr00t", {"state.goal_position": (7.0, 7.1)})
    settings = ("env.max_episode_steps=12", f"agent.actor.gr00t.checkpoint={checkpoint}")
    assert cli_eval.main([*FETCH, *FEW, *settings, "--checkpoint", "base", "--out", str(out), "--videos", "1"]) == 0
    (base,) = report.load(out)
    (note,) = base.notes
    assert note.startswith("state.goal_position, dimension 0, 1, 2: saw ")
    warning = f"Warning: base observed states far outside of the data that the checkpoint's statistics are of. {note}"
    assert out.with_suffix(".md").read_text().endswith(f"\n\n{warning}\n")
    shown = "".join(capsys.readouterr().out.split())
    assert shown.count("".join(note.split())) == 2, "at once, and below the table"
    assert base.successes is not None
    videos = sorted((tmp_path / "fetch" / "base").iterdir())
    assert [video.name.partition("_")[0] for video in videos] == ["failure"] + ["success"] * any(base.successes)
    number = int(videos[0].stem.partition("_")[2])
    # a view of each camera at every control step, and the last one for 0.4 s
    assert read_video(videos[0], base.lengths[number] + 10).shape[1:] == (256, 512, 3)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--checkpoint", "base", "--episodes", "20"], "±20.1 percentage points around the success rate, but ±7.0 is"),
        (["--checkpoint", "base", "--half-width", "0.9"], "Expected more than 0 and less than 0.5"),
        (["--checkpoint", "base", "--num_envs", "0"], "--num_envs is 0; expected at least 1."),
        (["--checkpoint", "base", "--seed", "-1"], "--seed is -1; expected at least 0."),
        (["--checkpoint", "base", "--out", "x.csv"], "--out is 'x.csv'; expected a file that ends in .json."),
        (["--checkpoint", "base", "--videos", "2"], "--videos needs --out"),
        (
            ["--checkpoint", "base", "--noise_scale", "-1"],
            "--noise_scale is '-1'; expected finite numbers of at least 0",
        ),
        (["--checkpoint", "base", "--noise_scale", "0", "inf"], "--noise_scale is 'inf'; expected finite numbers"),
        (
            ["--checkpoint", "base", "--noise_scale", "much"],
            "is 'much'; expected finite numbers of at least 0, such as",
        ),
        (["--checkpoint", "base", "--noise_scale", "env.num_workers=1"], "--noise_scale is empty; name one scale or"),
        (["--checkpoint", "base", "--vary", "mass"], "--vary is for tasks of Isaac Lab; gym:CartPole-v1 is one of"),
        (["--checkpoint", "base", "--vary", "colour"], "--vary names 'colour'; expected all, or of camera_pose, field"),
        (["--checkpoint", "base", "--strengths", "1"], "--strengths is given without --vary"),
        ([], "--checkpoint is missing: name at least one model_*.pt, directory of a run, or base."),
        (["--checkpoint", "base", "gone.pt"], "There is no checkpoint 'gone.pt'."),
        (
            ["--checkpoint", "base", "agent.actor.chunk_size=2"],
            "agent.actor has no 'chunk_size'. Similar: chunk_length",
        ),
        (["--checkpoint", "base", "agent.actor.chunk_length=0"], "`agent.actor.chunk_length` is 0; expected"),
    ],
)
def test_what_cannot_work_is_refused(
    extra: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli_eval.main([*CARTPOLE, *extra]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_checkpoints_that_do_not_belong_here_are_refused(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(task: str, agent: str, checkpoint: Path) -> str:
        command = ["--task", task, "--agent", agent, "--device", "cpu", *FEW, "--out", str(tmp_path / "out.json")]
        assert cli_eval.main([*command, "--checkpoint", str(checkpoint), "env.num_workers=1"]) == 2
        assert not (tmp_path / "out.json").exists()
        return capsys.readouterr().err

    error = refused("gym:Pendulum-v1", "mlp_ppo", run_dir)
    assert "was trained on the task CartPole-v1, but --task is gym:Pendulum-v1. Checkpoints of different tasks" in error
    # of a run that says nothing of its task
    copied = tmp_path / "model_7.pt"
    copied.write_bytes((run_dir / "model_7.pt").read_bytes())
    error = refused("gym:Pendulum-v1", "mlp_ppo", copied)
    assert "cannot be evaluated. This checkpoint was trained without GR00T, on other observation or action" in error
    assert "does not fit the agent" in refused("gym:CartPole-v1", "rsl_rl_cfg_entry_point", copied)
    copied.write_bytes(b"nothing")
    assert f"The checkpoint '{copied}' is no checkpoint of a run, or is truncated" in refused(
        "gym:CartPole-v1", "mlp_ppo", copied
    )
    (tmp_path / "run.json").write_text(json.dumps({"task": "Isaac-Stack-Cube-Franka-v0"}))
    assert "was trained on the task Isaac-Stack-Cube-Franka-v0" in refused("gym:CartPole-v1", "mlp_ppo", copied)


@pytest.mark.parametrize(
    ("task", "agent"), [("gym:CartPole-v1", "mlp_ppo"), ("gym:FetchReach-v4", "gr00t_adapter_ppo_small")]
)
def test_noise_of_an_agent_without_the_head_is_refused_before_environments_are_made(
    task: str, agent: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from gr00t_rl_ext.envs.gymnasium import vec_env

    monkeypatch.setattr(vec_env, "GymnasiumVecEnv", None)
    command = ["--task", task, "--agent", agent, "--device", "cpu", *FEW, "--checkpoint", "base", "--noise_scale", "0"]
    assert cli_eval.main(command) == 2
    message = f"--noise_scale is given, but the agent {agent} does not act through GR00T's action head: its decisions"
    assert message in capsys.readouterr().err


def test_each_checkpoint_is_evaluated_with_each_scale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the same states, by the same weights, and each with the notes on the states that it saw itself."""
    checkpoint = fetch_checkpoint(tmp_path / "gr00t", {"state.goal_position": (7.0, 7.1)})
    settings = ("env.max_episode_steps=4", "env.reward=env", f"agent.actor.gr00t.checkpoint={checkpoint}")
    command = [*FETCH, "--task", "gym:FetchReachDense-v4", *FEW, *settings, "--checkpoint", "base", "--out"]
    assert cli_eval.main([*command, str(tmp_path / "a.json"), "--noise_scale", "0", "0.5", "1"]) == 0
    assert "base, noise 0.5" in " ".join(capsys.readouterr().out.split())
    rows = report.load(tmp_path / "a.json")
    assert [row.name for row in rows] == ["base, noise 0", "base, noise 0.5", "base, noise 1"]
    assert [row.noise_scale for row in rows] == [0.0, 0.5, 1.0]
    assert len({row.initial_states for row in rows}) == len({row.fingerprint for row in rows}) == 1
    assert len({row.returns for row in rows}) == 3
    assert [len(row.notes) for row in rows] == [1, 1, 1]
    assert "Noise scale" not in (tmp_path / "a.md").read_text()
    # as the agent says: the flow as GR00T draws
    assert cli_eval.main([*command, str(tmp_path / "b.json")]) == 0
    assert "Noise scale: 1." in (tmp_path / "b.md").read_text()
    (alone,) = report.load(tmp_path / "b.json")
    assert alone == rows[2].model_copy(update={"name": "base"})


def varied(*extra: str) -> list[tuple[str, float]]:
    command = ("--task", "Isaac-Stack-Cube-Franka-v0", "--checkpoint", "base")
    arguments = cli_eval.parse([*command, *extra])
    return cli_eval.varied(arguments, cli_eval.noise_scales(arguments.noise_scale))


def test_factors_and_strengths_are_each_taken_once() -> None:
    assert varied() == []
    assert varied("--vary", "mass", "lighting", "mass") == [
        ("mass", 0.5),
        ("mass", 1.0),
        ("lighting", 0.5),
        ("lighting", 1.0),
    ]
    assert varied("--vary", "mass", "--strengths", "2", "2.0") == [("mass", 2.0)]
    assert [name for name, _ in varied("--vary", "all", "--strengths", "1")] == list(FACTORS)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (("--strengths", "env.a=1"), "--strengths is empty; name one or more, such as 0.5 1."),
        (("--vary", "env.a=1"), "--vary is empty; name all, or of camera_pose,"),
        (("--strengths", "0"), "--strengths is '0'; expected finite numbers above 0, such as 0.5 1."),
        (("--strengths", "inf"), "--strengths is 'inf'; expected"),
        (("--strengths", "much"), "--strengths is 'much'; expected"),
        (("--noise_scale", "0", "1"), "--vary is given with several scales of --noise_scale; choose one of them."),
        (("--side_by_side",), "--side_by_side is for one evaluation of each policy"),
    ],
)
def test_what_does_not_go_with_factors_is_refused(extra: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        varied("--vary", "mass", *extra)


def test_overrides_may_follow_the_scales() -> None:
    arguments = cli_eval.parse(["--task", "x", "--noise_scale", "0", "0.5", "env.c=2", "--checkpoint", "base"])
    assert (arguments.noise_scale, arguments.overrides) == (["0", "0.5"], ["env.c=2"])


def test_overrides_may_stand_anywhere() -> None:
    arguments = cli_eval.parse(
        ["env.a=[x]", "--task", "x", "env.b=1", "--checkpoint", "base", "env.c=2", "--seed", "1"]
    )
    assert sorted(arguments.overrides) == ["env.a=['x']", "env.b=1", "env.c=2"]


def test_overrides_may_follow_the_checkpoints() -> None:
    arguments = cli_eval.parse(
        ["--task", "x", "--checkpoint", "base", "/a=b/model_1.pt", "agent.seed=1", "env.sim.dt=0.1", "presets=small"]
    )
    assert arguments.checkpoint == ["base", "/a=b/model_1.pt"]
    assert arguments.overrides == ["agent.seed=1", "env.sim.dt=0.1", "presets=small"]
