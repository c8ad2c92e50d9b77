# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""From training runs to tables and pictures of their learning curves."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import curves
import learning_curves
import pytest
from torch.utils.tensorboard import SummaryWriter

from gr00t_rl_ext.evaluation import report


def write_run(
    directory: Path,
    success: Sequence[float | None],
    seed: int = 0,
    extra: Mapping[str, float] | None = None,
    env: str = "num_envs: 4\n",
    first: int = 0,
) -> Path:
    """A run of as many iterations: of 32 decisions in each environment, 2 s of rollouts and 1 s of updates."""
    writer = SummaryWriter(str(directory))
    for iteration, rate in enumerate(success, first):
        writer.add_scalar("Perf/collection_time", 2.0, iteration)
        writer.add_scalar("Perf/learning_time", 1.0, iteration)
        for tag, value in (extra or {}).items():
            writer.add_scalar(tag, value * (iteration + 1) if tag == "charts/env_steps" else value, iteration)
        if rate is not None:
            writer.add_scalar("charts/success_rate", rate, iteration)
    writer.close()
    (directory / "params").mkdir()
    (directory / "params" / "agent.yaml").write_text(f"seed: {seed}\nnum_steps_per_env: 32\n")
    (directory / "params" / "env.yaml").write_text(env)
    return directory


def evaluation(name: str, returns: Sequence[float]) -> report.Evaluation:
    count = len(returns)
    return report.Evaluation(
        name=name,
        fingerprint="f",
        task="gym:Toy-v0",
        agent="mlp_ppo",
        seed=0,
        initial_states=tuple(map(str, range(count))),
        successes=None,
        returns=tuple(returns),
        lengths=(5,) * count,
    )


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit):
        learning_curves.main(arguments)
    return " ".join(capsys.readouterr().err.split())


def test_it_writes_table_and_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, last in enumerate((0.9, 1.0)):
        write_run(tmp_path / "exp" / f"run{seed}", [None, 0.5, last], seed, {"train/approx_kl": 0.01})
    other = write_run(tmp_path / "other", [0.1, 0.2, 0.3], 7, {"train/approx_kl": 0.5})
    table, picture = tmp_path / "new" / "x.csv", tmp_path / "new" / "x.png"
    arguments = ["--runs", f"PPO={tmp_path}/exp/run*", f"GRPO={other}", "--metric", "charts/success_rate"]
    learning_curves.main([*arguments, "train/approx_kl", "--goal", "0.95", "--csv", str(table), "--plot", str(picture)])
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "PPO: 95% in 1 of 2 seeds, after 384 control steps (median); median at the end 95%",
        "  seed 0: never; at the end 90%",
        "  seed 1: after 384 control steps; at the end 100%",
        "GRPO: 95% in 0 of 1 seeds, never; median at the end 30%",
        "  seed 7: never; at the end 30%",
    ]
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("label", "seed", "run", "iteration", "env_steps", "seconds", "charts/success_rate", "train/approx_kl")
    ]
    assert [list(row.values())[:6] for row in rows[:3]] == [
        ["PPO", "0", "exp/run0", str(i), str(128 * (i + 1)), str(3.0 * (i + 1))] for i in range(3)
    ]
    assert [row["charts/success_rate"] for row in rows[:3]] == ["", "0.5", "0.9"]
    assert {row["seed"] for row in rows if row["label"] == "GRPO"} == {"7"}
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_x_may_be_minutes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", [0.1] * 39 + [1.0])
    learning_curves.main(["--runs", f"A={run}", "--metric", "charts/success_rate", "--goal", "1", "--x", "minutes"])
    assert "after 2 minutes" in capsys.readouterr().out


def test_control_steps_are_those_that_were_executed(tmp_path: Path) -> None:
    """As counted; else from the speed; else, of rsl_rl's algorithms, one per decision."""
    cases = {
        "counted": ({"charts/env_steps": 1000.0, "charts/SPS": 7.0}, 1000.0),
        "speed": ({"charts/SPS": 50.0}, 150.0),
        "rsl_rl": ({}, 128.0),
    }
    for name, (extra, per_iteration) in cases.items():
        run = learning_curves.read_run(
            "A", write_run(tmp_path / name, [0.1, 0.2], extra=extra), ["charts/success_rate"]
        )
        assert run.env_steps == pytest.approx({0: per_iteration, 1: 2 * per_iteration})


