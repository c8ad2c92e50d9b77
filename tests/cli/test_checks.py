# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Bad input ends before the simulator starts, in one readable message, with exit code 2 and nothing written."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

import gr00t_rl_ext.tasks  # noqa: F401  registers them
from gr00t_rl_ext.cli import checks, play, train
from gr00t_rl_ext.gr00t import build_tiny_checkpoint
from gr00t_rl_ext.tasks import compatibility

TASK = "Isaac-Stack-Cube-Franka-v0"


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Any:
    """A function that runs train.py with arguments and returns its error message."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> str:
        assert train.main([*arguments, "--device", "cpu"]) == 2
        error = capfd.readouterr().err
        assert "Traceback" not in error
        assert not list(tmp_path.iterdir()), "something was written"
        return error[error.index("error: ") :]

    return run


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GR00T that fits the stack task."""
    directory = tmp_path_factory.mktemp("checkpoints") / "tiny"
    return build_tiny_checkpoint(
        directory, state_keys={"joint_position": 9, "eef_pose": 7}, action_keys={"arm": 7, "gripper": 1}
    )


@pytest.fixture
def broken(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the checkpoint to be broken."""
    return Path(shutil.copytree(checkpoint, tmp_path_factory.mktemp("broken") / "gr00t"))


def test_no_such_task(fails: Any) -> None:
    error = fails("--task", "Isaac-Stack-Cube-Franca-v0")
    assert "There is no task 'Isaac-Stack-Cube-Franca-v0'. Similar: Isaac-Stack-Cube-Franka-v0" in error
    assert "isaaclab list_envs" in error


def test_no_task(fails: Any) -> None:
    error = fails()
    assert "--task is missing. Tasks with GR00T agents: Gr00t-Cubes-Franka, " in error
    assert ", Isaac-Cartpole-Camera-Continuous-v0, " in error


def test_tasks_of_other_packages_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They declare themselves in the entry-point group ``isaaclab.tasks``, which Isaac Lab's own commands read."""
    metadata = tmp_path / "someones_tasks-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: someones_tasks\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[isaaclab.tasks]\nsomeones_tasks = someones_tasks\n")
    (tmp_path / "someones_tasks.py").write_text(
        "from gymnasium import register\n"
        "register('Someones-Task-v0', entry_point='x:Y', kwargs={'env_cfg_entry_point': 'x:YCfg'})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert checks.find_task("Someones-Task-v0").kwargs == {"env_cfg_entry_point": "x:YCfg"}
    del gym.registry["Someones-Task-v0"]


def test_play_checks_as_train_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert play.main(["--task", TASK, "--agent", "none", "--device", "cpu"]) == 2
    assert f"error: The task {TASK} has no agent 'none'" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_no_such_training_checkpoint(fails: Any) -> None:
    error = fails("--task", TASK, "--checkpoint", "no/such/model_1.pt")
    assert (
        "There is no checkpoint 'no/such/model_1.pt'. Expected a model_*.pt, the directory of a run, latest or" in error
    )
    assert "none below logs/rsl_rl of the working directory" in error
    for word in ("latest", "best"):
        error = fails("--task", TASK, "--checkpoint", word)
        assert f"There is no run of task {TASK} of agent gr00t_ppo with a model_*.pt below 'logs/rsl_rl'" in error


def test_no_such_agent(fails: Any) -> None:
    error = fails("--task", TASK, "--agent", "gr00t_dqn")
    known = "gr00t_adapter_grpo, gr00t_adapter_ppo, gr00t_flow_grpo, gr00t_flow_grpo_small, gr00t_flow_ppo,"
    assert f"The task {TASK} has no agent 'gr00t_dqn'. It has: {known}" in error


@pytest.mark.parametrize("option", ["--num_envs", "--max_iterations"])
def test_zero_counts(fails: Any, option: str) -> None:
    assert f"{option} is 0; expected at least 1." in fails("--task", TASK, option, "0")


def test_environments_that_make_no_groups(fails: Any) -> None:
    error = fails("--task", TASK, "--agent", "gr00t_flow_grpo", "--num_envs", "5", "agent.algorithm.group_size=2")
    assert "5 environments do not divide into groups of 2. Use `--num_envs` 4 or 6" in error


def test_no_such_checkpoint(fails: Any) -> None:
    error = fails("--task", TASK, "agent.actor.gr00t.checkpoint=/no/such/dir")
    assert "no such directory: '/no/such/dir'" in error
    assert "local directory with a GR00T checkpoint or a hub id" in error


def test_checkpoint_of_another_model(fails: Any, broken: Path) -> None:
    config = json.loads((broken / "config.json").read_text())
    config.update(model_type="llama", architectures=["LlamaForCausalLM"])
    (broken / "config.json").write_text(json.dumps(config))
    error = fails("--task", TASK, f"agent.actor.gr00t.checkpoint={broken}")
    assert "holds a model of another kind: model_type 'llama'" in error
    assert "Known versions of GR00T: N1.5" in error


def test_checkpoint_without_statistics(fails: Any, broken: Path) -> None:
    shutil.rmtree(broken / "experiment_cfg")
    assert "has no statistics (experiment_cfg/metadata.json for N1.5" in fails(
        "--task", TASK, f"agent.actor.gr00t.checkpoint={broken}"
    )


def test_checkpoint_without_tokenizer(fails: Any, broken: Path) -> None:
    for file in broken.glob("tokenizer*"):
        file.unlink()
    error = fails("--task", TASK, f"agent.actor.gr00t.checkpoint={broken}")
    assert "holds no tokenizer" in error
    assert "agent.actor.gr00t" in error


def test_unknown_embodiment(fails: Any, checkpoint: Path) -> None:
    error = fails("--task", TASK, f"agent.actor.gr00t.checkpoint={checkpoint}", "agent.actor.gr00t.embodiment_tag=spot")
    assert "no statistics for embodiment tag 'spot'" in error
    assert "available are new_embodiment" in error


def edit_config(directory: Path, changes: dict[str, Any], *section: str) -> None:
    file = directory / "config.json"
    content = part = json.loads(file.read_text())
    for name in section:
        part = part[name]
    part |= changes
    file.write_text(json.dumps(content))


DIT = ("action_head_cfg", "diffusion_model_cfg")


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda d: (d / "model-00002-of-00002.safetensors").unlink(), "lacks 1 of the 2 shards that"),
        (lambda d: (d / "model-00001-of-00002.safetensors").write_bytes(b"x" * 40), "model-00001-of-00002.safetensors"),
        (lambda d: edit_config(d, {"activation_fn": "geglu"}, *DIT), "diffusion_model_cfg.activation_fn is 'geglu'"),
        (lambda d: edit_config(d, {"norm_eps": 0.1}, *DIT), "diffusion_model_cfg.norm_eps is 0.1; only 1e-05"),
        (lambda d: edit_config(d, {"use_rope": True}, *DIT), "diffusion_model_cfg has use_rope, which this package"),
        (lambda d: edit_config(d, {"state_history_length": 4}, DIT[0]), "state_history_length is 4; only 1"),
        (lambda d: edit_config(d, {"hidden_size": 32}, DIT[0]), "the checkpoint's configs describe"),
        (lambda d: edit_config(d, {"max_state_dim": 5}, DIT[0]), "16 dimensions exceed max_state_dim = 5"),
    ],
)
def test_a_checkpoint_that_could_not_be_loaded(fails: Any, broken: Path, damage: Any, text: str) -> None:
    damage(broken)
    error = fails("--task", TASK, f"agent.actor.gr00t.checkpoint={broken}")
    assert text in error
    assert "agent.actor.gr00t: " in error


