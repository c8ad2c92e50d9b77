# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""schedules: learning rates against hand values."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import torch
from torch import nn

from gr00t_rl_ext.algorithms.schedules import FIELDS, MAX_RATE, LearningRates, check_schedules

INITIAL = {"actor": 1e-5, "critic": 2e-4, "head": 4e-6}


def made_optimizer() -> torch.optim.Optimizer:
    return torch.optim.Adam(
        [{"params": [nn.Parameter(torch.ones(2))], "lr": lr, "name": name} for name, lr in INITIAL.items()]
    )


def made(actor: str = "fixed", critic: str = "fixed", gr00t: str = "fixed", **settings: Any) -> LearningRates:
    schedules = {"actor": actor, "critic": critic, "gr00t": gr00t}
    return LearningRates(made_optimizer(), schedules, **{"total_iterations": 100, "desired_kl": 0.01, **settings})


def times(**factors: float) -> dict:
    return pytest.approx({name: lr * factors.get(name, 1.0) for name, lr in INITIAL.items()}, rel=1e-9)


def test_fixed_rates_stay() -> None:
    rates = made(total_iterations=None, desired_kl=None)
    rates.start_iteration(70)
    rates.adapt(1.0)
    assert rates.current == INITIAL


def test_linear_rates_fall_to_zero_at_the_end() -> None:
    rates = made(actor="linear", gr00t="linear")
    for iteration, factor in ((0, 1.0), (1, 0.99), (25, 0.75), (99, 0.01)):
        rates.start_iteration(iteration)
        assert rates.current == times(actor=factor, head=factor)


def test_after_the_end_a_linear_schedule_says_so() -> None:
    rates = made(gr00t="linear")
    message = (
        "The linear schedule of head reached a learning rate of 0 after 100 iterations, and iteration 100 (counted from"
        " 0) is to start. Raise `agent.max_iterations`, or choose another schedule."
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        rates.start_iteration(100)
    made(gr00t="adaptive").start_iteration(100)


@pytest.mark.parametrize(
    ("kl", "factor"),
    [
        (0.0201, 1 / 1.5),
        (float("inf"), 1 / 1.5),
        (0.0199, 1.0),
        (0.0051, 1.0),
        (0.0049, 1.5),
        (0.0, 1.0),
        (float("nan"), 1.0),
    ],
)
def test_adaptive_rates_follow_the_kl(kl: float, factor: float) -> None:
    rates = made(actor="adaptive")
    rates.adapt(kl)
    assert rates.current == times(actor=factor)


def test_adaptive_rates_stay_within_a_factor_of_100_and_below_rsl_rls_bound() -> None:
    rates = made(actor="adaptive", critic="adaptive", gr00t="adaptive")
    for _ in range(50):
        rates.adapt(1.0)
    assert rates.current == times(actor=0.01, critic=0.01, head=0.01)
    for _ in range(50):
        rates.adapt(1e-6)
    assert rates.current == times(actor=100.0, critic=MAX_RATE / INITIAL["critic"], head=100.0)


def test_an_initial_rate_beyond_the_bound_is_not_raised() -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([{"params": [weight], "lr": 0.5, "name": "actor"}])
    rates = LearningRates(optimizer, {"actor": "adaptive"}, total_iterations=4, desired_kl=0.01)
    rates.adapt(1e-6)
    assert rates.current == {"actor": 0.5}
    rates.adapt(1.0)
    assert rates.current["actor"] == pytest.approx(0.5 / 1.5)


def test_a_small_initial_rate_is_not_raised() -> None:
    rates = made(gr00t="adaptive")  # 4e-6, below rsl_rl's least rate
    rates.adapt(1.0)
    assert rates.current == times(head=1 / 1.5)


def test_each_group_follows_its_own_schedule() -> None:
    rates = made(actor="adaptive", critic="linear", gr00t="fixed")
    rates.start_iteration(50)
    rates.adapt(1.0)
    assert rates.current == times(actor=1 / 1.5, critic=0.5)
    rates.start_iteration(75)
    assert rates.current == times(actor=1 / 1.5, critic=0.25), "an adapted rate outlives the iteration"


def test_the_optimizer_steps_with_the_rates() -> None:
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([{"params": [weight], "lr": 0.5, "name": "actor"}])
    rates = LearningRates(optimizer, {"actor": "linear"}, total_iterations=4, desired_kl=None)
    rates.start_iteration(3)
    weight.grad = torch.ones(1)
    optimizer.step()
    assert weight.item() == pytest.approx(-0.125)


@pytest.mark.parametrize(("schedule", "factor"), [("fixed", 1.0), ("linear", 0.6), ("adaptive", 1.0)])
def test_a_group_may_join_later(schedule: str, factor: float) -> None:
    rates = made(actor="adaptive", gr00t=schedule)
    rates.start_iteration(40)
    rates.adapt(1.0)
    rates.add_group({"params": [nn.Parameter(torch.ones(3))], "lr": 3e-6, "name": "vision"})
    assert rates.current["vision"] == pytest.approx(3e-6 * factor)
    assert rates.current["actor"] == pytest.approx(1e-5 / 1.5), "the others keep theirs"
    if schedule == "adaptive":
        rates.adapt(1.0)
        assert rates.current["vision"] == pytest.approx(3e-6 / 1.5)


def test_a_resumed_run_goes_on_where_it_was() -> None:
    rates = made(actor="adaptive", critic="linear")
    rates.start_iteration(30)
    rates.adapt(1.0)
    saved = copy.deepcopy((rates._optimizer.state_dict(), rates.state_dict()))
    resumed = made(actor="adaptive", critic="linear")
    resumed._optimizer.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1], 0)
    assert resumed.current == rates.current
    rates.adapt(1.0)
    resumed.adapt(1.0)
    assert resumed.current == rates.current == times(actor=1 / 1.5**2, critic=0.7)


