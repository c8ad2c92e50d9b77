# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""starts: episodes that begin nearer to success, by functions and by recorded states, in the real simulator."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import torch
from isaaclab_tasks.utils import resolve_task_config
from safetensors.torch import load_file, save_file

from gr00t_rl_ext.envs.episodes import run_episodes
from gr00t_rl_ext.envs.state_copy import put_scene, scene_rows
from gr00t_rl_ext.imitation.recording import StateKeeper
from gr00t_rl_ext.tasks.files import environment
from gr00t_rl_ext.tasks.files.reading import Source, TaskFileError
from gr00t_rl_ext.tasks.files.registration import register_task
from gr00t_rl_ext.tasks.starts import PROGRESS, keep_states, recorded_states

FILE = """\
base: Isaac-Lift-Cube-Franka-IK-Rel-v0
id: Test-Starts
instruction: lift the cube
cameras: {table_cam: keep, wrist_cam: keep}
state: {terms: [joint_position, eef_pose]}
success: success
num_envs: 4
agents: [gr00t_flow_ppo_small]
starts:
  high: {func: "test_starts:lifted", params: {height: 0.3}}
  seen: {states: states.safetensors, progress: [0.5, 1]}
"""
NUM_ENVS = 4

pytestmark = pytest.mark.usefixtures("no_task_files")


def lifted(env: Any, env_ids: torch.Tensor, height: float) -> None:
    cube = env.scene["cube_1"]
    pose = cube.data.root_pose_w.torch[env_ids.long()].clone()
    pose[:, 2] = height
    cube.write_root_pose_to_sim_index(root_pose=pose, env_ids=env_ids)


def make(launch: Callable[..., Any], folder: Path, with_states: bool = True) -> Any:
    text = FILE if with_states else FILE[: FILE.index("  seen")]
    (folder / "lift.yaml").write_text(text)
    task = register_task(folder / "lift.yaml")
    cfg: Any
    cfg, _ = resolve_task_config(task, "gr00t_flow_ppo_small", overrides=["presets=small_cameras"])
    cfg.scene.num_envs = NUM_ENVS
    return launch(cfg, lambda: gym.make(task, cfg=cfg).unwrapped)


def heights(env: Any) -> list[float]:
    return env.scene["cube_1"].data.root_pos_w.torch[:, 2].tolist()


def recorded(env: Any, file: Path) -> None:
    """Two episodes of three steps, of which that of environment 1 succeeds."""
    keeper = StateKeeper(lambda: scene_rows(env.scene), NUM_ENVS)
    for step in range(3):
        keeper.take()
        action = torch.zeros(NUM_ENVS, env.control_action_dim)
        action[:, 0] = 0.3 * (step + 1)
        env.step(action)
    keeper.end(0, False)
    keeper.end(1, True)
    assert keeper.progress == [0.0, 1 / 3, 2 / 3]
    keep_states(file, keeper.states, keeper.progress)


