# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Details of PPO that docs/ppo_details.md lists, as they act in a whole rollout and update."""

from __future__ import annotations

import copy
import itertools
import math
from typing import Any

import pytest
import torch
from made_up_experience import A, H, N, Runner, T, extras_of, same, weights
from tensordict import TensorDict
from tiny_policy import actor_critic, load_encoder, observations
from torch import nn

from gr00t_rl_ext.algorithms.finite import DivergedError
from gr00t_rl_ext.algorithms.ppo import Gr00tPPO
from gr00t_rl_ext.policy.critic import Gr00tCritic
from gr00t_rl_ext.policy.encoder import FEATURES, Gr00tEncoder
from gr00t_rl_ext.policy.flow_actor import Gr00tFlowActor, NoiseNetwork
from gr00t_rl_ext.policy.options import CriticOptions
from gr00t_rl_ext.policy.stages import FreezingOptions

DEFAULTS: dict[str, Any] = {
    "num_learning_epochs": 2,
    "num_mini_batches": 3,
    "target_kl": None,
    "learning_rate": 1e-3,
    "kl_to_base_coef": 0.0,
}


def over(
    encoder: Gr00tEncoder, num_envs: int = N, num_steps: int = T, critic: dict[str, Any] | None = None, **settings: Any
) -> Gr00tPPO:
    """PPO of the Gaussian policy over an encoder."""
    pair = actor_critic(encoder, H, critic=critic, **settings.pop("actor", {}))
    alg = Gr00tPPO(pair, observations(num_envs), num_steps, **(DEFAULTS | settings))  # type: ignore[arg-type]
    alg.train_mode()
    return alg


def training_language(dtype: str = "float32", **settings: Any) -> Gr00tPPO:
    """PPO that trains LoRA on the last language layer as well, over a GR00T of its own."""
    torch.manual_seed(0)
    freezing = FreezingOptions(("language_lora",), language_layers=1, lora_rank=4)
    return over(load_encoder(freezing=freezing, dtype=dtype), **settings)


def language(alg: Gr00tPPO) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in alg.freezing.state_dict().items()}


def learnt_by_critic(alg: Gr00tPPO) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in alg.critic.named_parameters()}


# Initialisation


@pytest.mark.parametrize("network", ["critic", "noise of the flow"])
def test_networks_start_orthogonal_with_zero_biases(encoder: Gr00tEncoder, network: str) -> None:
    """Gain sqrt(2) in hidden layers, 1 for values, 0.01 for what the policy says. Adapters: tests/policy."""
    if network == "critic":
        mlp, last = Gr00tCritic(encoder, observations(), ["rgb", "state"], CriticOptions(hidden_dims=[32, 16])).mlp, 1.0
    else:
        mlp, last = NoiseNetwork(64, 16, (4, 8), (64, 48)).mlp, 0.01
    layers = [module for module in mlp if isinstance(module, nn.Linear)]
    assert len(layers) == 3
    for layer, gain in zip(layers, (math.sqrt(2.0), math.sqrt(2.0), last), strict=True):
        singular = torch.linalg.svdvals(layer.weight)
        torch.testing.assert_close(singular, torch.full_like(singular, gain), rtol=1e-4, atol=1e-6)
        assert not layer.bias.any()


# Observations, actions and rewards


def test_normalised_observations_of_the_critic_are_clipped(encoder: Gr00tEncoder) -> None:
    far, farther = observations(), observations()
    far["privileged"][:], farther["privileged"][:] = 1e3, 1e4
    values = {}
    for clip in (10.0, None):
        critic = Gr00tCritic(encoder, far, ["privileged"], CriticOptions(obs_clip=clip))
        values[clip] = critic(far), critic(farther), critic(observations())
    assert torch.equal(values[10.0][0], values[10.0][1])
    assert not torch.equal(values[None][0], values[None][1])
    assert not torch.equal(values[10.0][0], values[10.0][2]), "what lies inside is not"


