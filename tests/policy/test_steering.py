# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""steering: the noise that GR00T's flow begins with, on both versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from n1_7_robot import HORIZON, TAG, n1_7_robot
from policies import DISCRETE_SPEC
from tensordict import TensorDict
from tiny_policy import SPEC, actor_critic, decided, gr00t_inference, load_encoder, observations, shift_mean
from torch.distributions import Independent, Normal, kl_divergence

from gr00t_rl_ext.algorithms.ppo import Gr00tPPO
from gr00t_rl_ext.gr00t import build_tiny_checkpoint
from gr00t_rl_ext.policy.actor import Decisions
from gr00t_rl_ext.policy.encoder import FEATURES
from gr00t_rl_ext.policy.options import NoiseStdOptions, SteeringActorOptions
from gr00t_rl_ext.policy.stages import FreezingOptions
from gr00t_rl_ext.policy.steering import CONTEXT, BoundedStd, Gr00tSteeringActor, NoiseAdapter, SteeringEncoder

H, B = 4, 4


@pytest.fixture(scope="module")
def encoder() -> SteeringEncoder:
    loaded = load_encoder(reads_head=True, encoder_class=SteeringEncoder)
    assert isinstance(loaded, SteeringEncoder)
    return loaded


def make(encoder: SteeringEncoder, chunk_length: int = H, **settings: Any) -> Gr00tSteeringActor:
    actor = actor_critic(encoder, chunk_length, actor_class=Gr00tSteeringActor, **settings).actor
    assert isinstance(actor, Gr00tSteeringActor)
    return actor


def moved(actor: Gr00tSteeringActor, raw: float) -> Gr00tSteeringActor:
    """The actor, whose means are shifted."""
    shift_mean(actor, raw)
    return actor


@pytest.mark.parametrize("steps", [1, 4])
def test_it_begins_as_gr00t_samples(encoder: SteeringEncoder, steps: int) -> None:
    """Bit by bit, for equal noise."""
    actor, raw = make(encoder, num_flow_steps=steps), observations(B)
    torch.manual_seed(3)
    with torch.no_grad():
        actions = actor(raw, stochastic_output=True)
    expected = encoder.decode_action(gr00t_inference(encoder, raw, steps, seed=3), raw)[:, :H].flatten(1)
    assert torch.equal(actions, expected)


def test_the_deterministic_policy_is_the_mean_of_the_noise(encoder: SteeringEncoder) -> None:
    actor, raw = moved(make(encoder), 0.5), observations(B)
    with torch.no_grad():
        actions = actor(raw)
        obs = encoder.encode(raw)
        noise = torch.zeros(B, encoder.model.action_horizon, encoder.model.max_action_dim)
        noise[..., list(encoder.action_dims)] = 3.0 * torch.tensor(0.5 / 3.0).tanh()
        chunk = encoder.model.sample(encoder.context(obs), encoder.head_state(obs), noise, 4)
    torch.testing.assert_close(actions, encoder.decode_action(chunk, raw)[:, :H].flatten(1))


def test_a_played_policy_keeps_as_much_noise_as_it_is_told(encoder: SteeringEncoder) -> None:
    """Around the mean by its own std, in dimensions that do not reach the robot by 1; training keeps all of it."""
    actor, raw = moved(make(encoder, noise_scale=0.5), 0.5), observations(B)
    with torch.no_grad():
        actor.adapter.std.shift.fill_(-0.4)
        std = actor.adapter.std()[0, 0]
        torch.manual_seed(3)
        actions = actor(raw)
        torch.manual_seed(3)
        noise = 0.5 * torch.randn(B, encoder.model.action_horizon, encoder.model.max_action_dim)
        dims = list(encoder.action_dims)
        noise[..., dims] = 3.0 * torch.tensor(0.5 / 3.0).tanh() + std * noise[..., dims]
        obs = encoder.encode(raw)
        chunk = encoder.model.sample(encoder.context(obs), encoder.head_state(obs), noise, 4)
        assert std < 0.9
    torch.testing.assert_close(actions, encoder.decode_action(chunk, raw)[:, :H].flatten(1))
    centre = make(encoder)
    centre.load_state_dict(actor.state_dict())
    assert torch.equal(decided(actor)[1].actions, decided(centre)[1].actions)


def test_the_mean_is_bounded(encoder: SteeringEncoder) -> None:
    _, decisions = decided(moved(make(encoder, noise_bound=2.0), 1e3))
    assert torch.equal(decisions.recorded[0], torch.full_like(decisions.recorded[0], 2.0))


