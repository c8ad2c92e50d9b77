# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Arguments, profile and summary of the training script."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from gr00t_rl_ext.cli import arguments as cli_arguments
from gr00t_rl_ext.cli import profile, summary
from gr00t_rl_ext.starters import Starter, starters
from gr00t_rl_ext.tasks import recipes
from gr00t_rl_ext.tasks.stack.config.franka.agents import rsl_rl_cfg as stack

TASK = "Isaac-Stack-Cube-Franka-v0"


def parse(*argv: str) -> cli_arguments.Arguments:
    return cli_arguments.parse(argv, "train.py", "")


def test_everything_but_our_own_arguments_is_passed_on() -> None:
    arguments = parse(
        *("--task", TASK, "--num_envs", "4", "--assets", "offline", "--no-record", "--seed", "3", "agent.seed=1")
    )
    assert arguments.assets == "offline"
    assert not arguments.record
    assert arguments.overrides == ["agent.seed=1"]
    passed = arguments.forwarded
    assert "--assets" not in passed
    assert "--no-record" not in passed
    for pair in (["--seed", "3"], ["--task", TASK], ["--num_envs", "4"], ["--agent", "gr00t_ppo"]):
        assert passed[passed.index(pair[0]) + 1] == pair[1]


def test_the_small_profile_fills_only_what_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "task_presets", lambda task: {"small_cameras", "ovphysx"})
    arguments = parse("--task", TASK, "--agent", "gr00t_adapter_ppo", "--num_envs", "2")
    arguments.device = "cpu"
    profile.apply(profile.choose(arguments, recipes.Gr00tAdapterPpoRunnerCfg()), arguments)
    assert arguments.num_envs == 2
    assert arguments.max_iterations == profile.SMALL_GR00T.max_iterations
    assert "presets=small_cameras" in arguments.forwarded
    assert arguments.forwarded.count("--num_envs") == 1


def test_a_recipe_for_small_models_lasts_as_long_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "task_presets", lambda task: {"small_cameras"})
    for agent, recipe in (
        ("gr00t_flow_ppo_small", stack.Gr00tFlowPpoSmallRunnerCfg()),
        ("gr00t_flow_grpo_small", stack.Gr00tFlowGrpoSmallRunnerCfg()),
        ("gr00t_flow_ppo_small_cfg_entry_point", stack.Gr00tFlowPpoSmallRunnerCfg()),
    ):
        told = "agent.actor.gr00t.checkpoint=checkpoints/mine"
        arguments = parse("--task", TASK, "--agent", agent, "--device", "cpu", told)
        chosen = profile.choose(arguments, recipe)
        profile.apply(chosen, arguments)
        assert arguments.max_iterations is None
        assert arguments.num_envs == 128
        assert "presets=small_cameras" in arguments.forwarded
        recipe.algorithm.check_rollout(arguments.num_envs, recipe.num_steps_per_env)
        assert arguments.num_envs * recipe.num_steps_per_env % recipe.algorithm.num_mini_batches == 0
        arguments.device = "cuda:0"
        assert profile.choose(arguments, recipe) is profile.FULL


def test_what_is_the_tiny_random_gr00t() -> None:
    """Its play command leaves the profile's small cameras away; that of a policy without GR00T has none."""
    from gr00t_rl_ext.tasks.recipes import MlpPpoRunnerCfg

    flow = stack.Gr00tFlowPpoSmallRunnerCfg()
    told = "agent.actor.gr00t.checkpoint=checkpoints/mine"
    assert profile.is_random(parse("--task", TASK, "--agent", "gr00t_flow_ppo_small"), flow)
    assert not profile.is_random(parse("--task", TASK, "--agent", "gr00t_flow_ppo_small", told), flow)
    assert not profile.is_random(parse("--task", TASK, "--agent", "mlp_ppo"), MlpPpoRunnerCfg())


def test_a_recipe_for_small_models_without_one_is_a_demonstration() -> None:
    for agent, recipe, expected in (
        ("gr00t_flow_ppo_small", stack.Gr00tFlowPpoSmallRunnerCfg(), profile.SMALL_GR00T),
        ("gr00t_flow_grpo_small", stack.Gr00tFlowGrpoSmallRunnerCfg(), profile.SMALL_RANDOM_GROUPS),
    ):
        arguments = parse("--task", TASK, "--agent", agent, "--device", "cpu")
        assert profile.choose(arguments, recipe) is expected
        assert expected.num_envs * recipe.num_steps_per_env % recipe.algorithm.num_mini_batches == 0