def test_actions_are_stored_as_they_were_drawn(encoder: Gr00tEncoder) -> None:
    """Clipping to [-1, 1] is the environment wrapper's; densities are those of the unclipped actions."""
    alg = over(encoder, actor={"distribution_cfg": {"init_std": 0.9}})
    obs = observations()
    with torch.inference_mode():
        actions = alg.act(obs)
        alg.process_env_step(obs, torch.zeros(N), torch.zeros(N), extras_of())
    assert actions.abs().max() > 1.0
    assert torch.equal(alg.storage.actions[0], actions)
    mean, std = alg.storage.recorded
    expected = torch.distributions.Normal(mean[0], std[0]).log_prob(actions.view(N, H, A)).sum((1, 2))
    scored = alg.actor.score_recorded(alg.storage.batch(slice(0, N)).decisions)
    torch.testing.assert_close(scored.log_prob().sum(1), expected)


def test_agents_clip_actions_where_the_policy_is_bounded() -> None:
    recipes = pytest.importorskip("gr00t_rl_ext.tasks.recipes")
    assert recipes.Gr00tAdapterPpoRunnerCfg().clip_actions == 1.0
    for unbounded in (recipes.Gr00tFlowPpoRunnerCfg, recipes.Gr00tCategoricalPpoRunnerCfg):
        assert unbounded().clip_actions is None


@pytest.mark.parametrize("clip", [None, 1.0])
def test_rewards_are_divided_by_the_std_of_the_discounted_return(encoder: Gr00tEncoder, clip: float | None) -> None:
    """Against numpy's variance of all returns so far; metrics keep the task's rewards."""
    alg = over(encoder, reward_normalization=True, reward_clip=clip, gamma=0.9)
    generator = torch.Generator().manual_seed(0)
    rewards = 30.0 * torch.randn(T, N, generator=generator)
    dones = torch.rand(T, N, generator=generator) < 0.2
    running, seen, expected, extras = torch.zeros(N), [], [], {}
    obs = observations()
    with torch.inference_mode():
        for step in range(T):
            alg.act(obs)
            extras = extras_of()
            alg.process_env_step(obs, rewards[step], dones[step].long(), extras)
            running = 0.9 * running + rewards[step]
            seen.append(running)
            expected.append(rewards[step] / float(torch.stack(seen).numpy().std()))
            running = torch.where(dones[step], 0.0, running)
        alg.compute_returns(obs)
    scaled = torch.stack(expected) if clip is None else torch.stack(expected).clamp(-clip, clip)
    # the statistics begin with a variance of 1, of the weight of 1e-4 samples
    torch.testing.assert_close(alg.storage.rewards, scaled, rtol=1e-3, atol=0)
    alg.update()
    assert extras["log"]["charts/reward_per_step"] == pytest.approx(float(rewards.sum()) / (T * N * H), rel=1e-5)
    resumed = over(encoder, reward_normalization=True)
    resumed.load(copy.deepcopy(alg.save()) | {"iter": 0}, None, True)
    assert torch.equal(resumed._reward_normalizer.variance, alg._reward_normalizer.variance)  # type: ignore[union-attr]


# Time-outs


@pytest.mark.parametrize("images", [False, True])
def test_time_outs_are_worth_the_value_of_the_state_in_which_they_happen(encoder: Gr00tEncoder, images: bool) -> None:
    """Environment 1 terminates, 2 times out after 2 of 4 control steps."""
    alg = over(encoder, num_steps=1, num_mini_batches=1, bootstrap_images=images, gamma=0.8)
    assert alg.final_observation_groups == ["state", "privileged", *(["rgb"] if images else [])]
    before, final, after = (observations(seed=seed) for seed in (1, 2, 3))
    time_outs = torch.tensor([False, False, True, False])
    with torch.inference_mode():
        alg.act(before)
        extras = extras_of(
            executed_steps=torch.tensor([4, 4, 2, 4]),
            time_outs=time_outs,
            final_observations=final.select(*alg.final_observation_groups),
        )
        alg.process_env_step(after, torch.full((N,), 3.0), torch.tensor([0, 1, 1, 0]), extras)
        alg.compute_returns(after)
        shown = final if images else before
        seen = TensorDict({**final, FEATURES: encoder.encode(shown)[FEATURES]}, [N]).exclude("rgb")
        value, next_value = alg.critic(seen).squeeze(1), alg.critic(after).squeeze(1)
        other = TensorDict({**final, FEATURES: encoder.encode(after)[FEATURES]}, [N])
        assert (alg.critic(other).squeeze(1) - value).abs().min() > 1e-4, "the features matter"
    torch.testing.assert_close(alg.storage.final_values[0], torch.where(time_outs, value, 0.0))
    following = torch.stack([0.8 * next_value[0], torch.zeros(()), 0.8**0.5 * value[2], 0.8 * next_value[3]])
    torch.testing.assert_close(alg.storage.returns[0, :, 0], 3.0 + following)


