# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""adapter and actor: bounds, initialisation, sampling, and the exported policy."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from rsl_rl.runners import OnPolicyRunner
from tiny_policy import SPEC, actor_critic, observations
from torch import nn

from gr00t_rl_ext.policy.actor import Decisions
from gr00t_rl_ext.policy.adapter import AttentionPooling, CategoricalAdapter, GaussianAdapter
from gr00t_rl_ext.policy.encoder import FEATURES, Gr00tEncoder
from gr00t_rl_ext.policy.gaussian_actor import Gr00tGaussianActor
from gr00t_rl_ext.policy.options import (
    AdapterActorOptions,
    BoundedGaussianOptions,
    BoundedStdOptions,
    GaussianActorOptions,
)

S, D, STATE, H, A = 6, 8, 5, 4, 3
CHOICES = (3, 2, 5)


Adapter = GaussianAdapter | CategoricalAdapter
ADAPTERS = ["bounded mean", "unbounded mean", "state-dependent std", "categorical"]


def make_adapter(kind: str, feature_dim: int = D, state_dim: int = STATE) -> Adapter:
    torch.manual_seed(0)
    std = BoundedGaussianOptions(0.3, (0.02, 1.0), state_dependent_std=kind == "state-dependent std")
    options = GaussianActorOptions(hidden_dims=[16, 16], num_queries=2, distribution_cfg=std)
    if kind == "categorical":
        return CategoricalAdapter(feature_dim, state_dim, H, CHOICES, options)
    return GaussianAdapter(feature_dim, state_dim, H, A, options, bounded_mean=kind != "unbounded mean")


