# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Whatever ends a training, what it has learned is there; checkpoints are written and kept as told."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from faults import curves
from training import PPO, RSL_RL, training

from gr00t_rl_ext.envs.gymnasium.failures import WorkerError
from gr00t_rl_ext.runs import supervision
from gr00t_rl_ext.runs.checkpoint_files import write_checkpoint
from gr00t_rl_ext.runs.kept import INDEX, best_of, note_evaluation, read_index, superfluous, write_index
from gr00t_rl_ext.runs.log_state import SteadyWriter

RARELY = PPO | {"save_interval": 100}


def models(directory: Path) -> list[str]:
    return sorted(file.name for file in directory.glob("model_*"))


def saved(directory: Path, name: str) -> Any:
    return torch.load(directory / name, weights_only=True)


def at_call(number: int, action: Any, original: Any) -> Any:
    """A function that does something else at one of its calls, before what it does always."""
    calls = iter(range(10**6))

    def around(*arguments: Any, **options: Any) -> Any:
        if next(calls) == number:
            action()
        return original(*arguments, **options)

    return around


def send(number: int) -> Any:
    return lambda: os.kill(os.getpid(), number)


# Signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_saves_what_was_learned(number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(number)
    with training(tmp_path, RARELY) as runner:
        # in the third rollout
        runner.env.step = at_call(9, send(number), runner.env.step)
        with pytest.raises(SystemExit) as stopped:
            runner.learn(6)
    assert stopped.value.code == 128 + number
    assert models(tmp_path) == ["model_0.pt", "model_1.pt"]
    assert saved(tmp_path, "model_1.pt")["iter"] == 2
    assert signal.getsignal(number) is before
    out = capsys.readouterr().out
    assert f"{signal.Signals(number).name}: stopping after the decision in progress." in out
    assert f"Saved: {tmp_path / 'model_1.pt'}, after 2 iterations." in out
    assert f"Go on: ./isaaclab.sh -p scripts/rsl_rl/train.py --resume {tmp_path}" in out


def test_an_update_in_progress_is_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with training(tmp_path, RARELY) as runner:
        optimizer = runner.alg.updater.optimizer
        # the second of the four steps of the second update
        optimizer.step = at_call(5, send(signal.SIGTERM), optimizer.step)
        with pytest.raises(SystemExit):
            runner.learn(6)
    assert "stopping after the update in progress" in capsys.readouterr().out
    assert saved(tmp_path, "model_1.pt")["iter"] == 2
    assert len(curves(tmp_path)["Loss/surrogate"]) == 2


