# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""PPO on a tiny GR00T: rollout, update, metrics, checkpoints and settings, driven as rsl_rl's runner does."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from made_up_experience import A, H, N, Runner, T, extras_of, same, weights
from tiny_policy import OBS_GROUPS, actor_critic, observations

from gr00t_rl_ext.algorithms import construction
from gr00t_rl_ext.algorithms.options import PpoOptions
from gr00t_rl_ext.algorithms.ppo import Gr00tPPO
from gr00t_rl_ext.policy.actor import Decisions
from gr00t_rl_ext.policy.encoder import FEATURES, Gr00tEncoder

MakeAlgorithm = Callable[..., Gr00tPPO]


@pytest.fixture
def make(encoder: Gr00tEncoder) -> MakeAlgorithm:
    """Builds the algorithm with fast settings; equal seeds give equal networks."""

    def build(
        seed: int = 0,
        num_envs: int = N,
        num_steps: int = T,
        actor: dict[str, Any] | None = None,
        critic: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Gr00tPPO:
        pair = actor_critic(encoder, H, seed, critic=critic, **(actor or {}))
        defaults = {"num_learning_epochs": 2, "num_mini_batches": 3, "target_kl": None}
        alg = Gr00tPPO(pair, observations(num_envs), num_steps, **(defaults | {"learning_rate": 1e-3} | settings))
        alg.train_mode()
        return alg

    return build


# Ratio


def test_the_first_ratio_is_one(make: MakeAlgorithm) -> None:
    """Also after many updates, when means and standard deviations are no longer those of the start."""
    runner = Runner(make(learning_rate=1e-2), encoded=True)
    for _ in range(4):
        assert runner.iterate()["train/first_ratio_error"] < 1e-5
    assert runner.alg.actor.output_distribution_params[0].abs().max() > 0.2


def test_the_first_ratio_is_one_in_mixed_precision(make: MakeAlgorithm) -> None:
    runner = Runner(make(learning_rate=1e-2, use_mixed_precision=True), encoded=True)
    for _ in range(4):
        assert runner.iterate()["train/first_ratio_error"] < 1e-3
    assert runner.alg.actor.output_distribution_params[0].abs().max() > 0.2


def test_mixed_precision_computes_the_network_in_bf16_and_stores_fp32(make: MakeAlgorithm) -> None:
    alg = make(use_mixed_precision=True)
    seen = []
    alg.actor.adapter.mlp[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    runner = Runner(alg, encoded=True)
    runner.iterate()
    assert set(seen) == {torch.bfloat16}
    assert alg.actor.output_distribution_params[0].dtype == torch.float32
    assert {parameter.dtype for parameter in alg.actor.parameters()} == {torch.float32}
    assert alg.storage.recorded[0].dtype == torch.float32


def test_the_kl_to_base_starts_at_zero_in_mixed_precision(make: MakeAlgorithm) -> None:
    alg = make(use_mixed_precision=True, num_learning_epochs=1, num_mini_batches=1)
    assert Runner(alg, encoded=True).iterate()["train/kl_to_base"] == pytest.approx(0.0, abs=1e-6)


# Backbone


def test_one_backbone_call_per_decision_and_none_in_the_update(make: MakeAlgorithm, encoder: Gr00tEncoder) -> None:
    runner = Runner(make())
    per_iteration = []
    for _ in range(3):
        before = encoder.calls
        runner.rollout()
        per_iteration.append(encoder.calls - before)
        before = encoder.calls
        runner.alg.update()
        assert encoder.calls == before
        assert runner.logs[-1]["perf/backbone_calls"] == per_iteration[-1]
    assert per_iteration == [T + 1, T, T]


def test_an_observation_written_in_place_is_encoded_again(make: MakeAlgorithm) -> None:
    """An environment may return the same object at every step."""
    alg = make()
    runner = Runner(alg)
    runner.iterate()
    obs = runner.obs
    with torch.inference_mode():
        for seed in (None, 2, 3):
            if seed is not None:
                obs["rgb"].copy_(observations(seed=seed)["rgb"])
            alg.act(obs)
            alg.process_env_step(obs, torch.zeros(N), torch.zeros(N), extras_of())
        expected = [alg.encoder.encode(observations(seed=seed))[FEATURES] for seed in (2, 3)]
    assert torch.equal(alg.storage.observations[FEATURES][1:3], torch.stack(expected))


def test_features_are_stored_instead_of_images(make: MakeAlgorithm) -> None:
    alg = make()
    Runner(alg).rollout()
    assert set(alg.storage.observations.keys()) == {FEATURES, "state", "privileged"}


def test_the_backbone_does_not_change(make: MakeAlgorithm, encoder: Gr00tEncoder) -> None:
    before = {name: value.clone() for name, value in encoder.model.state_dict().items()}
    Runner(make(learning_rate=0.1)).iterate(2)
    assert same(before, encoder.model.state_dict())
    assert encoder.freezing.check_gradients().num_trained == 0


def test_a_backbone_that_got_a_gradient_stops_the_training(make: MakeAlgorithm, encoder: Gr00tEncoder) -> None:
    runner = Runner(make(), encoded=True)
    runner.rollout()
    parameter = next(encoder.model.parameters())
    parameter.grad = torch.zeros_like(parameter)
    try:
        with pytest.raises(RuntimeError, match="1 frozen parameters of GR00T have a gradient, such as backbone"):
            runner.alg.update()
    finally:
        parameter.grad = None


# Steps that were not executed


def test_the_mask_of_executed_steps_is_stored(make: MakeAlgorithm) -> None:
    alg = make()
    executed = torch.randint(1, H + 1, (T, N), generator=torch.Generator().manual_seed(0))
    Runner(alg, encoded=True).rollout(executed)
    assert alg.storage.valid.dtype == torch.bool
    for step in range(T):
        for env in range(N):
            count = int(executed[step, env])
            assert alg.storage.valid[step, env].tolist() == [True] * count + [False] * (H - count)


@pytest.mark.parametrize("value", [-3.0, math.inf, math.nan])
def test_actions_after_the_end_of_an_episode_change_nothing(make: MakeAlgorithm, value: float) -> None:
    executed = torch.full((T, N), H)
    executed[1:4, 1] = torch.tensor([1, 2, 3])
    results = {}
    for name in ("as acted", "changed after the end", "changed before the end"):
        alg = make(entropy_coef=0.01, kl_to_base_coef=0.1)
        torch.manual_seed(1)
        Runner(alg, encoded=True).rollout(executed)
        actions, valid = alg.storage.actions.view(T, N, H, A), alg.storage.valid
        if name == "changed after the end":
            actions[~valid] = value
        elif name == "changed before the end":
            actions[1, 1, 0] += 0.1
        torch.manual_seed(2)
        alg.update()
        results[name] = weights(alg)
    assert same(results["as acted"], results["changed after the end"])
    assert not same(results["as acted"], results["changed before the end"])


# Returns


def test_returns_equal_hand_computed_ones_with_a_termination_and_a_time_out(
    make: MakeAlgorithm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Environment 0 goes on, 1 terminates at the second decision, 2 times out there. gamma = lambda = 1/2."""
    alg = make(num_envs=3, num_steps=3, gamma=0.5, lam=0.5, num_mini_batches=1)
    values = iter(torch.arange(1.0, 13.0).view(4, 3, 1))
    monkeypatch.setattr(alg.critic, "forward", lambda obs: next(values))
    with torch.inference_mode():
        obs = alg.encoder.encode(observations(3))
        for step in range(3):
            alg.act(obs)
            dones = torch.tensor([0, 1, 1] if step == 1 else [0, 0, 0])
            time_outs = torch.tensor([False, False, step == 1])
            extras = extras_of(3, time_outs=time_outs)
            alg.process_env_step(obs, torch.full((3,), step + 1.0), dones, extras)
        alg.compute_returns(obs)
    expected = torch.tensor([[3.4375, 2.75, 3.75], [5.75, 2.0, 5.0], [8.0, 8.5, 9.0]])
    torch.testing.assert_close(alg.storage.returns.squeeze(-1), expected)
    advantages = expected - torch.arange(1.0, 10.0).view(3, 3)
    torch.testing.assert_close(
        alg.storage.advantages.squeeze(-1), (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    )


# Update


def test_mini_batches_are_shuffled_anew_in_every_epoch(make: MakeAlgorithm, monkeypatch: pytest.MonkeyPatch) -> None:
    alg = make(num_learning_epochs=3, num_mini_batches=2)
    runner = Runner(alg, encoded=True)
    batches: list[list[float]] = []
    original = alg.updater._mini_batch

    def recorded(storage: Any, indices: torch.Tensor, *more: Any) -> Any:
        batches.append(alg.storage.batch(indices).rows["returns"].squeeze(1).tolist())
        return original(storage, indices, *more)

    monkeypatch.setattr(alg.updater, "_mini_batch", recorded)
    runner.iterate()
    epochs = [batches[i] + batches[i + 1] for i in range(0, 6, 2)]
    returns = sorted(alg.storage.returns.flatten().tolist())
    assert len(epochs) == 3
    assert all(sorted(epoch) == returns for epoch in epochs), "every decision once per epoch"
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    runner.iterate()
    assert len(batches) == 12


@pytest.mark.parametrize(("target_kl", "updates"), [(1e-4, 3), (1e9, 12), (None, 12)])
def test_target_kl_stops_further_epochs(make: MakeAlgorithm, target_kl: float | None, updates: int) -> None:
    alg = make(learning_rate=0.03, num_learning_epochs=4, num_mini_batches=3, target_kl=target_kl)
    log = Runner(alg, encoded=True).iterate()
    assert log["train/num_updates"] == updates
    assert log["train/stopped_early"] == float(updates == 3)


def kl_to_reference(alg: Gr00tPPO) -> float:
    with torch.no_grad():
        obs = alg.encoder.encode(observations(seed=99))
        actions = alg.actor(obs, stochastic_output=True)
        decisions = Decisions(actions, alg.actor.output_distribution_params, torch.ones(N, H, dtype=torch.bool))
        policy, base = alg.actor.score(obs, decisions), alg.reference.actor.score(obs, decisions)
        return float(policy.kl_divergence(base).sum(1).mean())


def test_a_larger_kl_penalty_keeps_the_policy_closer_to_the_base(make: MakeAlgorithm) -> None:
    distances = []
    for coefficient in (0.0, 0.3, 10.0):
        alg = make(kl_to_base_coef=coefficient, num_learning_epochs=4, learning_rate=3e-3)
        torch.manual_seed(5)
        Runner(alg, encoded=True).iterate(4)
        distances.append(kl_to_reference(alg))
    assert distances[0] > 2 * distances[1] > 4 * distances[2] > 0.0


def test_the_reference_policy_is_the_policy_at_step_zero_for_ever(make: MakeAlgorithm) -> None:
    alg = make()
    start = {name: value.clone() for name, value in alg.actor.state_dict().items()}
    assert same(start, alg.reference.actor.state_dict())
    Runner(alg, encoded=True).iterate(2)
    assert same(start, alg.reference.actor.state_dict())
    assert not same(start, alg.actor.state_dict())
    assert not any(parameter.requires_grad for parameter in alg.reference.actor.parameters())


def test_the_critic_learns_twenty_times_faster_by_default(make: MakeAlgorithm) -> None:
    alg = make(learning_rate=1e-4)
    actor, critic = alg.updater.optimizer.param_groups
    assert (actor["name"], critic["name"]) == ("actor", "critic")
    assert (actor["lr"], critic["lr"]) == (1e-4, pytest.approx(2e-3))
    for group, module in ((actor, alg.actor), (critic, alg.critic)):
        assert {id(p) for p in group["params"]} == {id(p) for p in module.parameters()}
    assert make(critic_learning_rate=0.5).updater.optimizer.param_groups[1]["lr"] == 0.5


@pytest.mark.parametrize("optimizer", ["adam", "AdamW", "sgd"])
def test_the_optimizer_can_be_chosen(make: MakeAlgorithm, optimizer: str) -> None:
    alg = make(optimizer=optimizer)
    assert type(alg.updater.optimizer).__name__.lower() == optimizer.lower()
    assert alg.updater.optimizer.param_groups[0].get("eps", 1e-5) == 1e-5


def test_the_value_loss_weight_scales_the_critic_only(make: MakeAlgorithm) -> None:
    """SGD, so that the gradient's scale reaches the weights."""
    results = []
    for coefficient in (0.0, 1.0):
        alg = make(value_loss_coef=coefficient, optimizer="sgd", critic_learning_rate=1e-3)
        torch.manual_seed(6)
        Runner(alg, encoded=True).iterate()
        results.append(weights(alg))
    for name in results[0]:
        equal = torch.equal(results[0][name], results[1][name])
        assert equal == (not name.startswith(("critic.mlp", "critic.feature_norm"))), name


def test_an_entropy_bonus_widens_the_policy(make: MakeAlgorithm) -> None:
    widths = []
    for coefficient in (0.0, 1.0):
        alg = make(entropy_coef=coefficient, kl_to_base_coef=0.0, learning_rate=1e-2)
        torch.manual_seed(4)
        Runner(alg, encoded=True).iterate(2)
        widths.append(float(alg.actor.output_std.mean()))
    assert widths[1] > widths[0] + 0.01


def test_the_value_is_clipped_by_clip_param_unless_switched_off(make: MakeAlgorithm) -> None:
    """With a range that nothing moves beyond, both are the same; with a narrow one, they are not."""
    results = []
    for clipped, clip in ((True, 1e6), (False, 1e6), (True, 1e-3), (False, 1e-3)):
        alg = make(use_clipped_value_loss=clipped, clip_param=clip, optimizer="sgd", critic_learning_rate=1e-2)
        torch.manual_seed(4)
        Runner(alg, encoded=True).iterate()
        results.append({name: value for name, value in weights(alg).items() if name.startswith("critic")})
    wide, plain, narrow, plain_too = results
    assert same(wide, plain)
    assert same(plain, plain_too)
    assert not same(wide, narrow)


def test_gradients_of_actor_and_critic_are_limited_each(make: MakeAlgorithm) -> None:
    alg = make(max_grad_norm=1e-3, value_loss_coef=1e3)
    limited: list[list[float]] = []

    def look(*_: Any) -> None:
        parameters = [[p.grad.norm() for p in module.parameters()] for module in (alg.actor, alg.critic)]
        limited.append([float(torch.stack(norms).norm()) for norms in parameters])

    alg.updater.optimizer.register_step_pre_hook(look)
    log = Runner(alg, encoded=True).iterate()
    assert log["train/grad_norm_critic"] > log["train/grad_norm_actor"] > 1e-3, "logged before they are limited"
    assert len(limited) == 6
    assert limited == [[pytest.approx(1e-3, rel=1e-3)] * 2] * 6


def test_gradients_take_no_memory_in_the_rollout(make: MakeAlgorithm) -> None:
    alg = make()
    Runner(alg, encoded=True).iterate()
    assert all(p.grad is None for group in alg.updater.optimizer.param_groups for p in group["params"])


def test_the_critics_statistics_take_in_the_rollout(make: MakeAlgorithm) -> None:
    alg = make()
    runner = Runner(alg, encoded=True)
    runner.rollout()
    stored = torch.cat([alg.storage.observations[group] for group in ("state", "privileged")], dim=-1).flatten(0, 1)
    alg.update()
    torch.testing.assert_close(alg.critic.normalizer.mean, stored.mean(dim=0))
    assert alg.critic.normalizer.count == N * T
    assert alg.storage.step == 0


# Metrics


def test_the_log_of_the_last_step_carries_the_metrics(make: MakeAlgorithm) -> None:
    alg = make()
    obs = observations()
    logs = []
    with torch.inference_mode():
        for step in range(T):
            alg.act(obs)
            ended = torch.tensor([step == 2, step == 4, False, step == 4])
            extras = extras_of(
                executed_steps=torch.where(ended, 1, H),
                episode_return=torch.where(ended, 10.0 * step, 0.0),
                episode_steps=torch.where(ended, 100 * step, 0),
                success=ended & torch.tensor([True, False, False, True]),
                time_outs=torch.zeros(N, dtype=torch.bool),
                log={"Episode_Reward/reach": torch.tensor(float(step))},
            )
            alg.process_env_step(obs, torch.full((N,), 0.5), ended.long(), extras)
            logs.append(extras["log"])
        alg.compute_returns(obs)
    losses = alg.update()
    log = logs[-1]
    for name in (
        *("policy_loss", "value_loss", "entropy_loss", "approx_kl", "kl_to_base", "clipfrac", "explained_variance"),
        *("learning_rate", "first_ratio_error", "num_updates"),
    ):
        assert math.isfinite(log[f"train/{name}"]), name
    assert log["train/learning_rate"] == 1e-3
    assert log["train/policy_loss"] == losses["surrogate"]
    assert log["train/value_loss"] == losses["value"]
    assert log["train/entropy_loss"] == -losses["entropy"]
    assert log["charts/success_rate"] == pytest.approx(2 / 3)
    assert log["charts/episodic_return"] == pytest.approx((20 + 40 + 40) / 3)
    assert log["charts/episodic_length"] == pytest.approx((200 + 400 + 400) / 3)
    control_steps = T * N * H - 3 * (H - 1)
    assert log["charts/reward_per_step"] == pytest.approx(T * N * 0.5 / control_steps)
    assert log["charts/SPS"] > 0.0
    assert log["perf/backbone_calls"] == T + 1
    assert log["Episode_Reward/reach"] == T - 1
    assert all("train/policy_loss" not in earlier for earlier in logs[:-1])


def test_success_is_the_success_term_and_nothing_else(make: MakeAlgorithm) -> None:
    """A terminated episode, such as a dropped cube, is none; a task without the term has no success rate."""
    ended = torch.ones(N, dtype=torch.long)
    for success, expected in ((torch.zeros(N, dtype=torch.bool), 0.0), (None, None)):
        alg = make()
        obs = alg.encoder.encode(observations())
        with torch.inference_mode():
            for _ in range(T):
                alg.act(obs)
                extras = extras_of() if success is None else extras_of(success=success)
                alg.process_env_step(obs, torch.zeros(N), ended, extras)
            alg.compute_returns(obs)
        alg.update()
        assert extras["log"].get("charts/success_rate") == expected
        assert extras["log"]["charts/episodic_return"] == 0.0


def test_rates_are_those_of_all_episodes_of_a_large_rollout(make: MakeAlgorithm) -> None:
    alg = make(num_envs=60, num_steps=3)
    obs = alg.encoder.encode(observations(60))
    with torch.inference_mode():
        for step in range(3):
            alg.act(obs)
            extras = extras_of(60, success=torch.full((60,), step > 0))
            alg.process_env_step(obs, torch.zeros(60), torch.ones(60), extras)
        alg.compute_returns(obs)
    alg.update()
    assert extras["log"]["charts/success_rate"] == pytest.approx(2 / 3)


# Checkpoints


def test_a_run_continues_identically_from_its_checkpoint(make: MakeAlgorithm, tmp_path: Path) -> None:
    alg = make(kl_to_base_coef=0.1)
    torch.manual_seed(7)
    Runner(alg, encoded=True).iterate(2)
    torch.save(alg.save() | {"iter": 1, "infos": None}, tmp_path / "model_1.pt")
    random = torch.get_rng_state()
    Runner(alg, seed=8, encoded=True).iterate()

    resumed = make(seed=123, kl_to_base_coef=0.1)
    assert not same(weights(resumed), weights(alg))
    torch.manual_seed(999)
    assert resumed.load(torch.load(tmp_path / "model_1.pt", weights_only=True), None, True) is True
    # what the runner's guard restores
    torch.set_rng_state(random)
    Runner(resumed, seed=8, encoded=True).iterate()
    assert same(weights(resumed), weights(alg))
    assert same(resumed.reference.actor.state_dict(), alg.reference.actor.state_dict())


def test_without_its_optimizer_a_checkpoint_leaves_random_numbers_and_learning_rate_alone(
    make: MakeAlgorithm,
) -> None:
    """What `isaaclab train --resume` asks for."""
    alg = make()
    Runner(alg, encoded=True).iterate()
    saved = copy.deepcopy(alg.save())
    other = make(seed=1, learning_rate=5e-4)
    torch.manual_seed(3)
    expected = torch.randn(3)
    torch.manual_seed(3)
    other.load(saved, {"actor": True, "critic": True, "optimizer": False, "iteration": True}, True)
    assert torch.equal(torch.randn(3), expected)
    assert other.updater.optimizer.param_groups[0]["lr"] == 5e-4
    assert same(weights(other), weights(alg))
    assert same(other.reference.actor.state_dict(), alg.reference.actor.state_dict())


def test_a_checkpoint_holds_what_is_trained_and_not_the_backbone(make: MakeAlgorithm, encoder: Gr00tEncoder) -> None:
    saved = make().save()
    assert saved["base_fingerprint"] == encoder.fingerprint
    assert saved["base_name"] == str(encoder.model.config.source)
    assert len(saved["actor_state_dict"]) == len(list(saved["reference_state_dict"]))
    stored = sum(v.numel() for part in ("actor", "critic") for v in saved[f"{part}_state_dict"].values())
    assert stored < 100_000


def test_a_checkpoint_of_another_base_is_refused_before_anything_changes(make: MakeAlgorithm) -> None:
    saved = make(seed=1).save() | {"base_fingerprint": "0" * 64, "base_name": "/models/other"}
    alg = make()
    before = weights(alg)
    with pytest.raises(ValueError, match=r"trained on the GR00T in '/models/other', but .* is loaded"):
        alg.load(saved, None, True)
    assert same(before, weights(alg))


def test_a_checkpoint_of_an_mlp_run_is_refused(make: MakeAlgorithm) -> None:
    with pytest.raises(ValueError, match=r"not written by gr00t_rl_ext.*--agent rsl_rl_cfg_entry_point"):
        make().load({"actor_state_dict": {}, "critic_state_dict": {}, "iter": 5}, None, True)


# Several GPUs


def test_every_rank_gets_the_reference_policy_of_rank_zero(
    make: MakeAlgorithm, monkeypatch: pytest.MonkeyPatch
) -> None:
    alg = make()
    sent: list[int] = []
    monkeypatch.setattr(torch.distributed, "broadcast", lambda tensor, src: sent.append(tensor.data_ptr()))
    alg.broadcast_parameters()
    for module in (alg.actor, alg.critic, alg.reference.actor):
        assert {tensor.data_ptr() for tensor in module.state_dict().values()} <= set(sent)


# Settings


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("clip_param", 0.0),
        ("clip_param", -0.1),
        ("learning_rate", 0.0),
        ("learning_rate", -1e-3),
        ("learning_rate", math.nan),
        ("critic_learning_rate", -1.0),
        ("target_kl", 0.0),
        ("max_grad_norm", 0.0),
        ("adam_epsilon", 0.0),
        ("huber_delta", -1.0),
        ("desired_kl", 0.0),
    ],
)
def test_a_setting_that_must_be_positive(make: MakeAlgorithm, setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"`agent.algorithm.{setting}` is {value}; expected a positive number"):
        make(**{setting: value})


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"num_learning_epochs": 0}, r"`agent.algorithm.num_learning_epochs` is 0; expected an integer of at least 1"),
        ({"num_mini_batches": 0}, r"`agent.algorithm.num_mini_batches` is 0; expected an integer"),
        ({"max_skipped_steps": 0}, r"`agent.algorithm.max_skipped_steps` is 0; expected an integer"),
        ({"critic_warmup_iterations": -1}, r"`agent.algorithm.critic_warmup_iterations` is -1; expected 0"),
        ({"gamma": 1.5}, r"`agent.algorithm.gamma` is 1.5; expected a number in \(0, 1\]"),
        ({"lam": -0.1}, r"`agent.algorithm.lam` is -0.1; expected a number in"),
        (
            {"optimizer": "lion"},
            r"`agent.algorithm.optimizer` is 'lion'; expected one of adam, adamw, sgd, rmsprop",
        ),
        ({"reward_clip": 10.0}, r"`agent.algorithm.reward_clip` is 10.0, but `agent.algorithm.reward_normalization`"),
        ({"desired_kl": 0.01}, r"`agent.algorithm.desired_kl` is 0.01, which only the schedule 'adaptive' reads"),
        ({"num_mini_batches": 5}, r"has 24 decisions .* do not divide into that many equal parts. Set it to 4 or 6"),
    ],
)
def test_settings_that_cannot_be_are_refused(make: MakeAlgorithm, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        make(**settings)


def test_a_negative_kl_weight_is_refused(make: MakeAlgorithm) -> None:
    with pytest.raises(ValueError, match=r"`agent.algorithm.kl_to_base_coef` is -0.1; expected 0 \(off\) or more"):
        make(kl_to_base_coef=-0.1)


def test_more_mini_batches_than_decisions_are_refused(make: MakeAlgorithm) -> None:
    text = r"num_mini_batches` is 25, but an iteration has 24 decisions \(4 environments x 6 per environment\)"
    with pytest.raises(ValueError, match=text):
        make(num_mini_batches=25)
    make(num_mini_batches=24)


def test_too_few_decisions_to_normalise_advantages_are_refused(make: MakeAlgorithm) -> None:
    """One decision has no standard deviation: NaN would reach every weight."""
    with pytest.raises(ValueError, match="has 1 decisions .* expected at least 2"):
        make(num_envs=1, num_steps=1, num_mini_batches=1)
    with pytest.raises(ValueError, match="has 24 decisions .* expected at least 26"):
        make(num_mini_batches=13, normalize_advantage_per_mini_batch=True)
    alg = make(num_mini_batches=12, normalize_advantage_per_mini_batch=True)
    Runner(alg, encoded=True).iterate()
    assert all(value.isfinite().all() for value in weights(alg).values())


def build(algorithm: dict[str, Any] | None = None, **changes: Any) -> Gr00tPPO:
    """`construct_algorithm` up to the point where it needs an environment."""
    cfg = {
        "algorithm": {"class_name": "gr00t_rl_ext.algorithms.ppo:Gr00tPPO", "gamma": 0.99} | (algorithm or {}),
        "actor": {"class_name": "gr00t_rl_ext.policy.gaussian_actor:Gr00tGaussianActor"},
        "critic": {"class_name": "gr00t_rl_ext.policy.critic:Gr00tCritic"},
        "obs_groups": OBS_GROUPS,
        "num_steps_per_env": T,
        "multi_gpu": None,
    }
    unwrapped = SimpleNamespace(configure_decisions=lambda *args, **kwargs: None)
    return construction.build(observations(), SimpleNamespace(unwrapped=unwrapped, num_envs=N), cfg | changes, "cpu")


@pytest.mark.parametrize(
    ("algorithm", "text"),
    [
        ({"clip": 0.2}, r"`agent.algorithm` has no field 'clip'. Its fields are: .*clip_param, critic_learning_rate"),
        ({"rnd_cfg": {"weight": 1.0}}, r"`agent.algorithm.rnd_cfg` is set, which Gr00tPPO does not support"),
        ({"symmetry_cfg": {"x": 1}}, r"`agent.algorithm.symmetry_cfg` is set"),
        ({"share_cnn_encoders": True}, r"`agent.algorithm.share_cnn_encoders` is set"),
        (
            {"schedule": "adaptive"},
            r"`agent.algorithm.schedule` is 'adaptive', which needs `agent.algorithm.desired_kl`",
        ),
        ({"critic_schedule": "cosine"}, r"`agent.algorithm.critic_schedule` is 'cosine'. Available are 'fixed'"),
    ],
)
def test_fields_of_the_algorithm_that_nothing_reads_are_refused(algorithm: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        build(algorithm)


def test_missing_observation_sets_are_refused() -> None:
    with pytest.raises(ValueError, match=r"names no observation groups for the actor and the critic; it has policy"):
        build(obs_groups={"policy": ["state"]})


def test_a_task_without_action_chunks_is_refused() -> None:
    env = SimpleNamespace(unwrapped=SimpleNamespace(), num_envs=N)
    cfg = {name: {"class_name": "gr00t_rl_ext.algorithms.ppo:Gr00tPPO"} for name in ("algorithm", "actor", "critic")}
    with pytest.raises(ValueError, match="environment class SimpleNamespace has no action chunks.*ChunkedDirectRLEnv"):
        construction.build(observations(), env, cfg, "cpu")
    with pytest.raises(ValueError, match="The task's environment class"):
        Gr00tPPO.construct_algorithm(observations(), env, cfg, "cpu")


def test_the_config_class_has_only_fields_that_the_algorithm_takes() -> None:
    from gr00t_rl_ext.algorithms.configs import Gr00tPpoAlgorithmCfg

    cfg = Gr00tPpoAlgorithmCfg().to_dict()
    assert cfg.pop("class_name") == f"{Gr00tPPO.__module__}:{Gr00tPPO.__qualname__}"
    construction._drop_unsupported(Gr00tPPO, cfg)
    assert cfg == dataclasses.asdict(PpoOptions())
