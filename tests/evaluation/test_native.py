# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""GR00T's own inference as a policy."""

from __future__ import annotations

import pytest
import torch
from tiny_policy import SPEC, gr00t_inference, load_encoder, observations

from gr00t_rl_ext.evaluation.native import native_actor
from gr00t_rl_ext.policy.actor_critic import ActorDefinition
from gr00t_rl_ext.policy.gaussian_actor import Gr00tGaussianActor
from gr00t_rl_ext.policy.residual_actor import Gr00tResidualActor
from gr00t_rl_ext.policy.steering import Gr00tSteeringActor


@pytest.mark.parametrize(
    ("actor_class", "settings", "steps"),
    [
        (Gr00tSteeringActor, {"num_flow_steps": 2, "hidden_dims": [8]}, 2),
        (Gr00tResidualActor, {"noise_scale": 0.0}, 4),
        (Gr00tGaussianActor, {}, 4),
    ],
)
def test_it_acts_as_gr00t_samples(actor_class: type, settings: dict, steps: int) -> None:
    """Whatever the policy over it is, and however much noise that begins with."""
    settings = {"gr00t": {}, "chunk_length": 3, **settings}
    actor, raw = native_actor(ActorDefinition.of(actor_class, SPEC, settings), "cpu"), observations(4)
    assert actor.chunk_length == 3
    assert not list(actor.parameters())
    torch.manual_seed(7)
    with torch.no_grad():
        actions = actor(raw)
    encoder = load_encoder(reads_head=True)
    expected = encoder.decode_action(gr00t_inference(encoder, raw, steps, seed=7), raw)[:, :3].flatten(1)
    assert torch.equal(actions, expected)