def test_a_finished_run_may_be_loaded_with_a_shorter_total() -> None:
    rates = made(actor="linear")
    rates.start_iteration(99)
    shorter = made(actor="linear", total_iterations=50)
    shorter.load_state_dict(rates.state_dict(), 0)
    assert shorter.current == times(actor=0.0)


def test_a_run_may_be_resumed_with_other_rates_and_schedules() -> None:
    rates = made(actor="adaptive", critic="adaptive")
    rates.adapt(1.0)
    saved = copy.deepcopy((rates._optimizer.state_dict(), rates.state_dict()))
    optimizer = made_optimizer()
    optimizer.param_groups[0]["lr"] = 7e-5
    schedules = {"actor": "adaptive", "critic": "fixed", "gr00t": "fixed"}
    resumed = LearningRates(optimizer, schedules, total_iterations=None, desired_kl=0.01)
    optimizer.load_state_dict(saved[0])
    resumed.load_state_dict(saved[1], 0)
    assert resumed.current == pytest.approx({"actor": 7e-5 / 1.5, "critic": 2e-4, "head": 4e-6})


# Warm-up


def steps(rates: LearningRates, count: int) -> None:
    for _ in range(count):
        rates.count_step()


def test_all_but_the_critic_warm_up_linearly() -> None:
    rates = made(warmup_steps=4)
    for factor in (0.25, 0.5, 0.75, 1.0, 1.0):
        assert rates.current == times(actor=factor, head=factor)
        rates.count_step()
    assert made().current == INITIAL, "without it, from the first step on"


def test_the_warm_up_is_a_factor_beside_the_schedule() -> None:
    rates = made(actor="linear", critic="linear", gr00t="adaptive", warmup_steps=4)
    rates.start_iteration(50)
    rates.adapt(1.0)
    rates.count_step()
    assert rates.current == times(actor=0.5 * 0.5, critic=0.5, head=0.5 / 1.5)


def test_the_small_kl_of_a_warm_up_raises_no_rate() -> None:
    """Nor that of the critic, which does not warm up."""
    rates = made(actor="adaptive", critic="adaptive", warmup_steps=2)
    rates.adapt(1e-6)
    assert rates.current == times(actor=0.5, critic=1.0, head=0.5)
    rates.count_step()
    rates.adapt(1e-6)
    assert rates.current == times(actor=1.5, critic=1.5), "over with the second step, which has the whole rate"
    rates.adapt(1.0)
    assert rates.current == times()


