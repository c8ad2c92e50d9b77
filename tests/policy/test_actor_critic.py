# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""actor_critic and critic: the pair from a config, and fields that nothing reads."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from tiny_policy import OBS_GROUPS, SPEC, observations

from gr00t_rl_ext.options import read
from gr00t_rl_ext.policy.actor import Actor
from gr00t_rl_ext.policy.actor_critic import ActorDefinition, Gr00tActorCritic
from gr00t_rl_ext.policy.critic import Gr00tCritic
from gr00t_rl_ext.policy.encoder import FEATURES, Gr00tEncoder
from gr00t_rl_ext.policy.flow_actor import Gr00tFlowActor
from gr00t_rl_ext.policy.gaussian_actor import Gr00tGaussianActor
from gr00t_rl_ext.policy.options import FlowActorOptions, ResidualActorOptions, SteeringActorOptions
from gr00t_rl_ext.policy.residual_actor import Gr00tResidualActor
from gr00t_rl_ext.policy.steering import Gr00tSteeringActor


def build(actor: dict[str, Any] | None = None, critic: dict[str, Any] | None = None) -> Gr00tActorCritic:
    return Gr00tActorCritic.build(
        Gr00tGaussianActor, SPEC, observations(), OBS_GROUPS, actor or {}, critic or {}, "cpu"
    )


def test_actor_and_critic_share_one_encoder_and_take_their_settings() -> None:
    pair = build(
        {"chunk_length": 3, "hidden_dims": [24], "num_queries": 2, "distribution_cfg": {"init_std": 0.1}},
        {"hidden_dims": [20], "obs_normalization": False},
    )
    assert pair.actor.encoder is pair.critic.encoder is pair.encoder
    assert pair.encoder.spec == SPEC
    assert pair.chunk_length == pair.actor.chunk_length == 3
    assert pair.actor.adapter.mlp[0].weight.shape == (24, 2 * 64 + 16)
    pair.actor(observations())
    torch.testing.assert_close(pair.actor.output_std, torch.full((4, 3, 8), 0.1))
    assert pair.critic.mlp[0].weight.shape == (20, 64 + 16 + 56)
    assert isinstance(pair.critic.normalizer, torch.nn.Identity)
    text = pair.describe()
    assert "GR00T N1.5" in text
    assert "sees 2 camera(s) and 16 state dimensions" in text
    assert "decides 3 control steps x 8 actions" in text
    assert SPEC.instruction in text


def test_the_chunk_is_the_checkpoints_horizon_unless_shortened() -> None:
    assert build().chunk_length == build({"chunk_length": None}).chunk_length == 16


@pytest.mark.parametrize(
    ("length", "reason"),
    [(0, "expected an integer of at least 1"), (-1, "expected an integer"), (17, "the checkpoint predicts 16 steps")],
)
def test_a_chunk_beyond_the_horizon_is_refused(length: int, reason: str) -> None:
    with pytest.raises(ValueError, match=rf"`agent.actor.chunk_length` is {length}; {reason}"):
        build({"chunk_length": length})


@pytest.mark.parametrize(
    ("where", "actor", "critic", "known"),
    [
        ("agent.actor", {"hidden_dim": [8]}, {}, "hidden_dims"),
        ("agent.actor.gr00t", {"gr00t": {"hidden_dim": "x"}}, {}, "checkpoint"),
        (
            "agent.actor.distribution_cfg",
            {"distribution_cfg": {"hidden_dim": 1}},
            {},
            "init_std, squash, state_dependent_std, std_range",
        ),
        (
            "agent.critic",
            {},
            {"hidden_dim": [8]},
            "activation, detach, distribution_cfg, hidden_dims, obs_clip, obs_normalization, orthogonal_init, values",
        ),
    ],
)
def test_unknown_fields_are_refused_with_those_that_exist(where: str, actor: dict, critic: dict, known: str) -> None:
    with pytest.raises(ValueError, match=f"`{where}` has no field 'hidden_dim'. Its fields are: .*{known}"):
        build(actor, critic)


def test_a_distribution_of_the_critic_is_refused() -> None:
    with pytest.raises(ValueError, match=r"`agent.critic.distribution_cfg` is set, but a critic has no output"):
        build(critic={"distribution_cfg": {"init_std": 1.0}})
    build(critic={"distribution_cfg": None})


def test_the_configs_are_not_changed() -> None:
    actor, critic = {"gr00t": {}, "distribution_cfg": {}, "chunk_length": 2}, {"distribution_cfg": None}
    build(actor, critic)
    assert actor == {"gr00t": {}, "distribution_cfg": {}, "chunk_length": 2}
    assert critic == {"distribution_cfg": None}


