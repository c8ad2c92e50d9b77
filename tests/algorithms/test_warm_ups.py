# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""How a run begins: the warm-up of the learning rates, the critic's warm-up, and what the policy is told."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from made_up_experience import H, N, Runner, T, extras_of, same, weights
from policies import POLICIES
from tensordict import TensorDict
from tiny_policy import actor_critic, load_encoder, observations
from torch import nn

from gr00t_rl_ext.algorithms.ppo import Gr00tPPO
from gr00t_rl_ext.algorithms.returns import chunk_advantages
from gr00t_rl_ext.algorithms.update import Loss
from gr00t_rl_ext.policy.encoder import Gr00tEncoder
from gr00t_rl_ext.policy.stages import FreezingOptions

EPOCHS, MINI_BATCHES = 2, 3
STEPS = EPOCHS * MINI_BATCHES
"""Of the optimizer, in an iteration."""


def over(encoder: Gr00tEncoder, critic: dict[str, Any] | None = None, **settings: Any) -> Gr00tPPO:
    """PPO of the Gaussian policy over an encoder."""
    defaults = {"num_learning_epochs": EPOCHS, "num_mini_batches": MINI_BATCHES, "target_kl": None}
    pair = actor_critic(encoder, H, critic=critic)
    alg = Gr00tPPO(pair, observations(), T, **(defaults | {"learning_rate": 1e-3} | settings))  # type: ignore[arg-type]
    alg.train_mode()
    return alg


def unfreezing(**settings: Any) -> Gr00tPPO:
    """PPO that trains a part of GR00T from the second iteration on, over a GR00T of its own."""
    torch.manual_seed(0)
    schedule = [{"train": ["language_lora"], "at_iteration": 1}]
    return over(load_encoder(freezing=FreezingOptions(language_layers=1, lora_rank=4, schedule=schedule)), **settings)


# Learning rates


def test_the_first_step_is_a_fraction_of_adams(encoder: Gr00tEncoder) -> None:
    """Its first step is the rate in every weight whose gradient is well above epsilon."""
    largest = {}
    for warmup in (0, 5):
        alg = over(encoder, num_learning_epochs=1, num_mini_batches=1, learning_rate_warmup_steps=warmup)
        before = weights(alg)
        Runner(alg, encoded=True).iterate()
        changes = {name: float((value - before[name]).abs().max()) for name, value in weights(alg).items()}
        largest[warmup] = [changes["actor.adapter.mlp.0.weight"], changes["critic.mlp.0.weight"]]
    assert largest[0] == pytest.approx([1e-3, 2e-2], rel=1e-2)
    assert largest[5] == pytest.approx([2e-4, 2e-2], rel=1e-2), "the critic's is as large as without"


def test_the_first_update_moves_the_policy_less(encoder: Gr00tEncoder) -> None:
    kls = {}
    for warmup in (0, 2 * STEPS):
        runner = Runner(over(encoder, learning_rate_warmup_steps=warmup), encoded=True)
        kls[warmup] = [runner.iterate()["train/approx_kl"] for _ in range(4)]
    assert kls[2 * STEPS][0] < 0.2 * kls[0][0]
    assert kls[2 * STEPS][3] > 0.3 * kls[0][3], "afterwards both are alike"


def test_the_warm_up_counts_from_the_policys_first_step(encoder: Gr00tEncoder) -> None:
    """In the first iteration the critic learns alone. The rate that is logged is that at the end of the update."""
    warmup = 2 * STEPS
    runner = Runner(over(encoder, critic_warmup_iterations=1, learning_rate_warmup_steps=warmup), encoded=True)
    rates = [runner.iterate() for _ in range(4)]
    expected = [1e-3 / warmup, 1e-3 * (STEPS + 1) / warmup, 1e-3, 1e-3]
    assert [log["train/learning_rate"] for log in rates] == pytest.approx(expected)
    assert {log["train/learning_rate_critic"] for log in rates} == {2e-2}


def test_a_step_that_is_skipped_does_not_count(encoder: Gr00tEncoder) -> None:
    alg = over(encoder, learning_rate_warmup_steps=100)
    spoiled: Iterator[bool] = iter([True, True] + [False] * STEPS)
    alg.critic.mlp[0].weight.register_hook(lambda gradient: gradient * torch.nan if next(spoiled) else gradient)
    log = Runner(alg, encoded=True).iterate()
    assert log["train/skipped_steps"] == 2
    assert log["train/learning_rate"] == pytest.approx(1e-3 * (STEPS - 2 + 1) / 100)


