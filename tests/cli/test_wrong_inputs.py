# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Wrong inputs: one message, exit code 2, nothing written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from gr00t_rl_ext.cli import train

PENDULUM = ["--task", "gym:Pendulum-v1", "--agent", "mlp_ppo", "--device", "cpu", "--no-record"]
CARTPOLE = ["--task", "Isaac-Cartpole-State-v0", "--agent", "mlp_ppo", "--device", "cpu", "--no-record"]
STACK = ["--task", "Isaac-Stack-Cube-Franka-v0", "--agent", "gr00t_flow_ppo", "--device", "cpu", "--no-record"]
TASKS = {"gymnasium": PENDULUM, "isaac lab": CARTPOLE, "gr00t": STACK}
BOTH = ("gymnasium", "isaac lab")
COUNT = "expected an integer of at least 1."
SECONDS = "expected a positive number of seconds."

OF_ANY_AGENT = [
    *[(f"agent.{name}={value}", f"`agent.{name}` is {value}; {COUNT}")
      for name in ("save_interval", "max_iterations", "num_steps_per_env") for value in ("0", "-1")],
    ("agent.save_interval=1.5", "`agent.save_interval` is 1.5; expected an integer"),
    ("agent.seed=-9", "`agent.seed` is -9; expected an integer of at least 0."),
    ("agent.preflight.decisions=-1", "`agent.preflight.decisions` is -1; expected an integer of at least 0."),
    ("agent.preflight.episodes=0", "`agent.preflight.episodes` is 0; expected an integer of at least 1."),
    ("agent.preflight.full_above_minutes=0", "`agent.preflight.full_above_minutes` is 0; expected a positive"),
    ("agent.actor.hidden_dims=[]", "`agent.actor.hidden_dims` is []; expected the widths of one layer or more"),
    ("agent.actor.hidden_dims=[0]", "`agent.actor.hidden_dims` is [0]; expected the widths of one layer or more"),
    ("agent.critic.hidden_dims=[]", "`agent.critic.hidden_dims` is []; expected the widths of one layer or more"),
    ("agent.actor.distribution_cfg.init_std=-1", "`agent.actor.distribution_cfg.init_std` is -1; expected a positive"),
    ("agent.actor.distribution_cfg.init_std=0", "`agent.actor.distribution_cfg.init_std` is 0; expected a positive"),
    *[(f"agent.{part}.class_name=foo:Bar", f"`agent.{part}.class_name` is 'foo:Bar', which cannot be found")
      for part in ("algorithm", "actor", "critic")],
    ("agent.checkpoints.keep_last=0", "`agent.checkpoints.keep_last` is 0; expected an integer of at least 1."),
    ("agent.checkpoints.minutes=-3", "`agent.checkpoints.minutes` is -3"),
    ("agent.checkpoints.often=3", "names a field that does not exist: agent.checkpoints has no 'often'"),
    ("agent.logger=foo", "The logger is 'foo'; expected tensorboard, wandb or neptune."),
    ("agent.experiment_name=../..", "experiment_name is '../..'; expected a plain name"),
    ("agent.experiment_name=/abs", "experiment_name is '/abs'; expected a plain name"),
    ("agent.run_name=a/b", "run_name is 'a/b'; expected a plain name"),
    ("agent.algorithm.learning_rate=-1", "`agent.algorithm.learning_rate` is -1"),
    ("agent.algorithm.gamma=2", "`agent.algorithm.gamma` is 2"),
    ("agent.algorithm.num_mini_batches=0", "`agent.algorithm.num_mini_batches` is 0"),
    ("agent.algorithm.schedule=foo", "`agent.algorithm.schedule` is 'foo'"),
    ("agent.algorithm.optimizer=foo", "`agent.algorithm.optimizer` is 'foo'"),
    ("agent.algorithm.nothing=1", "names a field that does not exist: agent.algorithm has no 'nothing'"),
    ("agent.nothing=1", "names a field that does not exist: agent has no 'nothing'"),
]  # fmt: skip
FLAGS = [
    (["--num_envs", "0"], "--num_envs is 0; expected at least 1."),
    (["--num_envs", "-3"], "--num_envs is -3; expected at least 1."),
    (["--max_iterations", "0"], "--max_iterations is 0; expected at least 1."),
    (["--seed", "-9"], "--seed is -9; expected at least -1, of which -1 draws one."),
    (["--device", "gpu"], "--device is 'gpu'; expected cpu, cuda or cuda:N."),
    (["--device", "cuda:9"], "--device is 'cuda:9', but this machine has"),
    (["--run_name", "../.."], "run_name is '../..'; expected a plain name"),
    (["--experiment_name", "../x"], "experiment_name is '../x'; expected a plain name"),
    (["--run_timestamp", "../../x"], "run_timestamp is '../../x'; expected a plain name"),
    (["--checkpoint", "nowhere.pt"], "There is no checkpoint 'nowhere.pt'."),
    (["--checkpoint", "latest"], "There is no run of task"),
    (["--checkpoint", "best"], "There is no run of task"),
    (["--resume", "nowhere"], "--resume needs the directory of a run, and 'nowhere' is none."),
    (["--evaluate", "-1"], "--evaluate is -1; expected at least 0."),
    (["--agent", "none"], "has no agent 'none'"),
    (["--max_iterations", "3", "agent.max_iterations=4"], "set the same field, and the flag would win."),
    (["--seed", "3", "agent.seed=4"], "--seed 3 and agent.seed=4 set the same field"),
    (["--run_name", "a", "agent.run_name=b"], "--run_name a and agent.run_name=b set the same field"),
    (["--experiment_name", "a", "agent.experiment_name=b"], "set the same field, and the flag would win."),
    (["--logger", "wandb", "agent.logger=tensorboard"], "--logger wandb and agent.logger=tensorboard set the same"),
]
OF_GYMNASIUM = [
    ("env.num_envs=0", "num_envs"),
    ("env.num_workers=0", "num_workers"),
    ("env.worker_timeout_s=0", "worker_timeout_s"),
    ("env.max_worker_restarts=-1", "max_worker_restarts"),
    ("env.instruction=' '", "`instruction` is empty; expected what the policy is told"),
    ("env.max_episode_steps=0", "max_episode_steps"),
    ("env.seed=7", "`env.seed` is 7, but environments have the agent's seed, 42. Set --seed or `agent.seed`."),
    ("env.nothing=1", "names a field that does not exist: env has no 'nothing'"),
    ("env.reward=foo", "reward"),
    ("env.image_size=[0,0]", "image_size"),
    ("env.env_kwargs=3", "env_kwargs"),
]
OF_GR00T = [
    ("agent.actor.chunk_length=0", "chunk_length"),
    ("agent.actor.chunk_length=1000", "chunk_length"),
    ("agent.actor.chunk_length=-1", "chunk_length"),
    ("agent.actor.noise_scale=-1", "noise_scale"),
    ("agent.actor.gr00t.checkpoint=no/such/folder", "no/such/folder"),
    ("agent.actor.gr00t.mapping=no/such.yaml", "no/such.yaml"),
    ("agent.actor.gr00t.dtype=float7", "float7"),
    ("agent.actor.gr00t.tokenizer=no/such/tokenizer", "tokenizer"),
    ("agent.actor.gr00t.embodiment_tag=nobody", "nobody"),
    ("agent.actor.gr00t.data_config=nothing", "nothing"),
    ("agent.actor.freezing.train=[nothing]", "nothing"),
    ("agent.actor.freezing.lora_rank=0", "lora_rank"),
    ("agent.actor.flow.num_steps=0", "num_steps"),
    ("agent.actor.flow.noise_level=-1", "noise_level"),
    ("agent.obs_groups.actor=[nothing]", "nothing"),
    ("agent.obs_groups.actor=[]", "obs_groups"),
    ("agent.algorithm.clip_param=0", "clip_param"),
    ("agent.algorithm.target_kl=-1", "target_kl"),
    ("agent.algorithm.learning_rate_warmup_steps=-1", "learning_rate_warmup_steps"),
    ("agent.algorithm.gradient_accumulation_steps=0", "gradient_accumulation_steps"),
    ("agent.num_steps_per_env=0", "num_steps_per_env"),
    ("agent.critic.values=foo", "values"),
    ("presets=nothing", "nothing"),
    ("physics=nothing", "nothing"),
]
OF_ISAAC_LAB = [
    ("env.decimation=0", f"`env.decimation` is 0; {COUNT}"),
    ("env.decimation=-2", f"`env.decimation` is -2; {COUNT}"),
    ("env.sim.dt=-0.01", f"`env.sim.dt` is -0.01; {SECONDS}"),
    ("env.sim.dt=0", f"`env.sim.dt` is 0; {SECONDS}"),
    ("env.episode_length_s=-1", f"`env.episode_length_s` is -1; {SECONDS}"),
    ("env.scene.env_spacing=-1", "`env.scene.env_spacing` is -1"),
    ("env.scene.num_envs=0", f"`env.scene.num_envs` is 0; {COUNT}"),
    ("env.nothing=1", "names a field that does not exist: env has no 'nothing'"),
]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    """Trains, which must be refused with one message; returns it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")

    def train_with(*arguments: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        assert train.main(list(arguments)) == 2
        error = capfd.readouterr().err
        assert error.count("error: ") == 1
        assert "Traceback" not in error
        written = [path for path in sorted(tmp_path.rglob("*")) if path.is_file() and path not in before]
        assert written == []
        return re.sub(r"\s+", " ", error)

    return train_with


INPUTS = [
    *[(name, [override], text) for name in BOTH for override, text in OF_ANY_AGENT],
    *[(name, flags, text) for name in BOTH for flags, text in FLAGS],
    *[("gymnasium", [override], text) for override, text in OF_GYMNASIUM],
    *[("isaac lab", [override], text) for override, text in OF_ISAAC_LAB],
    *[("gr00t", [override], text) for override, text in OF_GR00T],
]


@pytest.mark.parametrize(
    ("task", "given", "text"), INPUTS, ids=[f"{task} {' '.join(given)}" for task, given, _ in INPUTS]
)
def test_what_is_given_is_refused(task: str, given: list[str], text: str, refused: Any) -> None:
    assert text in refused(*TASKS[task], *given).split("error: ")[-1]


def test_flags_of_one_kind_of_task(refused: Any) -> None:
    assert "--num_envs 3 and env.num_envs=4 set the same" in refused(*PENDULUM, "--num_envs", "3", "env.num_envs=4")
    text = refused(*CARTPOLE, "--num_envs", "3", "env.scene.num_envs=4")
    assert "--num_envs 3 and env.scene.num_envs=4 set the same field" in text
    assert "--video_length is -1; expected at least 1." in refused(*CARTPOLE, "--video", "--video_length", "-1")
    assert "--video_length is 'x'; expected an integer" in refused(*CARTPOLE, "--video_length", "x")
    assert "`env.instruction` is empty" in refused(*STACK, "env.instruction=' '")


FILES: dict[str, Any] = {
    "of 0 bytes": b"",
    "of text": b"weights",
    "cut": "cut",
    "of a list": [1, 2],
    "of rsl_rl": {"actor_state_dict": {}, "critic_state_dict": {}, "iter": 3, "infos": None},
}


@pytest.mark.parametrize("task", BOTH)
@pytest.mark.parametrize("kind", FILES)
def test_checkpoints_that_are_none(kind: str, task: str, tmp_path: Path, refused: Any) -> None:
    file, content = tmp_path / "model_1.pt", FILES[kind]
    if content == "cut":
        torch.save({"w": torch.zeros(10_000)}, file)
        content = file.read_bytes()[:20_000]
    if isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    text = refused(*TASKS[task], "--checkpoint", str(file))
    assert "model_1.pt'" in text
    assert re.search("is no checkpoint of a run, or is truncated|holds a list|was not written by gr00t_rl_ext", text)