def test_a_group_that_joins_later_has_a_warm_up_of_its_own() -> None:
    rates = made(actor="adaptive", warmup_steps=2)
    steps(rates, 7)
    rates.add_group({"params": [nn.Parameter(torch.ones(3))], "lr": 3e-6, "name": "vision"})
    rates.adapt(1e-6)
    assert rates.current["vision"] == pytest.approx(1.5e-6)
    assert rates.current["actor"] == pytest.approx(1e-5), "not raised meanwhile"
    steps(rates, 1)
    assert rates.current["vision"] == pytest.approx(3e-6)


def test_a_resumed_warm_up_goes_on_where_it_was() -> None:
    rates = made(warmup_steps=4)
    steps(rates, 2)
    resumed = made(warmup_steps=4)
    resumed.load_state_dict(copy.deepcopy(rates.state_dict()), 1)
    assert resumed.current == rates.current == times(actor=0.75, head=0.75)
    longer = made(warmup_steps=10)
    longer.load_state_dict(rates.state_dict(), 1)
    assert longer.current == times(actor=0.3, head=0.3)


def test_the_warm_up_of_a_checkpoint_that_knows_none_is_over() -> None:
    state = {name: value for name, value in made().state_dict().items() if name != "steps"}
    resumed = made(warmup_steps=4)
    resumed.load_state_dict(state, 1)
    assert resumed.current == INITIAL
    # a run without a warm-up counts as well
    rates = made()
    steps(rates, 9)
    resumed = made(warmup_steps=4)
    resumed.load_state_dict(rates.state_dict(), 1)
    assert resumed.current == INITIAL


def test_without_its_state_an_optimizer_warms_up_again() -> None:
    rates = made(warmup_steps=4)
    steps(rates, 9)
    resumed = made(warmup_steps=4)
    resumed.load_state_dict(rates.state_dict(), 1, with_optimizer=False)
    assert resumed.current == times(actor=0.25, head=0.25)


def test_the_length_of_the_run_counts_what_was_done_before() -> None:
    rates = made(actor="linear")
    rates.start_iteration(30)
    resumed = made(actor="linear", total_iterations=10)
    assert resumed.total_iterations == 10
    for _ in range(2):
        resumed.load_state_dict(rates.state_dict(), 30)
        assert resumed.total_iterations == 40
    assert resumed.current == times(actor=0.25)
    unknown = made(total_iterations=None)
    unknown.load_state_dict(rates.state_dict(), 30)
    assert unknown.total_iterations is None


# Refusals


@pytest.mark.parametrize("key", FIELDS)
def test_an_unknown_schedule_is_named(key: str) -> None:
    message = (
        f"`{FIELDS[key]}` is 'cosine'. Available are 'fixed' (the initial rate throughout); 'linear' (from the initial"
        " rate to 0 at the end of the run); 'adaptive' (lower while"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        check_schedules({key: "cosine"}, desired_kl=0.01)


@pytest.mark.parametrize("desired_kl", [None, 0.0, -0.01])
def test_adaptive_needs_a_desired_kl(desired_kl: float | None) -> None:
    field = "agent.algorithm.critic_schedule"
    message = f"`{field}` is 'adaptive', which needs `agent.algorithm.desired_kl`; that is {desired_kl}. Expected"
    with pytest.raises(ValueError, match=re.escape(message)):
        check_schedules({"critic": "adaptive"}, desired_kl)


@pytest.mark.parametrize("total", [None, 0])
def test_linear_needs_a_total(total: int | None) -> None:
    message = "`agent.algorithm.gr00t_schedule` is 'linear', which needs the number of iterations of the run"
    with pytest.raises(ValueError, match=re.escape(message) + rf".*that is {total}\. Expected 1 or more"):
        made(gr00t="linear", total_iterations=total)
