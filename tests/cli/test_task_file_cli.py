# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A task of Gymnasium by a file: trained, resumed, played, evaluated and recorded by our commands."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from gr00t_rl_ext.cli import eval as cli_eval
from gr00t_rl_ext.cli import play, train
from gr00t_rl_ext.cli.run_settings import RunSettings

FILE = """\
base: gym:gymnasium_toys:Seen-v0
id: Count-By-File
kwargs: {goal: 4}
instruction: count to four
cameras:
  front: {observation: pixels.front}
  wrist: {observation: pixels.wrist}
image_size: [32, 32]
state: {terms: {joints: {key: arm.joints, scale: 0.5}}}
success: {info: is_success, ends_episode: false}
chunk_length: 4
num_envs: 2
agents: [gr00t_ppo_small, mlp_ppo]
"""
SHORT = ("--max_iterations", "2", "agent.num_steps_per_env=4", "agent.algorithm.num_mini_batches=1")


pytestmark = pytest.mark.usefixtures("no_task_files")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GR00T_RL_TASKS", "")
    (tmp_path / "count.yaml").write_text(FILE)
    return tmp_path


def test_a_policy_over_gr00t(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    of_file = ("--task_config", "count.yaml", "--agent", "gr00t_ppo_small", "--device", "cpu", "env.num_workers=1")
    tiny = "agent.actor.gr00t.checkpoint=tiny"
    assert train.main([*of_file, *SHORT, tiny, "--no-record", "--run_timestamp", "run"]) == 0
    printed = capsys.readouterr().out
    assert "instruction: 'count to four'" in printed
    assert "sees 2 camera(s) and 2 state dimensions" in printed
    # the command that it prints names the file
    assert "│ success       │ info['is_success']" in printed
    shown = f"GR00T_RL_TASKS={folder / 'count.yaml'} ./isaaclab.sh -p scripts/rsl_rl/play.py --task gym:Count-By-File"
    assert shown in " ".join(printed.split())
    run = folder / "logs" / "rsl_rl" / "gr00t_ppo_small_count_by_file" / "run"
    env = yaml.unsafe_load((run / "params" / "env.yaml").read_text())
    assert (env["env_id"], env["instruction"]) == ("gymnasium_toys:Seen-v0", "count to four")
    # what exports, distillation and servers take of a run
    settings = RunSettings.read(run)
    assert settings.task == "gym:Count-By-File"
    assert settings.overrides("gr00t_ppo_small", [])[1].actor.chunk_length == 4
    assert play.main([*of_file, tiny, "--checkpoint", str(run / "model_1.pt")]) == 0
    assert "8 episodes: mean return" in capsys.readouterr().out
    out = folder / "compared.json"
    more = ("--episodes", "4", "--half-width", "0.4", "--checkpoint", "base", str(run), "--out", str(out), tiny)
    assert cli_eval.main([*of_file, *more]) == 0, capsys.readouterr()
    assert json.loads(out.read_text())
    assert train.main([*of_file, *SHORT, tiny, "--no-record", "--resume", str(run), "--max_iterations", "3"]) == 0
    assert (run / "model_2.pt").is_file()


def test_a_file_that_names_what_is_not_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "count.yaml").write_text(FILE.replace("pixels.wrist", "pixels.hand"))
    command = ("--task_config", "count.yaml", "--agent", "gr00t_ppo_small", "--device", "cpu", "env.num_workers=1")
    assert train.main([*command, *SHORT, "agent.actor.gr00t.checkpoint=tiny"]) == 2
    error = capsys.readouterr().err
    assert "count.yaml', line 5, cameras: A camera reads the entry 'pixels.hand'" in error.replace("\n", " ")
    assert not list(folder.glob("logs/**/*.pt"))


def test_findings_name_their_place_in_the_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Any reward is a success, so that each episode ends at its first step."""
    (folder / "count.yaml").write_text(FILE.replace("{info: is_success, ends_episode: false}", "{reward: -9.0}"))
    command = ("--task_config", "count.yaml", "--agent", "gr00t_ppo_small", "--device", "cpu", "env.num_workers=1")
    assert train.main([*command, *SHORT, "agent.actor.gr00t.checkpoint=tiny", "--run_timestamp", "run"]) == 2
    where = f"success ({str(folder / 'count.yaml')!r}, line 10)"
    shown = " ".join(capsys.readouterr().err.split())
    assert f"1. {where}: 8 of 8 episodes ended in success at their first control step." in shown
    (report,) = folder.glob("logs/rsl_rl/*/run/params/preflight.json")
    found = {item["subject"]: item["where"] for item in json.loads(report.read_text())["findings"]}
    assert found["success"].endswith("line 10")
    assert found["disk"] == ""
