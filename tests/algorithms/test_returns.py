# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""returns: discounted rewards and advantages against values computed by hand, definitions and rsl_rl."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rsl_rl.algorithms import PPO as RslRlPPO
from rsl_rl.storage import RolloutStorage
from tensordict import TensorDict

from gr00t_rl_ext.algorithms import returns

NAN = float("nan")


def close(actual: torch.Tensor, expected: Any) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype), rtol=1e-5, atol=1e-6)


def column(*numbers: float) -> torch.Tensor:
    """(T, 1)."""
    return torch.tensor(numbers).unsqueeze(1)


def test_a_termination_inside_a_chunk_by_hand() -> None:
    # the second decision ends after 1 of 2 steps; the value 100 after the end is the next episode's
    advantages = returns.chunk_advantages(
        rewards=column(1.0, 2.0, 3.0),
        values=column(10.0, 20.0, 100.0),
        last_values=torch.tensor([40.0]),
        dones=torch.tensor([[False], [True], [False]]),
        final_values=column(NAN, 0.0, NAN),
        executed=torch.tensor([[2], [1], [2]]),
        chunk_length=2,
        gamma=0.25,
        lam=0.8,
    )
    second = 2.0 - 20.0
    close(advantages, column(1.0 + 0.25 * 20.0 - 10.0 + 0.25 * 0.8 * second, second, 3.0 + 0.25 * 40.0 - 100.0))


def test_a_time_out_inside_a_chunk_by_hand() -> None:
    # as above, but the episode was cut off in a state of value 8, which lies 1 of 2 control steps ahead: 0.25 ** 0.5
    advantages = returns.chunk_advantages(
        rewards=column(1.0, 2.0, 3.0),
        values=column(10.0, 20.0, 100.0),
        last_values=torch.tensor([40.0]),
        dones=torch.tensor([[False], [True], [False]]),
        final_values=column(NAN, 8.0, NAN),
        executed=torch.tensor([[2], [1], [2]]),
        chunk_length=2,
        gamma=0.25,
        lam=0.8,
    )
    second = 2.0 + 0.5 * 8.0 - 20.0
    close(advantages, column(1.0 + 0.25 * 20.0 - 10.0 + 0.25 * 0.8 * second, second, 3.0 + 0.25 * 40.0 - 100.0))


def test_an_end_at_the_end_of_the_rollout_ignores_the_last_value() -> None:
    advantages = returns.chunk_advantages(
        rewards=torch.tensor([[1.0, 1.0]]),
        values=torch.tensor([[0.0, 0.0]]),
        last_values=torch.tensor([100.0, 100.0]),
        dones=torch.tensor([[True, True]]),
        final_values=torch.tensor([[0.0, 6.0]]),
        executed=torch.tensor([[4, 2]]),
        chunk_length=4,
        gamma=0.25,
        lam=0.95,
    )
    close(advantages, [[1.0, 1.0 + 0.5 * 6.0]])


def test_step_advantages_by_hand() -> None:
    # two decisions of two steps; gamma * lam = 0.25
    advantages = returns.step_advantages(
        step_rewards=torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]]),
        values=torch.tensor([[[2.0, 4.0]], [[6.0, 8.0]]]),
        last_values=torch.tensor([10.0]),
        executed=torch.tensor([[2], [2]]),
        dones=torch.tensor([[False], [False]]),
        final_values=column(NAN, NAN),
        gamma=0.5,
        lam=0.5,
    )
    d = [1.0 + 2.0 - 2.0, 2.0 + 3.0 - 4.0, 3.0 + 4.0 - 6.0, 4.0 + 5.0 - 8.0]
    a3 = d[3]
    a2 = d[2] + 0.25 * a3
    a1 = d[1] + 0.25 * a2
    close(advantages, [[[d[0] + 0.25 * a1, a1]], [[a2, a3]]])


@pytest.mark.parametrize("final", [0.0, 6.0])  # a termination, a time-out
def test_step_advantages_with_an_end_inside_a_chunk_by_hand(final: float) -> None:
    advantages = returns.step_advantages(
        step_rewards=torch.tensor([[[1.0, 2.0, NAN]], [[3.0, 4.0, 5.0]]]),
        values=torch.tensor([[[2.0, 4.0, NAN]], [[6.0, 8.0, 1.0]]]),
        last_values=torch.tensor([10.0]),
        executed=torch.tensor([[2], [3]]),
        dones=torch.tensor([[True], [False]]),
        final_values=column(final, NAN),
        gamma=0.5,
        lam=0.5,
    )
    last = 2.0 + 0.5 * final - 4.0  # nothing of the next episode
    b2 = 5.0 + 5.0 - 1.0
    b1 = 4.0 + 0.5 - 8.0 + 0.25 * b2
    b0 = 3.0 + 4.0 - 6.0 + 0.25 * b1
    close(advantages, [[[1.0 + 2.0 - 2.0 + 0.25 * last, last, 0.0]], [[b0, b1, b2]]])