def test_time_outs_may_count_as_failures(encoder: Gr00tEncoder) -> None:
    """Environment 1 terminates, 2 times out: nothing follows either of them, and nothing is observed for it."""
    alg = over(encoder, num_steps=1, num_mini_batches=1, bootstrap_time_outs=False, gamma=0.8)
    assert alg.final_observation_groups == []
    before, after = observations(seed=1), observations(seed=3)
    with torch.inference_mode():
        alg.act(before)
        extras = extras_of(time_outs=torch.tensor([False, False, True, False]))
        alg.process_env_step(after, torch.full((N,), 3.0), torch.tensor([0, 1, 1, 0]), extras)
        alg.compute_returns(after)
        following = 0.8 * alg.critic(after).squeeze(1) * torch.tensor([1.0, 0.0, 0.0, 1.0])
    torch.testing.assert_close(alg.storage.returns[0, :, 0], 3.0 + following)


def test_images_of_time_outs_that_nobody_values_are_refused(encoder: Gr00tEncoder) -> None:
    with pytest.raises(ValueError, match="`agent.algorithm.bootstrap_time_outs` is off"):
        over(encoder, bootstrap_time_outs=False, bootstrap_images=True)


def test_images_for_a_critic_without_eyes_are_refused(encoder: Gr00tEncoder) -> None:
    pair = actor_critic(encoder, H)
    pair.critic = Gr00tCritic(encoder, observations(), ["state"], CriticOptions(hidden_dims=[8]))
    with pytest.raises(ValueError, match="`agent.algorithm.bootstrap_images` is set, but the critic reads no images"):
        Gr00tPPO(pair, observations(), T, **(DEFAULTS | {"bootstrap_images": True}))  # type: ignore[arg-type]


def test_a_bonus_for_an_entropy_that_is_a_constant_is_refused() -> None:
    loaded = load_encoder(freezing=FreezingOptions(("projector",)), reads_head=True)
    pair = actor_critic(loaded, H, actor_class=Gr00tFlowActor)
    with pytest.raises(ValueError, match=r"`agent.algorithm.entropy_coef` is 0.1, but the entropy .* is a constant"):
        Gr00tPPO(pair, observations(), T, **(DEFAULTS | {"entropy_coef": 0.1}))  # type: ignore[arg-type]


# Values


def test_values_of_control_steps_are_discounted_per_control_step(encoder: Gr00tEncoder) -> None:
    """With a critic that says 0 and lambda 1, returns are the discounted rewards of what follows."""
    alg = over(encoder, critic={"values": "step"}, gamma=0.9, lam=1.0)
    for parameter in alg.critic.mlp[-1].parameters():
        nn.init.zeros_(parameter)
    executed = torch.full((T, N), H)
    executed[2, 1] = 2
    generator = torch.Generator().manual_seed(0)
    rewards, obs = torch.randn(T, N, H, generator=generator), observations()
    with torch.inference_mode():
        for step in range(T):
            alg.act(obs)
            extras = extras_of(executed_steps=executed[step], step_rewards=rewards[step])
            alg.process_env_step(obs, torch.zeros(N), executed[step] < H, extras)
        alg.compute_returns(obs)
    expected, following = torch.zeros(T, N, H), torch.zeros(N)
    for step in reversed(range(T)):
        for k in reversed(range(H)):
            counts, ends = k < executed[step], (k == executed[step] - 1) & (executed[step] < H)
            here = rewards[step, :, k] + 0.9 ** (1.0 / H) * torch.where(ends, 0.0, following)
            expected[step, :, k] = torch.where(counts, here, 0.0)
            following = torch.where(counts, here, following)
    torch.testing.assert_close(alg.storage.returns, expected)


