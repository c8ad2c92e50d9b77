# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The contract of environments and learners."""

from __future__ import annotations

import ast
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from tensordict import TensorDict

from gr00t_rl_ext.envs import decision
from gr00t_rl_ext.envs.decision import Outcome

NUMBERS = torch.zeros(2)
NOTHING_ENDED = Outcome(NUMBERS, torch.zeros(2, 3), NUMBERS, NUMBERS)


def test_an_outcome_passes_through_a_dictionary() -> None:
    final = TensorDict({"state": torch.ones(2, 4)}, batch_size=[2])
    outcome = replace(NOTHING_ENDED, success=torch.tensor([True, False]), final_observations=final)
    found = Outcome.from_extras(outcome.to_extras() | {"log": {}})
    assert all(getattr(found, field.name) is getattr(outcome, field.name) for field in fields(Outcome))
    assert Outcome.from_extras(outcome.to_extras(), "meta").success.device.type == "meta"


def test_an_earlier_outcome_is_replaced_and_the_rest_stays() -> None:
    extras = {"log": {"a": 1}, "final_observations": 0, "success": 0, "time_outs": 0, "executed_steps": 0}
    assert NOTHING_ENDED.to_extras(extras) is extras
    assert list(extras) == ["log", "executed_steps", "step_rewards", "episode_return", "episode_steps"]
    assert extras["executed_steps"] is NUMBERS


def test_an_environment_that_does_not_report_is_told_how_and_the_advice_helps() -> None:
    with pytest.raises(ValueError, match=r"`extras` have no step_rewards, episode_steps. .*`Outcome\(...\).to_extras"):
        Outcome.from_extras({"executed_steps": NUMBERS, "episode_return": NUMBERS})
    Outcome.from_extras(NOTHING_ENDED.to_extras())


def test_nobody_else_spells_the_names() -> None:
    names = "|".join(field.name for field in fields(Outcome))
    by_hand = re.compile(rf"""extras(\[|\.\w+\()["']({names})["']|["']({names})["'] (not )?in extras""")
    package = Path(decision.__file__).parents[1]
    assert by_hand.search('reward = extras["step_rewards"]')
    found = [file for file in package.rglob("*.py") if by_hand.search(file.read_text(encoding="utf-8"))]
    assert found == []


def test_it_imports_nothing_heavy() -> None:
    """What only a type checker reads stands in a branch of its own."""
    tree = ast.parse(Path(decision.__file__).read_text(encoding="utf-8"))
    modules = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert modules == ["__future__", "collections.abc", "dataclasses", "types", "typing"]
