# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The runner that an algorithm asks for, where Isaac Lab's training command made rsl_rl's own."""

from __future__ import annotations

from typing import Any

import pytest
from rsl_rl.runners import OnPolicyRunner

train_rsl_rl = pytest.importorskip("isaaclab_rl.entrypoints.backends.train_rsl_rl")

from gr00t_rl_ext.algorithms.grpo import Gr00tGRPO  # noqa: E402
from gr00t_rl_ext.algorithms.ppo import Gr00tPPO  # noqa: E402
from gr00t_rl_ext.runners import grpo_runner  # noqa: E402
from gr00t_rl_ext.runs.guard import guard  # noqa: E402
from gr00t_rl_ext.tasks import recipes  # noqa: E402


def test_isaac_lab_accepts_no_other_runner_by_name() -> None:
    """Once this fails, agents can name their runner, and ``RUNNER`` can go."""
    cfg = recipes.Gr00tAdapterGrpoRunnerCfg()
    cfg.class_name = "gr00t_rl_ext.runners.grpo_runner:GrpoRunner"
    with pytest.raises(ValueError, match="Unsupported runner class"):
        train_rsl_rl.create_rsl_rl_runner(None, cfg)


@pytest.mark.parametrize(("algorithm", "loop"), [(Gr00tGRPO, "GrpoRunner"), (Gr00tPPO, "OnPolicyRunner")])
def test_each_algorithm_is_trained_by_its_loop(algorithm: Any, loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    guard()
    trained: list[str] = []

    class Loop(grpo_runner.GrpoRunner):
        def learn(self, *_: Any, **__: Any) -> None:
            trained.append("GrpoRunner")

    monkeypatch.setattr(grpo_runner, "GrpoRunner", Loop)
    # what of rsl_rl's own loop the guard is around: the first thing that it needs is an environment
    runner: Any = OnPolicyRunner.__new__(OnPolicyRunner)
    runner.alg = algorithm.__new__(algorithm)
    try:
        runner.learn(1)
    except AttributeError:
        trained.append("OnPolicyRunner")
    assert trained == [loop]