@pytest.mark.parametrize(("clip", "huber"), [(True, None), (False, None), (False, 0.05), (True, 0.05)])
def test_the_value_loss_of_two_epochs_by_hand(
    encoder: Gr00tEncoder, monkeypatch: pytest.MonkeyPatch, clip: bool, huber: float | None
) -> None:
    """The squared or Huber's error, of the worse of value and clipped value. In the second epoch values have changed
    beyond the clip range."""
    alg = over(
        encoder, num_mini_batches=1, use_clipped_value_loss=clip, huber_delta=huber, clip_param=0.02,
        critic_learning_rate=1e-2,
    )  # fmt: skip
    monkeypatch.setattr(alg.storage, "shuffled", lambda count: iter([torch.arange(N * T)]))
    runner = Runner(alg)
    runner.rollout()
    old, returns = alg.storage.values.flatten().clone(), alg.storage.returns.flatten().clone()
    seen: list[torch.Tensor] = []
    alg.critic.register_forward_hook(lambda module, args, output: seen.append(output.detach().flatten()))
    alg.update()
    assert len(seen) == 2
    assert (seen[1] - old).abs().max() > 0.04

    def error(values: torch.Tensor) -> torch.Tensor:
        size = (values - returns).abs()
        return size.square() if huber is None else torch.where(size < huber, size**2, 2 * huber * size - huber**2)

    changed = [old + (values - old).clamp(-0.02, 0.02) if clip else values for values in seen]
    expected = [torch.maximum(error(v), error(c)).mean() for v, c in zip(seen, changed, strict=True)]
    assert runner.logs[-1]["train/value_loss"] == pytest.approx(float(sum(expected)) / 2, rel=1e-5)


def test_in_the_warm_up_only_the_critic_learns() -> None:
    alg = training_language(critic_warmup_iterations=2, entropy_coef=0.01, critic={"detach": False})
    runner = Runner(alg)
    start, start_language = alg.actor.state_dict(), language(alg)
    start = {name: value.clone() for name, value in start.items()}
    for iteration in range(3):
        critic = learnt_by_critic(alg)
        log = runner.iterate()
        assert not same(critic, learnt_by_critic(alg))
        warm = iteration < 2
        assert same(start, alg.actor.state_dict()) == warm
        assert same(start_language, language(alg)) == warm
        assert (log["train/grad_norm_actor"] == log["train/grad_norm_language_lora"] == 0.0) == warm


@pytest.mark.parametrize("detach", [True, False])
def test_the_value_loss_trains_gr00t_unless_it_is_detached(detach: bool) -> None:
    """Advantages of 0, so that nothing comes from the policy."""
    alg = training_language(critic={"detach": detach})
    runner = Runner(alg)
    runner.rollout()
    alg.storage.advantages.zero_()
    actor, before, critic = copy.deepcopy(alg.actor.state_dict()), language(alg), learnt_by_critic(alg)
    alg.update()
    assert same(actor, alg.actor.state_dict())
    assert not same(critic, learnt_by_critic(alg))
    assert same(before, language(alg)) == detach


# Learning rates


def rates(log: dict[str, Any]) -> list[float]:
    """Of actor, critic and, where it trains, the language model."""
    names = ("", "_critic", "_language_lora")
    return [log[f"train/learning_rate{name}"] for name in names if f"train/learning_rate{name}" in log]


def test_linear_rates_fall_over_the_run_and_after_a_resume(encoder: Gr00tEncoder) -> None:
    settings = {"schedule": "linear", "learning_rate": 1e-3, "critic_learning_rate": 4e-3}
    alg = over(encoder, max_iterations=4, **settings)
    used: list[float] = []
    alg.updater.optimizer.register_step_pre_hook(lambda *_: used.append(alg.updater.optimizer.param_groups[0]["lr"]))
    runner = Runner(alg)
    found = [rates(runner.iterate()) for _ in range(2)]
    saved = copy.deepcopy(alg.save()) | {"iter": 1}
    found += [rates(runner.iterate()) for _ in range(2)]
    assert found == [pytest.approx([share * 1e-3, share * 4e-3]) for share in (1.0, 0.75, 0.5, 0.25)]
    assert used == pytest.approx([1e-3] * 6 + [0.75e-3] * 6 + [0.5e-3] * 6 + [0.25e-3] * 6)
    # rsl_rl's runner does `max_iterations` more
    resumed = over(encoder, max_iterations=2, **settings)
    resumed.load(saved, None, True)
    runner = Runner(resumed)
    assert [rates(runner.iterate())[0] for _ in range(2)] == pytest.approx([0.5e-3, 0.25e-3])


