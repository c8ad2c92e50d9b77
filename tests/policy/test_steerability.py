# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""What noise decides of a GR00T's actions, before a steering policy is trained."""

from __future__ import annotations

import pytest
import torch
from tiny_policy import actor_critic, load_encoder, observations

from gr00t_rl_ext.algorithms.ppo import Gr00tPPO
from gr00t_rl_ext.policy import steerability
from gr00t_rl_ext.policy.steerability import PartSteerability, describe, measure
from gr00t_rl_ext.policy.steering import Gr00tSteeringActor, SteeringEncoder


@pytest.fixture(scope="module")
def actor() -> Gr00tSteeringActor:
    encoder = load_encoder(reads_head=True, encoder_class=SteeringEncoder)
    made = actor_critic(encoder, 4, actor_class=Gr00tSteeringActor).actor
    assert isinstance(made, Gr00tSteeringActor)
    return made


def test_each_part_of_the_action_is_measured(actor: Gr00tSteeringActor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a flow that is known: it adds the noise to 0.5, half of it in the last dimension that reaches the robot,
    the gripper's."""
    obs = actor.encoder.encode(observations(2))
    scale = torch.ones(actor.noise_shape[1])
    scale[7] = 0.5
    monkeypatch.setattr(actor, "run_flow", lambda obs, noise: (0.5 + scale * noise)[:, : actor.chunk_length])
    monkeypatch.setattr(steerability, "NOISES", 4000)
    found = measure(actor, obs)
    assert list(found) == ["arm", "gripper"]
    assert found["arm"].std == pytest.approx(1.0, abs=0.02)
    assert found["gripper"].std == pytest.approx(0.5, abs=0.02)
    # the normal distribution function at -0.5 and at -1
    assert found["arm"].flips == pytest.approx(0.3085, abs=0.01)
    assert found["gripper"].flips == pytest.approx(0.1587, abs=0.01)


def test_it_changes_no_random_number(actor: Gr00tSteeringActor) -> None:
    obs = actor.encoder.encode(observations(2))
    torch.manual_seed(5)
    expected = torch.randn(3)
    torch.manual_seed(5)
    first = measure(actor, obs)
    assert torch.equal(torch.randn(3), expected)
    assert first == measure(actor, obs), "the same states give the same numbers"


def test_training_begins_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    encoder = load_encoder(reads_head=True, encoder_class=SteeringEncoder)
    algorithm = Gr00tPPO(actor_critic(encoder, 4, actor_class=Gr00tSteeringActor), observations(4), 2)
    algorithm.act(observations(4))
    shown = capsys.readouterr().out
    assert "Steerability: what 16 noises make of one state" in shown
    assert "gripper" in shown
    algorithm.storage.step += 1
    algorithm.act(observations(4))
    assert "Steerability" not in capsys.readouterr().out, "once"


def test_a_gr00t_that_noise_hardly_moves_is_warned_of() -> None:
    steady = {"arm": PartSteerability(0.025, 0.001), "gripper": PartSteerability(0.09, 0.0)}
    assert describe(steady).splitlines() == [
        "Steerability: what 16 noises make of one state. Actions of the demonstrations span [-1, 1].",
        "  part       std  signs flipped",
        "  arm      0.025  0.1%",
        "  gripper  0.090  0.0%",
        "Warning: noise hardly changes what this GR00T does (std below 0.1 in every part). Steering can only choose"
        " among what it does, and gained nothing with such a policy. Train GR00T itself, with the agent"
        " gr00t_flow_ppo; or correct what it does, with gr00t_residual_ppo.",
    ]
    assert "Warning" not in describe(steady | {"gripper": PartSteerability(0.152, 0.0)})
