# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""A run that begins with the task's starter: what fills its command line, and what it leaves about what was gained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from gr00t_rl_ext.cli import arguments as cli_arguments
from gr00t_rl_ext.cli import before_after, profile
from gr00t_rl_ext.cli.handler import UsageError
from gr00t_rl_ext.envs.episodes import Episodes
from gr00t_rl_ext.evaluation import report
from gr00t_rl_ext.evaluation.comparison import telling
from gr00t_rl_ext.evaluation.report import Evaluation
from gr00t_rl_ext.starters import starter_of

PICK = "gym:FetchPickAndPlace-v4"


def parse(*argv: str) -> cli_arguments.Arguments:
    return cli_arguments.parse(argv, "train.py", "")


def test_the_starter_fills_what_is_open() -> None:
    starter = starter_of(PICK)
    assert starter is not None
    arguments = parse("--task", PICK, "env.cameras=[front,gripper]")
    chosen = profile.starter_profile(arguments)
    assert chosen is not None
    profile.apply(chosen, arguments)
    assert arguments.overrides == [
        "env.cameras=['front','gripper']",
        "agent.actor.gr00t.checkpoint=starter",
        "agent.obs_groups.actor=['rgb','state','object']",
        "agent.actor.chunk_length=8",
    ]
    assert arguments.max_iterations == starter.iterations
    assert arguments.evaluate == 200
    told = parse("--task", PICK, "--evaluate", "0", "--max_iterations", "3")
    profile.apply(chosen, told)
    assert (told.max_iterations, told.evaluate) == (3, 0)


def test_another_recipe_than_that_of_the_headline_agent_lasts_as_long_as_it_says() -> None:
    chosen = profile.starter_profile(
        parse("--task", PICK, "--agent", "gr00t_flow_ppo_small", "agent.actor.gr00t.checkpoint=starter")
    )
    assert chosen is not None
    assert chosen.max_iterations is None


def test_who_begins_without_a_starter() -> None:
    assert profile.starter_profile(parse("--task", PICK, "agent.actor.gr00t.checkpoint=mine")) is None
    assert profile.starter_profile(parse("--task", PICK, "agent.actor.gr00t.checkpoint=tiny")) is None
    assert profile.starter_profile(parse("--task", PICK, "--agent", "gr00t_adapter_ppo")) is None
    assert profile.starter_profile(parse("--task", "gym:FetchPush-v4")) is None
    with pytest.raises(UsageError, match=rf"There is no starter for gym:FetchPush-v4. There is one for: .*{PICK}"):
        profile.starter_profile(parse("--task", "gym:FetchPush-v4", "agent.actor.gr00t.checkpoint=starter"))


def test_an_agent_becomes_its_recipe_for_small_models() -> None:
    """Settings that differ, as overrides that give exactly that recipe; its name and its length stay."""
    from isaaclab_tasks.utils import resolve_task_config

    task = "Isaac-Lift-Cube-Franka-IK-Rel-v0"
    overrides = profile._as_small(task, "gr00t_ppo")
    assert "agent.actor.chunk_length=4" in overrides
    _, found = resolve_task_config(task, "gr00t_ppo", overrides=list(overrides))
    _, small = resolve_task_config(task, "gr00t_ppo_small", overrides=[])
    found.max_iterations = small.max_iterations
    assert found.to_dict() == small.to_dict()
    assert profile._as_small(task, "gr00t_ppo_small") == ()


def made_up(name: str, successes: tuple[bool, ...]) -> Evaluation:
    return Evaluation(
        name=name,
        fingerprint="",
        task=PICK,
        agent="gr00t_ppo",
        seed=0,
        chunk_length=8,
        initial_states=tuple(map(str, range(len(successes)))),
        successes=successes,
        returns=tuple(map(float, successes)),
        lengths=(50,) * len(successes),
    )


def test_the_summary_says_what_was_gained(tmp_path: Path) -> None:
    """Of 10 episodes 4 succeed before, the same 4 and 5 more after: McNemar's exact test gives 2 / 2^5."""
    before = (True,) * 4 + (False,) * 6
    after = (True,) * 9 + (False,)
    report.save([made_up("base", before), made_up("run/model_1", after)], tmp_path / "evaluation.json")
    before_after.write_summary(tmp_path / "evaluation.json", tmp_path / "summary.json")
    summary: dict[str, Any] = json.loads((tmp_path / "summary.json").read_text())
    assert summary["before"]["success"] == 0.4
    assert summary["after"]["success"] == 0.9
    assert summary["difference"] == pytest.approx(0.5)
    assert summary["p_value"] == pytest.approx(2 / 2**5)
    assert (summary["task"], summary["episodes"], summary["compared"]) == (PICK, 10, "success")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["evaluation.json", "summary.json"]


def test_the_episode_to_film_is_one_that_was_mended() -> None:
    def episodes(successes: list[bool] | None, returns: list[float]) -> Episodes:
        return Episodes(torch.zeros(3, 1), returns, [1] * 3, successes)

    assert telling(episodes([False, True, False], [0, 1, 0]), episodes([False, True, True], [0, 1, 1])) == 2
    assert telling(episodes([True] * 3, [1, 1, 0]), episodes([True, True, False], [1, 2, 0])) == 1
    assert telling(episodes(None, [0, 0, 0]), episodes(None, [-1, 0, 3])) == 2