@pytest.mark.parametrize(("desired_kl", "factor"), [(1e-12, 1 / 1.5), (1e6, 1.5)])
def test_an_adaptive_schedule_scales_all_groups_of_the_policy(desired_kl: float, factor: float) -> None:
    """By 1.5 per mini-batch, the first of which has no KL yet; here the critic's stays."""
    alg = training_language(schedule="adaptive", critic_schedule="fixed", desired_kl=desired_kl, num_mini_batches=2)
    alg.updater.rates._initial["language_lora"] = 1e-4
    found = rates(Runner(alg).iterate())
    assert found == pytest.approx([1e-3 * factor**3, 2e-2, 1e-4 * factor**3])
    assert [group["lr"] for group in alg.updater.optimizer.param_groups] == found
    assert alg.learning_rate == found[0]


def test_every_group_has_a_schedule_of_its_own() -> None:
    alg = training_language(
        schedule="fixed", critic_schedule="linear", gr00t_schedule="adaptive", desired_kl=1e-12, max_iterations=2,
        num_mini_batches=2,
    )  # fmt: skip
    runner = Runner(alg)
    found = [rates(runner.iterate()) for _ in range(2)]
    assert found[0] == pytest.approx([1e-3, 2e-2, 1e-3 / 1.5**3])
    assert found[1] == pytest.approx([1e-3, 1e-2, 1e-3 / 1.5**6])


# Numbers that are not finite


def test_observations_that_are_not_finite_end_the_run_and_are_named(encoder: Gr00tEncoder) -> None:
    alg = over(encoder)
    obs = observations()
    obs["privileged"][1, 3], obs["state"][3, 0] = math.nan, math.inf
    with pytest.raises(ValueError, match="is NaN in 1 of 4") as error, torch.inference_mode():
        alg.act(obs)
    assert "Observation group 'privileged' is NaN in 1 of 4 environments (env 1)" in str(error.value)
    assert "Observation group 'state' is infinite in 1 of 4 environments (env 3)" in str(error.value)


def test_the_last_observation_of_a_rollout_is_checked_as_well(encoder: Gr00tEncoder) -> None:
    """Its value enters every advantage before the next rollout would see it."""
    alg = over(encoder)
    runner = Runner(alg)
    runner.rollout()
    obs = observations()
    obs["privileged"][2, 0] = math.nan
    with torch.inference_mode(), pytest.raises(ValueError, match=r"'privileged' is NaN in 1 of 4 .* \(env 2\)"):
        alg.compute_returns(obs)


def test_final_observations_are_checked_as_well(encoder: Gr00tEncoder) -> None:
    """An environment that has diverged when its time is over begins anew with finite numbers."""
    alg = over(encoder)
    obs, final = observations(), observations(seed=1).select("state", "privileged")
    final["state"][0, 2] = math.nan
    extras = extras_of(time_outs=torch.tensor([True, False, False, False]), final_observations=final)
    with torch.inference_mode():
        alg.act(obs)
        with pytest.raises(ValueError, match=r"'state' is NaN in 1 of 4 environments \(env 0\)"):
            alg.process_env_step(obs, torch.zeros(N), torch.tensor([1, 0, 0, 0]), extras)


def test_rewards_that_are_not_finite_end_the_run_and_are_named(encoder: Gr00tEncoder) -> None:
    alg = over(encoder, reward_normalization=True)
    with torch.inference_mode():
        alg.act(observations())
        rewards = torch.tensor([0.0, 1.0, math.nan, -math.inf])
        text = r"The rewards are NaN in 1 of 4 environments \(env 2\) and infinite in 1 of 4 .*\(env 3\)"
        with pytest.raises(ValueError, match=text):
            alg.process_env_step(observations(), rewards, torch.zeros(N), extras_of())


