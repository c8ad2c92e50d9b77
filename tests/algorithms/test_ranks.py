# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Several processes learn as one that has the decisions of all of them."""

from __future__ import annotations

import contextlib
import io
import multiprocessing
from pathlib import Path
from typing import Any

import pytest
import torch
from made_up_experience import Runner
from policies import POLICIES
from tiny_policy import observations

from gr00t_rl_ext.algorithms.grpo import Gr00tGRPO
from gr00t_rl_ext.algorithms.ppo import Gr00tPPO
from gr00t_rl_ext.algorithms.ranks import mini_batches, shares

N, T = 4, 6
"""Environments of a rank, decisions."""

PPO: dict[str, Any] = {
    "num_mini_batches": 1,
    "num_learning_epochs": 2,
    "learning_rate": 1e-3,
    "target_kl": None,
    "reward_normalization": True,
}
CASES: dict[str, dict[str, Any]] = {
    "gaussian": PPO,
    "steering": PPO | {"critic_warmup_epochs": 2},
    "gaussian, advantages of mini-batches": PPO | {"normalize_advantage_per_mini_batch": True, "schedule": "adaptive"},
    "gaussian, control steps": PPO,
    "grpo": {"decision_weights": "episode", "advantage_normalization": "rollout"},
    "grpo, one rank has nothing": {"advantage_normalization": "mini_batch"},
    "grpo, running": {"baseline": "running", "advantage_normalization": "mini_batch"},
}


def policy_of(case: str) -> Any:
    values = {"critic": {"values": "step"}} if "control steps" in case else {}
    name = "steering" if case == "steering" else "gaussian"
    return POLICIES[name].build(0, **values)


class Part(Runner):
    """The experience of some of the environments of a joint run."""

    def __init__(self, alg: Gr00tPPO, envs: slice) -> None:
        self.envs = envs
        super().__init__(alg)

    def observe(self) -> Any:
        seed = int(torch.randint(1 << 30, (1,), generator=self.generator))
        return observations(2 * N, seed)[self.envs]


def ppo(case: str, envs: slice, joint: Any, **ranks: Any) -> tuple[Any, Any]:
    """An iteration of PPO; the algorithm, and the decisions of its rollout."""
    from gr00t_rl_ext.envs.decision import Outcome

    count = len(range(2 * N)[envs])
    settings = CASES[case]
    extra = {"desired_kl": 0.01} if settings.get("schedule") == "adaptive" else {}
    alg = Gr00tPPO(policy_of(case), observations(count), T, **settings, **extra, **ranks)
    alg.describes_start = False
    runner = Part(alg, envs)
    drawn = torch.Generator().manual_seed(5)
    obs = runner.obs
    with torch.inference_mode():
        for _ in range(T):
            alg.act(obs)
            obs = runner.observe()
            rewards = torch.randn(2 * N, generator=drawn)[envs]
            executed = torch.randint(1, 5, (2 * N,), generator=drawn)[envs]
            dones = (torch.rand(2 * N, generator=drawn) < 0.2)[envs].long()
            outcome = Outcome(
                executed_steps=executed,
                step_rewards=rewards.unsqueeze(1).expand(-1, 4) / 4,
                episode_return=torch.ones(count),
                episode_steps=torch.ones(count, dtype=torch.long),
            )
            alg.process_env_step(obs, rewards, dones, outcome.to_extras())
        decisions = put(alg, joint, envs)
        alg.compute_returns(obs)
    return alg, decisions


def grpo(case: str, envs: slice, joint: Any, **ranks: Any) -> tuple[Any, Any]:
    """An iteration of GRPO; the algorithm, and the decisions of its rollout."""
    from test_grpo import Scripted, roll_out

    drawn = torch.Generator().manual_seed(5)
    rewards = torch.randn(T, 2 * N, generator=drawn)
    if "nothing" in case:
        rewards[:, N:] = 0.5
    else:
        # one of the groups of the second rank
        rewards[:, 2 * N - 2 :] = 0.5
    # episodes of unequal length
    ends = torch.rand(T, 2 * N, generator=drawn) < 0.1
    ends[:, N:] &= "nothing" not in case
    env = Scripted(rewards[:, envs], ends[:, envs])
    pair = policy_of(case)
    pair.critic = None
    settings: dict[str, Any] = {"outcome": "return", "group_size": 2, "max_resamples": 0, "target_kl": None}
    settings |= {"num_mini_batches": 1, "num_learning_epochs": 2, "learning_rate": 1e-3} | CASES[case]
    alg = Gr00tGRPO(pair, env.get_observations(), T, **settings, **ranks)
    alg.describes_start = False
    alg.train_mode()
    alg.bind(env, ["rgb", "state"])
    compute = alg.compute_returns
    decisions: Any = None

    def with_the_joint_decisions(obs: Any) -> None:
        nonlocal decisions
        decisions = put(alg, joint, envs)
        compute(obs)

    alg.compute_returns = with_the_joint_decisions  # type: ignore[method-assign]
    roll_out(alg, env)
    return alg, decisions


