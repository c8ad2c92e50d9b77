# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A training checkpoint of another policy, or of other settings, is refused by every command before a simulator
starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import isaaclab_rl.entrypoints
import pytest
import torch

from gr00t_rl_ext.algorithms.checkpoint import FORMAT
from gr00t_rl_ext.cli import checks, play, train
from gr00t_rl_ext.cli import eval as cli_eval
from gr00t_rl_ext.cli.handler import UsageError
from gr00t_rl_ext.envs.gymnasium import vec_env
from gr00t_rl_ext.tasks import recipes

GAUSSIAN = "gr00t_rl_ext.policy.gaussian_actor:Gr00tGaussianActor"
ISAAC = ("--task", "Isaac-Stack-Cube-Franka-v0", "--agent", "gr00t_flow_ppo", "--device", "cpu")
FETCH = ("--task", "gym:FetchReach-v4", "--agent", "gr00t_flow_ppo_small", "--device", "cpu")


def written(file: Path, class_name: str = GAUSSIAN, actor: Mapping[str, Any] | None = None, **changes: Any) -> Path:
    """The header of a training checkpoint with fields of ``agent.actor``, as a file."""
    header = {"format": FORMAT, "base_fingerprint": "abc", "base_name": "/models/base", "algorithm": "Gr00tGRPO"}
    recipe = {"class_name": class_name, "spec": {}, "actor": dict(actor or {})}
    torch.save(header | {"actor_recipe": recipe} | changes, file)
    return file


@pytest.fixture(autouse=True)
def without_simulators(monkeypatch: pytest.MonkeyPatch) -> None:
    """To start one would end the test."""
    for module, name in (
        *((isaaclab_rl.entrypoints, f"run_{command}_cli") for command in ("train", "play")),
        (vec_env, "GymnasiumVecEnv"),
    ):
        monkeypatch.setattr(module, name, None)


@pytest.mark.parametrize("of_run", [True, False], ids=["directory", "file"])
@pytest.mark.parametrize(
    ("main", "arguments"),
    [(train.main, ISAAC), (play.main, ISAAC), (train.main, FETCH), (play.main, FETCH), (cli_eval.main, FETCH)],
    ids=["train", "play", "train gym", "play gym", "eval gym"],
)
def test_the_agent_that_plays_it_is_named(
    main: Callable[[list[str]], int],
    arguments: tuple[str, ...],
    of_run: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    file = written(tmp_path / "model_3.pt")
    assert main([*arguments, "--checkpoint", str(tmp_path if of_run else file)]) == 2
    assert (
        f"error: The checkpoint '{file}' does not fit the agent. This checkpoint's policy is a Gaussian adapter, which"
        " gr00t_adapter_grpo or gr00t_adapter_grpo_small plays (before version 0.2 they were called gr00t_grpo and"
        " gr00t_grpo_small). The policy of the agent here is GR00T's action head.\n"
    ) in capsys.readouterr().err
    assert not list((tmp_path / "cwd").iterdir())


def test_all_checkpoints_of_an_evaluation_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fits = written(tmp_path / "model_1.pt", "gr00t_rl_ext.policy.flow_actor:Gr00tFlowActor")
    other = written(tmp_path / "model_2.pt", "gr00t_rl_ext.policy.mlp:MlpActor", algorithm="Gr00tPPO")
    assert cli_eval.main([*FETCH, "--checkpoint", "base", str(fits), str(other)]) == 2
    error = capsys.readouterr().err
    assert (
        f"The checkpoint '{other}' does not fit the agent. This checkpoint's policy is an MLP, which the agent" in error
    )
    assert "mlp_ppo plays. The policy of the agent here is GR00T's action head." in error


def test_what_cannot_be_told_here_is_left_to_what_loads_it(tmp_path: Path) -> None:
    agent_cfg = recipes.Gr00tFlowPpoRunnerCfg()
    checks.check_plays(agent_cfg, None)
    damaged = tmp_path / "model_1.pt"
    damaged.write_bytes(b"nothing")
    with pytest.raises(UsageError, match="model_1.pt' is no checkpoint of a run, or is truncated"):
        checks.check_plays(agent_cfg, damaged)
    checks.check_plays(agent_cfg, written(damaged, "gr00t_rl_ext.policy.flow_actor:Gr00tFlowActor"))
    # rsl_rl's own agent, which knows nothing of ours
    checks.check_plays(recipes.RslRlMlpPpoRunnerCfg(), written(damaged))
    checks.check_plays({"params": {"config": {}}}, damaged)
    torch.save({"actor_state_dict": {}, "iter": 3}, damaged)
    checks.check_plays(recipes.RslRlMlpPpoRunnerCfg(), damaged)
    with pytest.raises(UsageError, match=r"was not written by gr00t_rl_ext .* use `--agent rsl_rl_cfg_entry_point`"):
        checks.check_plays(agent_cfg, damaged)


@pytest.mark.parametrize("main", [train.main, play.main, cli_eval.main], ids=["train", "play", "eval"])
def test_other_settings_than_those_it_has_learned_with_are_refused(
    main: Callable[[list[str]], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    steering = "gr00t_rl_ext.policy.steering:Gr00tSteeringActor"
    file = written(tmp_path / "model_3.pt", steering, {"num_flow_steps": 4, "noise_bound": 3.0})
    command = [
        "--task",
        "gym:FetchReach-v4",
        "--agent",
        "gr00t_ppo_small",
        "--device",
        "cpu",
        "--checkpoint",
        str(file),
    ]
    assert main([*command, "agent.actor.num_flow_steps=2", "agent.actor.noise_bound=1"]) == 2
    assert (
        f"error: The checkpoint '{file}' does not fit the agent. This checkpoint's policy was trained with"
        " agent.actor.num_flow_steps=4 (here 2) and agent.actor.noise_bound=3 (here 1); with another value it is"
        " another policy. Add to the command line: agent.actor.num_flow_steps=4 agent.actor.noise_bound=3\n"
    ) in capsys.readouterr().err


@pytest.mark.parametrize("recorded", [{"num_flow_steps": 4, "residual_scale": 1.0}, {}], ids=["recorded", "older"])
def test_the_advised_settings_are_accepted(recorded: dict[str, float], tmp_path: Path) -> None:
    residual = "gr00t_rl_ext.policy.residual_actor:Gr00tResidualActor"
    file = written(tmp_path / "model_3.pt", residual, recorded)
    agent_cfg = recipes.Gr00tResidualPpoRunnerCfg()
    with pytest.raises(UsageError, match=r"Add to the command line: agent.actor.residual_scale=1$"):
        checks.check_plays(agent_cfg, file)
    agent_cfg.actor.residual_scale = 1.0
    checks.check_plays(agent_cfg, file)
