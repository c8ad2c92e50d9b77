# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""residual_actor: GR00T's chunk plus a correction, on both versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from n1_7_robot import HORIZON, TAG, n1_7_robot
from policies import DISCRETE_SPEC
from rsl_rl.runners import OnPolicyRunner
from tiny_policy import SPEC, actor_critic, decided, gr00t_inference, load_encoder, observations, shift_mean
from torch.distributions import Normal

from gr00t_rl_ext.policy.actor import Decisions
from gr00t_rl_ext.policy.encoder import Gr00tEncoder
from gr00t_rl_ext.policy.options import ResidualActorOptions
from gr00t_rl_ext.policy.residual_actor import Gr00tResidualActor
from gr00t_rl_ext.policy.stages import FreezingOptions

H, B = 4, 4


@pytest.fixture(scope="module")
def encoder() -> Gr00tEncoder:
    return load_encoder(reads_head=True)


def make(encoder: Gr00tEncoder, chunk_length: int = H, **settings: Any) -> Gr00tResidualActor:
    actor = actor_critic(encoder, chunk_length, actor_class=Gr00tResidualActor, **settings).actor
    assert isinstance(actor, Gr00tResidualActor)
    return actor


@pytest.mark.parametrize(("steps", "settings", "scale"), [(1, {}, 0.0), (4, {}, 0.0), (4, {"noise_scale": 1.0}, 1.0)])
def test_it_begins_as_gr00t_acts(encoder: Gr00tEncoder, steps: int, settings: dict[str, float], scale: float) -> None:
    """By default from the centre of the flow."""
    actor, raw = make(encoder, num_flow_steps=steps, **settings), observations(B)
    torch.manual_seed(3)
    with torch.no_grad():
        actions = actor(raw)
    expected = encoder.decode_action(gr00t_inference(encoder, raw, steps, 3, scale), raw)[:, :H].flatten(1)
    torch.testing.assert_close(actions, expected, rtol=0, atol=1e-6)


def test_the_chunk_of_gr00t_begins_with_as_much_noise_while_training(encoder: Gr00tEncoder) -> None:
    centre, noisy = make(encoder), make(encoder, noise_scale=0.5)
    for actor, scale in ((centre, 0.0), (noisy, 0.5)):
        _, decisions = decided(actor, seed=1)
        expected = gr00t_inference(encoder, observations(B), 4, 1, scale)[:, :H].index_select(-1, actor.action_dims)
        torch.testing.assert_close(decisions.recorded[2], expected, rtol=0, atol=1e-5)
    assert not torch.equal(decided(noisy, 1)[1].recorded[2], decided(noisy, 2)[1].recorded[2])


def test_the_correction_is_at_most_its_scale_in_normalised_actions(encoder: Gr00tEncoder) -> None:
    actor, raw = make(encoder, residual_scale=0.25), observations(B)
    shift_mean(actor, 50.0)
    torch.manual_seed(3)
    with torch.no_grad():
        actions = actor(raw)
    chunk = gr00t_inference(encoder, raw, 4, seed=3, noise_scale=0.0)[:, :H]
    chunk[..., list(encoder.action_dims)] += 0.25
    torch.testing.assert_close(actions, encoder.decode_action(chunk, raw).flatten(1), rtol=0, atol=1e-5)


def test_the_correction_can_change_the_sign_of_what_is_at_the_end_of_its_range(encoder: Gr00tEncoder) -> None:
    """A gripper acts by its sign, and GR00T's is 1 or -1."""
    actor = make(encoder)
    shift_mean(actor, -1.0)
    mean, _ = actor._gaussian(actor.encoder.encode(observations(B)), torch.ones(B, H, 8))
    assert mean.max() < -0.5


def test_decisions_are_drawn_from_what_is_recorded_and_scored(encoder: Gr00tEncoder) -> None:
    actor = make(encoder)
    shift_mean(actor, 0.3)
    obs, decisions = decided(actor)
    mean, std, base, outcome = decisions.recorded
    assert {values.shape for values in decisions.recorded} == {(B, H, 8)}
    torch.testing.assert_close(mean - base, 2.0 * torch.full_like(mean, 0.3).tanh())
    drawn = (outcome - mean) / std
    assert 0.5 < drawn.std() < 1.5
    chunk = torch.zeros(B, H, encoder.model.max_action_dim).index_copy(-1, actor.action_dims, outcome)
    torch.testing.assert_close(decisions.actions, encoder.decode_action(chunk, obs).flatten(1))
    log_prob = Normal(mean, std).log_prob(outcome).sum(-1)
    torch.testing.assert_close(actor.score(obs, decisions).log_prob(), log_prob, rtol=1e-4, atol=1e-3)


