# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The agent without GR00T on the command line: no checkpoint is asked for, no camera rendered, nothing exported."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tiny_policy import observations

from gr00t_rl_ext.algorithms.ppo import Gr00tPPO
from gr00t_rl_ext.cli import arguments as cli_arguments
from gr00t_rl_ext.cli import checks, export, profile, train
from gr00t_rl_ext.policy.actor_critic import Gr00tActorCritic
from gr00t_rl_ext.policy.mlp import MlpActor
from gr00t_rl_ext.robot.task_spec import TaskSpec
from gr00t_rl_ext.tasks import compatibility

TASKS = ("Isaac-Stack-Cube-Franka-v0", "Isaac-Stack-Cube-Franka-IK-Rel-v0")


@pytest.mark.parametrize("task", TASKS)
def test_it_is_checked_and_described_as_an_agent_without_gr00t(task: str) -> None:
    arguments = cli_arguments.parse(["--task", task, "--agent", "mlp_ppo"], "train.py", "")
    arguments.device = "cpu"
    agent_cfg = checks.check_arguments(arguments)
    assert compatibility.gr00t_config(agent_cfg) is None
    chosen = profile.choose(arguments, agent_cfg)
    profile.apply(chosen, arguments)
    assert (arguments.num_envs, arguments.max_iterations) == (64, 50)
    rows = profile.describe(chosen, arguments, *checks.check_resolved(task, arguments.agent, arguments.overrides))
    assert rows["iterations"] == "50 of 32 decisions per environment"
    assert not {"GR00T", "cameras", "chunk"} & rows.keys()


def test_its_fields_can_be_overridden_and_misspelt_ones_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    _, cfg = checks.resolve_configs(TASKS[0], "mlp_ppo", ["agent.actor.distribution_cfg.init_std=0.3"])
    assert cfg.actor.distribution_cfg.init_std == 0.3
    command = ["--task", TASKS[0], "--agent", "mlp_ppo", "--device", "cpu"]
    assert train.main([*command, "agent.actor.gr00t.checkpoint=/x"]) == 2
    assert "agent.actor has no 'gr00t'" in capfd.readouterr().err
    assert train.main([*command, "agent.obs_groups.actor=['state','touch']"]) == 2
    assert "names the observation group 'touch', which the task does not have" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_there_is_nothing_to_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = TaskSpec("", (), (), ("state",), {"joints": 16}, {"arm": 8})
    actor = {"hidden_dims": [8], "distribution_cfg": {"class_name": "GaussianDistribution", "init_std": 0.5}}
    obs = observations().select("state")
    pair = Gr00tActorCritic.build(MlpActor, spec, obs, {"actor": ["state"], "critic": ["state"]}, actor, {}, "cpu")
    torch.save(Gr00tPPO(pair, obs, 2).save(), tmp_path / "model_3.pt")
    assert export.main([str(tmp_path / "model_3.pt"), str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error == (
        f"\nerror: '{tmp_path / 'model_3.pt'}' is of a policy without GR00T: there is no GR00T checkpoint to export.\n"
    )
    assert not (tmp_path / "out").exists()
