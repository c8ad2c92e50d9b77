# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""scripts/distil.py: from a run of a steering policy to a GR00T checkpoint, and one message for what cannot work."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gr00t_rl_ext.cli import distil, train
from gr00t_rl_ext.cli import eval as cli_eval
from gr00t_rl_ext.evaluation import report
from gr00t_rl_ext.gr00t import build_tiny_checkpoint
from gr00t_rl_ext.imitation.dataset import DemonstrationDataset
from gr00t_rl_ext.imitation.sft_run import SftRun

TASK = "gym:easy_reach:FetchReach-v0"
SETTINGS = (
    *("env.image_size=[32,32]", "env.success_key=is_success", "env.terminate_on_success=true"),
    *("env.reward=sparse_success", "agent.obs_groups.critic=[rgb,state]"),
)
FEW = ("--episodes", "16", "--eval-episodes", "8", "--num_envs", "8", "--device", "cpu")
LEARN = ("--steps", "2", "--batch-size", "8", "--learning-rate", "1e-2")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GR00T whose actions reach far."""
    state = {"achieved_goal": 3, "desired_goal": 3, "observation": 10}
    ranges = {f"state.{key}": (-2.0, 2.0) for key in state}
    directory = tmp_path_factory.mktemp("distil") / "gr00t"
    return build_tiny_checkpoint(
        directory, state_keys=state, action_keys={"action": 4}, video_keys=("view",), ranges=ranges
    )


@pytest.fixture(scope="module")
def run_dir(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a steering policy that learnt next to nothing."""
    cwd = tmp_path_factory.mktemp("run")
    short = (
        "--num_envs",
        "4",
        "--max_iterations",
        "1",
        "agent.num_steps_per_env=4",
        "agent.algorithm.num_mini_batches=1",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        command = ["--task", TASK, "--agent", "gr00t_ppo_small", "--device", "cpu", *short, "env.num_workers=1"]
        command += ["--no-record", "--run_timestamp", "run", *SETTINGS, f"agent.actor.gr00t.checkpoint={base}"]
        assert train.main(command) == 0
    return cwd / "logs" / "rsl_rl" / "gr00t_ppo_small_fetchreach_v0" / "run"


def distilled(run: Path, out: Path, *more: str) -> int:
    return distil.main([str(run), str(out), *FEW, *LEARN, "env.num_workers=1", *more])


def test_a_run_becomes_a_gr00t_checkpoint(
    run_dir: Path, base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert distilled(run_dir, out, "--base-episodes", "8") == 0
    printed = capsys.readouterr().out
    assert re.search(r"warning: only \d+ of 16 episodes are successes to learn from", printed)
    told = json.loads((out / "distil.json").read_text())
    assert told["command"].startswith(f"scripts/distil.py {run_dir} {out} --episodes 16")
    assert (told["task"], told["agent"], told["source"]) == (TASK, "gr00t_ppo_small", "trained")
    assert told["overrides"][-1] == "env.num_workers=1"
    assert {"agent.obs_groups.critic=[rgb,state]", "env.image_size=[32,32]"} <= set(told["overrides"])
    # the episodes
    dataset = DemonstrationDataset(tmp_path / "out_rollouts")
    kept = [told["rollouts"][name]["kept"] for name in ("trained", "base")]
    assert told["rollouts"]["trained"]["attempted"] == 16
    assert told["rollouts"]["base"]["attempted"] == 8
    assert 0 < kept[0] < 16
    assert len(dataset) == sum(kept)
    assert dataset.session["overrides"] == told["overrides"]
    assert (dataset.session["task"], dataset.session["attempted"]) == (TASK, 24)
    # the checkpoint: other weights, the same statistics, and what sft.py resumes by
    statistics = Path("experiment_cfg") / "metadata.json"
    assert json.loads((out / statistics).read_text()) == json.loads((base / statistics).read_text())
    changed = [
        not torch.equal(value, load_file(out / file.name)[name])
        for file in base.glob("*.safetensors")
        for name, value in load_file(file).items()
    ]
    assert any(changed)
    assert json.loads((out / "sft" / "settings.json").read_text())["train"] == ["full"]
    assert (
        "--keep-statistics --train full --recipe small --steps 2 --batch-size 8 --learning-rate 0.01"
        in told["fine_tuning"]
    )
    # the comparison
    evaluations = report.load(out / "distil_evaluations.json")
    assert [one.name for one in evaluations] == ["base", "trained", "distilled"]
    assert [one.noise_scale for one in evaluations] == [1.0, 0.0, 1.0]
    assert len({one.initial_states for one in evaluations}) == 1
    assert len({one.fingerprint for one in evaluations}) == 3
    # which begins in states that nothing was learnt from
    learnt = {hashlib.sha256(np.concatenate([*one.state.values()], axis=1)[0].tobytes()) for one in dataset}
    assert not {one.hexdigest()[:12] for one in learnt} & set(evaluations[0].initial_states)
    rates = {one.name: sum(one.successes or ()) / 8 for one in evaluations}
    assert told["evaluation"] == {"episodes": 8, "seed": 0, "success": rates}
    gain = rates["trained"] - rates["base"]
    expected = (rates["distilled"] - rates["base"]) / gain if gain > 0 else None
    assert told["share_of_gain_kept"] == expected
    assert ("there is no gain to keep" in printed) == (gain <= 0)
    # eval.py finds the same of the checkpoint, as the flow agent draws its noise
    again = ["--task", TASK, "--agent", "gr00t_flow_ppo_small", "--checkpoint", "base", "--noise_scale", "1"]
    again += ["--episodes", "8", "--num_envs", "8", "--half-width", "0.4", "--device", "cpu", *SETTINGS]
    again += ["env.num_workers=1", f"agent.actor.gr00t.checkpoint={out}", "--out", str(tmp_path / "again.json")]
    assert cli_eval.main(again) == 0
    (flow,) = report.load(tmp_path / "again.json")
    assert (flow.successes, flow.lengths) == (evaluations[2].successes, evaluations[2].lengths)


def test_gr00t_can_learn_from_its_own_successes(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And goes on after an interruption of the fine-tuning."""
    out = tmp_path / "out"
    assert distilled(run_dir, out, "--source", "base", "--train", "projector", "--dataset", str(tmp_path / "own")) == 0
    told = json.loads((out / "distil.json").read_text())
    assert list(told["rollouts"]) == ["base"]
    assert list(told["evaluation"]["success"]) == ["base", "distilled"]
    assert told["share_of_gain_kept"] is None
    assert len(DemonstrationDataset(tmp_path / "own")) == told["rollouts"]["base"]["kept"] > 0
    assert json.loads((out / "sft" / "settings.json").read_text())["train"] == ["projector"]
    assert "gain kept" not in capsys.readouterr().out

    def interrupt(self: SftRun, out: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(SftRun, "_learn", interrupt)
    assert distilled(run_dir, tmp_path / "half", "--source", "base") == 130
    assert re.search(r"resume: +scripts/sft.py --dataset \S+/half_rollouts .* --resume", capsys.readouterr().out)
    assert not (tmp_path / "half" / "distil.json").exists()


def test_without_a_success_nothing_is_written(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert distilled(run_dir, tmp_path / "out", "env.env_kwargs={'radius':0.0}") == 2
    error = capsys.readouterr().err
    assert "None of 16 episodes of the trained policy is a success: there is nothing to learn from" in error
    assert "(--episodes)" in error
    assert not list(tmp_path.iterdir())


def changed(run: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """A copy of a run whose checkpoint is another."""
    shutil.copytree(run, target)
    (file,) = target.glob("model_*.pt")
    saved = torch.load(file, weights_only=True)
    change(saved)
    torch.save(saved, file)
    return target


def test_runs_that_cannot_be_distilled(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def refused(run: Path, *more: str) -> str:
        assert distilled(run, tmp_path / "out", *more) == 2
        assert not list(tmp_path.glob("out*"))
        return capsys.readouterr().err

    mlp = changed(run_dir, tmp_path / "mlp", lambda saved: saved.update(base_name=None))
    assert "is of a policy without GR00T: there is no GR00T that could learn from it. Distil" in refused(mlp)
    name = "gr00t_rl_ext.policy.flow_actor:Gr00tFlowActor"
    flow = changed(run_dir, tmp_path / "flow", lambda saved: saved["actor_recipe"].update(class_name=name))
    assert "trained GR00T itself: its weights need no distillation. Write them as a GR00T checkpoint:" in (
        error := refused(flow)
    )
    assert f"scripts/export_gr00t.py {flow} OUT." in error
    choices = changed(
        run_dir, tmp_path / "choices", lambda saved: saved["actor_recipe"]["spec"].update(action_choices=[3])
    )
    assert "decides discrete actions, which GR00T's action head cannot give" in refused(choices)
    other = changed(run_dir, tmp_path / "other", lambda saved: saved.update(base_fingerprint="x"))
    assert "which is another one, or is seen through another mapping" in refused(other)
    moved = {"gr00t": {"checkpoint": "gone"}}
    moved_run = changed(run_dir, tmp_path / "moved", lambda saved: saved["actor_recipe"]["actor"].update(moved))
    error = refused(moved_run)
    assert "The GR00T that the run was trained over is not here: no such directory: 'gone'" in error
    assert "Where it has moved, append agent.actor.gr00t.checkpoint=DIR." in error
    misfit = changed(run_dir, tmp_path / "misfit", lambda saved: saved["actor_state_dict"].popitem())
    assert "The run's checkpoint does not fit the policy: RuntimeError" in refused(misfit)
    foreign = changed(run_dir, tmp_path / "foreign", lambda saved: saved.pop("format"))
    assert "was not written by gr00t_rl_ext" in refused(foreign)
    (tmp_path / "foreign" / "model_0.pt").write_bytes(b"no")
    assert "is no checkpoint of a run, or is truncated" in refused(foreign)
    assert "There is no" in refused(tmp_path / "gone")
    (tmp_path / "foreign" / "run.json").unlink()
    assert "is no run of train.py: it has no run.json" in refused(foreign)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--episodes", "0"], "--episodes is 0; expected at least 1"),
        (["--base-episodes", "-1"], "--base-episodes is -1; expected at least 0"),
        (["--eval-episodes", "0"], "--eval-episodes is 0; expected at least 1"),
        (["--num_envs", "0"], "--num_envs is 0; expected at least 1"),
        (["--seed", "-1"], "--seed is -1; expected at least 0"),
        (["--device", "tpu"], "expected cpu, cuda or cuda:N"),
        (["--steps", "0"], "--steps is 0; expected at least 1"),
        (["--learning-rate", "0"], "--learning-rate is 0.0; expected a positive number"),
        (["--train", "everything"], "--train is everything; expected some of projector, dit, vl_self_attention, full"),
        (["--train", "env.num_workers=1"], "--train is empty; expected some of"),
        (["--source", "base", "--base-episodes", "3"], "With --source base give --episodes"),
        (["--agent", "gr00t"], "has no agent 'gr00t'. It has: "),
        (["agent.actor.gr00t.checkpoint=gone"], "agent.actor.gr00t: no such directory: 'gone'. Expected"),
        (["agent.actor.num_steps=3"], "agent.actor has no 'num_steps'"),
        (["agent.algorithm.gamma=0.9"], "'agent.algorithm.gamma=0.9' has no use: no reinforcement learning"),
        (["agent.obs_groups.actor=[rgb]"], "does not fit: the policy of the run observes rgb, state"),
        (
            ["env.instruction=go"],
            "The task is another than that of the run: instruction is 'go', there it was 'perform",
        ),
        (["env.rgb=false", "agent.obs_groups.critic=[state]"], "'rgb'"),
    ],
)
def test_a_command_line_that_cannot_work(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], message: str
) -> None:
    assert distilled(run_dir, tmp_path / "out", *more) == 2
    error = capsys.readouterr().err
    assert re.search(message, error.replace("\n", " ")), error
    assert not list(tmp_path.iterdir())


def test_what_is_there_is_left_as_it_is(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, what in (("out", "OUT"), ("out_rollouts", "--dataset")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "precious.txt").write_text("x")
        assert distilled(run_dir, tmp_path / "out") == 2
        message = f"{what} is {str(tmp_path / name)!r}, which is not empty. Give a directory that does not exist yet."
        assert message in capsys.readouterr().err
        shutil.rmtree(tmp_path / name)
    (tmp_path / "out").write_text("a file")
    assert distilled(run_dir, tmp_path / "out") == 2
    assert "OUT is" in capsys.readouterr().err
