# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What is found in environments that run, and what a preflight leaves behind: nothing."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from training import AGENTS, PPO, training

from gr00t_rl_ext.preflight import checks, conduct
from gr00t_rl_ext.preflight.conduct import examine
from gr00t_rl_ext.preflight.findings import FILE, PreflightError
from gr00t_rl_ext.preflight.options import PreflightOptions
from gr00t_rl_ext.preflight.sightings import Watch

TRY = {"decisions": 2, "episodes": 8}


def findings(run: Path) -> dict[str, dict[str, str]]:
    return {item["subject"]: item for item in json.loads((run / FILE).read_text())["findings"]}


def tried(directory: Path, name: str, **options: Any) -> dict[str, dict[str, str]]:
    """What a preflight finds in an environment."""
    agent = PPO | {"preflight": TRY | {"only": True} | options}
    ends = "Silent" not in name
    with training(directory / "run", agent, f"gym:faulty:{name}-v0", terminate_on_success=ends) as runner:
        runner.learn(6)
    assert not list((directory / "run").glob("model_*")), "nothing is trained"
    return findings(directory / "run")


def test_a_task_that_is_as_it_should_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = tried(tmp_path, "Point")
    assert {item["level"] for item in found.values()} <= {"ok", "not checked"}
    assert {"reward", "success", "movement", "actions", "ratio", "disk", "policy"} <= set(found)
    assert "Preflight (2 random and 2 policy decisions in 4 environments, 8 episodes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "subject", "text"),
    [
        ("PointStill", "movement", "No number of the state changed"),
        ("PointConstant", "reward", "It is 0.25 in every one of"),
        ("PointConstantSilent", "success", "The task tells nothing of success"),
        ("PointConstantSilent", "policy", "had the return 5"),
        ("PointSilent", "success", "The task tells nothing of success"),
    ],
)
def test_what_is_wrong_with_a_task_is_a_warning(tmp_path: Path, name: str, subject: str, text: str) -> None:
    found = tried(tmp_path, name)[subject]
    assert found["level"] == "warning"
    assert text in found["text"]
    assert found["fix"]


def test_episodes_that_are_solved_at_their_start(tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match=r"success term is true at the reset.*agent\.preflight\.decisions=0"):
        tried(tmp_path, "PointSolved")
    assert findings(tmp_path / "run")["success"]["level"] == "error"
    assert findings(tmp_path / "run").get("policy") is None, "no episodes after an error"
    with training(tmp_path / "all the same", PPO | {"preflight": {"decisions": 0}}, "gym:faulty:PointSolved-v0") as it:
        it.learn(1)
    assert (tmp_path / "all the same" / "model_0.pt").is_file()
    assert not (tmp_path / "all the same" / FILE).exists()


@pytest.mark.parametrize("agent", sorted(AGENTS))
def test_training_is_the_same_with_and_without(tmp_path: Path, agent: str) -> None:
    weights = []
    for name, options in (("with", TRY | {"full_above_minutes": 1e-9}), ("without", {"decisions": 0})):
        with training(tmp_path / name, AGENTS[agent] | {"preflight": options}, "gym:faulty:Point-v0") as runner:
            runner.learn(2)
        weights.append(torch.load(tmp_path / name / "model_1.pt", weights_only=True)["actor_state_dict"])
    assert json.loads((tmp_path / "with" / FILE).read_text())["full"]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        assert torch.equal(value, weights[1][name]), name


def test_a_short_run_is_checked_by_decisions_alone(tmp_path: Path) -> None:
    with training(tmp_path / "run", PPO | {"preflight": {}}, "gym:faulty:Point-v0") as runner:
        runner.learn(1)
    content = json.loads((tmp_path / "run" / FILE).read_text())
    assert not content["full"]
    assert "policy" not in {item["subject"] for item in content["findings"]}
    assert 0 < content["least_minutes_of_the_run"] < 1


def test_a_check_that_fails_does_not_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise KeyError("robot")

    monkeypatch.setattr(checks, "of_joint_names", fails)
    with training(None, PPO, "gym:faulty:Point-v0") as runner:
        runner.logger.log_dir = str(tmp_path / "not" / "there" / "yet")
        report = examine(runner, PreflightOptions(), 1, lambda: None)
    (finding,) = report.of("not checked")[:1]
    assert (finding.subject, finding.text) == ("joints", "The check failed (KeyError: 'robot').")
    assert [item for item in report.findings if item.subject == "disk"]


def test_a_picture_of_one_colour_is_one_whatever_the_colour() -> None:
    sky = torch.tensor([135, 206, 235], dtype=torch.uint8).expand(2, 8, 8, 3)
    spec = SimpleNamespace(image_groups=("rgb",), state_groups=(), cameras=("sky",))
    watch = Watch(spec, TensorDict({"rgb": sky.clone()}, batch_size=[2]))
    assert watch.seen.cameras["sky"].contrast == 0.0
    assert watch.seen.cameras["sky"].brightness == pytest.approx(192.0)


def test_of_several_processes_all_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    # this one finds nothing, another one does
    monkeypatch.setattr(conduct, "_largest", lambda runner, value: max(1.0, value))
    with training(None, PPO, "gym:faulty:Point-v0") as runner:
        report = examine(runner, PreflightOptions(), 1, lambda: None)
    with pytest.raises(PreflightError, match="another process of the run found an error"):
        report.require_no_error()