@pytest.mark.parametrize(
    ("actor_class", "default", "before"),
    [
        (Gr00tFlowActor, {"noise_scale": 1.0}, {"noise_scale": 1.0}),
        (
            Gr00tResidualActor,
            {"noise_scale": 0.0, "residual_scale": 2.0},
            {"noise_scale": 1.0, "residual_scale": 1.0},
        ),
        (Gr00tSteeringActor, {"noise_scale": 0.0}, {"noise_scale": 0.0}),
    ],
)
def test_what_a_checkpoint_does_not_hold_has_the_value_of_its_time(
    actor_class: type[Actor], default: dict[str, float], before: dict[str, float]
) -> None:
    """A residual policy was trained with what GR00T draws. What is written now holds it."""
    new = ActorDefinition.of(actor_class, SPEC, {})
    assert new.actor == default
    assert ActorDefinition.recorded(dataclasses.asdict(new)) == new
    old = dataclasses.replace(new, actor={"chunk_length": 2})
    assert ActorDefinition.recorded(dataclasses.asdict(old)).actor == {"chunk_length": 2} | before
    assert ActorDefinition.of(actor_class, SPEC, {"noise_scale": 0.3}).actor == default | {"noise_scale": 0.3}


def test_a_policy_without_the_action_head_has_no_noise() -> None:
    definition = ActorDefinition.of(Gr00tGaussianActor, SPEC, {})
    assert ActorDefinition.recorded(dataclasses.asdict(definition)).actor == {}


@pytest.mark.parametrize("options", [FlowActorOptions, ResidualActorOptions, SteeringActorOptions])
@pytest.mark.parametrize("scale", [-0.5, float("inf"), float("nan")])
def test_noise_that_is_negative_or_not_finite_is_refused(options: type, scale: float) -> None:
    message = rf"`agent.actor.noise_scale` is {scale}; expected a finite number of at least 0: 1 for noise as GR00T dr"
    with pytest.raises(ValueError, match=message):
        read(options, {"noise_scale": scale}, "agent.actor")


# Critic


def test_the_value_depends_on_every_group_of_the_critic(encoder: Gr00tEncoder) -> None:
    obs = encoder.encode(observations())
    critic = Gr00tCritic(encoder, observations(), OBS_GROUPS["critic"])
    value = critic(obs)
    assert value.shape == (4, 1)
    assert value.dtype == torch.float32
    for group in (FEATURES, "state", "privileged"):
        changed = obs.clone()
        changed[group] = changed[group] + torch.randn_like(changed[group])
        assert not torch.equal(critic(changed), value), group


def test_a_critic_without_images_does_not_read_features(encoder: Gr00tEncoder) -> None:
    critic = Gr00tCritic(encoder, observations(), ["state", "privileged"])
    calls = encoder.calls
    obs = observations()
    value = critic(obs)
    assert encoder.calls == calls
    encoded = encoder.encode(obs)
    encoded[FEATURES] = torch.full_like(encoded[FEATURES], torch.nan)
    assert torch.equal(critic(encoded), value)
    assert not list(critic.feature_norm.parameters())


def test_a_critic_encodes_images_itself_where_nobody_has(encoder: Gr00tEncoder) -> None:
    critic = Gr00tCritic(encoder, observations(), OBS_GROUPS["critic"])
    assert torch.equal(critic(observations()), critic(encoder.encode(observations())))


def test_the_critic_normalises_its_vectors_with_running_statistics(encoder: Gr00tEncoder) -> None:
    critic = Gr00tCritic(encoder, observations(), ["privileged"]).train()
    obs = observations(num_envs=512)
    obs["privileged"] = 5.0 + 3.0 * obs["privileged"]
    critic.update_normalization(obs)
    normalised = critic.normalizer(obs["privileged"])
    assert normalised.mean().abs() < 0.01
    assert abs(normalised.std() - 1.0) < 0.02
    critic.eval()
    critic.update_normalization(observations())
    assert critic.normalizer.count == 512


def test_a_group_of_the_critic_that_is_no_vector_or_does_not_exist_is_refused(encoder: Gr00tEncoder) -> None:
    obs = observations()
    obs["depth"] = torch.zeros(4, 8, 8)
    for group in ("depth", "touch"):
        with pytest.raises(ValueError, match=rf"critic reads the observation group '{group}'.*state \(16,\)"):
            Gr00tCritic(encoder, obs, ["state", group])
    with pytest.raises(ValueError, match="critic reads no observation group"):
        Gr00tCritic(encoder, obs, [])