class Spoiler:
    """Makes gradients of a parameter NaN in some of the backward passes, counted from 0."""

    def __init__(self, parameter: nn.Parameter, spoilt: range) -> None:
        self.calls, self.spoilt = 0, spoilt
        parameter.register_hook(self)

    def __call__(self, gradient: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return gradient * math.nan if self.calls - 1 in self.spoilt else gradient


def state_of(alg: Gr00tPPO) -> dict[str, torch.Tensor]:
    """All that a step changes: weights and the optimizer's state."""
    parameters = [p for group in alg.updater.optimizer.param_groups for p in group["params"]]
    state = {str(i): p.detach().clone() for i, p in enumerate(parameters)}
    for i, parameter in enumerate(parameters):
        state |= {f"{i}.{name}": value.clone() for name, value in alg.updater.optimizer.state[parameter].items()}
    return state


@pytest.mark.parametrize("network", ["actor", "critic"])
def test_a_step_whose_gradient_is_not_finite_changes_nothing_and_is_counted(
    encoder: Gr00tEncoder, monkeypatch: pytest.MonkeyPatch, network: str
) -> None:
    alg = over(encoder, max_skipped_steps=3)
    runner = Runner(alg)
    runner.iterate()
    mlp = alg.critic.mlp if network == "critic" else alg.actor.adapter.mlp  # type: ignore[attr-defined]
    Spoiler(mlp[0].weight, range(1, 3))
    states = [state_of(alg)]
    update = alg.updater._mini_batch

    def recorded(*arguments: Any) -> Any:
        result = update(*arguments)
        states.append(state_of(alg))
        return result

    monkeypatch.setattr(alg.updater, "_mini_batch", recorded)
    log = runner.iterate()
    assert [same(first, second) for first, second in itertools.pairwise(states)] == [
        *(False, True, True, False, False, False)
    ]
    assert log["train/skipped_steps"] == 2
    assert all(value.isfinite().all() for value in weights(alg).values())


def test_too_many_steps_in_a_row_that_cannot_be_taken_end_the_run(encoder: Gr00tEncoder) -> None:
    alg = over(encoder, max_skipped_steps=4)
    runner = Runner(alg)
    runner.iterate()
    Spoiler(alg.critic.mlp[0].weight, range(3, 6))
    assert runner.iterate()["train/skipped_steps"] == 3
    spoiler = Spoiler(alg.critic.mlp[0].weight, range(100))
    runner.rollout()
    before = state_of(alg)
    with pytest.raises(DivergedError, match=r"gradient is not finite: 4 \(4 in all\).*`agent.algorithm.learning_rate`"):
        alg.update()
    assert same(before, state_of(alg))
    assert spoiler.calls == 1, "three in a row came from the iteration before"


def test_with_fp16_a_skipped_step_lowers_the_scale_before_it_counts() -> None:
    """A scale of 65536 may be too large; one of 1 may not: from then on the gradient itself is at fault."""
    alg = training_language("float16", max_skipped_steps=2, num_learning_epochs=3, num_mini_batches=12)
    runner = Runner(alg)
    before = state_of(alg)
    spoiler = Spoiler(alg.critic.mlp[0].weight, range(100))
    runner.rollout()
    with pytest.raises(DivergedError, match=r"gradient is not finite: 2 \(2 in all\)"):
        alg.update()
    assert spoiler.calls == 16 + 2, "2 ** 16 is halved down to 1"
    assert alg.updater.scaler.get_scale() <= 1.0
    assert same(before, state_of(alg))


def test_with_fp16_gradients_are_unscaled_before_they_are_limited() -> None:
    alg = training_language("float16", max_grad_norm=1e-3, num_learning_epochs=1)
    limited: list[list[float]] = []

    def look(*_: Any) -> None:
        policy = [*alg.actor.parameters(), *alg.freezing.parameters().values()]
        groups = [policy, list(alg.critic.parameters())]
        norms = [nn.utils.get_total_norm([p.grad for p in group if p.grad is not None]) for group in groups]
        limited.append([float(norm) for norm in norms])

    alg.updater.optimizer.register_step_pre_hook(look)
    Runner(alg).iterate()
    assert alg.updater.scaler.get_scale() > 1.0
    assert len(limited) == 3
    assert limited == [[pytest.approx(1e-3, rel=1e-3)] * 2] * 3