def experience(T: int, N: int, H: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random decisions. A quarter ends an episode, and some go on, after any number of control steps."""
    g = torch.Generator().manual_seed(seed)
    dones = torch.rand(T, N, generator=g) < 0.25
    any_number = torch.randint(1, H + 1, (T, N), generator=g)
    final = torch.where(torch.rand(T, N, generator=g) < 0.5, torch.randn(T, N, generator=g), 0.0)
    return {
        "step_rewards": torch.randn(T, N, H, generator=g),
        "values": torch.randn(T, N, H, generator=g),
        "last_values": torch.randn(N, generator=g),
        "dones": dones,
        "final_values": torch.where(dones, final, NAN),
        "executed": torch.where(dones | (torch.rand(T, N, generator=g) < 0.2), any_number, H),
    }


def returns_by_definition(data: dict[str, torch.Tensor], gamma: float) -> torch.Tensor:
    """Discounted return of every executed control step, step by step, (T, N, H); NaN elsewhere."""
    T, N, H = data["step_rewards"].shape
    expected = torch.full((T, N, H), NAN)
    for n in range(N):
        following = float(data["last_values"][n])
        for t in reversed(range(T)):
            if data["dones"][t, n]:
                following = float(data["final_values"][t, n])
            for k in reversed(range(int(data["executed"][t, n]))):
                following = float(data["step_rewards"][t, n, k]) + gamma * following
                expected[t, n, k] = following
    return expected


def test_with_lambda_1_steps_and_chunks_give_the_discounted_returns() -> None:
    T, N, H, gamma = 12, 6, 4, 0.9
    data = experience(T, N, H)
    expected = returns_by_definition(data, gamma)
    valid = ~expected.isnan()
    of_steps = returns.step_advantages(**data, gamma=gamma, lam=1.0) + data["values"]
    close(of_steps[valid], expected[valid])
    chunk_values = data["values"][..., 0]
    executed = torch.arange(H) < data["executed"].unsqueeze(-1)
    of_chunks = returns.chunk_advantages(
        torch.where(executed, data["step_rewards"] * gamma ** torch.arange(H), 0.0).sum(-1),
        chunk_values,
        data["last_values"],
        data["dones"],
        data["final_values"],
        data["executed"],
        H,
        gamma**H,
        1.0,
    )
    close(of_chunks + chunk_values, expected[..., 0])


def test_with_lambda_0_an_advantage_is_one_error() -> None:
    data = experience(12, 6, 4)
    advantages = returns.step_advantages(**data, gamma=0.9, lam=0.0)
    inside = data["step_rewards"] + 0.9 * data["values"].roll(-1, -1) - data["values"]
    not_last = returns.executed_mask(data["executed"] - 1, 4)
    close(advantages[not_last], inside[not_last])


def test_steps_that_were_not_executed_influence_nothing() -> None:
    data = experience(12, 6, 4)
    skipped = ~returns.executed_mask(data["executed"], 4)
    assert skipped.any()
    clean = returns.step_advantages(**data, gamma=0.9, lam=0.8)
    for name in ("step_rewards", "values"):
        data[name] = data[name].masked_fill(skipped, NAN)
    dirty = returns.step_advantages(**data, gamma=0.9, lam=0.8)
    assert torch.equal(clean, dirty)
    assert (dirty[skipped] == 0.0).all()


def test_for_chunks_of_one_step_both_agree() -> None:
    data = experience(20, 8, 1)
    of_steps = returns.step_advantages(**data, gamma=0.97, lam=0.9)
    rewards, values = data["step_rewards"].squeeze(-1), data["values"].squeeze(-1)
    of_chunks = returns.chunk_advantages(
        rewards,
        values,
        data["last_values"],
        data["dones"],
        data["final_values"],
        data["executed"],
        chunk_length=1,
        gamma=0.97,
        lam=0.9,
    )
    close(of_steps.squeeze(-1), of_chunks)


class _LastValues:
    """Stands in for a critic of rsl_rl."""

    def __init__(self, values: torch.Tensor) -> None:
        self._values = values

    def __call__(self, obs: TensorDict) -> torch.Tensor:
        return self._values

    def get_hidden_state(self) -> None:
        return None

    def reset(self, hidden_state: None) -> None:
        pass


def test_without_time_outs_chunks_give_what_rsl_rl_computes() -> None:
    T, N = 24, 16
    torch.manual_seed(0)
    rewards, values, last_values = torch.randn(T, N), torch.randn(T, N), torch.randn(N)
    dones = torch.rand(T, N) < 0.2
    obs = TensorDict({"state": torch.zeros(N, 1)}, batch_size=[N])
    storage = RolloutStorage("rl", N, T, obs, [1])
    storage.rewards, storage.values = rewards.unsqueeze(-1), values.unsqueeze(-1)
    storage.dones = dones.unsqueeze(-1).byte()
    algorithm = SimpleNamespace(
        storage=storage,
        critic=_LastValues(last_values.unsqueeze(-1)),
        gamma=0.98,
        lam=0.92,
        normalize_advantage_per_mini_batch=True,
    )
    RslRlPPO.compute_returns(algorithm, obs)  # type: ignore[arg-type]
    actual = returns.chunk_advantages(
        rewards,
        values,
        last_values,
        dones,
        torch.zeros(T, N),
        torch.full((T, N), 8),
        chunk_length=8,
        gamma=0.98,
        lam=0.92,
    )
    close(actual, storage.advantages.squeeze(-1))
    close(actual + values, storage.returns.squeeze(-1))