def test_a_part_that_joins_has_a_warm_up_of_its_own() -> None:
    warmup = STEPS
    runner = Runner(unfreezing(learning_rate_warmup_steps=warmup))
    runner.iterate()
    rates = runner.alg.updater.rates
    assert rates.current["actor"] == 1e-3
    assert rates.current["language_lora"] == pytest.approx(1e-3 / warmup)
    log = runner.iterate()
    assert log["train/learning_rate_language_lora"] == 1e-3


@pytest.mark.parametrize("schedule", ["linear", "adaptive"])
def test_a_part_that_joins_has_the_configs_rate_and_not_what_became_of_it(schedule: str) -> None:
    """A resumed run could not know that."""
    desired_kl = 1e-9 if schedule == "adaptive" else None
    alg = unfreezing(schedule=schedule, desired_kl=desired_kl, max_iterations=4)
    Runner(alg).iterate(2)
    current = alg.updater.rates.current
    resumed = unfreezing(schedule=schedule, desired_kl=desired_kl, max_iterations=4)
    resumed.load(copy.deepcopy(alg.save()), None, True)
    resumed.updater.rates.start_iteration(1)
    if schedule == "linear":
        assert current["language_lora"] == current["actor"] == pytest.approx(0.75e-3)
        assert resumed.updater.rates.current["language_lora"] == pytest.approx(1e-3 * 5 / 6), "4 further iterations"
    else:
        assert current["language_lora"] > 2.0 * current["actor"], "it had half of the time to fall"
        assert resumed.updater.rates.current == pytest.approx(current)


def test_a_resumed_warm_up_gives_the_same_weights(encoder: Gr00tEncoder) -> None:
    settings = {"learning_rate_warmup_steps": 3 * STEPS}
    alg = over(encoder, **settings)
    torch.manual_seed(7)
    Runner(alg, encoded=True).iterate(2)
    saved, random = copy.deepcopy(alg.save()), torch.get_rng_state()
    log = Runner(alg, seed=8, encoded=True).iterate()
    resumed = over(encoder, **settings)
    resumed.load(saved, None, True)
    torch.set_rng_state(random)
    again = Runner(resumed, seed=8, encoded=True).iterate()
    assert same(weights(resumed), weights(alg))
    assert again["train/learning_rate"] == log["train/learning_rate"] == 1e-3
    # a checkpoint of a version without warm-ups
    del saved["learning_rates"]["steps"]
    resumed.load(saved, None, True)
    assert resumed.learning_rate == 1e-3
    # with the weights alone, Adam begins anew
    resumed = over(encoder, **settings)
    resumed.load(saved, {"actor": True, "critic": True, "optimizer": False, "iteration": True}, True)
    assert resumed.learning_rate == pytest.approx(1e-3 / (3 * STEPS))


@pytest.mark.parametrize("name", ["learning_rate_warmup_steps", "critic_warmup_epochs"])
@pytest.mark.parametrize("value", [-1, 1.5])
def test_counts_that_are_none_are_refused(encoder: Gr00tEncoder, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"`agent.algorithm.{name}` is {value}; expected an integer of at least 0"):
        over(encoder, **{name: value})


# The critic


def roll_out(alg: Gr00tPPO) -> list[TensorDict]:
    """A rollout in which environment 1 terminates and environment 2 times out in each decision; what was observed."""
    seen = [observations(seed=step) for step in range(T + 1)]
    with torch.inference_mode():
        for obs, after in itertools.pairwise(seen):
            alg.act(obs)
            final = observations(seed=50).select(*alg.final_observation_groups)
            extras = extras_of(
                time_outs=torch.tensor([False, False, True, False]),
                executed_steps=torch.tensor([H, 2, 3, H]),
                final_observations=final,
            )
            alg.process_env_step(after, obs["state"][:, 0], torch.tensor([0, 1, 1, 0]), extras)
        alg.compute_returns(seen[-1])
    return seen


