# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""flow_actor: GR00T's action head as a policy, on both versions."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from n1_7_robot import HORIZON, TAG, n1_7_robot
from policies import DISCRETE_SPEC
from rsl_rl.runners import OnPolicyRunner
from tiny_policy import SPEC, actor_critic, decided, gr00t_inference, load_encoder, observations
from torch import Tensor

from gr00t_rl_ext.policy.encoder import FEATURES, Gr00tEncoder
from gr00t_rl_ext.policy.flow_actor import Gr00tFlowActor
from gr00t_rl_ext.policy.flow_chain import FlowChain, sde_std
from gr00t_rl_ext.policy.options import FlowActorOptions
from gr00t_rl_ext.policy.stages import FreezingOptions

H, B = 4, 4
HEAD = FreezingOptions(train=("projector", "dit"))


@pytest.fixture(scope="module")
def encoder() -> Gr00tEncoder:
    return load_encoder(freezing=HEAD, reads_head=True)


def make(encoder: Gr00tEncoder, chunk_length: int = H, **flow: Any) -> Gr00tFlowActor:
    actor = actor_critic(encoder, chunk_length, actor_class=Gr00tFlowActor, flow=flow).actor
    assert isinstance(actor, Gr00tFlowActor)
    return actor


@pytest.mark.parametrize("steps", [1, 4, 7])
def test_the_deterministic_decision_is_gr00ts_inference(encoder: Gr00tEncoder, steps: int) -> None:
    actor = make(encoder, num_eval_steps=steps)
    raw = observations(B)
    torch.manual_seed(3)
    with torch.no_grad():
        actions = actor(raw)
    expected = encoder.decode_action(gr00t_inference(encoder, raw, steps, seed=3), raw)[:, :H].flatten(1)
    torch.testing.assert_close(actions, expected, rtol=0, atol=1e-6)
    assert actions.shape == (B, H * 8)


@pytest.mark.parametrize("scale", [None, 1.0, 0.5, 0.0])
def test_a_decision_begins_with_scaled_noise(encoder: Gr00tEncoder, scale: float | None) -> None:
    """Bit by bit: 1, the default, is GR00T's own sampling, and 0 that from zeros, for which nothing is drawn."""
    settings = {} if scale is None else {"noise_scale": scale}
    actor = actor_critic(encoder, H, actor_class=Gr00tFlowActor, flow={"score": "all_steps"}, **settings).actor
    raw = observations(B)
    torch.manual_seed(3)
    with torch.no_grad():
        actions = actor(raw)
        after = torch.get_rng_state()
        obs = encoder.encode(raw)
        torch.manual_seed(3)
        before = torch.get_rng_state()
        drawn = torch.randn(B, encoder.model.action_horizon, encoder.model.max_action_dim)
        noise = drawn if scale is None else scale * drawn
        sampled = encoder.model.sample(encoder.context(obs), encoder.head_state(obs), noise, 4)
    assert torch.equal(actions, encoder.decode_action(sampled, raw)[:, :H].flatten(1))
    assert torch.equal(after, before) == (scale == 0.0)
    # while training as well
    _, decisions = decided(actor, seed=3)
    assert torch.equal(FlowChain(*decisions.recorded).points[:, 0], noise)


def test_the_context_has_what_the_head_would_compute_itself(encoder: Gr00tEncoder) -> None:
    raw = observations(B)
    with torch.no_grad():
        ours = encoder.context(encoder.encode(raw))
        theirs = encoder.model.condition(encoder.model.encode(**encoder.model_inputs(raw)))
    torch.testing.assert_close(ours.tokens, theirs.tokens)
    for name in ("attention_mask", "image_mask"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name)), name


@pytest.mark.parametrize("score", ["one_step", "all_steps"])
def test_actions_are_those_of_the_chain(encoder: Gr00tEncoder, score: str) -> None:
    actor = make(encoder, score=score)
    obs, decisions = decided(actor, seed=1)
    chain = FlowChain(*decisions.recorded)
    last = chain.t[:, -1] == 0.75
    assert last.any()
    expected = encoder.decode_action(chain.points[:, -1], obs)[:, :H].flatten(1)
    assert torch.equal(decisions.actions[last], expected[last])
    assert chain.std.amin() > 0
    scored = actor.score(obs, decisions)
    assert scored.log_prob().shape == (B, H)
    torch.testing.assert_close(scored.log_prob(), actor.score_recorded(decisions).log_prob(), rtol=1e-5, atol=1e-4)


def test_the_random_step_is_drawn_for_each_environment(encoder: Gr00tEncoder) -> None:
    actor = make(encoder)
    drawn = {tuple(FlowChain(*decided(actor, seed)[1].recorded).t[:, 0].tolist()) for seed in range(4)}
    assert all(len(set(times)) > 1 for times in drawn)
    assert len(drawn) == 4