def put(alg: Any, joint: Any, envs: slice) -> dict[str, Any]:
    """Let a rank have decided as the joint run did; returns what was decided."""
    storage = alg.storage
    if joint is not None:
        storage.actions.copy_(joint["actions"][:, envs])
        for stored, values in zip(storage.recorded, joint["recorded"], strict=True):
            stored.copy_(values[:, envs])
    return {"actions": storage.actions.clone(), "recorded": [stored.clone() for stored in storage.recorded]}


def iteration(case: str, envs: slice, joint: Any, **ranks: Any) -> tuple[dict[str, Any], Any]:
    make = grpo if case.startswith("grpo") else ppo
    with contextlib.redirect_stdout(io.StringIO()):
        alg, decisions = make(case, envs, joint, **ranks)
        alg._log = {}
        alg.update()
    state = {f"actor.{name}": value for name, value in alg.actor.state_dict().items()}
    if alg.critic is not None:
        state |= {f"critic.{name}": value for name, value in alg.critic.state_dict().items()}
        state |= {f"rewards.{name}": value for name, value in alg._reward_normalizer.state_dict().items()}
    else:
        state["baseline"] = alg._baseline._baselines
    logged = (
        "train/approx_kl",
        "train/policy_loss",
        "train/learning_rate",
        "charts/env_steps",
        "charts/reward_per_step",
    )
    state |= {name: torch.tensor(float(alg._log[name])) for name in logged if name in alg._log}
    return {name: value.detach().clone().double() for name, value in state.items()}, decisions


def work(rank: int, folder: Path) -> None:
    """The main function of a rank: all cases, one after the other."""
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    joint = torch.load(folder / "joint.pt", weights_only=True)
    ranks = {"multi_gpu_cfg": {"global_rank": rank, "local_rank": rank, "world_size": 2}}
    envs = slice(rank * N, (rank + 1) * N)
    result = {case: iteration(case, envs, joint[case], **ranks)[0] for case in CASES}
    torch.save(result, folder / f"rank_{rank}.pt")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Of one process with all environments, and of two with half of them each."""
    folder = tmp_path_factory.mktemp("ranks")
    joint = {case: iteration(case, slice(0, 2 * N), None) for case in CASES}
    torch.save({case: decisions for case, (_, decisions) in joint.items()}, folder / "joint.pt")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(rank, folder)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 0]
    states = {f"rank {rank}": torch.load(folder / f"rank_{rank}.pt", weights_only=True) for rank in range(2)}
    return states | {"joint": {case: state for case, (state, _) in joint.items()}}


@pytest.mark.parametrize("case", CASES)
def test_two_ranks_are_one_with_the_joint_batch(case: str, results: dict[str, dict[str, Any]]) -> None:
    joint, first, second = (results[who][case] for who in ("joint", "rank 0", "rank 1"))
    assert joint.keys() == first.keys() == second.keys()
    for name, value in joint.items():
        # but for rounding, whatever the ranks had of it
        torch.testing.assert_close(first[name], value, rtol=1e-5, atol=1e-5, msg=f"{name}: {first[name]} for {value}")
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0, msg=name)
    assert any(name.startswith("actor.") for name in joint)


def test_the_ranks_of_these_tests_have_something_to_learn(results: dict[str, dict[str, Any]]) -> None:
    for case in CASES:
        before = policy_of(case).actor.state_dict()
        after = results["joint"][case]
        moved = max(float((after[f"actor.{name}"] - value.double()).abs().max()) for name, value in before.items())
        assert moved > 1e-4, case


# How many steps they take


@pytest.mark.parametrize(
    ("lengths", "wanted", "count"),
    [
        ([120], 16, 15),
        ([40], 16, 14),
        ([128], 16, 16),
        ([8, 9], 8, 3),
        ([120, 40], 16, 14),
        ([120, 128, 40, 7], 16, 7),
        ([1, 100], 8, 1),
    ],
)
def test_ranks_make_equally_many_mini_batches(lengths: list[int], wanted: int, count: int) -> None:
    assert mini_batches(lengths, wanted) == count
    for length in lengths:
        assert len(torch.arange(length).split(-(-length // count))) == count


@pytest.mark.parametrize("wanted", [1, 2, 3, 8, 16])
def test_for_all_lengths_the_number_of_mini_batches_is_what_a_split_makes(wanted: int) -> None:
    for first in range(1, 60):
        for second in range(1, 60):
            count = mini_batches([first, second], wanted)
            parts = [len(torch.arange(length).split(-(-length // count))) for length in (first, second)]
            assert parts == [count, count]


def test_shares_are_by_decisions() -> None:
    # parts of 3, 3, 2 and of 2, 2, 2
    assert shares([8, 6], [8, 6], 3, 0) == [6 / 5, 6 / 5, 1.0]
    assert shares([8, 6], [8, 6], 3, 1) == [4 / 5, 4 / 5, 1.0]
    # a rank that kept nothing
    assert shares([8, 6], [0, 6], 2, 0) == [0.0, 0.0]
    assert shares([8, 6], [0, 6], 2, 1) == [2.0, 2.0]
    assert shares([7], [7], 2, 0) == [1.0, 1.0]
