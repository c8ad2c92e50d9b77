# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Training checkpoints on the disk: nothing in them runs, and none is ever half written."""

from __future__ import annotations

import os
import pickle
import signal
import stat
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from rsl_rl.runners import OnPolicyRunner

from gr00t_rl_ext.policy.actor_critic import ActorDefinition, class_path, known_actor
from gr00t_rl_ext.policy.gaussian_actor import Gr00tGaussianActor
from gr00t_rl_ext.policy.steering import Gr00tSteeringActor
from gr00t_rl_ext.runs.checkpoint_files import CheckpointFileError, read_checkpoint, write_checkpoint
from gr00t_rl_ext.runs.guard import guard


class Calls:
    """Pickles to a call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def crafted(folder: Path, mark: Path) -> dict[str, Path]:
    """Files that make ``mark`` where they are loaded by pickle, by what they are."""
    shell, python = Calls(os.system, f"touch {mark}"), Calls(eval, f"open({str(mark)!r}, 'w')")
    contents: dict[str, Any] = {
        "shell": shell,
        "python": python,
        "in the optimizer": {"iter": 1, "optimizer_state_dict": {"state": {0: shell}}, "infos": None},
        "in infos": {"iter": 1, "actor_state_dict": {"w": torch.zeros(2)}, "infos": python},
        "beside weights": {"actor_state_dict": {"w": torch.zeros(2), "x": Calls(exec, f"open({str(mark)!r}, 'w')")}},
        "a class": {"infos": Calls(subprocess.Popen, ["touch", str(mark)])},
    }
    files = {}
    for name, content in contents.items():
        for kind, options in (("zip", {}), ("legacy", {"_use_new_zipfile_serialization": False})):
            file = folder / f"{name} {kind}.pt".replace(" ", "_")
            torch.save(content, file, **options)
            files[f"{name}, {kind}"] = file
    plain = folder / "plain.pt"
    plain.write_bytes(pickle.dumps(shell))
    return files | {"plain pickle": plain}


REFUSED = (
    r"is refused: loading it would call [\w.]+, and so may run anything|is no checkpoint of a run, or is truncated"
    r" \(Unsupported operand"
)

NAMES = [
    f"{name}, {kind}"
    for name in ("shell", "python", "in the optimizer", "in infos", "beside weights", "a class")
    for kind in ("zip", "legacy")
] + ["plain pickle"]


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_would_run_code_is_refused_by_name(name: str, tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    file = crafted(tmp_path, mark)[name]
    with pytest.raises(CheckpointFileError, match=REFUSED) as error:
        read_checkpoint(file)
    assert "weights_only" not in str(error.value), "torch's message advises to load it by pickle"
    assert not mark.exists()
    # it is no empty threat
    torch.load(file, weights_only=False) if name != "plain pickle" else pickle.loads(file.read_bytes())
    deadline = time.monotonic() + 5
    while not mark.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert mark.exists()


class Algorithm:
    """What rsl_rl's runner asks of one."""

    def __init__(self) -> None:
        self.loaded: Any = None

    def save(self) -> dict[str, Any]:
        return {"actor_state_dict": {"w": torch.arange(3.0)}}

    def load(self, loaded: dict[str, Any], load_cfg: Any, strict: bool) -> bool:
        self.loaded = loaded
        return True


class Logger:
    """Remembers what it was told to upload."""

    disable_logs = False

    def __init__(self) -> None:
        self.saved: list[Any] = []

    def save_model(self, path: str, iteration: int) -> None:
        self.saved.append((path, iteration))


def stock_runner() -> Any:
    """rsl_rl's own runner, as Isaac Lab's commands use it, without an environment."""
    guard()
    runner: Any = OnPolicyRunner.__new__(OnPolicyRunner)
    runner.alg, runner.logger, runner.device, runner.current_learning_iteration = Algorithm(), Logger(), "cpu", 7
    return runner


@pytest.mark.parametrize("name", NAMES)
def test_the_stock_runner_refuses_it_as_well(name: str, tmp_path: Path) -> None:
    runner = stock_runner()
    with pytest.raises(CheckpointFileError, match=REFUSED):
        runner.load(str(crafted(tmp_path, tmp_path / "ran")[name]))
    assert runner.alg.loaded is None
    assert not (tmp_path / "ran").exists()