def test_the_density_is_that_of_the_whole_horizon(encoder: SteeringEncoder) -> None:
    """Also where the decision was cut short, and not where nothing of it was executed."""
    actor = moved(make(encoder), 0.3)
    obs, decisions = decided(actor)
    mean, std, noise = decisions.recorded
    assert mean.shape == (B, encoder.model.action_horizon, 8)
    assert encoder.model.action_horizon > H
    valid = torch.ones(B, H, dtype=torch.bool)
    valid[1, 1:] = False
    valid[2] = False
    cut = Decisions(decisions.actions, decisions.recorded, valid)
    scored = actor.score(obs, cut)
    expected = Normal(mean, std).log_prob(noise).sum((1, 2))
    expected[2] = 0.0
    torch.testing.assert_close(scored.log_prob().sum(1), expected, rtol=1e-5, atol=1e-3)
    assert not scored.log_prob()[:, 1:].any()
    torch.testing.assert_close(scored.log_ratio(actor.score_recorded(cut)), torch.zeros(B, H), rtol=0, atol=1e-4)
    entropy = Independent(Normal(mean, std), 2).entropy()
    torch.testing.assert_close(scored.entropy().sum(1)[[0, 1, 3]], entropy[[0, 1, 3]], rtol=1e-5, atol=1e-3)


def test_the_kl_to_the_base_is_that_to_standard_noise(encoder: SteeringEncoder) -> None:
    actor = make(encoder)
    reference = actor.frozen_copy()
    obs, decisions = decided(moved(actor, 0.5))
    with torch.no_grad():
        actor.adapter.std.shift.fill_(-0.4)
    mean, std = actor.distribution(obs, decisions)
    expected = kl_divergence(Normal(mean, std), Normal(0.0, 1.0)).sum((1, 2))
    found = actor.score(obs, decisions).kl_divergence(reference.score(obs, decisions)).sum(1)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-3)
    assert found.min() > 1.0


def test_an_update_calls_nothing_of_gr00t(encoder: SteeringEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    actor = make(encoder)
    obs, decisions = decided(actor)
    monkeypatch.setattr(encoder.model, "forward", None)
    monkeypatch.setattr(encoder.model.action_head.model, "forward", None)
    monkeypatch.setattr(encoder.model.backbone, "hidden_states", None)
    stored = obs.select(*encoder.encoded_example(observations(B)).keys())
    actor.score(encoder.complete(stored), decisions).log_prob().sum().backward()
    *_, weight, bias = actor.adapter.mlp.parameters()
    assert weight.grad is not None
    assert bias.grad is not None
    assert bias.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in encoder.model.parameters())


def test_the_tokens_of_the_horizon_are_stored_and_not_the_context(encoder: SteeringEncoder) -> None:
    obs, example = encoder.encode(observations(B)), encoder.encoded_example(observations(B))
    assert obs[FEATURES].shape == (B, *encoder.feature_shape) == example[FEATURES].shape
    assert encoder.feature_shape == (encoder.model.action_horizon, encoder.model.config.action_head.hidden_size)
    assert CONTEXT in obs.keys()
    assert CONTEXT not in example.keys()
    again = encoder.encode(obs)
    assert again is obs, "encoded once"
    other = observations(B)
    other["state"] = other["state"] + 1.0
    assert not torch.allclose(encoder.encode(other)[FEATURES], obs[FEATURES]), "they tell of the state"


def test_statistics_of_the_tokens_are_those_of_the_first_rollout(encoder: SteeringEncoder) -> None:
    actor = make(encoder)
    seen = []
    for seed in range(3):
        raw = observations(B, seed)
        seen.append(encoder.encode(raw)[FEATURES])
        with torch.no_grad():
            actor(raw, stochastic_output=True)
            actor(raw)
    tokens = torch.cat(seen)
    torch.testing.assert_close(actor.adapter.mean, tokens.mean(0))
    torch.testing.assert_close(actor.adapter.square, tokens.square().mean(0))
    actor.start_iteration(1, None)
    with torch.no_grad():
        actor(observations(B, 7), stochastic_output=True)
    assert actor.adapter.count == 3 * B
    other = make(encoder)
    other.load_state_dict(actor.state_dict())
    assert torch.equal(other.adapter.mean, actor.adapter.mean), "a checkpoint holds them"


def test_tokens_are_standardised_entry_by_entry() -> None:
    adapter = NoiseAdapter(1, 2, 0, 1, SteeringActorOptions(hidden_dims=[1], activation="identity", noise_bound=1e6))
    with torch.no_grad():
        for parameter in adapter.mlp.parameters():
            parameter.fill_(1.0 if parameter.ndim == 2 else 0.0)
    adapter.observe(torch.tensor([[[0.0, 10.0]], [[4.0, 10.0]]]))
    mean, _ = adapter(torch.tensor([[[6.0, 10.0]]]), torch.zeros(1, 0))
    # (6 - 2) / 2, and an entry that never changes tells nothing
    assert mean.item() == pytest.approx(2.0, abs=1e-2)


def test_the_std_begins_exactly_and_stays_inside() -> None:
    std = BoundedStd((3,), NoiseStdOptions(init_std=1.0, std_range=(0.3, 1.5)))
    assert torch.equal(std(), torch.ones(3))
    for shift, bound in ((-100.0, 0.3), (100.0, 1.5)):
        with torch.no_grad():
            std.shift.fill_(shift)
        torch.testing.assert_close(std(), torch.full((3,), bound))