def test_an_update_calls_the_adapter_alone(encoder: Gr00tEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    actor = make(encoder)
    obs, decisions = decided(actor)
    monkeypatch.setattr(encoder.model, "sample", None)
    actor.score(obs, decisions).log_prob().sum().backward()
    *_, weight, bias = actor.adapter.mlp.parameters()
    assert weight.grad is not None
    assert bias.grad is not None
    assert weight.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in encoder.model.parameters())


def test_the_correction_sees_what_gr00t_would_do(encoder: Gr00tEncoder) -> None:
    """Two chunks of GR00T in one observation are corrected differently, once the last layer has weights."""
    actor = make(encoder)
    *_, weight, _ = actor.adapter.mlp.parameters()
    torch.nn.init.normal_(weight)
    obs, decisions = decided(actor)
    other = (*decisions.recorded[:2], -decisions.recorded[2], decisions.recorded[3])
    with torch.no_grad():
        mean, _ = actor.distribution(obs, decisions)
        other_mean, _ = actor.distribution(obs, Decisions(decisions.actions, other, decisions.valid))
    corrections = mean - decisions.recorded[2], other_mean + decisions.recorded[2]
    assert not torch.allclose(*corrections, atol=1e-3)


def test_a_frozen_copy_is_gr00t_with_noise(encoder: Gr00tEncoder) -> None:
    actor = make(encoder, residual_scale=1.0)
    reference = actor.frozen_copy()
    obs, decisions = decided(actor)
    shift_mean(actor, 0.5)
    policy, base = actor.score(obs, decisions), reference.score(obs, decisions)
    # the mean moved by tanh(0.5) in each of 8 dimensions, at a std of 0.3: half the squared distance in stds
    expected = torch.full((B, H), 8 * 0.5 * (0.5 * torch.ones(())).tanh().item() ** 2 / 0.3**2)
    torch.testing.assert_close(policy.kl_divergence(base), expected, rtol=1e-3, atol=1e-3)


def test_the_export_of_play_says_where_the_policy_is(encoder: Gr00tEncoder, tmp_path: Path) -> None:
    runner = OnPolicyRunner.__new__(OnPolicyRunner)
    actor = make(encoder)
    runner.alg = type("Algorithm", (), {"get_policy": lambda self: actor})()  # type: ignore[assignment]
    runner.export_policy_to_jit(str(tmp_path), "policy.pt")
    exported = torch.jit.load(tmp_path / "policy.pt")(torch.zeros(2, encoder.state_dim))
    assert exported.shape == (2, H * 8)
    assert exported.isnan().all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"residual_scale": 0.0}, "`agent.actor.residual_scale` is 0.0; expected a positive number"),
        ({"num_flow_steps": 0}, "`agent.actor.num_flow_steps` is 0; expected at least 1 Euler step"),
    ],
)
def test_impossible_options_are_refused(encoder: Gr00tEncoder, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(encoder, **settings)


@pytest.mark.parametrize(
    "freezing",
    [
        FreezingOptions(train=("projector",)),
        FreezingOptions(schedule=({"train": ["language"], "at_iteration": 3},), language_layers=1),
    ],
)
def test_gr00t_must_stay_as_it_is(freezing: FreezingOptions) -> None:
    trained = load_encoder(freezing=freezing, reads_head=True)
    with pytest.raises(ValueError, match=r"trains (projector|language), but a residual policy.*`gr00t_flow_ppo`"):
        Gr00tResidualActor(trained, ResidualActorOptions(chunk_length=H))


def test_discrete_actions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"actions are discrete \(3, 4 choices\).*`gr00t_categorical_ppo`"):
        Gr00tResidualActor(load_encoder(DISCRETE_SPEC, reads_head=True), ResidualActorOptions(chunk_length=H))


def test_n1_7_with_relative_actions(tmp_path: Path) -> None:
    """The chunk is the robot's horizon, and all of a relative pose is corrected."""
    checkpoint = n1_7_robot(tmp_path / "n1_7", SPEC.state_terms, SPEC.action_terms)
    encoder = load_encoder(SPEC, reads_head=True, checkpoint=str(checkpoint), embodiment_tag=TAG)
    actor = make(encoder, HORIZON)
    obs, decisions = decided(actor)
    assert decisions.actions.shape == (B, HORIZON * 8)
    assert {values.shape for values in decisions.recorded} == {(B, HORIZON, len(encoder.action_dims))}
    scored = actor.score(obs, decisions)
    assert scored.log_prob().shape == (B, HORIZON)
    assert scored.log_ratio(actor.score_recorded(decisions)).abs().max() < 1e-4