def parameters_of(adapter: Adapter, features: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """What the adapter says of its distribution."""
    if isinstance(adapter, CategoricalAdapter):
        return (adapter.logits(features, state),)
    return adapter.distribution(features, state)


@pytest.fixture
def adapter(request: pytest.FixtureRequest) -> Adapter:
    return make_adapter(getattr(request, "param", "bounded mean"))


@pytest.fixture
def actor(encoder: Gr00tEncoder) -> Gr00tGaussianActor:
    return actor_critic(encoder).actor


def test_mean_is_a_chunk_inside_the_action_range(adapter: GaussianAdapter) -> None:
    features, state = 10 * torch.randn(7, S, D), 10 * torch.randn(7, STATE)
    mean, _ = adapter.distribution(features, state)
    assert mean.shape == (7, H, A)
    assert mean.dtype == torch.float32
    with torch.no_grad():
        adapter.mlp[-1].weight.mul_(300.0)
    mean, _ = adapter.distribution(features, state)
    assert (mean.abs() <= 1.0).all()
    assert mean.abs().max() > 0.5
    assert torch.equal(adapter(features, state), mean.flatten(1))


@pytest.mark.parametrize("adapter", ADAPTERS, ids=ADAPTERS, indirect=True)
def test_features_in_half_precision_give_a_distribution_in_single(adapter: Adapter) -> None:
    half, features, state = torch.randn(2, S, D).bfloat16(), torch.randn(2, S, D), torch.randn(2, STATE)
    assert {values.dtype for values in parameters_of(adapter, half, state)} == {torch.float32}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert {values.dtype for values in parameters_of(adapter, features, state)} == {torch.float32}


@pytest.mark.parametrize("adapter", ADAPTERS, ids=ADAPTERS, indirect=True)
def test_the_distribution_depends_on_features_and_state(adapter: Adapter) -> None:
    features, state = torch.randn(1, S, D), torch.randn(1, STATE)
    base = parameters_of(adapter, features, state)
    for changed in (
        parameters_of(adapter, features + torch.randn(1, S, D), state),
        parameters_of(adapter, features, state + 1.0),
    ):
        differ = [not torch.equal(*values) for values in zip(changed, base, strict=True)]
        # a Gaussian's standard deviation only where it was asked for
        assert differ == ([True] if len(base) == 1 else [True, adapter.std_logit is None])


def test_pooling_does_not_depend_on_the_order_of_the_tokens() -> None:
    torch.manual_seed(0)
    pooling, tokens = AttentionPooling(D, 3), torch.randn(2, S, D)
    pooled = pooling(tokens)
    assert pooled.shape == (2, 3 * D)
    torch.testing.assert_close(pooling(tokens.flip(1)), pooled)


def test_pooling_equals_attention_written_out() -> None:
    torch.manual_seed(0)
    pooling, tokens = AttentionPooling(D, 2), torch.randn(1, S, D)
    normed = nn.functional.layer_norm(tokens[0], (D,))
    expected = [torch.softmax(normed @ query / math.sqrt(D), dim=0) @ normed for query in pooling.queries]
    torch.testing.assert_close(pooling(tokens)[0], torch.cat(expected))


def test_std_starts_at_init_std(adapter: GaussianAdapter) -> None:
    _, std = adapter.distribution(torch.randn(7, S, D), torch.randn(7, STATE))
    torch.testing.assert_close(std, torch.full((7, H, A), 0.3))


@pytest.mark.parametrize("adapter", ["state-dependent std"], indirect=True)
def test_a_state_dependent_std_starts_near_init_std_and_is_one_of_each_decision(adapter: GaussianAdapter) -> None:
    features, state = torch.randn(7, S, D), torch.randn(7, STATE)
    mean, std = adapter.distribution(features, state)
    assert mean.shape == std.shape == (7, H, A)
    torch.testing.assert_close(std, torch.full((7, H, A), 0.3), rtol=0.1, atol=0.0)
    assert mean.abs().max() < 0.1
    assert (std.std(dim=0) > 0.0).all()
    # where the last layer says nothing of the input, exactly at it
    nn.init.zeros_(adapter.mlp[-1].weight)
    mean, std = adapter.distribution(features, state)
    torch.testing.assert_close(std, torch.full((7, H, A), 0.3))
    assert (mean == 0.0).all()


@pytest.mark.parametrize("adapter", ["bounded mean", "state-dependent std"], indirect=True)
def test_std_stays_in_its_range_and_keeps_a_gradient_near_the_bounds(adapter: GaussianAdapter) -> None:
    for logit, bound in ((-10.0, 0.02), (10.0, 1.0)):
        raw = adapter.mlp[-1].bias if adapter.std_logit is None else adapter.std_logit
        nn.init.constant_(raw, logit)
        _, std = adapter.distribution(torch.randn(2, S, D), torch.randn(2, STATE))
        assert ((std >= 0.02) & (std <= 1.0)).all()
        torch.testing.assert_close(std, torch.full((2, H, A), bound), rtol=1e-3, atol=0.0)
        adapter.zero_grad()
        std.sum().backward()
        slopes = raw.grad.view(H, -1)
        assert (slopes[:, -A:] > 0.0).all()
        assert (slopes[:, :-A] == 0.0).all()


@pytest.mark.parametrize("adapter", ["unbounded mean"], indirect=True)
def test_an_unbounded_mean_is_squashed_in_the_deterministic_action(adapter: GaussianAdapter) -> None:
    nn.init.constant_(adapter.mlp[-1].bias, 2.0)
    features, state = torch.randn(7, S, D), torch.randn(7, STATE)
    mean, std = adapter.distribution(features, state)
    torch.testing.assert_close(mean, torch.full((7, H, A), 2.0), rtol=0.05, atol=0.0)
    torch.testing.assert_close(std, torch.full((7, H, A), 0.3))
    assert torch.equal(adapter(features, state), mean.tanh().flatten(1))


@pytest.mark.parametrize("adapter", ["categorical"], indirect=True)
def test_choices_start_nearly_equally_likely(adapter: CategoricalAdapter) -> None:
    logits = adapter.logits(torch.randn(9, S, D), torch.randn(9, STATE))
    assert logits.shape == (9, H, sum(CHOICES))
    for part, number in zip(logits.split(CHOICES, dim=-1), CHOICES, strict=True):
        torch.testing.assert_close(part.softmax(-1), torch.full_like(part, 1 / number), rtol=0.1, atol=0.0)


@pytest.mark.parametrize("adapter", ["categorical"], indirect=True)
def test_the_deterministic_action_is_the_likeliest_choice_of_each_component(adapter: CategoricalAdapter) -> None:
    features, state = torch.randn(9, S, D), torch.randn(9, STATE)
    actions = adapter(features, state)
    assert actions.dtype == torch.float32
    expected = [part.argmax(-1) for part in adapter.logits(features, state).split(CHOICES, dim=-1)]
    assert torch.equal(actions.view(9, H, A), torch.stack(expected, dim=-1).float())
    assert (actions.view(9, H, A).amax(dim=(0, 1)) > 0.0).all()


@pytest.mark.parametrize("choices", [(), (3, 0), (2, -1)])
def test_a_component_without_choices_is_refused(choices: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected at least one component, and at least one choice in each") as error:
        CategoricalAdapter(D, STATE, H, choices, AdapterActorOptions())
    assert f"have {choices} choices" in str(error.value)


@pytest.mark.parametrize(
    ("init_std", "std_range"), [(0.3, (1.0, 0.02)), (0.01, (0.02, 1.0)), (2.0, (0.02, 1.0)), (0.3, (0.0, 1.0))]
)
def test_a_std_outside_its_range_is_refused(init_std: float, std_range: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"0 < low < init_std < high.*agent\.actor\.distribution_cfg") as error:
        BoundedStdOptions(init_std, std_range).validate_config()
    assert f"init_std = {init_std}" in str(error.value)
    assert f"({std_range[0]}, {std_range[1]})" in str(error.value)


@pytest.mark.parametrize("adapter", ADAPTERS, ids=ADAPTERS, indirect=True)
def test_layers_start_orthogonal_and_the_last_one_small(adapter: Adapter) -> None:
    layers = [module for module in adapter.mlp if isinstance(module, nn.Linear)]
    assert len(layers) == 3
    for layer, gain in zip(layers, (math.sqrt(2), math.sqrt(2), 0.01), strict=True):
        singular = torch.linalg.svdvals(layer.weight)
        torch.testing.assert_close(singular, torch.full_like(singular, gain), rtol=1e-4, atol=1e-6)
        is_std = layer is layers[-1] and isinstance(adapter, GaussianAdapter) and adapter.std_logit is None
        assert (layer.bias == 0.0).sum() == len(layer.bias) // (2 if is_std else 1)
    # so that the policy starts close to the same distribution, whatever it sees
    assert parameters_of(adapter, torch.randn(9, S, D), torch.randn(9, STATE))[0].abs().max() < 0.1


def test_the_actor_encodes_images_itself_and_takes_encoded_observations(
    actor: Gr00tGaussianActor, encoder: Gr00tEncoder
) -> None:
    obs = observations()
    calls = encoder.calls
    from_images = actor(obs)
    assert encoder.calls == calls + 1
    encoded = encoder.encode(obs)
    from_features = actor(encoded)
    assert encoder.calls == calls + 2
    assert from_images.shape == (4, 4 * SPEC.action_dim)
    assert torch.equal(from_images, from_features)
    assert torch.equal(from_images, actor.adapter(encoded[FEATURES], encoder.state(obs)))


def test_samples_have_the_mean_and_standard_deviation_that_the_actor_reports(
    actor: Gr00tGaussianActor, encoder: Gr00tEncoder
) -> None:
    obs = encoder.encode(observations(num_envs=1)).expand(4_000)
    torch.manual_seed(0)
    samples = actor(obs, stochastic_output=True).view(-1, 4, 8)
    mean, std = actor.output_distribution_params
    assert mean.shape == std.shape == samples.shape
    torch.testing.assert_close(samples.mean(0), mean[0], atol=0.03, rtol=0.0)
    torch.testing.assert_close(samples.std(0), std[0], atol=0.03, rtol=0.0)


def test_log_prob_is_that_of_the_whole_chunk(actor: Gr00tGaussianActor, encoder: Gr00tEncoder) -> None:
    actions = actor(encoder.encode(observations()), stochastic_output=True)
    mean, std = actor.output_distribution_params
    expected = torch.distributions.Normal(mean, std).log_prob(actions.view_as(mean)).sum(dim=(1, 2))
    every = torch.ones(4, 4, dtype=torch.bool)
    scored = actor.score_recorded(Decisions(actions, (mean, std), every))
    torch.testing.assert_close(scored.log_prob().sum(1), expected)


def test_torchscript_export_gives_the_same_actions(
    actor: Gr00tGaussianActor, encoder: Gr00tEncoder, tmp_path: Path
) -> None:
    """Through rsl_rl's own export, which `isaaclab play` calls."""
    runner = SimpleNamespace(alg=SimpleNamespace(get_policy=lambda: actor))
    OnPolicyRunner.export_policy_to_jit(runner, str(tmp_path))
    obs = encoder.encode(observations())
    exported = torch.jit.load(tmp_path / "policy.pt")
    torch.testing.assert_close(exported(obs[FEATURES], encoder.state(obs)), actor(obs))


def test_onnx_export_gives_the_same_actions(actor: Gr00tGaussianActor, encoder: Gr00tEncoder, tmp_path: Path) -> None:
    """Through rsl_rl's own export; it fixes the batch to one observation."""
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    runner = SimpleNamespace(alg=SimpleNamespace(get_policy=lambda: actor))
    OnPolicyRunner.export_policy_to_onnx(runner, str(tmp_path))
    obs = encoder.encode(observations(num_envs=1))
    model = onnx.load(tmp_path / "policy.onnx")
    assert [entry.name for entry in model.graph.input] == ["features", "state"]
    (actions,) = ReferenceEvaluator(model).run(
        None, {"features": obs[FEATURES].numpy(), "state": encoder.state(obs).numpy()}
    )
    torch.testing.assert_close(torch.from_numpy(actions), actor(obs).detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ADAPTERS)
def test_every_adapter_can_be_exported(
    actor: Gr00tGaussianActor, encoder: Gr00tEncoder, tmp_path: Path, kind: str
) -> None:
    """Through rsl_rl's own exports, of an actor with this adapter."""
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    adapter = make_adapter(kind, encoder.feature_shape[1], encoder.state_dim)
    # far from its start, or all inputs give nearly the same
    with torch.no_grad():
        adapter.mlp[-1].weight.mul_(100.0)
    actor.adapter = adapter
    runner = SimpleNamespace(alg=SimpleNamespace(get_policy=lambda: actor))
    OnPolicyRunner.export_policy_to_jit(runner, str(tmp_path))
    OnPolicyRunner.export_policy_to_onnx(runner, str(tmp_path))
    features, state = torch.randn(5, *encoder.feature_shape), torch.randn(5, encoder.state_dim)
    expected = adapter(features, state).detach()
    assert expected.shape == (5, H * A)
    assert (expected.std(dim=0) > 0.0).any()
    torch.testing.assert_close(torch.jit.load(tmp_path / "policy.pt")(features, state), expected)
    model = ReferenceEvaluator(onnx.load(tmp_path / "policy.onnx"))
    (actions,) = model.run(None, {"features": features[:1].numpy(), "state": state[:1].numpy()})
    torch.testing.assert_close(torch.from_numpy(actions), expected[:1], rtol=1e-4, atol=1e-5)


def test_moving_an_export_does_not_move_the_policy(actor: Gr00tGaussianActor) -> None:
    """rsl_rl's export moves what it gets to the CPU while the policy goes on acting on the GPU."""
    for exported in (actor.as_jit(), actor.as_onnx()):
        exported.to(torch.float64)
        assert {parameter.dtype for parameter in actor.parameters()} == {torch.float32}