def test_before_the_first_iteration_there_is_nothing_to_save(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with training(tmp_path, RARELY) as runner:
        runner.env.step = at_call(1, send(signal.SIGTERM), runner.env.step)
        with pytest.raises(SystemExit):
            runner.learn(6)
    assert models(tmp_path) == []
    assert "No iteration was complete: there is nothing to save." in capsys.readouterr().out


def test_rsl_rls_own_algorithm_is_stopped_likewise(tmp_path: Path) -> None:
    with training(tmp_path, RSL_RL | {"save_interval": 100}) as runner:
        runner.env.step = at_call(9, send(signal.SIGTERM), runner.env.step)
        with pytest.raises(SystemExit):
            runner.learn(6)
    assert saved(tmp_path, "model_1.pt")["iter"] == 2


def test_what_others_put_around_the_calls_of_the_loop_stays(tmp_path: Path) -> None:
    logged = []
    with training(tmp_path, RARELY) as runner:
        runner.logger.log = lambda **values: logged.append(values["it"])
        for _ in range(2):
            runner.learn(1)
        assert "update" not in vars(runner.alg)
    assert logged == [0, 0]


# Errors


def test_a_worker_that_dies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with training(tmp_path, RARELY, max_worker_restarts=0) as runner:
        fleet = runner.env._fleet
        runner.env.step = at_call(9, fleet._processes[0].kill, runner.env.step)
        with pytest.raises(WorkerError, match="killed by signal 9"):
            runner.learn(6)
    assert saved(tmp_path, "model_1.pt")["iter"] == 2
    assert saved(tmp_path, "model_1.pt")["environments"] is None
    assert "Go on: " in capsys.readouterr().out


def test_a_run_goes_on_without_a_worker_that_dies(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with training(tmp_path, PPO) as runner:
        fleet = runner.env._fleet
        runner.env.step = at_call(9, fleet._processes[0].kill, runner.env.step)
        runner.learn(4)
    assert "It is started again (1 of at most 3 times); 4 episodes are dropped." in capsys.readouterr().out
    dropped = curves(tmp_path)["charts/dropped_episodes"]
    assert dropped == [(2, 4.0), (3, 4.0)]
    # 16 decisions of 4 control steps in an iteration, of which 4 decisions came to nothing
    assert [steps for _, steps in curves(tmp_path)["charts/env_steps"]] == [64.0, 128.0, 176.0, 240.0]


def out_of_memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory")


def test_an_update_that_fails_is_kept_as_far_as_it_came(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with training(tmp_path, RARELY) as runner:
        optimizer = runner.alg.updater.optimizer
        optimizer.step = at_call(6, out_of_memory, optimizer.step)
        with pytest.raises(torch.OutOfMemoryError):
            runner.learn(6)
        out = capsys.readouterr().out
        assert "Out of memory: CUDA out of memory\nThe estimate of the start was a peak of " in out
        assert "Each of these settings alone takes a quarter less: `" in out
        weights = {name: value.clone() for name, value in runner.alg.actor.state_dict().items()}
    # the second iteration is the one to make again
    assert models(tmp_path) == ["model_0.pt", "model_1.pt"]
    content = saved(tmp_path, "model_1.pt")
    assert content["iter"] == content["iteration"] == 1
    assert all(torch.equal(value, content["actor_state_dict"][name]) for name, value in weights.items())


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with training(tmp_path, RARELY) as runner:

        def spoil() -> None:
            with torch.no_grad():
                next(runner.alg.actor.parameters()).fill_(torch.nan)
            raise FloatingPointError("diverged")

        optimizer = runner.alg.updater.optimizer
        optimizer.step = at_call(6, spoil, optimizer.step)
        with pytest.raises(FloatingPointError, match="diverged"):
            runner.learn(6)
    assert models(tmp_path) == ["model_0.pt"]
    out = capsys.readouterr().out
    assert "The weights are not finite, and are not saved." in out
    assert f"Saved: {tmp_path / 'model_0.pt'}, after 1 iterations." in out


# The disk


class Disk:
    """Takes the place of :func:`write_checkpoint`, and is full at some of its calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, full: Any) -> None:
        self.calls, self.full = 0, full
        monkeypatch.setattr(supervision, "write_checkpoint", self.write)

    def write(self, content: dict[str, Any], file: Path) -> None:
        self.calls += 1
        if self.full(self.calls, file):
            raise OSError(28, "No space left on device", str(file))
        write_checkpoint(content, file)


def test_a_full_disk_does_not_end_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Disk(monkeypatch, lambda call, _: call in (2, 3))
    with training(tmp_path, PPO | {"save_interval": 2}) as runner:
        runner.learn(6)
    # model_2 could not be written, nor in the iteration after it
    assert models(tmp_path) == ["model_0.pt", "model_4.pt", "model_5.pt"]
    out = capsys.readouterr().out
    assert f"the checkpoint '{tmp_path / 'model_2.pt'}' cannot be written ([Errno 28] No space left on device" in out
    assert "the last one is model_0.pt. The training goes on, and tries again." in out
    assert "Learning iteration 5/6" in out


def test_a_disk_that_stays_full_does_not_take_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(other))
    Disk(monkeypatch, lambda _, file: file.parent == tmp_path)
    with training(tmp_path, PPO) as runner:
        runner.learn(2)
    assert models(tmp_path) == []
    (found,) = other.glob("*/model_1.pt")
    assert saved(found.parent, found.name)["iter"] == 2
    assert f"What was learned is in '{found}'" in capsys.readouterr().out
    # nor can that be written
    Disk(monkeypatch, lambda *_: True)
    with training(tmp_path, PPO) as runner, pytest.raises(OSError, match="No space left"):
        runner.learn(2)


def test_torch_tells_what_the_file_system_told(tmp_path: Path) -> None:
    """A real limit of the file system: of the size of a file."""
    program = textwrap.dedent(
        f"""
        import resource, torch
        from pathlib import Path
        from gr00t_rl_ext.runs.checkpoint_files import write_checkpoint
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, {resource.RLIM_INFINITY}))
        write_checkpoint({{"w": torch.zeros(10)}}, Path({str(tmp_path)!r}) / "model_0.pt")
        try:
            write_checkpoint({{"w": torch.zeros(1_000_000)}}, Path({str(tmp_path)!r}) / "model_0.pt")
        except OSError as error:
            print(error)
        """
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "File too large" in done.stdout
    assert [file.name for file in tmp_path.iterdir()] == ["model_0.pt"]
    assert saved(tmp_path, "model_0.pt")["w"].shape == (10,)


def test_no_space_for_a_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=20_000))
    with (
        training(tmp_path, PPO) as runner,
        pytest.raises(ValueError, match=r"about .* kB, and .* has 20 kB free\. Make"),
    ):
        runner.learn(2)
    assert models(tmp_path) == []


def test_no_space_for_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=120_000))
    with training(tmp_path, PPO) as runner:
        runner.learn(2)
    warned = capsys.readouterr().out
    assert "WARNING: 4 checkpoints of " in warned
    assert "do not fit there. Set agent.checkpoints.keep_last=1, or make space." in warned
    with training(tmp_path / "advised", PPO | {"checkpoints": {"keep_last": 1}}) as runner:
        runner.learn(2)
    assert "the last 1 and the best are kept; 120 kB are free" in capsys.readouterr().out


def test_what_a_kill_left_of_a_checkpoint_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".model_7.pt.abcd").touch()
    with training(tmp_path, PPO) as runner:
        runner.learn(1)
    assert not list(tmp_path.glob(".model*"))


def test_a_directory_that_cannot_be_made_for_the_curves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Broken:
        def add_scalar(self, *_: Any, **__: Any) -> None:
            raise OSError(28, "No space left on device")

    written: list[Any] = []
    works = SimpleNamespace(add_scalar=lambda *values: written.append(values), flush=lambda: written.append("flush"))
    writer = SteadyWriter(Broken(), lambda: works, None)
    writer.add_scalar("a", 1.0, 0)
    assert (
        "curves are not written ([Errno 28] No space left on device); the training goes on" in capsys.readouterr().out
    )
    writer.add_scalar("a", 2.0, 1)
    assert written == []
    writer._retry_at = 0.0
    writer.add_scalar("a", 3.0, 2)
    writer.flush()
    assert written == [("a", 3.0, 2), "flush"]


# Which are written and kept


def test_a_checkpoint_after_some_minutes(tmp_path: Path) -> None:
    with training(tmp_path, RARELY | {"checkpoints": {"minutes": 1e-9}}) as runner:
        runner.learn(4)
    assert models(tmp_path) == [f"model_{number}.pt" for number in range(4)]
    with training(tmp_path / "by_iterations", RARELY | {"checkpoints": {"minutes": None}}) as runner:
        runner.learn(4)
    assert models(tmp_path / "by_iterations") == ["model_0.pt", "model_3.pt"]


def test_the_last_ones_and_the_best_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.1, 0.8, 0.3, 0.2, 0.5, 0.4])
    monkeypatch.setattr(supervision.Supervision, "_measured", lambda _: next(scores))
    with training(tmp_path, PPO | {"checkpoints": {"keep_last": 2}}) as runner:
        runner.learn(6)
    assert models(tmp_path) == ["model_1.pt", "model_4.pt", "model_5.pt"]
    index = json.loads((tmp_path / INDEX).read_text())
    assert {name: (entry["iteration"], entry["score"]) for name, entry in index.items()} == {
        "model_1.pt": (2, 0.8),
        "model_4.pt": (5, 0.5),
        "model_5.pt": (6, 0.4),
    }
    assert index["model_5.pt"]["bytes"] == (tmp_path / "model_5.pt").stat().st_size


def test_many_large_ones_are_not_all_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(supervision, "MUCH", 1000)
    with training(tmp_path, PPO) as runner:
        runner.learn(1)
    assert "the last 5 and the best are kept" in capsys.readouterr().out


def test_options_that_are_not_possible(tmp_path: Path) -> None:
    for options, text in (
        ({"keep_last": 0}, "`agent.checkpoints.keep_last` is 0; expected an integer of at least 1."),
        ({"minutes": -1}, "`agent.checkpoints.minutes` is -1; expected a positive number."),
        ({"often": 3}, "`agent.checkpoints` has no field 'often'. Its fields are: keep_last, minutes."),
    ):
        with training(tmp_path, PPO | {"checkpoints": options}) as runner, pytest.raises(ValueError, match=text):
            runner.learn(1)


def test_the_best_of_an_index() -> None:
    index: dict[str, dict[str, Any]] = {
        "model_0.pt": {"iteration": 1, "score": 0.5},
        "model_10.pt": {"iteration": 11, "score": 0.7},
        "model_9.pt": {"iteration": 10, "score": 0.7},
        "model_20.pt": {"iteration": 21, "score": None},
    }
    assert best_of(index) == "model_10.pt"
    assert superfluous(index, None) == []
    assert superfluous(index, 1) == ["model_0.pt", "model_9.pt"]
    # one evaluation compares nothing
    index["model_0.pt"]["evaluated"] = 0.9
    assert best_of(index) == "model_10.pt"
    index["model_9.pt"]["evaluated"] = 0.6
    assert best_of(index) == "model_0.pt"
    assert best_of({}) is None
    assert best_of({"model_0.pt": {"score": None}}) is None


def test_evaluations_are_noted(tmp_path: Path) -> None:
    write_index(tmp_path, {"model_0.pt": {"iteration": 1}})
    note_evaluation(tmp_path / "model_0.pt", 0.75, 200)
    note_evaluation(tmp_path / "model_1.pt", 0.25, 200)
    assert read_index(tmp_path) == {"model_0.pt": {"iteration": 1, "evaluated": 0.75, "episodes": 200}}
    for content in ("{", "[1]", '{"../model_0.pt": {}, "model_x.pt": {}, "model_3.pt": 1}'):
        (tmp_path / INDEX).write_text(content)
        assert read_index(tmp_path) == {}
