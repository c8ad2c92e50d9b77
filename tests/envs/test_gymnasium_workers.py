# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Worker processes: their errors reach the user, and nothing of them outlives the learner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from gymnasium_toys import DRAW, STEP

from gr00t_rl_ext.envs.gymnasium import shared
from gr00t_rl_ext.envs.gymnasium.fleet import WorkerError
from gr00t_rl_ext.envs.gymnasium.shared import SharedArrays
from gr00t_rl_ext.envs.gymnasium.tasks import make

COUNT = "gym:gymnasium_toys:Count-v0"


class Noted(SharedMemory):
    """Shared memory that remembers what this process made: other programs make and remove theirs at any time."""

    made: ClassVar[list[str]] = []

    def __init__(self, name: str | None = None, create: bool = False, size: int = 0) -> None:
        super().__init__(name, create, size)
        if create:
            self.made.append(self.name)


@pytest.fixture(autouse=True)
def _noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "SharedMemory", Noted)


def blocks() -> set[str]:
    """Shared memory that this process made and that is there still."""
    return {name for name in Noted.made if Path("/dev/shm", name.lstrip("/")).exists()}


def processes(env: Any) -> list[Any]:
    return list(env._fleet._processes)


def test_an_error_names_environment_and_worker() -> None:
    before = blocks()
    env = make(COUNT, num_envs=4, num_workers=2, env_kwargs={"crash": 2})
    workers = processes(env)
    env.park(torch.tensor([True, True, True, False]))
    env.step(torch.zeros(4, 2))
    message = r"^Environment 3 \(gymnasium_toys:Count-v0\) in worker 2 of 2 failed: ArithmeticError: the toy is broken"
    with pytest.raises(WorkerError, match=message) as failure:
        env.step(torch.zeros(4, 2))
    assert 'raise ArithmeticError("the toy is broken")' in str(failure.value)
    assert all(worker.exitcode == 0 for worker in workers)
    assert blocks() <= before
    with pytest.raises(RuntimeError, match="The environments are closed"):
        env.step(torch.zeros(4, 2))


@pytest.mark.parametrize(
    ("how", "message"), [("exit", "exit code 3"), ("kill", "killed by signal 9, perhaps for want")]
)
def test_a_worker_that_ends_is_named(how: str, message: str) -> None:
    kwargs = {"vanish": 2 if how == "exit" else None}
    env = make(COUNT, num_envs=4, num_workers=2, max_worker_restarts=0, env_kwargs=kwargs)
    workers = processes(env)
    if how == "kill":
        workers[1].kill()
    else:
        env.park(torch.tensor([True, True, False, False]))
        env.step(torch.zeros(4, 2))
    with pytest.raises(WorkerError, match=rf"^Worker 2 of 2, with the environments 2 to 3 .* has ended: {message}"):
        env.step(torch.zeros(4, 2))
    assert not any(worker.is_alive() for worker in workers)


def test_a_worker_that_ends_is_started_again(capsys: pytest.CaptureFixture[str]) -> None:
    env = make(COUNT, num_envs=4, num_workers=2, max_episode_steps=20, env_kwargs={"goal": 3})
    env.configure_decisions(2, final_observation_groups=["state"])
    ones = torch.ones(4, 4)
    seen, *_ = env.step(ones)
    processes(env)[1].kill()
    obs, rewards, dones, extras = env.step(ones)
    # the others went on
    assert obs["state"][:, STEP].tolist() == [4, 4, 0, 0]
    assert rewards.tolist() == [2, 2, 0, 0]
    assert dones.tolist() == [0, 0, 1, 1]
    # as if the time was out in the state that was decided on, with nothing executed
    assert extras["executed_steps"].tolist() == [2, 2, 0, 0]
    assert extras["time_outs"].tolist() == extras["dropped"].tolist() == [False, False, True, True]
    assert torch.equal(extras["final_observations"]["state"][2:, :4], seen["state"][2:, :4])
    out = capsys.readouterr().out
    assert "WARNING: Worker 2 of 2, with the environments 2 to 3" in out
    assert "It is started again (1 of at most 3 times); 2 episodes are dropped." in out
    # with episodes of their own
    assert len(set(obs["state"][2:, DRAW].tolist())) == 2
    obs, *_, extras = env.step(ones)
    assert obs["state"][:, STEP].tolist() == [6, 6, 2, 2]
    assert "dropped" not in extras
    for _ in range(2):
        processes(env)[0].kill()
        env.step(ones)
    processes(env)[0].kill()
    with pytest.raises(WorkerError, match="Worker 1 of 2"):
        env.step(ones)


