# Copyright (c) 2026 The gr00t_rl_ext developers.
# SPDX-License-Identifier: Apache-2.0

"""Several instructions in one batch: each sample gets what it gets alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from n1_7_robot import TAG, n1_7_robot
from torch import Tensor

from gr00t_rl_ext.gr00t import (
    Gr00tContext,
    Gr00tFeatures,
    Gr00tInputs,
    Gr00tModel,
    build_tiny_checkpoint,
    load_gr00t,
)

TEXTS = ["lift the cube", "open the drawer, then close the cabinet door", "lift the cube", "push", "lift the cubes"]
TOLERANCE = {"rtol": 0.0, "atol": 1e-5}


@pytest.fixture(scope="module")
def checkpoints(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str]]:
    n1_7 = n1_7_robot(tmp_path_factory.mktemp("n1_7") / "checkpoint", {"arm": 9}, {"arm": 8})
    n1_6 = build_tiny_checkpoint(tmp_path_factory.mktemp("n1_6") / "checkpoint", version="N1.6")
    tag = "new_embodiment"
    return {"N1.5": (tiny_checkpoint, tag), "N1.6": (n1_6, tag), "N1.7": (n1_7, TAG)}


@pytest.fixture(params=["N1.5", "N1.6", "N1.7"])
def version(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=["eager", "sdpa"])
def model(request: pytest.FixtureRequest, version: str, checkpoints: dict[str, tuple[Path, str]]) -> Gr00tModel:
    return load_gr00t(checkpoints[version][0], dtype=torch.float32, attn_implementation=request.param)


@pytest.fixture
def inputs(model: Gr00tModel, version: str, checkpoints: dict[str, tuple[Path, str]]) -> Gr00tInputs:
    return Gr00tInputs.from_checkpoint(model, checkpoints[version][1], num_cameras=2)


@pytest.fixture
def images() -> Tensor:
    g = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (len(TEXTS), 2, 64, 64, 3), dtype=torch.uint8, generator=g)


def noise_and_state(model: Gr00tModel) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    noise = torch.randn(len(TEXTS), model.action_horizon, model.max_action_dim, generator=g)
    return noise, torch.randn(len(TEXTS), 1, model.max_state_dim, generator=g)


def encode(model: Gr00tModel, inputs: Gr00tInputs, images: Tensor, texts: list[str]) -> Gr00tFeatures:
    return model.encode_prompts(pixel_values=inputs.pixel_values(images), prompts=inputs.prompts(texts))


def alone(model: Gr00tModel, inputs: Gr00tInputs, images: Tensor, row: int) -> Gr00tFeatures:
    ids, mask = inputs.prompt(TEXTS[row], 1)
    pixel_values = inputs.pixel_values(images[row : row + 1])
    return model.encode(pixel_values=pixel_values, input_ids=ids, attention_mask=mask)


def test_features_are_those_of_each_sample_alone(model: Gr00tModel, inputs: Gr00tInputs, images: Tensor):
    features = encode(model, inputs, images, TEXTS)
    lengths = [inputs.prompt_length(text) for text in TEXTS]
    assert len(set(lengths)) > 2, "the texts shall differ in length"
    assert features.tokens.shape[:2] == (len(TEXTS), max(lengths))
    assert features.padding_mask is not None
    assert features.image_mask is not None
    assert torch.equal(features.attention_mask, ~features.padding_mask)
    for row, length in enumerate(lengths):
        expected = alone(model, inputs, images, row)
        torch.testing.assert_close(features.tokens[row, :length], expected.tokens[0], **TOLERANCE)
        assert expected.image_mask is not None
        assert torch.equal(features.image_mask[row, :length], expected.image_mask[0])
        assert not features.image_mask[row, length:].any()
        assert features.attention_mask[row].tolist() == [True] * length + [False] * (max(lengths) - length)


def test_velocity_and_actions_are_those_of_each_sample_alone(model: Gr00tModel, inputs: Gr00tInputs, images: Tensor):
    noise, state = noise_and_state(model)
    context = model.condition(encode(model, inputs, images, TEXTS))
    t_bucket = torch.tensor([0, 250, 500, 750, 999])
    velocity = model.velocity(context, state, noise, t_bucket)
    cached = model.velocity(model.action_head.cache_key_values(context), state, noise, t_bucket)
    actions = model.sample(context, state, noise)
    assert torch.equal(velocity, cached)
    for row in range(len(TEXTS)):
        single = model.condition(alone(model, inputs, images, row))
        one = slice(row, row + 1)
        expected = model.velocity(single, state[one], noise[one], t_bucket[one])
        torch.testing.assert_close(velocity[one], expected, **TOLERANCE)
        torch.testing.assert_close(actions[one], model.sample(single, state[one], noise[one]), **TOLERANCE)


def test_what_stands_in_the_padding_does_not_matter(model: Gr00tModel, inputs: Gr00tInputs, images: Tensor):
    noise, state = noise_and_state(model)
    features = encode(model, inputs, images, TEXTS)
    assert features.padding_mask is not None
    garbage = torch.where(features.padding_mask[..., None], 1e3, features.tokens)
    clean = model.sample(model.condition(features), state, noise)
    dirty = model.sample(model.condition(dataclasses.replace(features, tokens=garbage)), state, noise)
    torch.testing.assert_close(dirty, clean, **TOLERANCE)


def test_without_the_padding_mask_the_head_sees_the_padding(model: Gr00tModel, inputs: Gr00tInputs, images: Tensor):
    """As the reference does with the padding of ``attention_mask``; so the mask is what makes the samples equal. N1.6
    has no VL self-attention, and its other blocks are masked."""
    noise, state = noise_and_state(model)
    features = encode(model, inputs, images, TEXTS)
    seen = model.condition(dataclasses.replace(features, padding_mask=None))
    difference = model.sample(seen, state, noise) - model.sample(model.condition(features), state, noise)
    assert (difference.abs().amax() > 1e-3) == (model.version != "N1.6")


def test_each_length_is_one_call_of_the_backbone(
    model: Gr00tModel, inputs: Gr00tInputs, images: Tensor, monkeypatch: pytest.MonkeyPatch
):
    sizes = []
    forward = model.backbone.forward
    monkeypatch.setattr(model.backbone, "forward", lambda *args: sizes.append(tuple(args[1].shape)) or forward(*args))
    encode(model, inputs, images, TEXTS)
    lengths = [inputs.prompt_length(text) for text in TEXTS]
    assert sizes == [(lengths.count(length), length) for length in sorted(set(lengths))]
    sizes.clear()
    same = encode(model, inputs, images, ["push"] * len(TEXTS))
    assert sizes == [(len(TEXTS), inputs.prompt_length("push"))]
    assert same.padding_mask is None, "no padding: the unmasked kernels are used"


def test_gradients_do_not_reach_the_padding(model: Gr00tModel, inputs: Gr00tInputs, images: Tensor):
    noise, state = noise_and_state(model)
    features = encode(model, inputs, images, TEXTS)
    tokens = features.tokens.clone().requires_grad_()
    context: Gr00tContext = model.condition(dataclasses.replace(features, tokens=tokens))
    (gradient,) = torch.autograd.grad(model.sample(context, state, noise).square().sum(), tokens)
    assert features.padding_mask is not None
    assert torch.isfinite(gradient).all()
    assert not gradient[features.padding_mask].any()
    assert (gradient[~features.padding_mask].abs().sum(-1) > 0).all()
