# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Every field of GRPO's config changes something that can be observed, on the toy task."""

from __future__ import annotations

import contextlib
import dataclasses
import io
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from toy_agents import grpo_runner

from gr00t_rl_ext.algorithms import construction
from gr00t_rl_ext.algorithms.options import GrpoOptions

ROUGH = {"learning_rate": 3e-2, "num_learning_epochs": 6, "outcome": "return"}
"""A policy that moves far enough to be clipped."""

TABLE: dict[str, tuple[dict[str, Any], Any]] = {
    "learning_rate": ({}, 1e-2),
    "learning_rate_warmup_steps": ({}, 4),
    "schedule": ({}, "linear"),
    "desired_kl": ({"schedule": "adaptive", "desired_kl": 1e-9}, 10.0),
    "optimizer": ({}, "sgd"),
    "adam_epsilon": ({}, 1e-2),
    "num_learning_epochs": ({}, 2),
    "num_mini_batches": ({}, 2),
    "gradient_accumulation_steps": ({}, 3),
    "use_mixed_precision": ({}, True),
    "max_grad_norm": ({}, 1e-3),
    "clip_param": (ROUGH, 0.01),
    "clip_high": (ROUGH, None),
    "target_kl": (ROUGH, 1e-4),
    "kl_to_base_coef": ({}, 0.5),
    "entropy_coef": ({}, 0.1),
    "group_size": ({}, 4),
    "num_rounds": ({}, 2),
    "max_resamples": ({}, 3),
    "success_range": ({}, (0.2, 0.9)),
    "segment_length": ({"outcome": "return"}, 4),
    "outcome": ({}, "return"),
    "baseline": ({}, "leave_one_out"),
    "baseline_momentum": ({"baseline": "running", "max_resamples": 0, "outcome": "return"}, 0.0),
    "std_floor": ({}, 0.9),
    "advantage_normalization": ({}, "rollout"),
    "decision_weights": ({}, "decision"),
    "signal_patience": ({"success_range": (0.97, 0.98)}, 1),
}
"""Field -> settings in which it matters, and another value for it."""

ELSEWHERE = {
    "gr00t_schedule",
    "max_skipped_steps",
    "task_sampling",
    "task_sampling_floor",
    "start_sampling",
    "start_sampling_floor",
}
"""What PPO shares and tests: see test_no_dead_options.py and test_several_tasks.py."""


@pytest.fixture(autouse=True)
def without_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The estimate of memory takes seconds, and has tests of its own."""
    monkeypatch.setattr(construction, "estimate_footprint", lambda *_: SimpleNamespace(describe=str))


def test_the_table_has_every_field_and_no_other() -> None:
    assert {field.name for field in dataclasses.fields(GrpoOptions)} == TABLE.keys() | ELSEWHERE


def observe(settings: dict[str, Any]) -> dict[str, Any]:
    """What three iterations do."""
    runner = grpo_runner(32, **settings, max_iterations=5)
    if settings.get("outcome") == "return":
        reward_for_staying_close(runner.env)
    logs = []
    finish = runner.alg._finish_iteration

    def recorded(means: Any) -> None:
        finish(means)
        logs.append({name: value for name, value in runner.alg._log.items() if not name.startswith("charts/SPS")})

    runner.alg._finish_iteration = recorded  # type: ignore[method-assign]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runner.learn(3)
    weights = torch.cat([parameter.detach().flatten() for parameter in runner.alg.actor.parameters()])
    return {"weights": weights, "logs": logs, "warned": "WARNING" in printed.getvalue()}


def reward_for_staying_close(env: Any) -> None:
    """Else returns and successes are the same."""
    step = env.step

    def closer(actions: torch.Tensor) -> Any:
        obs, rewards, dones, extras = step(actions)
        return obs, rewards - (env.goals - env.positions).norm(dim=1) * (extras["executed_steps"] > 0), dones, extras

    env.step = closer


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return (
        torch.equal(first["weights"], second["weights"])
        and str(first["logs"]) == str(second["logs"])
        and first["warned"] == second["warned"]
    )


def test_two_observations_of_the_same_settings_are_equal() -> None:
    """Else the tests below could not fail."""
    assert same(observe({}), observe({}))


@pytest.mark.parametrize("name", TABLE)
def test_every_field_changes_something(name: str) -> None:
    settings, value = TABLE[name]
    assert not same(observe(settings), observe(settings | {name: value})), f"{name} = {value!r} changes nothing"
