# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""From a task file to configs: what it says, and of everything else what the base task has."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import isaaclab_tasks  # noqa: F401  registers Isaac Lab's own tasks
import pytest
import torch
from isaaclab.managers import TerminationTermCfg
from isaaclab.utils.math import matrix_from_quat
from isaaclab_tasks.utils import load_cfg_from_registry, resolve_task_config
from isaaclab_tasks.utils.hydra import resolve_presets

from gr00t_rl_ext.randomisation import class_path
from gr00t_rl_ext.tasks.files import agents, base, environment
from gr00t_rl_ext.tasks.files.reading import Source, TaskFileError
from gr00t_rl_ext.tasks.files.registration import VARIABLE, register_named, register_task, without_task_file
from gr00t_rl_ext.tasks.files.schema import Pose
from gr00t_rl_ext.tasks.files.terms import expert_class
from gr00t_rl_ext.tasks.several import Solved, control_steps
from gr00t_rl_ext.tasks.shipped import SHIPPED
from gr00t_rl_ext.tasks.stack.config.franka.env_cfg import FrankaStackCubeEnvCfg

EXAMPLE = Path(__file__).parent / "reach.yaml"
TEXT = EXAMPLE.read_text()


pytestmark = pytest.mark.usefixtures("no_task_files")


def source(folder: Path, old: str = "", new: str = "") -> Source:
    assert old in TEXT
    file = folder / "task.yaml"
    file.write_text(TEXT.replace(old, new, 1))
    return Source(file)