def test_the_stock_runner_writes_and_reads_as_before(tmp_path: Path) -> None:
    runner, file = stock_runner(), tmp_path / "model_7.pt"
    runner.save(str(file), {"note": "x"})
    assert runner.logger.saved == [(str(file), 7)]
    runner.current_learning_iteration = 0
    assert runner.load(str(file)) == {"note": "x"}
    assert runner.current_learning_iteration == 7
    assert torch.equal(runner.alg.loaded["actor_state_dict"]["w"], torch.arange(3.0))
    # as rsl_rl reads it where this package is not
    assert torch.load(file, weights_only=False)["iter"] == 7


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is no checkpoint of a run, or is truncated"),
        (b"nothing", "is no checkpoint of a run, or is truncated"),
        (b"PK\x03\x04 half of an archive", "is no checkpoint of a run, or is truncated"),
        (None, "is no checkpoint of a run, or is truncated .*Give another model_"),
        ([1, 2], "holds a list; expected a training checkpoint"),
        (torch.zeros(2), "holds a Tensor; expected a training checkpoint"),
    ],
)
def test_files_that_are_no_checkpoint(content: Any, text: str, tmp_path: Path) -> None:
    file = tmp_path / "model_1.pt"
    if content is None:
        write_checkpoint({"w": torch.zeros(1000)}, file)
        file.write_bytes(file.read_bytes()[:1500])
    elif isinstance(content, bytes):
        file.write_bytes(content)
    else:
        torch.save(content, file)
    with pytest.raises(CheckpointFileError, match=text):
        read_checkpoint(file)


def test_a_directory_and_nothing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "gone.pt")
    with pytest.raises(CheckpointFileError):
        read_checkpoint(tmp_path)


def test_a_failed_write_leaves_the_former_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model_1.pt"
    write_checkpoint({"value": 1}, file)

    def full(content: Any, stream: Any) -> None:
        stream.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        write_checkpoint({"value": 2}, file)
    assert [path.name for path in tmp_path.iterdir()] == ["model_1.pt"]
    assert read_checkpoint(file) == {"value": 1}


def test_others_may_read_what_they_could_read_before(tmp_path: Path) -> None:
    file, beside = tmp_path / "model_1.pt", tmp_path / "beside"
    write_checkpoint({}, file)
    beside.touch()
    assert stat.S_IMODE(file.stat().st_mode) == stat.S_IMODE(beside.stat().st_mode)


def test_a_kill_never_leaves_a_torn_file(tmp_path: Path) -> None:
    """A process that saves all the time is killed; whatever is there under the final name can be read."""
    program = textwrap.dedent(
        """
        import sys, torch
        from pathlib import Path
        from gr00t_rl_ext.runs.checkpoint_files import write_checkpoint
        content = {"w": torch.randn(1_000_000)}
        for number in range(10**6):
            write_checkpoint(content | {"number": number}, Path(sys.argv[1]) / f"model_{number % 3}.pt")
            if number == 0:
                print("ready", flush=True)
        """
    )
    leftovers = 0
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for pause in (0.003, 0.011, 0.017, 0.029):
        time.sleep(pause)
        process.send_signal(signal.SIGSTOP)
        # whoever looks meanwhile sees whole files alone
        for file in tmp_path.glob("model_*.pt"):
            assert len(read_checkpoint(file)["w"]) == 1_000_000
        leftovers += len([*tmp_path.glob(".model_*")])
        process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait()
    files = [*tmp_path.glob("model_*.pt")]
    assert files
    assert all(len(read_checkpoint(file)["w"]) == 1_000_000 for file in files)
    assert leftovers, "no stop was within a save: the test shows nothing"


# Classes


def test_classes_of_actors_that_are_known() -> None:
    for kind in (Gr00tGaussianActor, Gr00tSteeringActor):
        assert known_actor(class_path(kind)) is kind

    class Mine(Gr00tGaussianActor):
        pass

    assert known_actor(class_path(Mine)) is Mine, "it was imported for another reason"


@pytest.mark.parametrize("name", ["evil:Actor", "evil.Actor", "os:system", "gr00t_rl_ext.policy.evil:Actor", ""])
def test_no_module_is_imported_because_a_file_names_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Actor: UNRECORDED = {{}}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match="which is not known; known are .*Gr00tFlowActor.*must be imported before"):
        ActorDefinition.recorded({"class_name": name, "spec": {}, "actor": {}})
    of_a_part = {"class_name": class_path(Gr00tGaussianActor), "spec": {}}
    with pytest.raises(ValueError, match="The checkpoint names the class 'evil:Actor'; expected one of rsl_rl or of"):
        ActorDefinition.recorded(of_a_part | {"actor": {"distribution_cfg": {"class_name": "evil:Actor"}}})
    assert not (tmp_path / "ran").exists()
    assert "evil" not in sys.modules