@pytest.mark.parametrize("images", [False, True])
@pytest.mark.parametrize("part", [None, "language_lora"])
def test_the_policy_learns_from_what_the_warmed_up_critic_makes_of_the_first_rollout(
    monkeypatch: pytest.MonkeyPatch, images: bool, part: str | None
) -> None:
    """Values, returns and advantages are those of the critic as it is, in every state that they come from."""
    torch.manual_seed(0)
    parts = () if part is None else (part,)
    encoder = load_encoder(freezing=FreezingOptions(parts, language_layers=1, lora_rank=4))
    settings = {"critic_warmup_epochs": 3, "bootstrap_images": images, "gamma": 0.9, "lam": 0.8}
    alg = over(encoder, gradient_accumulation_steps=2, **settings)
    before = weights(alg)
    optimize, checked = alg._optimize, []

    def check(*arguments: Any) -> dict[str, float]:
        now, storage = weights(alg), alg.storage
        assert same(*({name: v for name, v in some.items() if name.startswith("actor")} for some in (before, now)))
        with torch.no_grad():
            values = torch.stack([alg.critic(encoder.encode(obs)) for obs in seen]).squeeze(-1)
            final = observations(seed=50)
            if not images:
                # those of the decision
                final = [TensorDict({**final, "rgb": obs["rgb"]}, [N]) for obs in seen[:-1]]
                final = torch.stack([alg.critic(encoder.encode(obs)).squeeze(-1) for obs in final])
            else:
                final = alg.critic(encoder.encode(final)).squeeze(-1).expand(T, -1)
        dones, time_outs = torch.tensor([False, True, True, False]), torch.tensor([False, False, True, False])
        final = torch.where(time_outs, final, 0.0)
        rewards = torch.stack([obs["state"][:, 0] for obs in seen[:-1]])
        executed = torch.tensor([H, 2, 3, H]).expand(T, -1)
        advantages = chunk_advantages(
            rewards, values[:-1], values[-1], dones.expand(T, -1), final, executed, H, gamma=0.9, lam=0.8
        )
        close: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5}
        torch.testing.assert_close(storage.values.squeeze(-1), values[:-1], **close)
        torch.testing.assert_close(storage.returns.squeeze(-1), advantages + values[:-1], **close)
        normalized = (advantages - advantages.mean()) / advantages.std()
        torch.testing.assert_close(storage.advantages.squeeze(-1), normalized, **close)
        checked.append(max(float((now[n] - v).abs().max()) for n, v in before.items() if n.startswith("critic.mlp")))
        return optimize(*arguments)

    monkeypatch.setattr(alg, "_optimize", check)
    seen = roll_out(alg)
    alg.update()
    assert len(checked) == 1
    assert checked[0] > 1e-2, "the critic learned"
    assert not same(before, weights(alg))
    assert alg._time_outs == []
    monkeypatch.setattr(alg, "_optimize", optimize)
    spent = step_counter(alg)
    roll_out(alg)
    alg.update()
    assert spent == [STEPS], "only once"


def step_counter(alg: Gr00tPPO) -> list[int]:
    """A list whose one entry counts the optimizer's steps from now on."""
    count = [0]

    def step(*_: Any) -> None:
        count[0] += 1

    alg.updater.optimizer.register_step_pre_hook(step)
    return count


def test_values_of_control_steps_are_renewed_as_well(encoder: Gr00tEncoder) -> None:
    alg = over(
        encoder, critic={"values": "step"}, critic_warmup_epochs=2, learning_rate=1e-9, critic_learning_rate=1e-2
    )
    roll_out(alg)
    before = alg.storage.values.clone()
    alg._value_again()
    torch.testing.assert_close(alg.storage.values, before)
    assert alg.storage.values.shape == (T, N, H)
    alg.update()
    assert (alg.storage.values - before).abs().max() > 0.1


def test_passes_of_the_warm_up_do_not_ask_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many passes are cheap, also where the policy is GR00T's action head."""
    pair = POLICIES["flow, sde, one step"].build()
    settings = {"num_learning_epochs": 1, "num_mini_batches": 1, "critic_warmup_epochs": 5, "learning_rate": 1e-3}
    alg = Gr00tPPO(pair, observations(), T, **settings)  # type: ignore[arg-type]
    alg.train_mode()
    alg.critic.mlp.register_forward_pre_hook(lambda *_: asked.append("critic"))
    distribution = alg.actor.distribution
    monkeypatch.setattr(alg.actor, "distribution", lambda *a: asked.append("actor") or distribution(*a))
    asked: list[str] = []
    steps = step_counter(alg)
    runner = Runner(alg)
    runner.rollout()
    asked.clear()
    alg.update()
    # one more of the whole rollout and of the last observation before, and after each pass
    assert asked[: 5 + 2 * 6] == ["critic"] * (5 + 2 * 6)
    assert "actor" in asked[5 + 2 * 6 :]
    assert steps == [5 + 1]
    assert runner.logs[-1]["train/num_updates"] == 1