def test_the_std_falls_to_the_end_of_the_run(encoder: SteeringEncoder) -> None:
    """Linearly, whatever was learnt of it; the reference stays N(0, 1), and a checkpoint holds it."""
    actor = make(encoder, distribution_cfg={"final_factor": 0.4})
    reference = actor.frozen_copy()
    obs, decisions = decided(actor)
    for iteration, factor in ((0, 1.0), (5, 0.7), (10, 0.4), (20, 0.4)):
        actor.start_iteration(iteration, 11)
        _, std = actor.distribution(obs, decisions)
        torch.testing.assert_close(std, torch.full_like(std, factor))
    _, std = reference.distribution(obs, decisions)
    assert torch.equal(std, torch.ones_like(std))
    other = make(encoder)
    other.load_state_dict(actor.state_dict())
    assert other.adapter.std_factor == actor.adapter.std_factor
    with pytest.raises(ValueError, match=r"final_factor` needs the number of iterations of the run, `agent.max_it"):
        actor.start_iteration(1, None)


def test_what_it_cannot_do_is_refused() -> None:
    for factor in (0.0, 1.5):
        with pytest.raises(ValueError, match=rf"final_factor` is {factor}; expected a number in \(0, 1\]"):
            NoiseStdOptions(final_factor=factor).validate_config()
    with pytest.raises(ValueError, match=r"std_range` is \(0.02, 0.9\); .* init_std = 0.5 between them, and 1"):
        NoiseStdOptions(0.5, (0.02, 0.9)).validate_config()
    with pytest.raises(ValueError, match=r"`agent.actor.noise_bound` is 0.0; expected a positive number"):
        SteeringActorOptions(noise_bound=0.0).validate_config()
    with pytest.raises(ValueError, match=r"`agent.actor.num_flow_steps` is 0; expected at least 1"):
        SteeringActorOptions(num_flow_steps=0).validate_config()
    with pytest.raises(ValueError, match=r"trains dit, but a steering policy decides the noise of a GR00T that stays"):
        Gr00tSteeringActor.check_stages(FreezingOptions(train=["dit"]).stages(True))
    discrete = load_encoder(DISCRETE_SPEC, reads_head=True, encoder_class=SteeringEncoder)
    assert isinstance(discrete, SteeringEncoder)
    with pytest.raises(ValueError, match=r"actions are discrete \(3, 4 choices\)"):
        make(discrete)


def test_values_of_control_steps_are_refused(encoder: SteeringEncoder) -> None:
    """Their ratios would be 1 from the second step on. As a whole, as the message advises, it trains."""
    for values in ("step", "chunk"):
        pair = actor_critic(encoder, H, actor_class=Gr00tSteeringActor, critic={"values": values})
        if values == "chunk":
            Gr00tPPO(pair, observations(B), 2)
            continue
        with pytest.raises(ValueError, match=r"`agent.critic.values` is 'step', but this policy decides .* to 'chunk'"):
            Gr00tPPO(pair, observations(B), 2)


@pytest.mark.parametrize("version", ["N1.6", "N1.7"])
def test_other_versions_begin_as_they_sample(tmp_path: Path, version: str) -> None:
    keys = {"state_keys": SPEC.state_terms, "action_keys": SPEC.action_terms}
    checkpoint = build_tiny_checkpoint(tmp_path / "tiny", version=version, **keys)
    encoder = load_encoder(SPEC, reads_head=True, encoder_class=SteeringEncoder, checkpoint=str(checkpoint))
    assert isinstance(encoder, SteeringEncoder)
    assert encoder.model.version == version
    actor, raw = make(encoder), observations(B)
    torch.manual_seed(3)
    with torch.no_grad():
        actions = actor(raw, stochastic_output=True)
    expected = encoder.decode_action(gr00t_inference(encoder, raw, 4, seed=3), raw)[:, :H].flatten(1)
    assert torch.equal(actions, expected)


def test_n1_7_whose_robot_has_a_shorter_horizon_than_the_model(tmp_path: Path) -> None:
    checkpoint = n1_7_robot(tmp_path / "n1_7", SPEC.state_terms, SPEC.action_terms)
    options = {"checkpoint": str(checkpoint), "embodiment_tag": TAG}
    encoder = load_encoder(SPEC, reads_head=True, encoder_class=SteeringEncoder, **options)
    assert isinstance(encoder, SteeringEncoder)
    assert encoder.model.action_horizon > HORIZON
    actor, raw = make(encoder, 3), observations(B)
    torch.manual_seed(3)
    with torch.no_grad():
        actions = actor(raw, stochastic_output=True)
    expected = encoder.decode_action(gr00t_inference(encoder, raw, 4, seed=3), raw)[:, :3].flatten(1)
    assert torch.equal(actions, expected)
    obs, decisions = decided(actor)
    assert {values.shape for values in decisions.recorded} == {(B, HORIZON, len(encoder.action_dims))}
    assert actor.score(obs, decisions).log_prob().shape == (B, 3)


def test_the_estimate_of_memory_and_the_storage_need_no_images(encoder: SteeringEncoder) -> None:
    obs = encoder.encoded_example(observations(B))
    assert isinstance(obs, TensorDict)
    assert set(obs.keys()) == {"state", "privileged", FEATURES}
