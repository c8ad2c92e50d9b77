# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""comparison: scales of the noise, with a policy whose return is proportional to what it draws."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from countdown import CHUNK, Countdown
from tensordict import TensorDict

from gr00t_rl_ext.envs.episodes import EvaluationError
from gr00t_rl_ext.evaluation import comparison
from gr00t_rl_ext.evaluation.policies import Policy

CHECKPOINTS = {"base": None, "run/model_3": Path("model_3.pt")}


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[Path | None]:
    """The checkpoints that were loaded so far."""
    so_far: list[Path | None] = []

    def load(env: Any, agent_cfg: Any, checkpoint: Path | None, origin: Path | None) -> Policy:
        so_far.append(checkpoint)
        actor = SimpleNamespace(noise_scale=0.25)

        def decide(obs: TensorDict) -> torch.Tensor:
            return actor.noise_scale * torch.randn(obs.batch_size[0], CHUNK)

        return Policy(decide, actor, str(checkpoint))

    monkeypatch.setattr(comparison, "load_policy", load)
    return so_far


def evaluate(**options: Any) -> list[Any]:
    env = Countdown()
    return comparison.evaluate_all(env, None, CHECKPOINTS, task="x", agent="y", episodes=5, seed=1, **options)


def test_scales_are_rows_of_a_policy_that_is_built_once(loaded: list[Path | None]) -> None:
    rows = evaluate(noise_scales=[0.0, 0.5, 1.0])
    assert loaded == list(CHECKPOINTS.values())
    assert [row.name for row in rows] == [f"{name}, noise {scale}" for name in CHECKPOINTS for scale in (0, 0.5, 1)]
    assert [row.noise_scale for row in rows] == [0.0, 0.5, 1.0] * 2
    assert len({row.initial_states for row in rows}) == 1
    none, half, whole, *_ = rows
    assert set(none.returns) == {0.0}
    assert half.returns == pytest.approx([0.5 * value for value in whole.returns]), "the same random numbers"
    assert min(map(abs, whole.returns)) > 0.0


class Scaled(Countdown):
    """Rewards are less where a factor is drawn with more strength."""

    def __init__(self) -> None:
        super().__init__()
        self.factors = {"mass": Drawn(), "lighting": Drawn()}
        # as the task says
        self.factors["mass"].strength = 0.25

    def step(self, actions: torch.Tensor) -> Any:
        return super().step(actions * (1.0 - self.factors["lighting"].strength))


class Drawn:
    strength, affected = 0.0, True

    def set_strength(self, strength: float) -> None:
        self.strength = strength


def test_each_policy_is_evaluated_without_and_with_each_factor(
    loaded: list[Path | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env, filmed = Scaled(), {}

    def film(env: Any, episodes: Any, seed: int, videos: dict[Path, Any]) -> str:
        filmed[next(iter(videos)).parent.name] = {name: factor.strength for name, factor in env.factors.items()}
        return ""

    monkeypatch.setattr(comparison, "film", film)
    options: dict[str, Any] = {"task": "x", "agent": "y", "episodes": 5, "seed": 1}
    variations = [("lighting", 0.5), ("mass", 1.0)]
    rows = comparison.evaluate_all(env, None, CHECKPOINTS, variations=variations, videos=1, folder=tmp_path, **options)
    assert loaded == list(CHECKPOINTS.values()), "each is built once"
    draws = [{}, {"lighting": 0.5}, {"mass": 1.0}]
    assert [(row.name, row.randomised) for row in rows] == [(name, drawn) for name in CHECKPOINTS for drawn in draws]
    plain, lit, heavy, *_ = rows
    assert lit.returns == pytest.approx([0.5 * value for value in plain.returns]), "the same random numbers"
    assert heavy.returns == plain.returns
    assert filmed["base_lighting_0.5"] == {"lighting": 0.5, "mass": 0.0}
    assert filmed["base"] == {"lighting": 0.0, "mass": 0.0}
    env.factors["mass"].affected = False
    with pytest.raises(EvaluationError, match="mass changed nothing: the agent observes nothing that it is about"):
        comparison.evaluate_all(env, None, CHECKPOINTS, variations=variations, **options)
    (alone, _) = comparison.evaluate_all(Scaled(), None, CHECKPOINTS, **options)
    assert alone.randomised == {"mass": 0.25}, "as the task draws"


@pytest.mark.parametrize(("scales", "used"), [((), 0.25), ((0.5,), 0.5)])
def test_a_single_scale_is_not_in_the_name(loaded: list[Path | None], scales: tuple[float, ...], used: float) -> None:
    rows = evaluate(noise_scales=scales)
    assert [(row.name, row.noise_scale) for row in rows] == [(name, used) for name in CHECKPOINTS]


def test_a_checkpoint_is_filmed_after_all_of_its_scales(
    loaded: list[Path | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Filming leaves the environments with decisions of its own."""
    done = []
    run_episodes = comparison.run_episodes

    def ran(*arguments: Any) -> Any:
        done.append("ran")
        return run_episodes(*arguments)

    def film(env: Any, episodes: Any, seed: int, videos: dict[Path, Any]) -> str:
        done.append(next(iter(videos)).parent.name)
        return ""

    monkeypatch.setattr(comparison, "run_episodes", ran)
    monkeypatch.setattr(comparison, "film", film)
    evaluate(noise_scales=[0.0, 1.0], videos=1, folder=tmp_path)
    of = ("base_noise_{}", "run_model_3_noise_{}")
    assert done == [step for name in of for step in ("ran", "ran", name.format(0), name.format(1))]