def test_renewed_targets_reach_what_lies_beyond_the_rollout(encoder: Gr00tEncoder) -> None:
    """A reward of 1 in each decision of an endless episode: with a discount of 1/2 a state is worth 2. Targets of the
    untrained critic, whose values are near 0, say 1."""
    settings = {"num_mini_batches": 1, "num_learning_epochs": 1, "use_clipped_value_loss": False, "gamma": 0.5}
    settings |= {"critic_warmup_epochs": 60, "critic_learning_rate": 2e-2, "lam": 0.0}
    alg = over(encoder, critic={"hidden_dims": [8]}, **settings)
    for parameter in alg.critic.mlp[-1].parameters():
        nn.init.zeros_(parameter)
    obs = encoder.encode(observations())
    with torch.inference_mode():
        for _ in range(T):
            alg.act(obs)
            alg.process_env_step(obs, torch.ones(N), torch.zeros(N), extras_of())
        alg.compute_returns(obs)
    torch.testing.assert_close(alg.storage.returns, torch.ones(T, N, 1))
    alg.update()
    torch.testing.assert_close(alg.storage.values, torch.full((T, N, 1), 2.0), rtol=0, atol=0.05)


def test_the_critics_statistics_take_in_the_first_rollout_before_the_warm_up(
    encoder: Gr00tEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And once: what was learned of other inputs would be worth little after it."""
    alg = over(encoder, critic_warmup_epochs=2)
    runner = Runner(alg, encoded=True)
    runner.rollout()
    stored = torch.cat([alg.storage.observations[group] for group in ("state", "privileged")], dim=-1).flatten(0, 1)
    seen = []
    alg.critic.mlp.register_forward_pre_hook(lambda *_: seen.append(alg.critic.normalizer.mean.clone()))
    alg.update()
    for mean in seen:
        torch.testing.assert_close(mean, stored.mean(dim=0, keepdim=True).view_as(mean))
    assert alg.critic.normalizer.count == N * T
    runner.iterate()
    assert alg.critic.normalizer.count == 2 * N * T


@pytest.mark.parametrize("trains", [True, False])
def test_the_target_kl_ends_no_pass_of_the_critic_alone(encoder: Gr00tEncoder, trains: bool) -> None:
    """Rounding in half precision may make a KL of a policy that stays as it is."""
    alg = over(encoder, target_kl=1e-6)
    roll_out(alg)

    def loss(batch: Any, whole: Any) -> Loss:
        values = alg.critic(batch.observations)
        return Loss(values.mean(), {"value_loss": values.mean()}, torch.ones(len(values)))

    means = alg.updater.epochs(alg.storage, lambda indices: None, loss, trains, 4)
    assert means["num_updates"] == MINI_BATCHES * (1 if trains else 4)
    assert means["stopped_early"] == trains


def test_a_resumed_run_has_no_further_warm_up(encoder: Gr00tEncoder) -> None:
    alg = over(encoder, critic_warmup_epochs=4)
    Runner(alg, encoded=True).iterate()
    resumed = over(encoder, critic_warmup_epochs=4)
    resumed.load(copy.deepcopy(alg.save()), None, True)
    steps = step_counter(resumed)
    Runner(resumed, encoded=True).iterate()
    assert steps == [STEPS]


# What the policy is told


def test_the_policy_is_told_each_iteration_and_the_length_of_the_run(
    encoder: Gr00tEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int | None]] = []
    monkeypatch.setattr(
        "gr00t_rl_ext.policy.actor.Actor.start_iteration",
        lambda self, iteration, total: told.append((iteration, total)),
    )
    alg = over(encoder, max_iterations=5)
    assert told == [(0, 5)], "before the first rollout"
    Runner(alg, encoded=True).iterate(2)
    assert told == [(0, 5), (1, 5), (2, 5)]
    saved = copy.deepcopy(alg.save())
    told.clear()
    resumed = over(encoder, max_iterations=5)
    resumed.load(saved, None, True)
    Runner(resumed, encoded=True).iterate()
    assert told == [(0, 5), (2, 7), (3, 7)], "with what was done before"
    told.clear()
    played = over(encoder)
    played.load(saved, {"actor": True}, True)
    assert told == [(0, None)], "to play, no iteration is resumed"