def test_the_small_profile_compares_a_policy_of_the_user_by_success() -> None:
    """Only the tiny random GR00T needs returns for a signal."""
    arguments = parse("--task", TASK, "--device", "cpu", "agent.actor.gr00t.checkpoint=checkpoints/mine")
    assert profile.choose(arguments, recipes.Gr00tAdapterGrpoRunnerCfg()) is profile.SMALL_GROUPS
    assert not profile.SMALL_GROUPS.overrides
    # a config that names a checkpoint itself keeps it, although the task has a starter
    cfg = recipes.Gr00tFlowGrpoRunnerCfg()
    cfg.actor.gr00t.checkpoint = "checkpoints/mine"
    assert profile.choose(parse("--task", TASK, "--device", "cpu"), cfg) is profile.SMALL_GROUPS
    cfg.actor.gr00t.checkpoint = "tiny"
    assert profile.choose(parse("--task", TASK, "--device", "cpu"), cfg).name == "starter"


@pytest.mark.parametrize("starter", starters(), ids=lambda starter: starter.name)
@pytest.mark.parametrize("agent", ["gr00t_ppo", "gr00t_ppo_small"])
def test_a_run_executes_as_many_steps_of_its_starter_as_it_was_measured_with(agent: str, starter: Starter) -> None:
    arguments = parse("--task", starter.task, "--agent", agent)
    chosen = profile.starter_profile(arguments)
    assert chosen is not None
    assert [item for item in chosen.overrides if "chunk_length" in item] == [
        f"agent.actor.chunk_length={starter.chunk_length}"
    ]
    profile.apply(chosen, told := parse("--task", starter.task, "--agent", agent, "agent.actor.chunk_length=6"))
    assert told.overrides_under("agent.actor.chunk_length=") == ["agent.actor.chunk_length=6"]


@pytest.mark.parametrize(
    ("task", "agent", "taken"),
    [
        ("Isaac-Lift-Cube-Franka-IK-Rel-v0", "gr00t_grpo", True),
        ("Isaac-Lift-Cube-Franka-IK-Rel-v0", "gr00t_grpo_small", True),
        ("gym:FetchPickAndPlace-v4", "gr00t_grpo", True),
        # no recipe for small models: rounds of half an episode, with settings for billions of parameters
        (TASK, "gr00t_grpo", False),
        (TASK, "gr00t_flow_ppo", False),
    ],
)
def test_which_agents_begin_with_a_starter(task: str, agent: str, taken: bool) -> None:
    assert (profile.starter_profile(parse("--task", task, "--agent", agent)) is not None) == taken
    asked = parse("--task", task, "--agent", agent, "agent.actor.gr00t.checkpoint=starter")
    assert profile.starter_profile(asked) is not None


def test_the_small_profile_compares_returns_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "task_presets", lambda task: set())
    arguments = parse("--task", TASK, "--agent", "gr00t_adapter_grpo")
    profile.apply(profile.SMALL_RANDOM_GROUPS, arguments)
    assert {"agent.algorithm.outcome=return", "agent.algorithm.std_floor=1e-6"} <= set(arguments.forwarded)
    told = parse("--task", TASK, "--agent", "gr00t_adapter_grpo", "agent.algorithm.outcome=success")
    profile.apply(profile.SMALL_RANDOM_GROUPS, told)
    assert [item for item in told.overrides if "outcome" in item] == ["agent.algorithm.outcome=success"]


@pytest.mark.parametrize(
    ("recipe", "overrides", "shown"),
    [
        (recipes.Gr00tFlowPpoRunnerCfg, {}, "scale 1"),
        (recipes.Gr00tLoraPpoRunnerCfg, {"noise_scale": 0.5}, "scale 0.5"),
        (recipes.Gr00tResidualPpoRunnerCfg, {}, "scale 0"),
        (recipes.Gr00tPpoRunnerCfg, {}, "scale 0 when played, learned while training"),
        (recipes.Gr00tAdapterPpoRunnerCfg, {}, None),
    ],
)
def test_the_table_has_the_initial_noise_of_policies_with_the_head(
    recipe: type, overrides: dict[str, float], shown: str | None
) -> None:
    cfg = recipe()
    vars(cfg.actor).update(overrides)
    assert profile.describe_gr00t(TASK, cfg, {}).get("initial noise") == shown


