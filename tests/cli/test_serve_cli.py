# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""scripts/serve.py and eval.py --server: two processes, and what both refuse."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_eval_cli import FETCH, FEW, fetch_checkpoint
from test_export_cli import train
from tiny_policy import SPEC

from gr00t_rl_ext.cli import eval as cli_eval
from gr00t_rl_ext.cli import serve
from gr00t_rl_ext.cli.export import main as export
from gr00t_rl_ext.gr00t import build_tiny_checkpoint
from gr00t_rl_ext.policy.steering import Gr00tSteeringActor
from gr00t_rl_ext.serving.client import PolicyClient

SCRIPT = Path(__file__).parents[2] / "scripts" / "serve.py"


@contextmanager
def served(*arguments: str) -> Iterator[tuple[str, list[str]]]:
    """``serve.py`` in a process of its own: its address, and the lines that it prints, all of them at the end."""
    command = [sys.executable, str(SCRIPT), *arguments, "--port", "0", "--device", "cpu"]
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                lines.append(line)
                if found := re.match(r"ready: listening at (\S+);", line):
                    yield found[1], lines
                    break
            else:
                pytest.fail("".join(lines))
        finally:
            process.send_signal(signal.SIGINT)
            lines += process.communicate(timeout=30)[0].splitlines()
    assert process.returncode == 0, "".join(lines)


def test_a_served_policy_does_in_an_evaluation_what_it_does_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same noise, too: it is seeded by the evaluation."""
    base = fetch_checkpoint(tmp_path / "gr00t", {})
    monkeypatch.chdir(tmp_path)
    with served(str(base), "--noise_scale", "1") as (address, lines):
        own = [*FEW, "--checkpoint", "base", "--server", address, "--out", "out.json", "--noise_scale", "1"]
        given = [f"agent.actor.gr00t.checkpoint={base}", "agent.actor.chunk_length=8"]
        assert cli_eval.main([*FETCH, *own, *given]) == 0
        printed = capsys.readouterr().out
        assert f"What the policy at {address} is assumed to be" in printed
        assert "8 of them are executed" in printed
    here, there = json.loads((tmp_path / "out.json").read_text())["evaluations"]
    assert (here["name"], there["name"]) == ("base", f"server {address}")
    assert (here["returns"], here["lengths"]) == (there["returns"], there["lengths"])
    assert there["chunk_length"] == 8
    assert any("for this machine alone" in line for line in lines)
    assert any(re.match(r"stopped after \d+ requests, 0 of them refused", line) for line in lines)


def test_runs_exports_and_gr00t_alone_are_served(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = build_tiny_checkpoint(
        tmp_path / "base", state_keys=SPEC.state_terms, action_keys=SPEC.action_terms, video_keys=SPEC.cameras
    )
    train(tmp_path / "run", base, actor_class=Gr00tSteeringActor)
    assert export([str(tmp_path / "run"), str(tmp_path / "out")]) == 0
    capsys.readouterr()
    parsed = serve.parse([str(tmp_path / "run"), "--device", "cpu"])
    run, what = serve.load(parsed, {})
    assert "Gr00tSteeringActor of" in what
    exported, what = serve.load(serve.parse([str(tmp_path / "out"), "--device", "cpu"]), {})
    assert "Gr00tSteeringActor exported to" in what
    plain, what = serve.load(serve.parse([str(tmp_path / "out"), "--plain", "--device", "cpu"]), {})
    assert "GR00T's own inference of" in what
    assert run.horizon == exported.horizon < plain.horizon
    assert run.actor.noise_scale == 0
    assert plain.actor.noise_scale == 1
    moved = base.rename(tmp_path / "moved")
    with pytest.raises(ValueError, match="base"):
        serve.load(parsed, {})
    assert serve.load(parsed, {"checkpoint": str(moved)})[0].keys == run.keys


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere/at/all"], "nowhere/at/all"),
        ([".", "--plain"], "--plain is for a checkpoint that export_gr00t.py wrote; '.' is none"),
        ([".", "--port", "70000"], "--port is 70000; expected 1 to 65535, or 0 for any that is free"),
        ([".", "--noise_scale", "-1"], "--noise_scale is -1.0; expected a finite number of at least 0"),
        ([".", "agent.actor.chunk_length=4"], "'agent.actor.chunk_length=4' is no override of a served policy."),
        ([".", "agent.actor.gr00t.colour=4"], "Available are agent.actor.gr00t.checkpoint=VALUE"),
    ],
)
def test_the_server_refuses(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    assert serve.main([*arguments, "--device", "cpu"]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--checkpoint is missing: name at least one model_*.pt, directory of a run, or base. Or name a policy"),
        (["--server", "robot:x"], "the server's address is 'robot:x'; expected HOST:PORT"),
        (["--server", "localhost:1", "--timeout", "0.2"], "did not answer get_modality_config within 0.2 s"),
        (["--server", "localhost:1", "--timeout", "0"], "--timeout is 0.0; expected a positive number of seconds"),
        (["--server", "localhost:1", "--noise_scale", "0"], "--noise_scale is of checkpoints, and none is given"),
        (["--checkpoint", "base", "--api-token", "x"], "--api-token is given without --server"),
    ],
)
def test_the_evaluation_refuses_before_there_is_a_simulator(
    arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(
        "gr00t_rl_ext.envs.gymnasium.vec_env.GymnasiumVecEnv", lambda *_: pytest.fail("a simulator was started")
    )
    assert cli_eval.main([*FETCH, *FEW, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_server_of_another_embodiment_is_refused_before_there_is_a_simulator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text("state: {wheels: gripper_position}\n")
    monkeypatch.setattr(
        "gr00t_rl_ext.envs.gymnasium.vec_env.GymnasiumVecEnv", lambda *_: pytest.fail("a simulator was started")
    )
    base = fetch_checkpoint(tmp_path / "gr00t", {})
    with served(str(base), "--api-token", "t") as (address, _):
        with PolicyClient(address, api_token="t", timeout_s=10) as client:
            assert "goal_position" in client.keys().state
        own = ["--server", address, "--api-token", "t", f"agent.actor.gr00t.mapping={mapping}"]
        assert cli_eval.main([*FETCH, *FEW, *own]) == 2
    assert "no state key 'wheels'; available are gripper_position" in capsys.readouterr().err
