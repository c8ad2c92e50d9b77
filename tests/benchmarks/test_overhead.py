# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""benchmarks/overhead.py: both agents train, by turns, with equal networks and settings."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def overhead(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("overhead")


def test_both_train_by_turns(
    overhead: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    calls: list[tuple[str, int, list[str]]] = []

    class Watched(overhead.Contestant):
        def iterate(self) -> None:
            before = self._env._count
            super().iterate()
            steps = self._env._count - before
            calls.append((type(self._runner.alg).__name__, steps, list(self._env._final_groups)))

    monkeypatch.setattr(overhead, "Contestant", Watched)
    argv = ["overhead.py", "--env", "made-up", "--num_envs", "4", "--iterations", "2"]
    monkeypatch.setattr("sys.argv", [*argv, "--json", str(tmp_path / "figures.json")])
    overhead.main()
    theirs, ours = ("RslRlPPO", 32, []), ("Gr00tPPO", 32, ["state", "privileged"])
    assert calls == [theirs, ours, ours, theirs] * 2, "each finds the environment as it configured it"
    printed = capsys.readouterr().out
    assert "made-up, 4 envs, cpu, 2 iterations each" in printed
    rows = json.loads((tmp_path / "figures.json").read_text())["rows"]
    for phase, row in rows.items():
        assert f"\n  {phase} " in printed
        assert min(row.values()) > 0
    assert rows.keys() == {"rollout", "update", "iteration"}


def test_the_ratio_is_that_of_neighbours(overhead: ModuleType) -> None:
    """A machine that is busy for a while slows both down."""
    times = {"ours": [(1.0, 3.0), (10.0, 30.0), (1.0, 3.0)], "rsl_rl's": [(1.0, 2.0), (10.0, 20.0), (2.0, 2.0)]}
    rows = overhead.summarize(times)
    assert rows["rollout"]["ratio"] == 1.0
    assert rows["update"]["ratio"] == 1.5
    assert rows["iteration"]["ratio"] == pytest.approx(4 / 3)
    assert (rows["iteration"]["ours_ms"], rows["iteration"]["rsl_rl_ms"]) == (4000.0, 4000.0)


def test_the_recipes_have_equal_networks_and_settings() -> None:
    recipes = importlib.import_module("gr00t_rl_ext.tasks.stack.config.franka.agents.rsl_rl_cfg")
    ours, theirs = recipes.MlpPpoRunnerCfg().to_dict(), recipes.RslRlMlpPpoRunnerCfg().to_dict()
    algorithm = theirs["algorithm"]
    assert {name: ours["algorithm"][name] for name in algorithm if name != "class_name"} == {
        name: value for name, value in algorithm.items() if name != "class_name"
    }
    assert ours["algorithm"]["critic_learning_rate"] == algorithm["learning_rate"]
    assert ours["algorithm"]["target_kl"] is None
    assert ours["algorithm"]["kl_to_base_coef"] == 0.0
    for part in ("actor", "critic"):
        for name in ("hidden_dims", "activation", "obs_normalization", "distribution_cfg"):
            assert ours[part][name] == theirs[part][name], (part, name)
    for name in ("num_steps_per_env", "obs_groups", "clip_actions", "seed"):
        assert ours[name] == theirs[name], name
