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

from gr00t_rl_ext.evaluation import report

EXAMPLE = ROOT / "source" / "gr00t_rl_ext" / "tasks" / "examples" / "reach_franka.yaml"
CUBES = EXAMPLE.with_name("cubes_franka.yaml")
SHORT = ("--num_envs", "4", "--max_iterations", "2", "agent.num_steps_per_env=4")


def train(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = str(ROOT / "scripts" / "rsl_rl" / "train.py")
    return run(sys.executable, script, *arguments, "--agent", "mlp_ppo", "--device", "cpu", *SHORT, cwd=cwd)


def test_a_folder_of_files_under_isaac_labs_own_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "reach.yaml").write_text(EXAMPLE.read_text().replace("Gr00t-Reach-Goal-Franka", "My-Reach"))
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
    mine = tmp_path / "mine.yaml"
    mine.write_text(EXAMPLE.read_text().replace("Gr00t-Reach-Goal-Franka", "My-Reach"))
    done = train(tmp_path, "--task_config", str(mine), "--no-record")
    assert done.returncode == 0, done.stderr
    assert f"GR00T_RL_TASKS={mine} isaaclab play" in done.stdout.replace("\n", "")
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(mine.read_text().replace("panda_hand", "panda_hnd"))
    done = train(tmp_path, "--task_config", str(wrong))
    assert done.returncode == 2
    assert "cameras.wrist_cam.body: there is no body 'panda_hnd'; did you mean panda_hand" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_randomises_is_learned_in_groups_and_its_factors_evaluated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By Isaac Lab's own command; the file is of a task with cubes, and adds to its events."""
    text = CUBES.read_text().replace("Gr00t-Cubes-Franka", "My-Cubes")
    drawn = "randomise: {camera_pose: 0.5, lighting: 1, mass: 1, action_delay: 1}"
    (tmp_path / "cubes.yaml").write_text(f"{text}\n{drawn}\n")
    monkeypatch.setenv("GR00T_RL_TASKS", str(tmp_path / "cubes.yaml"))
    of_task = ("--task", "My-Cubes", "--agent", "gr00t_grpo", "--device", "cpu", "--num_envs", "8")
    settings = ("presets=small_cameras", "env.episode_length_s=0.8", "agent.algorithm.group_size=2")
    of_groups = ("agent.algorithm.outcome=return", "agent.num_steps_per_env=4", "agent.algorithm.num_mini_batches=2")
    # an override as of any event of Isaac Lab
    override = "env.events.randomise_mass.params.strength=0.25"
    command = ("train", "--rl_library", "rsl_rl", *of_task, "--max_iterations", "1")
    output = succeeded(isaaclab(*command, *settings, *of_groups, override, cwd=tmp_path))
    assert "camera_pose, strength 0.5 of: each camera up to 0.03 m" in output
    assert "mass, strength 0.25 of: of each object" in output
    run_dir = run_directory(tmp_path, "gr00t_grpo_my_cubes")
    out, script = tmp_path / "varied.json", str(ROOT / "scripts" / "rsl_rl" / "eval.py")
    command = (sys.executable, script, *of_task, "--episodes", "8", "--half-width", "0.49", "--out", str(out))
    varied = ("--vary", "observation_noise", "mass", "--strengths", "1", "--checkpoint", "base", str(run_dir))
    succeeded(run(*command, *varied, "presets=small_cameras", "env.episode_length_s=0.8", cwd=tmp_path))
    evaluations = report.load(out)
    draws = [{}, {"observation_noise": 1.0}, {"mass": 1.0}]
    assert [one.randomised for one in evaluations] == draws * 2, "and nothing of what the file draws"
    assert len({one.initial_states for one in evaluations}) == 1
    # without --vary, as the file has it
    succeeded(run(*command, "--checkpoint", "base", "presets=small_cameras", "env.episode_length_s=0.8", cwd=tmp_path))
    (alone,) = report.load(out)
    assert alone.randomised == {"camera_pose": 0.5, "lighting": 1.0, "mass": 1.0, "action_delay": 1.0}
    assert alone.initial_states == evaluations[0].initial_states


