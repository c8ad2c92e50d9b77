# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Programs that users start, each in a process of its own, and what they leave behind."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
TASK = "Isaac-Stack-Cube-Franka-v0"
TASK_IK = "Isaac-Stack-Cube-Franka-IK-Rel-v0"
SMALL = ("--device", "cpu", "presets=small_cameras")


def isaaclab(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of Isaac Lab."""
    return run(sys.executable, "-m", "isaaclab", *arguments, cwd=cwd)


def train(
    *arguments: str, cwd: Path, task: str = TASK, agent: str = "gr00t_adapter_ppo"
) -> subprocess.CompletedProcess[str]:
    """Run the stock training command on the CPU with small cameras."""
    return isaaclab(*("train", "--rl_library", "rsl_rl", "--task", task, "--agent", agent, *SMALL, *arguments), cwd=cwd)


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command and return its output; the environment is the user's, with offline assets."""
    environment = {**os.environ, "GR00T_RL_EXT_ASSETS": "offline", "COLUMNS": "120"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False, timeout=400)


def succeeded(result: subprocess.CompletedProcess[str]) -> str:
    """The output of a command that must have succeeded."""
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-4000:]
    return result.stdout


def run_directory(cwd: Path, experiment: str) -> Path:
    """The newest run of an experiment."""
    return sorted((cwd / "logs" / "rsl_rl" / experiment).iterdir())[-1]


def export(cwd: Path, checkpoint: Path, tolerance: float) -> set[str]:
    """Export the run of a training checkpoint, which must act alike; names of the parameters that the base has others
    of."""
    from gr00t_rl_ext.gr00t import load_gr00t

    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as printed:
        patch.setattr(sys, "argv", ["export_gr00t.py", str(checkpoint.parent), str(cwd / "exported")])
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(ROOT / "scripts" / "export_gr00t.py"), run_name="__main__")
    assert ended.value.code == 0
    output = printed.getvalue()
    differences = [float(line.split()[5].rstrip(",")) for line in output.splitlines() if line.startswith("parity of")]
    assert len(differences) == 2
    assert max(differences) < tolerance
    saved = torch.load(checkpoint, weights_only=True)
    base, exported = (load_gr00t(path, dtype=torch.float32) for path in (saved["base_name"], cwd / "exported"))
    return {name for name, value in base.named_parameters() if not torch.equal(value, exported.get_parameter(name))}