def test_only_what_reaches_the_robot_counts(encoder: Gr00tEncoder) -> None:
    """Executed control steps and action dimensions; the head's chunk has 16 steps of 32 dimensions."""
    actor = make(encoder)
    assert actor.action_dims.tolist() == list(range(8))
    obs, decisions = decided(actor)
    valid = decisions.valid.clone()
    valid[1, 2:] = False
    decisions = dataclasses.replace(decisions, valid=valid)

    def log_prob(change: Tensor) -> Tensor:
        chain = FlowChain(*decisions.recorded)
        points = chain.points.clone()
        points[:, -1] += change
        return actor.score(obs, dataclasses.replace(decisions, recorded=chain._replace(points=points))).log_prob()

    plain = log_prob(torch.zeros(16, encoder.model.max_action_dim))
    assert not plain[1, 2:].any()
    for step, dim, counts in ((0, 0, True), (3, 7, True), (4, 0, False), (0, 8, False)):
        change = torch.zeros(16, encoder.model.max_action_dim)
        change[step, dim] = 0.1
        differs = (log_prob(change) - plain).abs() > 1e-4
        assert differs[0].tolist() == [counts and k == step for k in range(H)], (step, dim)
    change = torch.zeros(16, encoder.model.max_action_dim)
    change[2] = 0.1
    assert torch.equal(log_prob(change)[1], plain[1]), "a step that was not executed"


def test_the_noise_level_follows_its_schedule(encoder: Gr00tEncoder) -> None:
    actor = make(encoder, score="all_steps", noise_level=0.4, final_noise_level=0.2, noise_level_iterations=2)
    for iteration, level in ((0, 0.4), (1, 0.3), (2, 0.2), (5, 0.2)):
        actor.start_iteration(iteration, None)
        std = FlowChain(*decided(actor)[1].recorded).std
        for step in range(4):
            torch.testing.assert_close(std[:, step], torch.full_like(std[:, step], sde_std(step, 4, level)))


def test_learned_noise_is_bounded_and_learns_on_its_own(encoder: Gr00tEncoder) -> None:
    actor = make(encoder, noise="learned", std_range=(0.1, 0.4), noise_hidden_dims=(16,))
    obs, decisions = decided(actor)
    std = FlowChain(*decisions.recorded).std
    torch.testing.assert_close(std, torch.full_like(std, 0.2), rtol=0.05, atol=0)
    assert {name.split(".")[0] for name in actor.state_dict()} == {"noise"}
    actor.score(obs, decisions).entropy().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in actor.parameters())
    assert actor.entropy_has_gradient
    assert not make(encoder).entropy_has_gradient
    assert not list(make(encoder).parameters())


def test_the_gradient_reaches_what_trains_of_the_head(encoder: Gr00tEncoder) -> None:
    actor = make(encoder)
    obs, decisions = decided(actor)
    encoder.model.zero_grad()
    actor.score(obs, decisions).log_prob().sum().backward()
    report = encoder.freezing.check_gradients()
    assert report.norms["projector"] > 0
    assert report.norms["dit"] > 0
    encoder.model.zero_grad()


def test_a_frozen_copy_is_the_policy_at_step_0_over_the_same_gr00t(encoder: Gr00tEncoder) -> None:
    actor = make(encoder, noise="learned")
    reference = actor.frozen_copy()
    assert reference.encoder is actor.encoder
    assert not any(p.requires_grad for p in reference.parameters())
    obs, decisions = decided(actor)
    with torch.no_grad():
        for parameter in actor.parameters():
            parameter.add_(0.5)
        policy, base = actor.score(obs, decisions), reference.score(obs, decisions)
    assert policy.kl_divergence(base).sum() > 0
    torch.testing.assert_close(base.log_prob(), reference.score_recorded(decisions).log_prob(), rtol=1e-5, atol=1e-4)


def test_the_export_of_play_says_where_the_policy_is(encoder: Gr00tEncoder, tmp_path: Path) -> None:
    """As rsl_rl exports it: the files load, and what they say cannot be taken for actions."""
    import onnx

    runner = OnPolicyRunner.__new__(OnPolicyRunner)
    actor = make(encoder)
    runner.alg = type("Algorithm", (), {"get_policy": lambda self: actor})()  # type: ignore[assignment]
    runner.export_policy_to_jit(str(tmp_path), "policy.pt")
    runner.export_policy_to_onnx(str(tmp_path), "policy.onnx")
    exported = torch.jit.load(tmp_path / "policy.pt")(torch.zeros(2, encoder.state_dim))
    assert exported.shape == (2, H * 8)
    assert exported.isnan().all()
    model = onnx.load(tmp_path / "policy.onnx")
    assert [output.name for output in model.graph.output] == ["see_scripts_export_gr00t_py"]


def test_discrete_actions_are_refused() -> None:
    discrete = load_encoder(DISCRETE_SPEC, HEAD, reads_head=True)
    with pytest.raises(ValueError, match=r"actions are discrete \(3, 4 choices\).*`gr00t_categorical_ppo`"):
        Gr00tFlowActor(discrete, FlowActorOptions(chunk_length=H))


def test_n1_7_with_relative_actions(tmp_path: Path) -> None:
    """The chunk is the robot's horizon, the actions are absolute again, and the chain is scored over them."""
    checkpoint = n1_7_robot(tmp_path / "n1_7", SPEC.state_terms, SPEC.action_terms)
    encoder = load_encoder(
        SPEC, FreezingOptions(train=("dit_lora",), lora_rank=2), True, checkpoint=str(checkpoint), embodiment_tag=TAG
    )
    actor = make(encoder, HORIZON)
    obs, decisions = decided(actor)
    assert decisions.actions.shape == (B, HORIZON * 8)
    assert FlowChain(*decisions.recorded).points.shape == (B, 2, 8, 12)
    scored = actor.score(obs, decisions)
    assert scored.log_prob().shape == (B, HORIZON)
    assert scored.log_ratio(actor.score_recorded(decisions)).abs().max() < 1e-4
    assert obs[FEATURES].shape == (B, *encoder.feature_shape)
