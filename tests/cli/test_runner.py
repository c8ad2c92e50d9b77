# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The runner that an algorithm asks for, under Isaac Lab's training command."""

from __future__ import annotations

from typing import Any

import pytest
from rsl_rl.runners import OnPolicyRunner

train_rsl_rl = pytest.importorskip("isaaclab_rl.entrypoints.backends.train_rsl_rl")

from gr00t_rl_ext.cli.train import algorithms_runner  # noqa: E402
from gr00t_rl_ext.runners import grpo_runner  # noqa: E402
from gr00t_rl_ext.tasks import recipes  # noqa: E402


def test_isaac_lab_accepts_no_other_runner_by_name() -> None:
    """Once this fails, agents can name their runner, and algorithms_runner can go."""
    cfg = recipes.Gr00tAdapterGrpoRunnerCfg()
    cfg.class_name = "gr00t_rl_ext.runners.grpo_runner:GrpoRunner"
    with pytest.raises(ValueError, match="Unsupported runner class"):
        train_rsl_rl.create_rsl_rl_runner(None, cfg)


def test_each_algorithm_gets_its_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, Any]] = []

    def record(name: str) -> Any:
        return lambda self, env, cfg, log_dir=None, device="cpu": made.append((name, cfg["algorithm"]["class_name"]))

    monkeypatch.setattr(grpo_runner.GrpoRunner, "__init__", record("GrpoRunner"))
    stock = train_rsl_rl.create_rsl_rl_runner
    with algorithms_runner():
        assert isinstance(
            train_rsl_rl.create_rsl_rl_runner(None, recipes.Gr00tAdapterGrpoRunnerCfg()), grpo_runner.GrpoRunner
        )
        monkeypatch.setattr(OnPolicyRunner, "__init__", record("OnPolicyRunner"))
        train_rsl_rl.create_rsl_rl_runner(None, recipes.Gr00tAdapterPpoRunnerCfg(experiment_name="x"))
    assert [name for name, _ in made] == ["GrpoRunner", "OnPolicyRunner"]
    assert train_rsl_rl.create_rsl_rl_runner is stock