# Randomisation


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("[lighting, mass]", {"lighting": 1.0, "mass": 1.0}),
        ("{lighting: 0.5, mass: 2}", {"lighting": 0.5, "mass": 2.0}),
        ("[]", {}),
    ],
)
def test_factors_become_events_after_those_of_the_base_task(
    given: str, expected: dict[str, float], tmp_path: Path
) -> None:
    task = source(tmp_path, "rewards: keep", f"rewards: keep\nrandomise: {given}")
    own = list(vars(environment.environment_cfg(source(tmp_path)).events))
    events = vars(environment.environment_cfg(task).events)
    assert list(events) == [*own, *(f"randomise_{name}" for name in expected)]
    for name, strength in expected.items():
        term = events[f"randomise_{name}"]
        assert (term.mode, term.params) == ("reset", {"strength": strength})
        assert str(term.func) == class_path(name)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("[light]", "camera_pose"),
        ("[mass, mass]", "'mass' is there more than once"),
        ("{mass: 0}", "greater than 0"),
        ("{mass: .inf}", "finite"),
        ("mass", "dictionary"),
        ("[{mass: 0.5}]", "dictionary"),
        ("{mass: true}", "number"),
    ],
)
def test_what_is_no_factor_is_refused_with_its_line(given: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(TaskFileError, match=rf"task.yaml', line 11, randomise.*{message}"):
        source(tmp_path, "rewards: keep", f"rewards: keep\nrandomise: {given}")


# Cameras


def test_a_camera_looks_at_its_point() -> None:
    pose = Pose(position=(1.0, 2.0, 3.0), look_at=(0.0, 0.5, 0.2))
    x, y, z, w = environment.orientation(pose)
    right, down, forward = matrix_from_quat(torch.tensor([x, y, z, w])).T
    expected = torch.tensor([-1.0, -1.5, -2.8])
    torch.testing.assert_close(forward, expected / expected.norm(), atol=1e-5, rtol=0)
    assert abs(float(right[2])) < 1e-6, "the horizon is level"
    assert float(down[2]) < 0


def test_it_is_the_orientation_of_a_camera_that_is_known_to_look_right() -> None:
    offset = FrankaStackCubeEnvCfg().scene.table_cam.offset
    forward = matrix_from_quat(torch.tensor(offset.rot))[:, 2]
    target = torch.tensor(offset.pos) + forward
    found = environment.orientation(Pose(position=offset.pos, look_at=tuple(target.tolist())))
    torch.testing.assert_close(torch.tensor(found), torch.tensor(offset.rot), atol=1e-4, rtol=0)


def test_a_camera_on_a_body(tmp_path: Path) -> None:
    cfg = environment.environment_cfg(source(tmp_path))
    assert cfg.scene.wrist_cam.prim_path.endswith("/panda_link7/panda_hand/wrist_cam")
    assert cfg.scene.wrist_cam.update_latest_camera_pose
    assert cfg.scene.table_cam.prim_path == "{ENV_REGEX_NS}/table_cam"
    assert not cfg.scene.table_cam.update_latest_camera_pose
    with pytest.raises(
        TaskFileError, match=r"line \d+, cameras\.wrist_cam\.body: .*'panda_han'; did you mean panda_hand"
    ):
        environment.environment_cfg(source(tmp_path, "body: panda_hand", "body: panda_han"))
    with pytest.raises(TaskFileError, match=r"cameras\.robot: the base task's scene has a part of this name"):
        environment.environment_cfg(source(tmp_path, "table_cam:", "robot:"))


# The rest


def test_the_config_is_the_base_tasks_and_what_the_file_says(tmp_path: Path) -> None:
    cfg, base = (
        environment.environment_cfg(source(tmp_path)),
        load_cfg_from_registry("Isaac-Reach-Franka", "env_cfg_entry_point"),
    )
    assert isinstance(cfg, type(base))
    assert cfg.instruction == "move the gripper to the goal"
    assert list(vars(cfg.observations)) == ["policy", "rgb", "state"]
    assert vars(cfg.rewards).keys() == vars(base.rewards).keys()
    assert cfg.commands.to_dict() == base.commands.to_dict()
    assert cfg.episode_length_s == base.episode_length_s


@pytest.mark.parametrize("installed", ["ovphysx", "newton_mjwarp"])
def test_what_goes_with_the_physics_follows_it(installed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "default_physics", lambda: installed)
    cfg: Any = base.base_cfg("Isaac-Open-Drawer-Franka")
    base.make_ready(cfg)
    cfg = resolve_presets(cfg)
    # 60 Hz, whichever physics it is
    assert cfg.decimation == {"ovphysx": 1, "newton_mjwarp": 10}[installed]
    assert cfg.sim.dt * cfg.decimation == pytest.approx(1 / 60)
    variant = {"ovphysx": "physx", "newton_mjwarp": "mujoco"}
    assert cfg.scene.robot.spawn.variants["Physics"] == variant[installed]


def test_other_physics_can_be_chosen() -> None:
    cfg: Any = base.base_cfg("Isaac-Open-Drawer-Franka")
    base.make_ready(cfg)
    cfg = resolve_presets(cfg, {"newton_mjwarp"})
    assert (cfg.decimation, cfg.scene.robot.spawn.variants["Physics"]) == (10, "mujoco")
    assert cfg.sim.dt == pytest.approx(1 / 600)


def test_a_file_that_differs_in_one_value_differs_in_that_value_only(tmp_path: Path) -> None:
    def flat(cfg: Any, path: str = "") -> dict[str, Any]:
        if not isinstance(cfg, dict):
            return {path: str(cfg)}
        return {key: value for name, inner in cfg.items() for key, value in flat(inner, f"{path}.{name}").items()}

    one = flat(environment.environment_cfg(source(tmp_path)).to_dict())
    other = flat(environment.environment_cfg(source(tmp_path, "[1.5, 0.0, 0.9]", "[1.5, 0.1, 0.9]")).to_dict())
    changed = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)}
    # it still looks at its point
    assert changed == {".scene.table_cam.offset.pos", ".scene.table_cam.offset.rot"}


def test_terms_of_ones_own(tmp_path: Path) -> None:
    of_hand = "{hand: {func: body_pose_w, params: {asset_cfg: {entity: robot, body_names: [panda_hand]}}}}"
    cfg = environment.environment_cfg(source(tmp_path, "[joint_pos, pose_command]", f"[joint_pos, {of_hand}]"))
    term = cfg.observations.state.hand
    assert term.func.__name__ == "body_pose_w"
    assert (term.params["asset_cfg"].name, term.params["asset_cfg"].body_names) == ("robot", ["panda_hand"])
    solved = "success: {func: 'isaaclab.envs.mdp:bad_orientation', params: {limit_angle: 1.0}}"
    cfg = environment.environment_cfg(source(tmp_path, "success: success", solved))
    assert cfg.terminations.success.params == {"limit_angle": 1.0}