def test_settings_of_isaac_lab_are_read(tmp_path: Path) -> None:
    env = "scene:\n  num_envs: 8\n  range: !!python/tuple\n  - 1\nclass_type: !!python/name:somewhere.Class ''\n"
    run = learning_curves.read_run("A", write_run(tmp_path / "run", [0.5], env=env), ["charts/success_rate"])
    assert run.env_steps[0] == 8 * 32


def test_evaluations_of_checkpoints(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [0.5] * 4)
    file = tmp_path / "results.json"
    names = ("base", "run/model_0", "other/model_1", "run/model_2")
    report.save([evaluation(name, [-3.0, float(n)]) for n, name in enumerate(names)], file)
    read = learning_curves.read_run("A", run, ["eval/return"], learning_curves.read_evaluations([file]))
    assert read.metrics == {"eval/return": {0: -1.0, 2: 0.0}}
    assert learning_curves.curve((read,), "eval/return", "env_steps") == curves.Curve(
        "A", (0, 2), (128.0, 384.0), (-1.0, 0.0)
    )


def test_a_run_that_went_on_from_another_ones_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """model_1.pt is written at the end of iteration 1, and a run that starts from it counts from 1 again."""
    write_run(tmp_path / "a", [0.1, 0.2, 0.9], seed=1)
    write_run(tmp_path / "b", [0.3, 0.4], seed=2, first=1)
    table = tmp_path / "x.csv"
    chosen = ["--metric", "charts/success_rate", "--goal", "0.4", "--csv", str(table)]
    learning_curves.main(["--runs", f"PPO={tmp_path}/a+{tmp_path}/b", *chosen])
    assert "  seed 1, then 2: after 512 control steps; at the end 40%" in capsys.readouterr().out.splitlines()
    with table.open() as file:
        rows = [(row["run"].split("/")[1], row["iteration"], row["env_steps"]) for row in csv.DictReader(file)]
    assert rows == [("a", "0", "128"), ("a", "1", "256"), ("b", "1", "384"), ("b", "2", "512")]
    metric = ("--metric", "charts/success_rate")
    assert "begins with iteration 0, which" in error_of(capsys, "--runs", f"A={tmp_path}/b+{tmp_path}/a", *metric)
    assert "is 2 directories (--runs, 'A'); before and after + stands one" in error_of(
        capsys, "--runs", f"A={tmp_path}/*+{tmp_path}/b", *metric
    )


def test_medians_are_over_iterations_that_all_runs_have() -> None:
    runs = [
        curves.Curve("A", (0, 1, 2), (10.0, 20.0, 30.0), (0.0, 1.0, 2.0)),
        curves.Curve("A", (0, 2), (12.0, 40.0), (0.5, 4.0)),
    ]
    assert curves.median(runs) == curves.Curve("A", (0, 2), (11.0, 35.0), (0.25, 3.0))


def test_errors_say_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", [0.5])
    empty = tmp_path / "empty"
    empty.mkdir()
    metric = ("--metric", "charts/success_rate")
    assert "--runs has 'PPO'; expected LABEL=DIR[,DIR...]" in error_of(capsys, "--runs", "PPO", *metric)
    assert f"There is no directory '{tmp_path}/no'" in error_of(capsys, "--runs", f"A={run},{tmp_path}/no", *metric)
    assert "has no TensorBoard events" in error_of(capsys, "--runs", f"A={empty}", *metric)
    assert "has no metric 'charts/success'. Similar: charts/success_rate" in error_of(
        capsys, "--runs", f"A={run}", "--metric", "charts/success"
    )
    evaluated = ("--runs", f"A={run}", "--metric", "eval/return", "--evaluations", str(tmp_path / "x.json"))
    assert "--evaluations: there are no results in" in error_of(capsys, *evaluated)
    report.save([evaluation("other/model_0", [1.0])], tmp_path / "x.json")
    assert "needs --evaluations of its checkpoints, named run/model_<iteration>" in error_of(capsys, *evaluated)
    report.save([evaluation("run/model_9", [1.0])], tmp_path / "x.json")
    assert "has a checkpoint of iteration 9 of" in error_of(capsys, *evaluated)
    (run / "params" / "env.yaml").unlink()
    assert "does not tell its control steps" in error_of(capsys, "--runs", f"A={run}", *metric)
