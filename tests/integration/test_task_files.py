# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A task that is one file, by the commands that users type."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from programs import ROOT, isaaclab, run, run_directory, succeeded

EXAMPLE = ROOT / "source" / "gr00t_rl_ext" / "tasks" / "examples" / "reach_franka.yaml"
SHORT = ("--num_envs", "4", "--max_iterations", "2", "agent.num_steps_per_env=4")


def train(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = str(ROOT / "scripts" / "rsl_rl" / "train.py")
    return run(sys.executable, script, *arguments, "--agent", "mlp_ppo", "--device", "cpu", *SHORT, cwd=cwd)


def test_a_folder_of_files_under_isaac_labs_own_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "reach.yaml").write_text(EXAMPLE.read_text().replace("Gr00t-Reach-Franka", "My-Reach"))
    monkeypatch.setenv("GR00T_RL_TASKS", str(tmp_path / "tasks"))
    command = ("train", "--rl_library", "rsl_rl", "--task", "My-Reach", "--agent", "gr00t_flow_ppo", "--device", "cpu")
    succeeded(isaaclab(*command, *SHORT, cwd=tmp_path))
    run = run_directory(tmp_path, "gr00t_flow_ppo_my_reach")
    assert (run / "model_1.pt").is_file()
    found = {
        item["subject"]: item["level"]
        for item in json.loads((run / "params" / "preflight.json").read_text())["findings"]
    }
    assert found["camera table_cam"] == found["camera wrist_cam"] == found["success"] == "ok"


def test_a_file_by_our_script_and_a_file_that_is_wrong(tmp_path: Path) -> None:
    done = train(tmp_path, "--task_config", str(EXAMPLE), "--no-record")
    assert done.returncode == 0, done.stderr
    assert f"GR00T_RL_TASKS={EXAMPLE} isaaclab play" in done.stdout.replace("\n", "")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(EXAMPLE.read_text().replace("panda_hand", "panda_hnd"))
    done = train(tmp_path, "--task_config", str(wrong))
    assert done.returncode == 2
    assert "cameras.wrist_cam.body: there is no body 'panda_hnd'; did you mean panda_hand" in done.stderr
    assert "Traceback" not in done.stderr