def test_success_that_must_hold(tmp_path: Path) -> None:
    """Control steps of the base task are 1/30 s."""
    given = "success: {func: 'isaaclab.envs.mdp:bad_orientation', hold_s: 0.21, params: {limit_angle: 1.0}}"
    cfg = environment.environment_cfg(source(tmp_path, "success: success", given))
    assert cfg.sim.dt * cfg.decimation == pytest.approx(1 / 30)
    held = cfg.terminations.success
    assert (held.func, held.params["seconds"]) == (Solved, [0.21])
    assert held.params["terms"][0].params == {"limit_angle": 1.0}
    cfg = environment.environment_cfg(source(tmp_path, "success: success", given.replace("0.21", "0")))
    assert cfg.terminations.success.params == {"limit_angle": 1.0}


SEVERAL = """\
tasks:
  near:
    instruction: [go near, come here]
    success: {func: "isaaclab.envs.mdp:bad_orientation", params: {limit_angle: 1.0}}
  far:
    instruction: go far
    success: {term: success}
    rewards: {slow: {func: joint_vel_l2, weight: -0.1}}
"""


def several(folder: Path, old: str = "", new: str = "", base: str = "Isaac-Lift-Cube-Franka-IK-Rel-v0") -> Source:
    """Two tasks over the task of lifting, whose success is a plain function."""
    text = TEXT.replace("base: Isaac-Reach-Franka", f"base: {base}").replace("[joint_pos, pose_command]", "[eef_pose]")
    text = text.replace("table_cam: {", "far_cam: {").replace("wrist_cam: {", "near_cam: {")
    text = text.replace("instruction: move the gripper to the goal\n", "").replace("success: success\n", SEVERAL)
    assert old in text
    (folder / "task.yaml").write_text(text.replace(old, new, 1))
    return Source(folder / "task.yaml")


def test_several_tasks(tmp_path: Path) -> None:
    cfg = environment.environment_cfg(several(tmp_path))
    assert cfg.commands.task.told == {"near": ["go near", "come here"], "far": ["go far"]}
    success = cfg.terminations.success
    assert (success.func, success.params["seconds"]) == (Solved, [0.0, 0.0])
    assert [term.func.__name__ for term in success.params["terms"]] == ["bad_orientation", "cube_lifted"]
    assert {"reach", "far__slow"} <= set(vars(cfg.rewards)), "those of the base task stay"
    assert cfg.rewards.far__slow.params["task"] == 1
    assert not hasattr(cfg, "instruction") or cfg.instruction != "go near"
    assert "task" in vars(cfg.observations)
    agent = agents.agent_cfg(several(tmp_path), "gr00t_ppo")
    assert agent.obs_groups["critic"] == ["rgb", "state", "task", "privileged"]
    assert agents.agent_cfg(several(tmp_path), "mlp_ppo").obs_groups["actor"] == ["task", "privileged"]


def test_several_instructions_of_one_task(tmp_path: Path) -> None:
    given = source(tmp_path, "instruction: move the gripper to the goal", "instruction: [go, come]")
    cfg = environment.environment_cfg(given)
    assert cfg.commands.task.told == {"task": ["go", "come"]}
    assert cfg.commands.ee_pose is not None, "those of the base task stay"
    assert not hasattr(cfg, "instruction")