def test_a_file_from_a_base_task(tmp_path: Path) -> None:
    script = str(ROOT / "scripts" / "new_task.py")
    file, command = tmp_path / "tasks" / "cartpole.yaml", (sys.executable, script, "--device", "cpu")
    succeeded(run(*command, "--base", "Isaac-Cartpole", "--out", str(file), cwd=tmp_path))
    text = file.read_text()
    assert "# joints of robot: slider_to_cart, cart_to_pole" in text
    # the pole cannot be solved: any end stands for it
    done = text.replace("instruction: EDIT ME", "instruction: balance").replace("EDIT ME", "cart_out_of_bounds")
    file.write_text(done.replace("[224, 224]", "[64, 64]"))
    output = succeeded(run(*command, "--check", str(file), cwd=tmp_path))
    assert "Preflight (20 random and 20 policy decisions in 8 environments" in output
    (report,) = tmp_path.glob("logs/rsl_rl/*/*/params/preflight.json")
    assert sorted(file.name for file in report.parent.glob("*.png")) == ["camera_front_cam.png", "camera_side_cam.png"]


def test_a_base_task_whose_assets_are_not_there(tmp_path: Path) -> None:
    script = str(ROOT / "scripts" / "new_task.py")
    command = (sys.executable, script, "--device", "cpu", "--assets", "offline", "--base", "Isaac-Ant")
    done = run(*command, "--out", str(tmp_path / "ant.yaml"), cwd=tmp_path)
    assert done.returncode == 2
    assert "Isaac-Ant needs an asset that is not there." in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / "ant.yaml").exists()


def test_several_tasks_learned_and_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By Isaac Lab's own command, and in groups."""
    monkeypatch.setenv("GR00T_RL_TASKS", str(CUBES))
    task = ("--task", "Gr00t-Cubes-Franka", "--device", "cpu")
    settings = ("presets=small_cameras", "env.episode_length_s=0.8")
    command = ("train", "--rl_library", "rsl_rl", *task, "--agent", "gr00t_flow_ppo_small", "--num_envs", "8")
    output = succeeded(
        isaaclab(*command, "--max_iterations", "1", *settings, "agent.num_steps_per_env=5", cwd=tmp_path)
    )
    assert output.count("/success_rate:") == 5, "of all, and of each task"
    run_dir = run_directory(tmp_path, "gr00t_flow_ppo_small_gr00t_cubes_franka")
    out, script = tmp_path / "cubes.json", str(ROOT / "scripts" / "rsl_rl" / "eval.py")
    command = (sys.executable, script, *task, "--agent", "gr00t_flow_ppo_small", "--episodes", "8", "--num_envs", "8")
    arguments = ("--half-width", "0.49", "--checkpoint", "base", str(run_dir / "model_0.pt"), "--out", str(out))
    succeeded(run(*command, *arguments, *settings, cwd=tmp_path))
    lines = out.with_suffix(".md").read_text().splitlines()
    names = ("lift_red", "lift_green", "lift_blue", "red_on_blue")
    assert sorted(
        line.split(" | ")[:2] for line in lines if line.startswith(tuple(f"| {name} " for name in names))
    ) == [[f"| {name}", "2"] for name in sorted(names)]
    command = ("train", "--rl_library", "rsl_rl", *task, "--agent", "gr00t_grpo", "--num_envs", "8", "--max_iterations")
    of_groups = ("agent.algorithm.group_size=2", "agent.algorithm.outcome=return", "agent.num_steps_per_env=4")
    succeeded(isaaclab(*command, "1", *settings, *of_groups, "agent.algorithm.num_mini_batches=2", cwd=tmp_path))


def test_isaac_labs_own_id_trains_the_drawer(tmp_path: Path) -> None:
    """The stock command with the stock id and an agent of ours, which the stock task lacks."""
    of_task = ("--rl_library", "rsl_rl", "--task", "Isaac-Open-Drawer-Franka", "--agent", "gr00t_flow_ppo_small")
    output = succeeded(isaaclab("train", *of_task, "--device", "cpu", *SHORT, cwd=tmp_path))
    assert "taking Gr00t-Open-Drawer-Franka" in output
    run = run_directory(tmp_path, "gr00t_flow_ppo_small_gr00t_open_drawer_franka")
    assert (run / "model_1.pt").is_file()
    findings = json.loads((run / "params" / "preflight.json").read_text())["findings"]
    found = {item["subject"]: item["level"] for item in findings}
    assert found["camera side_cam"] == found["camera wrist_cam"] == found["success"] == "ok"
