# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""The action head: slots, caching, and that nothing in it is random."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from gr00t_rl_ext.gr00t import ActionHead, ActionHeadConfig, Gr00tCheckpointError, Gr00tModel


@pytest.fixture
def batch(reference_io: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Features (3, 27, 64), state (3, 1, 16), noise (3, 8, 12)."""
    return reference_io["backbone_features"], reference_io["state"], reference_io["noise0"]


def test_slot_layers_equal_the_published_gather(reference_model: Gr00tModel, reference_checkpoint: Path):
    published = load_file(reference_checkpoint / "model.safetensors")
    slots = torch.full((5,), reference_model.embodiment_slot)
    generator = torch.Generator().manual_seed(0)
    for name in ActionHead.SLOT_LAYERS:
        weight, bias = published[f"action_head.{name}.W"], published[f"action_head.{name}.b"]
        x = torch.randn(5, 3, weight.shape[1], generator=generator)
        gathered = torch.bmm(x, weight[slots]) + bias[slots][:, None]
        torch.testing.assert_close(reference_model.action_head.get_submodule(name)(x), gathered, rtol=0, atol=1e-6)


def test_cached_key_values_change_nothing(reference_model: Gr00tModel, batch: tuple[Tensor, Tensor, Tensor]):
    features, state, x = batch
    head = reference_model.action_head
    context = head.condition(features)
    cached = head.cache_key_values(context)
    assert cached.key_values is not None
    assert len(cached.key_values) == 2  # of 4 blocks, every second attends to the VL tokens
    assert head.cache_key_values(cached) is cached
    for bucket in (0, 250, 999):
        t_bucket = torch.full((3,), bucket)
        assert torch.equal(head.velocity(cached, state, x, t_bucket), head.velocity(context, state, x, t_bucket))
    by_hand = x
    for step in range(4):
        by_hand = by_hand + head.velocity(context, state, by_hand, torch.full((3,), step * 250)) / 4
    assert torch.equal(head.sample(context, state, x), by_hand)


def test_key_values_are_projected_once_per_chunk(
    reference_model: Gr00tModel, batch: tuple[Tensor, Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
):
    calls = []
    head = reference_model.action_head
    project = head.model.project_vl
    monkeypatch.setattr(head.model, "project_vl", lambda tokens: calls.append(1) or project(tokens))
    head.sample(head.condition(batch[0]), *batch[1:], num_steps=7)
    assert len(calls) == 1


def test_train_mode_equals_eval_mode(reference_model: Gr00tModel, reference_io: dict[str, Tensor]):
    def run() -> Tensor:
        features = reference_model.encode(
            pixel_values=reference_io["eagle_pixel_values"], input_ids=reference_io["eagle_input_ids"]
        )
        context = reference_model.condition(features)
        return reference_model.sample(context, reference_io["state"], reference_io["noise0"])

    before = run()
    reference_model.train()
    assert torch.equal(run(), before)
    assert not [name for name, module in reference_model.named_modules() if isinstance(module, nn.Dropout)]


def test_velocity_has_gradients_for_all_its_inputs(reference_model: Gr00tModel, batch: tuple[Tensor, Tensor, Tensor]):
    features, state, x = (value.clone().requires_grad_() for value in batch)
    head = reference_model.action_head
    velocity = head.velocity(head.condition(features), state, x, torch.tensor([0, 500, 999]))
    assert velocity.shape == x.shape
    for gradient in torch.autograd.grad(velocity.square().sum(), (features, state, x)):
        assert torch.isfinite(gradient).all()
        assert gradient.abs().sum() > 0


def test_samples_of_a_batch_do_not_mix(reference_model: Gr00tModel, batch: tuple[Tensor, Tensor, Tensor]):
    features, state, x = batch
    head = reference_model.action_head
    together = head.sample(head.condition(features), state, x)
    alone = head.sample(head.condition(features[1:2]), state[1:2], x[1:2])
    torch.testing.assert_close(together[1:2], alone, rtol=0, atol=1e-6)


def test_outputs_are_float32_in_half_precision(reference_model: Gr00tModel, batch: tuple[Tensor, Tensor, Tensor]):
    features, state, x = batch
    exact = reference_model.sample(reference_model.action_head.condition(features), state, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        autocast = reference_model.sample(reference_model.action_head.condition(features), state, x)
    head = reference_model.action_head.bfloat16()
    half = head.sample(head.condition(features), state, x)
    for actions in (autocast, half):
        assert actions.dtype == torch.float32
        assert (actions - exact).abs().max() < 0.1


def test_number_of_steps(reference_model: Gr00tModel, batch: tuple[Tensor, Tensor, Tensor]):
    features, state, x = batch
    head = reference_model.action_head
    context = head.condition(features)
    one = head.sample(context, state, x, num_steps=1)
    torch.testing.assert_close(one, x + head.velocity(context, state, x, torch.zeros(3, dtype=torch.long)))
    with pytest.raises(ValueError, match="num_steps is 0; the sampler needs at least 1 Euler step"):
        head.sample(context, state, x, num_steps=0)


def test_loss_ignores_masked_entries(reference_model: Gr00tModel, reference_io: dict[str, Tensor]):
    context = reference_model.action_head.condition(reference_io["backbone_features"])
    state, action, noise, t = (reference_io[key] for key in ("state", "action", "fm_noise", "fm_t"))
    mask = torch.zeros_like(action)
    mask[..., :5] = 1
    loss = reference_model.flow_matching_loss(context, state, action, mask, noise, t)
    x_t = (1 - t[:, None, None]) * noise + t[:, None, None] * action
    error = reference_model.velocity(context, state, x_t, (t * 1000).long()) - (action - noise)
    torch.testing.assert_close(loss, error[..., :5].square().mean())


def test_config_errors(reference_model: Gr00tModel):
    section = dict(reference_model.config.raw["action_head_cfg"])
    with pytest.raises(Gr00tCheckpointError, match=r"no field 'hidden_size' for the action head. The file is"):
        ActionHeadConfig.from_checkpoint({k: v for k, v in section.items() if k != "hidden_size"})
    dit = dict(section["diffusion_model_cfg"])
    with pytest.raises(Gr00tCheckpointError, match="norm_type is 'layer_norm'; only 'ada_norm' is supported"):
        ActionHeadConfig.from_checkpoint(section | {"diffusion_model_cfg": dit | {"norm_type": "layer_norm"}})
    with pytest.raises(Gr00tCheckpointError, match="positional_embeddings is 'sinusoidal'; only None is supported"):
        ActionHeadConfig.from_checkpoint(
            section | {"diffusion_model_cfg": dit | {"positional_embeddings": "sinusoidal"}}
        )


def test_parameters_steer_the_head_without_future_tokens(reference_model: Gr00tModel):
    """What GR00T N1.7 needs: no future tokens and another horizon, by config only."""
    section = dict(reference_model.config.raw["action_head_cfg"]) | {"action_horizon": 5, "num_target_vision_tokens": 0}
    head = ActionHead(ActionHeadConfig.from_checkpoint(section))
    assert head.future_tokens is None
    context = head.condition(torch.randn(2, 7, 64))
    assert head.sample(context, torch.randn(2, 1, 16), torch.randn(2, 5, 12)).shape == (2, 5, 12)
