# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Runs that are killed go on, and several processes train one policy: by the command line."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import programs
import pytest
import torch

from gr00t_rl_ext.cli.summary import read_scalars

TRAIN = str(programs.ROOT / "scripts" / "rsl_rl" / "train.py")
SMALL = ["--task", "gym:Pendulum-v1", "--agent", "mlp_ppo", "--num_envs", "4", "--seed", "3", "--device", "cpu"]
SMALL += ["--no-record", "agent.save_interval=1", "agent.num_steps_per_env=16", "env.num_workers=1"]


def train(folder: Path, *arguments: str, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return programs.run(sys.executable, *launcher, TRAIN, *arguments, cwd=folder)


def run_of(folder: Path, name: str) -> Path:
    (run,) = folder.glob(f"logs/rsl_rl/*/*_{name}")
    return run


def weights(run: Path, number: int) -> dict[str, Any]:
    return torch.load(run / f"model_{number}.pt", weights_only=True)["actor_state_dict"]


def test_a_run_that_was_killed_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    done = train(tmp_path, *SMALL, "--max_iterations", "4", "--run_name", "whole")
    assert done.returncode == 0, done.stderr
    command = [sys.executable, TRAIN, *SMALL, "--max_iterations", "4", "--run_name", "killed"]
    with (tmp_path / "log").open("w") as log:
        killed = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log, start_new_session=True)
        while not list(tmp_path.glob("logs/rsl_rl/*/*_killed/model_1.pt")):
            assert killed.poll() is None
            time.sleep(0.005)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
    run = run_of(tmp_path, "killed")
    if not (run / "model_3.pt").exists():
        done = train(tmp_path, "--resume", str(run))
        assert done.returncode == 0, done.stderr
        assert "The environments go on where they were." in done.stdout
    expected, found = weights(run_of(tmp_path, "whole"), 3), weights(run, 3)
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert [step for step, _ in read_scalars(run)["Loss/surrogate"]] == [0, 1, 2, 3]


def test_two_processes_train_one_policy(tmp_path: Path) -> None:
    launcher = ("-m", "torch.distributed.run", "--nproc_per_node", "2")
    done = train(tmp_path, *SMALL, "--max_iterations", "2", "--distributed", "--run_name", "two", launcher=launcher)
    assert done.returncode == 0, done.stderr
    # rank 0 alone prints and writes
    assert done.stdout.count("Learning iteration 1/2") == 1
    assert "4 in each of 2 processes" in done.stdout
    run = run_of(tmp_path, "two")
    # 2 iterations of 16 decisions of each of 8 environments
    steps = read_scalars(run)["charts/env_steps"]
    saved = torch.load(run / "model_1.pt", weights_only=True)
    assert steps[-1][1] == 2 * saved["statistics"]["control_steps"]
    # and goes on in one
    done = train(tmp_path, "--resume", str(run), "--max_iterations", "3")
    assert done.returncode == 0, done.stderr
    assert torch.load(run / "model_2.pt", weights_only=True)["iter"] == 3


def records(log: Path) -> list[Any]:
    """What W&B wrote into its file of a run."""
    from wandb.proto import wandb_internal_pb2
    from wandb.sdk.internal.datastore import DataStore

    messages: Any = wandb_internal_pb2
    store, found = DataStore(), []
    store.open_for_scan(str(log))
    # it ends with an assertion where the file does
    with contextlib.suppress(AssertionError):
        while (data := store.scan_data()) is not None:
            record = messages.Record()
            record.ParseFromString(data)
            found.append(record)
    return found


def test_a_server_of_wandb_that_is_gone_holds_nothing_up_and_no_secret_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    secret = "hf_" + "q7" * 17
    (tmp_path / "settings.py").write_text("token = ''\n")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(tmp_path)]
    for command in (["init", "-q"], ["add", "settings.py"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    (tmp_path / "settings.py").write_text(f"token = '{secret}'\n")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staged"))
    began = time.monotonic()
    done = train(tmp_path, *SMALL, "--max_iterations", "2", "--run_name", "logged", "--logger", "wandb")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 120
    assert "WARNING: The server of W&B, 127.0.0.1, cannot be reached" in done.stdout
    run = run_of(tmp_path, "logged")
    (log,) = run.glob("wandb/offline-run-*/run-*.wandb")
    found = records(log)
    artifacts = [record.artifact for record in found if record.WhichOneof("record_type") == "artifact"]
    assert [[entry.path for entry in artifact.manifest.contents] for artifact in artifacts[:2]] == [
        ["model_0.pt"],
        ["model_1.pt"],
    ]
    assert all("latest" in artifact.aliases for artifact in artifacts)
    assert any("best" in artifact.aliases for artifact in artifacts)
    metadata = json.loads(artifacts[-1].metadata)
    assert metadata["algorithm"] == "Gr00tPPO"
    assert metadata["base_fingerprint"].startswith("vectors-")
    assert (metadata["iterations"], metadata["file"]) == (2, "model_1.pt")
    config = {entry.key or entry.nested_key[0]: entry.value_json for r in found for entry in r.config.update}
    assert {"train_cfg", "env_cfg", "versions", "git", "instruction"} <= config.keys()
    assert "torch" in json.loads(config["versions"])
    history = {item.key or item.nested_key[0] for record in found for item in record.history.item}
    assert {"train/approx_kl", "charts/env_steps"} <= history
    for file in run.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes(), file


@pytest.mark.parametrize("flag", ["--resume", "--distributed"])
def test_what_isaac_labs_command_would_do_otherwise(flag: str, tmp_path: Path) -> None:
    isaac = ["--task", "Isaac-Cartpole-State-v0", "--agent", "mlp_ppo", "--device", "cpu", "--max_iterations", "1"]
    if flag == "--distributed":
        done = train(tmp_path, *isaac, flag)
        assert done.returncode == 2
        assert "--distributed with --device cpu is for Gymnasium tasks (gym:ID)" in done.stderr
    else:
        done = programs.isaaclab("train", "--rl_library", "rsl_rl", *isaac, flag, cwd=tmp_path)
        assert done.returncode != 0
        assert "`isaaclab train` has no --resume: it takes it for --resume_optimizer_state" in done.stderr + done.stdout
    assert not list(tmp_path.rglob("model_*.pt"))