def test_the_small_profile_respects_chosen_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "task_presets", lambda task: {"small_cameras"})
    arguments = parse("--task", TASK, "env.scene.table_cam.width=128")
    profile.apply(profile.SMALL_GR00T, arguments)
    assert "presets=small_cameras" not in arguments.forwarded


def test_a_task_without_the_preset_keeps_its_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile, "task_presets", lambda task: set())
    arguments = parse("--task", TASK)
    profile.apply(profile.SMALL_GR00T, arguments)
    assert not any("presets" in item for item in arguments.forwarded)


def test_profiles_by_device() -> None:
    arguments = parse("--task", TASK, "--agent", "gr00t_adapter_ppo")
    arguments.device = "cuda:0"
    assert profile.choose(arguments, recipes.Gr00tAdapterPpoRunnerCfg()) is profile.FULL
    arguments.device = "cpu"
    assert profile.choose(arguments, recipes.Gr00tAdapterPpoRunnerCfg()) is profile.SMALL_GR00T
    assert profile.choose(arguments, recipes.Gr00tAdapterGrpoRunnerCfg()) is profile.SMALL_RANDOM_GROUPS
    assert profile.choose(arguments, stack.MlpPpoRunnerCfg()) is profile.SMALL_MLP


def test_the_full_profile_changes_nothing() -> None:
    arguments = parse("--task", TASK)
    before = list(arguments.forwarded)
    profile.apply(profile.FULL, arguments)
    assert arguments.forwarded == before


def test_the_description_names_what_is_only_a_demonstration() -> None:
    camera = SimpleNamespace(data_types=["rgb"], width=64, height=48)
    env_cfg = SimpleNamespace(
        scene=SimpleNamespace(table_cam=camera, num_envs=4), sim=SimpleNamespace(physics=SimpleNamespace())
    )
    agent_cfg = SimpleNamespace(
        max_iterations=5,
        num_steps_per_env=8,
        actor=SimpleNamespace(gr00t=SimpleNamespace(checkpoint="tiny"), chunk_length=None),
    )
    arguments = parse("--task", TASK)
    arguments.device = "cpu"
    rows = profile.describe(profile.SMALL_GR00T, arguments, env_cfg, agent_cfg)
    assert rows["cameras"] == "table_cam 64 x 48 px"
    assert rows["environments"] == "4"
    assert rows["iterations"] == "5 of 8 decisions per environment"
    assert "not a trained policy" in rows["GR00T"]
    agent_cfg.actor.gr00t.checkpoint = "/my/checkpoint"
    assert profile.describe(profile.FULL, arguments, env_cfg, agent_cfg)["GR00T"] == "/my/checkpoint"


def test_summary_of_a_run(tmp_path: Path) -> None:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(tmp_path))
    for step, (reward, speed) in enumerate([(0.00012, 100.0), (0.5, 300.0), (0.75, 200.0)]):
        writer.add_scalar("charts/reward_per_step", reward, step)
        writer.add_scalar("charts/SPS", speed, step)
        writer.add_scalar("charts/success_rate", step / 4, step)
    writer.close()
    rows = summary.rows(tmp_path, 12.3)
    assert rows["training time"] == "12 s"
    assert rows["mean reward per control step"] == "0.00012 first, 0.75 last"
    assert rows["success rate"].startswith("50.0%")
    assert rows["env steps/s"].startswith("200 ")


def test_latest_checkpoint_is_by_number_not_by_name(tmp_path: Path) -> None:
    assert summary.latest_checkpoint(tmp_path) is None
    for name in ("model_9.pt", "model_50.pt", "model_100.pt"):
        (tmp_path / name).touch()
    latest = summary.latest_checkpoint(tmp_path)
    assert latest is not None
    assert latest.name == "model_100.pt"


def test_help_names_our_options_and_isaac_labs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parse("--help")
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for expected in ("--task", "--agent", "--assets", "--no-record", "isaaclab train --rl_library rsl_rl --help"):
        assert expected in text
    assert os.environ.get("GR00T_RL_EXT_ASSETS") == "offline", "the tests must not reach for a server"