@pytest.mark.parametrize("version", ["N1.6", "N1.7"])
def test_a_checkpoint_without_its_processor(fails: Any, tmp_path_factory: Any, version: str) -> None:
    directory = build_tiny_checkpoint(tmp_path_factory.mktemp("processor") / "tiny", version=version)
    (directory / "processor_config.json").unlink()
    error = fails("--task", TASK, f"agent.actor.gr00t.checkpoint={directory}")
    assert "has statistics.json but no processor_config.json, which names the keys of states and actions" in error


def test_a_tokenizer_of_another_vocabulary(fails: Any, checkpoint: Path, tmp_path_factory: Any) -> None:
    other = build_tiny_checkpoint(tmp_path_factory.mktemp("other") / "n1_7", version="N1.7")
    error = fails(
        *("--task", TASK, f"agent.actor.gr00t.checkpoint={checkpoint}", f"agent.actor.gr00t.tokenizer={other}")
    )
    assert "the tokenizer maps <IMG_CONTEXT> to " in error
    assert "they do not belong together. GR00T N1.5 uses" in error


@pytest.mark.parametrize("name", ["tiny", "starter"])
def test_what_the_packages_own_checkpoints_do_not_have(fails: Any, name: str) -> None:
    own = f"agent.actor.gr00t.checkpoint={name}"
    error = fails("--task", TASK, own, "agent.actor.gr00t.data_config=nonsense")
    assert "data_config is 'nonsense', which is neither a file nor the name of a known data config" in error
    error = fails("--task", TASK, own, "agent.actor.gr00t.embodiment_tag=spot")
    assert f"embodiment_tag is 'spot', but `{name}` has 'new_embodiment' alone" in error


