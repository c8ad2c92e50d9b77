# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""backbone: the pass cut before any layer gives what the whole pass gives, and gradients reach what lies above only."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from counting import counted
from safetensors.torch import load_file
from torch import Tensor

from gr00t_rl_ext.gr00t import Gr00tModel, load_gr00t

SLOTS = {"gr00t_n1_5_tiny": 1, "gr00t_n1_7_tiny": 2}
DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module", params=SLOTS)
def reference(request: pytest.FixtureRequest) -> tuple[Gr00tModel, dict[str, Tensor]]:
    directory = DATA / request.param
    model = load_gr00t(directory, embodiment_slot=SLOTS[request.param], dtype=torch.float32)
    io = {name.removeprefix("eagle_"): value for name, value in load_file(directory / "ref_io.safetensors").items()}
    names = ("pixel_values", "input_ids", "attention_mask", "image_grid_thw")
    return model, {name: io[name] for name in names if name in io}


def prompts(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in inputs.items() if name != "pixel_values"}


def test_every_cut_gives_the_features_of_the_whole_pass(reference: tuple[Gr00tModel, dict[str, Tensor]]) -> None:
    model, inputs = reference
    backbone, whole = model.backbone, model.encode(**inputs).tokens
    cuts = range(backbone.first_cut, len(backbone.language_layers) + 1)
    assert len(cuts) > 1
    for layer in cuts:
        hidden = backbone.hidden_states(**inputs, layer=layer)
        features = backbone.features(hidden, **prompts(inputs), layer=layer)
        assert torch.equal(features.tokens, whole), layer
        assert torch.equal(features.image_mask, model.encode(**inputs).image_mask)


def test_only_the_layers_above_the_cut_run(reference: tuple[Gr00tModel, dict[str, Tensor]]) -> None:
    model, inputs = reference
    layers = {str(index): layer for index, layer in enumerate(model.backbone.language_layers)}
    cut = len(layers) - 1
    with counted(layers) as calls:
        hidden = model.backbone.hidden_states(**inputs, layer=cut)
        assert calls == dict.fromkeys(map(str, range(cut)), 1)
    with counted(layers) as calls:
        model.backbone.features(hidden, **prompts(inputs), layer=cut)
        assert calls == {str(cut): 1}


def test_a_cut_where_there_is_none_is_refused(reference: tuple[Gr00tModel, dict[str, Tensor]]) -> None:
    model, inputs = reference
    last = len(model.backbone.language_layers)
    message = rf"before layers {model.backbone.first_cut} to {last}; got {last + 1}"
    with pytest.raises(ValueError, match=message):
        model.backbone.hidden_states(**inputs, layer=last + 1)
    with pytest.raises(ValueError, match=message):
        model.backbone.features(torch.zeros(1), inputs["input_ids"], layer=last + 1)


def test_the_layers_that_deepstack_feeds_cannot_be_cut_from_the_images(n1_7_checkpoint: Path) -> None:
    """Two layers of which the first gets image features added: the cut before the last one is the first."""
    model = load_gr00t(n1_7_checkpoint, embodiment_slot=2)
    assert (model.backbone.first_cut, len(model.backbone.language_layers)) == (1, 2)
    with pytest.raises(ValueError, match="before layers 1 to 2; got 0"):
        model.backbone.check_cut(0)


def test_recomputed_blocks_give_the_same_gradients(reference: tuple[Gr00tModel, dict[str, Tensor]]) -> None:
    """Gradient checkpointing over vision model, language model, VL self-attention and DiT."""
    model, inputs = reference
    batch = inputs["input_ids"].shape[0]
    generator = torch.Generator().manual_seed(0)
    state = torch.randn(batch, 1, model.max_state_dim, generator=generator)
    x = torch.randn(batch, model.action_horizon, model.max_action_dim, generator=generator)
    stacks = [*model.backbone.language_layers, *model.action_head.model.transformer_blocks]
    blocks = {str(index): block for index, block in enumerate(stacks)}
    gradients, calls = [], []
    model.requires_grad_(True)
    for enabled in (False, True):
        model.set_gradient_checkpointing(enabled)
        with counted(blocks) as count:
            context = model.condition(model.encode(**inputs))
            velocity = model.velocity(context, state, x, torch.full((batch,), 250))
            velocity.square().mean().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
        calls.append(count.total())
        model.zero_grad(set_to_none=True)
    model.set_gradient_checkpointing(False)
    model.requires_grad_(False)
    assert calls == [len(blocks), 2 * len(blocks)]
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=1e-5, atol=1e-8)


def test_parameters_that_no_feature_depends_on_are_known(reference: tuple[Gr00tModel, dict[str, Tensor]]) -> None:
    model, inputs = reference
    model.requires_grad_(True)
    model.encode(**inputs).tokens.square().sum().backward()
    without = {name for name, p in model.backbone.named_parameters() if p.grad is None}
    declared = {n for n, _ in model.backbone.named_parameters() if n.startswith(model.backbone.unreached)}
    model.requires_grad_(False)
    model.zero_grad(set_to_none=True)
    assert without
    assert without == declared