def test_a_camera_of_the_base_task(tmp_path: Path) -> None:
    given = several(
        tmp_path,
        "far_cam: {pose: {position: [1.5, 0.0, 0.9], look_at: [0.4, 0.0, 0.3]}, size: [64, 64]}",
        "table_cam: keep",
    )
    cfg = environment.environment_cfg(given)
    assert cfg.scene.table_cam.offset.pos == FrankaStackCubeEnvCfg().scene.table_cam.offset.pos
    assert list(cfg.observations.rgb.to_dict())[-2:] == ["table_cam", "near_cam"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "[go near, come here]",
            "[go near, go near]",
            r"line \d+, tasks\.near\.instruction: 'go near' is there more than once",
        ),
        ("instruction: go far", "instruction: go near", r"'go near' is the instruction of several tasks"),
        ("tasks:", "success: success\ntasks:", "there are several tasks, each with its own success"),
        ("instruction: go far", "instruction: ''", r"tasks\.far\.instruction.*: it is empty"),
        (
            "{term: success}",
            "{term: sucess}",
            r"line \d+, tasks\.far\.success: .*no termination 'sucess'; did you mean success",
        ),
        (
            "{term: success}",
            "{term: success, hold_s: 99}",
            r"tasks\.far\.success\.hold_s: 99 s are more than an episode",
        ),
        ("func: joint_vel_l2", "func: joint_vel_l3", r"tasks\.far\.rewards\.slow\.func: .*did you mean joint_vel_l2"),
        (
            "far_cam: {pose: {position: [1.5, 0.0, 0.9], look_at: [0.4, 0.0, 0.3]}, size: [64, 64]}",
            "tabel_cam: keep",
            r"cameras\.tabel_cam: .*no camera 'tabel_cam'; did you mean table_cam",
        ),
    ],
)
def test_what_is_wrong_with_several_tasks(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(TaskFileError, match=message):
        environment.environment_cfg(several(tmp_path, old, new))


def test_neither_instruction_nor_tasks(tmp_path: Path) -> None:
    with pytest.raises(
        TaskFileError, match="instruction is missing; expected instruction and success, or several tasks"
    ):
        source(tmp_path, "instruction: move the gripper to the goal\n", "")


EXPERT = "expert: {name: 'gr00t_rl_ext.imitation.experts.cubes:LiftExpert', params: {rise: 0.2}}\nagents"


def test_an_expert(tmp_path: Path) -> None:
    expert = expert_class(source(tmp_path, "agents", EXPERT))
    assert (expert.rise, expert.__base__.__name__, expert.__base__.rise) == (0.2, "LiftExpert", 0.12)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("rise: 0.2", "rize: 0.2", r"expert\.params\.rize: LiftExpert has no 'rize'; did you mean rise"),
        ("cubes:LiftExpert", "cubes:LiftExper", r"expert\.name: .*cannot be imported"),
        ("cubes:LiftExpert", "cubes:CubeScene", r"expert\.name: .*is no expert"),
        (
            "gr00t_rl_ext.imitation.experts.cubes:LiftExpert",
            "LiftExpert",
            r"expert\.name: 'LiftExpert' is no class; expected module:name",
        ),
    ],
)
def test_no_expert(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(TaskFileError, match=message):
        expert_class(source(tmp_path, "agents", EXPERT.replace(old, new)))


def test_control_steps_that_last_some_time() -> None:
    assert [control_steps(seconds, 0.05) for seconds in (0.0, 0.05, 0.051, 0.1, 0.3)] == [1, 1, 2, 2, 6]


def test_what_is_held_is_counted() -> None:
    env = SimpleNamespace(num_envs=3, device="cpu", step_dt=0.05)
    given = torch.tensor([[1, 1, 0], [1, 0, 1], [1, 1, 1], [1, 1, 1]]).bool()
    step = iter(given)
    term = TerminationTermCfg(func=lambda env, least: next(step) & (least == 1), params={"least": 1})
    given = {"terms": [term], "seconds": [0.1]}
    held = Solved(TerminationTermCfg(func=Solved, params=given), env)
    found = [held(env, **given).tolist() for _ in range(2)]
    held.reset([0])
    found += [held(env, **given).tolist() for _ in range(2)]
    assert found == [[False] * 3, [True, False, False], [False, False, True], [True, True, True]]


def test_what_a_rollout_counted_can_be_forgotten_after_it() -> None:
    env = SimpleNamespace(num_envs=2, device="cpu", step_dt=0.05)
    term = TerminationTermCfg(func=lambda env: torch.ones(2, dtype=torch.bool), params={})
    given = {"terms": [term], "seconds": [0.1]}
    held = Solved(TerminationTermCfg(func=Solved, params=given), env)
    with torch.inference_mode():
        held(env, **given)
    held.reset([1])
    assert held(env, **given).tolist() == [True, False]


def test_rewards(tmp_path: Path) -> None:
    cfg = environment.environment_cfg(source(tmp_path, "rewards: keep", "rewards: success"))
    assert list(vars(cfg.rewards)) == ["success"]
    # Isaac Lab multiplies by the step
    assert cfg.rewards.success.weight * cfg.sim.dt * cfg.decimation == pytest.approx(1.0)
    assert cfg.curriculum is None
    own = "rewards: {slow: {func: joint_vel_l2, weight: -0.1}}"
    cfg = environment.environment_cfg(source(tmp_path, "rewards: keep", own))
    assert (cfg.rewards.slow.weight, cfg.rewards.slow.func.__name__) == (-0.1, "joint_vel_l2")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("base: Isaac-Reach-Franka", "base: Isaac-Reach-Frank", r"line \d+, base: .*did you mean Isaac-Reach-Franka"),
        (
            "base: Isaac-Reach-Franka",
            "base: Isaac-Pendulum-MARL-Direct",
            r"base: .*for tasks of one agent, with managers or direct",
        ),
        (
            "[joint_pos, ",
            "[joint_post, ",
            r"state\.terms\.0: .*no observation term 'joint_post'; did you mean joint_pos",
        ),
        (
            "success: success",
            "success: done",
            r"success: the base task has no termination 'done'.*It has: success, time",
        ),
        (
            "success: success",
            "success: {term: success, hold_s: 1}",
            r"success: the base task's success is a choice of presets; hold_s needs a func",
        ),
        (
            "success: success",
            "success: {func: is_terminated, hold_s: 1000}",
            r"hold_s: 1000 s are more than an episode",
        ),
        ("success: success", "success: success\nstate_buffers: [a]", r"state_buffers: it is for direct tasks"),
        ("base: Isaac-Reach-Franka", "base: Isaac-Cartpole-Camera-Direct", r"base: the config of .* choice of presets"),
        ("success: success", "success: time_out", r"success: the termination 'time_out' is the time limit"),
        ("success: success", "success: {func: reached}", r"success\.func: no mdp .* has 'reached'"),
        ("success: success", "success: {func: 'no_module:f'}", r"success\.func: 'no_module:f' cannot be imported"),
        (
            "rewards: keep",
            "rewards: {x: {func: joint_vel_l2, weight: 1, params: {asset_cfg: {entity: robt}}}}",
            r"rewards\.x\.params\.asset_cfg: the scene has no part 'robt'; did you mean robot",
        ),
    ],
)
def test_names_that_the_base_task_does_not_have(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(TaskFileError, match=message):
        environment.environment_cfg(source(tmp_path, old, new))


# Agents


def test_agents(tmp_path: Path) -> None:
    here = source(tmp_path)
    flow = agents.agent_cfg(here, "gr00t_flow_ppo")
    assert (flow.algorithm.gamma, flow.actor.chunk_length) == (0.995, 8)
    assert flow.obs_groups == {"actor": ["rgb", "state"], "critic": ["rgb", "state", "policy"]}
    assert agents.agent_cfg(here, "gr00t_ppo").algorithm.gamma != 0.995
    assert agents.agent_cfg(here, "mlp_ppo").obs_groups == {"actor": ["policy"], "critic": ["policy"]}
    small = agents.agent_cfg(here, "gr00t_ppo_small")
    assert (small.algorithm.num_mini_batches, small.experiment_name) == (8, "gr00t_ppo_small_gr00t_my_reach")
    # 12 s of 30 control steps, 8 of them per decision
    assert agents.agent_cfg(here, "gr00t_flow_grpo").num_steps_per_env == 45


def test_overrides_of_fields_without_a_default(tmp_path: Path) -> None:
    given = "{algorithm: {critic_learning_rate: 1e-4, gamma: 1, target_kl: null}, num_steps_per_env: 12}"
    flow = agents.agent_cfg(source(tmp_path, "{algorithm: {gamma: 0.995}}", given), "gr00t_flow_ppo")
    assert (flow.algorithm.critic_learning_rate, flow.algorithm.gamma, flow.algorithm.target_kl) == (1e-4, 1, None)
    assert flow.num_steps_per_env == 12


def test_overrides_of_what_is_not_there(tmp_path: Path) -> None:
    wrong = source(tmp_path, "{algorithm: {gamma: 0.995}}", "{algorithm: {gama: 0.995}}")
    with pytest.raises(TaskFileError, match=r"line \d+, overrides\.gr00t_flow_ppo: .*gama"):
        agents.agent_cfg(wrong, "gr00t_flow_ppo")
    wrong = source(tmp_path, "{algorithm: {gamma: 0.995}}", "{algorithm: {gamma: 2.0}}")
    with pytest.raises(TaskFileError, match=r"overrides\.gr00t_flow_ppo: `agent\.algorithm\.gamma` is 2"):
        agents.agent_cfg(wrong, "gr00t_flow_ppo")


# Registration


def test_a_file_is_a_task_of_isaac_lab(tmp_path: Path) -> None:
    assert register_task(EXAMPLE) == register_task(EXAMPLE) == "Gr00t-My-Reach"
    env_cfg, agent_cfg = resolve_task_config("Gr00t-My-Reach", "gr00t_ppo", overrides=["env.instruction=hello"])
    assert env_cfg.instruction == "hello"
    assert agent_cfg.actor.chunk_length == 8
    taken = source(tmp_path, "id: Gr00t-My-Reach", "id: Isaac-Ant").path
    with pytest.raises(TaskFileError, match=r"line \d+, id: there is a task 'Isaac-Ant' already"):
        register_task(taken)


def test_files_that_the_environment_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder").mkdir()
    for name in ("One", "Two"):
        (tmp_path / "folder" / f"{name}.yaml").write_text(TEXT.replace("Gr00t-My-Reach", name))
    monkeypatch.setenv(VARIABLE, f"{tmp_path / 'folder'}:{EXAMPLE}")
    register_named()
    assert {"One", "Two", "Gr00t-My-Reach"} <= set(gym.registry)


def test_one_broken_file_does_not_end_the_commands_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.yaml").write_text("base: 1\n")
    monkeypatch.setenv(VARIABLE, f"{tmp_path / 'missing.yaml'}:{tmp_path}:{EXAMPLE}")
    register_named()
    assert "Gr00t-My-Reach" in gym.registry
    told = capsys.readouterr().err
    assert "warning: GR00T_RL_TASKS: no task of" in told
    assert "missing.yaml' cannot be read" in told
    assert "broken.yaml', line 1, state: it is missing" in told


def test_ids_that_would_be_one_name(tmp_path: Path) -> None:
    for name in ("A-B", "A_B"):
        (tmp_path / f"{name}.yaml").write_text(TEXT.replace("Gr00t-My-Reach", name))
    register_task(tmp_path / "A-B.yaml")
    with pytest.raises(TaskFileError, match=r"'A_B' is too much like the id in .*A-B\.yaml"):
        register_task(tmp_path / "A_B.yaml")


def test_a_later_flag_wins_and_nothing_else_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    (tmp_path / "mine.yaml").write_text(TEXT.replace("Gr00t-My-Reach", "Mine"))
    given = ["--task_config", str(EXAMPLE), "--agent", "gr00t_ppo", f"--task_config={tmp_path / 'mine.yaml'}"]
    assert without_task_file([*given, "--checkpoint", "C"]) == [
        "--task",
        "Mine",
        "--agent",
        "gr00t_ppo",
        "--checkpoint",
        "C",
    ]


def test_the_flag_of_the_scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "")
    assert without_task_file(["--agent", "mlp_ppo"]) == ["--agent", "mlp_ppo"]
    for flag in (["--task_config", str(EXAMPLE)], [f"--task_config={EXAMPLE}"]):
        assert without_task_file([*flag, "--seed", "1"]) == ["--task", "Gr00t-My-Reach", "--seed", "1"]
    assert os.environ[VARIABLE] == str(EXAMPLE)


def test_shipped_files_have_the_agents_that_they_are_registered_with() -> None:
    assert {
        task: (Source(file).task.task_id, tuple(Source(file).task.agents)) for task, (file, _) in SHIPPED.items()
    } == {task: (task, agents) for task, (_, agents) in SHIPPED.items()}
    assert sorted(file for file, _ in SHIPPED.values()) == sorted(
        (Path(environment.__file__).parents[1] / "examples").glob("*.yaml")
    )