def test_a_data_config_that_does_not_fit(fails: Any, checkpoint: Path, tmp_path_factory: Any) -> None:
    content: dict[str, Any] = {"embodiment_tag": "new_embodiment", "action_horizon": 16, "resize": [99, 99]}
    content |= {"state_keys": ["joint_position", "eef_pose"], "action_keys": ["arm", "gripper"]}
    for part in ("state", "action"):
        content[f"{part}_modes"] = dict.fromkeys(content[f"{part}_keys"], "min_max")
    file = tmp_path_factory.mktemp("configs") / "mine.json"
    own = ("--task", TASK, f"agent.actor.gr00t.checkpoint={checkpoint}", f"agent.actor.gr00t.data_config={file}")
    file.write_text(json.dumps(content))
    assert "the data config resizes images to 99 x 99, the model takes" in fails(*own)
    file.write_text(json.dumps(content | {"resize": None, "max_state_dim": 5}))
    assert "16 dimensions exceed the data config's max_state_dim = 5" in fails(*own)
    file.write_text(json.dumps(content | {"resize": None, "state_keys": ["joint_position"]}))
    assert "state_modes names eef_pose, which state_keys does not have" in fails(*own)
    content["state_keys"] = ["joint_position", "elbow"]
    content["state_modes"] = dict.fromkeys(content["state_keys"], "min_max")
    file.write_text(json.dumps(content | {"resize": None}))
    assert "elbow" in fails(*own)


EXAMPLE = "gr00t_rl_ext.tasks.stack.config.franka:mapping_degrees.yaml"