def test_an_environment_that_hangs_is_named_and_ended(capsys: pytest.CaptureFixture[str]) -> None:
    env = make(COUNT, num_envs=2, num_workers=1, worker_timeout_s=5.0, max_worker_restarts=1, env_kwargs={"hang": 2})
    # its first environment goes on
    env.park(torch.tensor([True, False]))
    env.step(torch.zeros(2, 2))
    *_, extras = env.step(torch.zeros(2, 2))
    assert extras["dropped"].tolist() == [True, True]
    told = "Worker 1 of 1 has not answered for 5 s: environment 1 (gymnasium_toys:Count-v0) hangs."
    assert told in capsys.readouterr().out
    env.close()


def test_members_of_groups_are_not_started_again() -> None:
    env = make(COUNT, num_envs=4, num_workers=2)
    env.configure_groups(2)
    env.start_groups([0, 1])
    processes(env)[1].kill()
    with pytest.raises(WorkerError, match="Worker 2 of 2"):
        env.step(torch.zeros(4, 2))


def test_closing_leaves_nothing_and_may_be_done_twice() -> None:
    before = blocks()
    env = make(COUNT, num_envs=2, num_workers=2)
    workers = processes(env)
    assert blocks() > before
    env.close()
    env.close()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert blocks() <= before
    # the same without being asked
    env = make(COUNT, num_envs=2, num_workers=1)
    workers = processes(env)
    del env
    assert [worker.exitcode for worker in workers] == [0]
    assert blocks() <= before


def test_workers_die_with_a_killed_learner(tmp_path: Path) -> None:
    program = tmp_path / "learner.py"
    program.write_text(
        "import time\n"
        "from gr00t_rl_ext.envs.gymnasium.configs import GymnasiumEnvCfg\n"
        "from gr00t_rl_ext.envs.gymnasium.fleet import Fleet\n"
        "if __name__ == '__main__':\n"
        "    fleet = Fleet(GymnasiumEnvCfg(env_id='CartPole-v1', num_envs=2, num_workers=2))\n"
        "    print(*(process.pid for process in fleet._processes), flush=True)\n"
        "    time.sleep(60)\n"
    )
    learner = subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True)
    assert learner.stdout is not None
    pids = [int(pid) for pid in learner.stdout.readline().split()]
    assert len(pids) == 2
    assert all(alive(pid) for pid in pids)
    learner.send_signal(signal.SIGKILL)
    learner.wait()
    learner.stdout.close()
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_interrupting_the_terminal_does_not_stop_the_workers() -> None:
    """Ctrl-C reaches the workers, too; the learner ends them."""
    env = make(COUNT, num_envs=1, num_workers=1)
    try:
        os.kill(processes(env)[0].pid, signal.SIGINT)
        assert env.step(torch.tensor([[0.5, 0.0]]))[1].item() == 0.5
    finally:
        env.close()


def test_never_more_workers_than_environments() -> None:
    env = make(COUNT, num_envs=2, num_workers=5)
    assert env.num_workers == 2
    env.close()


def test_too_little_shared_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    before = blocks()
    monkeypatch.setattr(shared.os, "statvfs", lambda path: type("Stats", (), {"f_bavail": 1, "f_frsize": 4096}))
    with pytest.raises(ValueError, match=r"need 1.9 MiB of shared memory, /dev/shm has 0.0 MiB left. .*--shm-size"):
        make(COUNT, num_envs=40, num_workers=1, rgb=True, image_size=(128, 128))
    assert blocks() <= before


def test_shared_arrays() -> None:
    owner = SharedArrays.create({"a": ((2, 3), np.float64), "b": ((5,), np.bool_)})
    other = SharedArrays(*owner.layout)
    owner["a"][1, 2] = 4.5
    other["b"][3] = True
    assert other["a"].tolist() == [[0, 0, 0], [0, 0, 4.5]]
    assert owner["b"].tolist() == [False, False, False, True, False]
    larger = SharedArrays.create({"a": ((2, 3), np.float64), "b": ((6,), np.bool_)})
    larger.take_over(owner)
    assert larger["a"][1, 2] == 4.5
    assert not larger["b"].any()
    for arrays in (other, owner, larger):
        arrays.close()