def test_starts(launch: Callable[..., Any], tmp_path: Path) -> None:
    env = make(launch, tmp_path, with_states=False)
    env.reset(seed=1)
    on_table = heights(env)
    assert max(on_table) < 0.1
    env.start_set.set_weights({"whole": 1, "high": 1})
    env.reset(seed=1)
    high = [height > 0.25 for height in heights(env)]
    assert high == (env.start_set.index == 1).tolist()
    assert sum(high) == 2
    # an evaluation is of the task itself, and a training goes on
    ran = run_episodes(_Wrapped(env), lambda obs: torch.zeros(NUM_ENVS, env.control_action_dim), 4, 1)
    assert ran.successes == [False] * 4
    assert env.start_set.weights.tolist() == [0.5, 0.5]
    # groups share where their leader began
    env.configure_groups(2)
    env.reset(seed=3)
    env.start_groups([0, 1])
    index = env.start_set.index
    assert index[0] == index[1]
    assert index[2] == index[3]
    at = heights(env)
    assert at[0] == pytest.approx(at[1], abs=1e-4)
    before = index.clone()
    env.episode_length_buf[1] = env.max_episode_length - 1
    *_, extras = env.step(torch.zeros(NUM_ENVS, env.control_action_dim))
    assert torch.equal(extras["start"], before)
    assert torch.equal(env.start_set.index, before), "a member whose episode has ended waits for the others"
    recorded(env, tmp_path / "states.safetensors")
    states = load_file(tmp_path / "states.safetensors")
    assert states[PROGRESS].tolist() == pytest.approx([0.0, 1 / 3, 2 / 3])
    assert states["targets.robot.position"].shape[0] == 3
    with pytest.raises(ValueError, match=r"has no states between 0.9 and 1 of an episode; it has 3 between 0 and 0.66"):
        recorded_states(env, torch.tensor([0], dtype=torch.int32), str(tmp_path / "states.safetensors"), (0.9, 1.0))
    save_file({name: value for name, value in states.items() if "cube_2" not in name}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"is of another scene: for state.rigid_object.cube_2.* it has nothing"):
        recorded_states(env, torch.tensor([0], dtype=torch.int32), str(tmp_path / "other.safetensors"))
    (tmp_path / "broken.safetensors").write_text("nothing")
    with pytest.raises(ValueError, match=r"broken.safetensors' cannot be read .*record_demonstrations.py --states"):
        recorded_states(env, torch.tensor([0], dtype=torch.int32), str(tmp_path / "broken.safetensors"))


def test_recorded_states(launch: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "states.safetensors"
    file.touch()
    env = make(launch, tmp_path)
    env.reset(seed=1)
    recorded(env, file)
    states = load_file(file)
    env.start_set.set_weights({"whole": 0, "high": 0, "seen": 1})
    for seed in range(3):
        env.reset(seed=seed)
        joints = env.scene["robot"].data.joint_pos.torch
        expected = states["state.articulation.robot.joint_position"][2]
        torch.testing.assert_close(joints, expected.expand_as(joints), atol=1e-4, rtol=0)
        cubes = env.scene["cube_3"].data.root_pos_w.torch - env.scene.env_origins
        expected = states["state.rigid_object.cube_3.root_pose"][2, :3]
        torch.testing.assert_close(cubes, expected.expand_as(cubes), atol=1e-4, rtol=0)
    # and back, as it was before
    rows = scene_rows(env.scene, torch.tensor([2]))
    env.step(torch.ones(NUM_ENVS, env.control_action_dim))
    put_scene(env.scene, rows, torch.tensor([0], dtype=torch.int32))
    after = scene_rows(env.scene, torch.tensor([0]))
    for name, values in rows.items():
        torch.testing.assert_close(after[name], values, atol=1e-4, rtol=0, msg=name)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("states: states", "states: missing", r"line 11, starts.seen.states: there is no file '.*missing.safetensors'"),
        ("[0.5, 1]", "[0.5, 0.2]", r"line 11, starts.seen.progress: expected two shares in order, 0 to 1, such as"),
        ("params: {height: 0.3}", "progress: [0, 1]", r"line 10, starts.high: progress does not go with func"),
        ("test_starts:lifted", "test_starts:raised", r"line 10, starts.high.func: .* cannot be imported"),
        ("  high:", "  whole:", r"the start 'whole' is the task's own initial states; choose another name"),
        ("  high: {func", "  high: {states: s, func", r"line 10, starts.high: expected one of func and states"),
    ],
)
def test_files_that_cannot_work(old: str, new: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "states.safetensors").touch()
    (tmp_path / "lift.yaml").write_text(FILE.replace(old, new))
    with pytest.raises(TaskFileError, match=message):
        environment.environment_cfg(Source(tmp_path / "lift.yaml"))


class _Wrapped:
    """As rsl_rl's wrapper, without its tensors."""

    def __init__(self, env: Any) -> None:
        self.unwrapped, self.num_envs, self.device = env, env.num_envs, env.device
        self.max_episode_length = env.max_episode_length

    def get_observations(self) -> Any:
        from tensordict import TensorDict

        return TensorDict(self.unwrapped.obs_buf, batch_size=[self.num_envs])

    def step(self, actions: torch.Tensor) -> Any:
        _, reward, terminated, truncated, extras = self.unwrapped.step(actions)
        return self.get_observations(), reward, terminated | truncated, extras