@pytest.fixture
def mapping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file to be written."""
    return tmp_path_factory.mktemp("mappings") / "mapping.yaml"


def test_no_such_mapping(fails: Any) -> None:
    error = fails("--task", TASK, "agent.actor.gr00t.mapping=nowhere.yaml")
    assert "agent.actor.gr00t.mapping: there is no mapping 'nowhere.yaml'; expected a YAML file" in error


def test_mapping_with_a_mistake(fails: Any, mapping: Path) -> None:
    mapping.write_text("state:\n  joint_position: {term: joint_position, from: rad, to: cm}\n")
    error = fails("--task", TASK, f"agent.actor.gr00t.mapping={mapping}")
    assert f"mapping '{mapping}', state.joint_position: 'rad' (angle) cannot become 'cm' (length)" in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "state: {x: joint_pos}",
            "state.x: the actor's observations have no term 'joint_pos'; available are table_cam, ",
        ),
        (
            "video: {x: top_cam}",
            "video.x: the actor's observations have no camera 'top_cam'; available are table_cam, wri",
        ),
        (
            "action: {arm: joints}",
            "action: the task has no action term 'arm'; available are arm_action, gripper_action",
        ),
        (
            "action: {arm_action: joints}",
            "action: nothing is said of the task's gripper_action; its action terms are arm_action, gripper_action",
        ),
    ],
)
def test_mapping_with_names_that_the_task_does_not_have(fails: Any, mapping: Path, text: str, message: str) -> None:
    mapping.write_text(text)
    assert message in fails("--task", TASK, f"agent.actor.gr00t.mapping={mapping}")


def test_mapping_with_keys_that_the_checkpoint_does_not_have(fails: Any, checkpoint: Path) -> None:
    error = fails("--task", TASK, f"agent.actor.gr00t.checkpoint={checkpoint}", f"agent.actor.gr00t.mapping={EXAMPLE}")
    assert f"mapping '{EXAMPLE}', state: the checkpoint's embodiment 'new_embodiment' has no state key" in error
    assert "'gripper_position'; available are joint_position (9), eef_pose (7)" in error


def test_the_example_mapping_passes() -> None:
    from gr00t_rl_ext.cli import checks

    env_cfg, agent_cfg = checks.resolve_configs(TASK, "gr00t_adapter_ppo", [f"agent.actor.gr00t.mapping={EXAMPLE}"])
    assert agent_cfg.actor.gr00t.mapping == str(EXAMPLE), "the check would pass over it"
    compatibility.check_mapping(agent_cfg.actor.gr00t.mapping, env_cfg, agent_cfg.obs_groups["actor"])


def test_the_example_mapping_has_the_tasks_numbers() -> None:
    """Isaac Lab: target = scale x number + default pose, and observed positions are relative to the default pose."""
    from gr00t_rl_ext.cli.checks import resolve_configs
    from gr00t_rl_ext.robot.embodiment_mapping import EmbodimentMapping

    env_cfg, _ = resolve_configs(TASK, "gr00t_adapter_ppo", [])
    (arm,), (gripper,) = EmbodimentMapping.load(EXAMPLE).action.values()
    (joints,), (finger,), *_ = EmbodimentMapping.load(EXAMPLE).state.values()
    default = env_cfg.scene.robot.init_state.joint_pos
    assert joints.offset == arm.offset == tuple(default[f"panda_joint{index}"] for index in range(1, 8))
    assert env_cfg.actions.arm_action.use_default_offset
    assert arm.scale == (env_cfg.actions.arm_action.scale,)
    opening = env_cfg.actions.gripper_action.open_command_expr["panda_finger_.*"]
    assert finger.scale[0] * opening == finger.offset[0] == 1.0
    assert default["panda_finger_joint.*"] == opening
    # a binary action: open from 0 on
    assert gripper.scale[0] * 1.0 + gripper.offset[0] == 1.0
    assert gripper.scale[0] * -1.0 + gripper.offset[0] == 0.0


def test_missing_camera_group(fails: Any) -> None:
    error = fails("--task", TASK, "agent.obs_groups.actor=['depth','state']")
    assert "`agent.obs_groups.actor` names the observation group 'depth', which the task does not have" in error
    assert "It offers: rgb, state, object, privileged" in error


@pytest.mark.parametrize(
    ("override", "parent", "similar"),
    [
        ("agent.algorithm.clip_parm=0.2", "agent.algorithm", "clip_param"),
        ("agent.actor.gr00t.checkpont=x", "agent.actor.gr00t", "checkpoint"),
        ("env.episode_length=3", "env", "episode_length_s"),
        ("env.scene.table_cam.widht=3", "env.scene.table_cam", "width"),
        ("agent.seed.value=3", "agent.seed", None),
        ("agent.seed.seed=3", "agent.seed", None),
    ],
)
def test_unknown_config_field(fails: Any, override: str, parent: str, similar: str | None) -> None:
    error = fails("--task", TASK, override)
    name = override.partition("=")[0].rpartition(".")[2]
    assert f"The override '{override}' names a field that does not exist: {parent} has no '{name}'" in error
    if similar is not None:
        assert f"Similar: {similar}" in error


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("agent.algorithm.clip_param=much", "a number (default: 0.2)"),
        ("agent.check_for_nan=maybe", "true or false (default: False)"),
        ("agent.obs_groups.actor=rgb", "a list, such as [rgb,state]"),
    ],
)
def test_a_value_of_the_wrong_type(fails: Any, override: str, expected: str) -> None:
    error = fails("--task", TASK, override)
    assert f"The override '{override}' does not fit: " in error
    assert f"takes {expected}" in error


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("agent.actor.freezing.train=['dit']", "`agent.actor.freezing.train` names 'dit' (the diffusion transformer)"),
        ("agent.actor.freezing.train=['language']", "`agent.actor.freezing.language_layers` is 0"),
        (
            "agent.actor.freezing.schedule=[{'train':['full'],'at_iteration':5},{'train':['full'],'at_iteration':9}]",
            "`agent.actor.freezing.schedule[1].train` names 'full', which trains already",
        ),
        ("agent.actor.freezing.schedule=[{'train':['full'],'at':5}]", "`agent.actor.freezing.schedule[0]` is {'train'"),
    ],
)
def test_unfreezing_that_cannot_work(fails: Any, override: str, text: str) -> None:
    assert text in fails("--task", TASK, "--agent", "gr00t_adapter_ppo", override)


def test_a_residual_policy_trains_nothing_of_gr00t(fails: Any) -> None:
    error = fails("--task", TASK, "--agent", "gr00t_residual_ppo", "agent.actor.freezing.train=['dit']")
    assert "`agent.actor.freezing` trains dit, but a residual policy corrects a GR00T that stays as it is" in error


def test_unknown_preset(fails: Any) -> None:
    error = fails("--task", TASK, "physics=bullet")
    assert "bullet" in error
    assert "newton_mjwarp" in error


def test_physics_that_is_not_installed(fails: Any) -> None:
    if importlib.util.find_spec("isaacsim") is not None:
        pytest.skip("Isaac Sim is installed here")
    error = fails("--task", TASK, "physics=isaacsim_physx")
    assert "physics=isaacsim_physx needs the package 'isaacsim', which is not installed" in error
    assert "Installed: " in error
    assert "physics=newton_mjwarp" in error


def test_no_such_device(fails: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from gr00t_rl_ext.cli.checks import check_device
    from gr00t_rl_ext.cli.handler import UsageError

    for unknown in ("tpu", "cuda:first"):
        with pytest.raises(UsageError, match=f"--device is '{unknown}'; expected cpu, cuda or cuda:N"):
            check_device(unknown)
    with pytest.raises(UsageError, match=r"--device is 'cuda:99', but this machine has \d+ CUDA devices"):
        check_device("cuda:99")
